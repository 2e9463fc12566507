"""The routes: what is asked where, and how it is answered."""

import json
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, Request, Response

from graft.serving import documentation, inference
from graft.serving.answers import checked_top, prediction, refusal_of
from graft.serving.bodies import FORM, JSON, OCTETS
from graft.serving.errors import Refusal, error_value
from graft.serving.metrics import CONTENT_TYPE
from graft.serving.service import Service
from graft.serving.waiting import Image, ImageRefusal

FIELD = "image"
MODULES = (
    *("answer", "camera", "classifier", "elements", "failures", "history"),
    *("queue", "service", "start", "verdict", "words"),
)
ASSETS = {  # nothing else is read from the disk
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    **{f"/page/{name}.js": (f"page/{name}.js", "text/javascript") for name in MODULES},
}
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
Handler = Callable[[Request], Awaitable[Response]]


def make_router(service: Service) -> APIRouter:
    """All routes of `service`. Those of the Open Inference Protocol may name the version, of which there is one."""
    router = APIRouter()
    one_version = f"/v2/models/{{name}}/versions/{inference.VERSION}"
    for path, handler, documented in (
        ("/about", _about(service), documentation.ABOUT),
        ("/metrics", _metrics(service), documentation.METRICS),
        ("/v2", _server(), documentation.SERVER),
        ("/v2/health/live", _live(), documentation.LIVE),
        ("/v2/health/ready", _ready(service), documentation.READY),
        ("/v2/models/{name}", _model(service), documentation.MODEL),
        ("/v2/models/{name}/ready", _model_ready(service), documentation.MODEL_READY),
    ):
        router.add_api_route(path, handler, methods=["GET"], **documented)
    for path, handler, method in (
        ("/v2/", _server(), "GET"),
        (one_version, _model(service), "GET"),
        (f"{one_version}/ready", _model_ready(service), "GET"),
        (f"{one_version}/infer", _infer(service), "POST"),
    ):
        router.add_api_route(path, handler, methods=[method], include_in_schema=False)
    router.add_api_route("/predict", _predict(service), methods=["POST"], **documentation.PREDICT)
    router.add_api_route("/v2/models/{name}/infer", _infer(service), methods=["POST"], **documentation.INFER)
    for path, (asset, media_type) in ASSETS.items():
        router.add_api_route(path, _asset(asset, media_type), methods=["GET"], include_in_schema=False)
    return router


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON as it is everywhere in this service: UTF-8, no NaN."""
    content = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(content, status, headers, media_type=JSON)


def _predict(service: Service) -> Handler:
    async def predict(request: Request) -> Response:
        if not set(request.query_params) <= {"top"}:
            raise Refusal("The address may only have the parameter 'top'.", hint="Send images in the body.")
        with service.memory.share() as take:
            body = service.body(request, take)
            top = checked_top(request.query_params.get("top"))
            most = service.about()["image_limits"]["max_bytes"]
            if body.content_type == FORM:
                limits = service.limits
                contents = await body.images(FIELD, most_bytes=most, most_images=limits.images, most_parts=limits.parts)
            elif body.content_type == OCTETS or body.content_type.startswith("image/"):
                contents = [await body.whole(most)]
            else:
                raise Refusal(
                    f"The body must be of type {FORM}, image/… or {OCTETS}.", status=415, code="type_not_allowed"
                )
            classes = service.about()["classes"]
            answers = await service.answers(request, [Image("file", content) for content in contents])
        if len(answers) > 1:
            return json_response([prediction(answer, classes, top) for answer in answers])
        if isinstance(answers[0], ImageRefusal):
            raise refusal_of(answers[0])
        return json_response(prediction(answers[0], classes, top))

    return predict


def _infer(service: Service) -> Handler:
    async def infer(request: Request) -> Response:
        _check_name(service, request)
        most = service.limits.json_bytes
        with service.memory.share() as take:
            body = service.body(request, take, most)
            if body.content_type != JSON:
                raise Refusal(f"The body must be of type {JSON}.", status=415, code="type_not_allowed")
            value = await body.json(most)
            about = service.about()  # when the body has come: the classifier may have been replaced meanwhile
            asked = inference.understand(value, about, service.limits)
            answers = await service.answers(request, asked.images)
        return json_response(inference.answer(asked, answers, service.settings.name, about["classes"]))

    return infer


def _about(service: Service) -> Handler:
    async def about(request: Request) -> Response:
        limits = service.limits
        own = {
            "max_body_bytes": limits.body_bytes,
            "max_json_bytes": limits.json_bytes,
            "max_images": limits.images,
            "request_seconds": limits.request_seconds,
        }
        told = dict(service.about())
        image_limits = told.pop("image_limits")
        told.pop("full_batch_images")
        return json_response({"name": service.settings.name, **told, "limits": {**own, **image_limits}})

    return about


def _metrics(service: Service) -> Handler:
    async def metrics(request: Request) -> Response:
        return Response(service.metrics.text(), headers={"content-type": CONTENT_TYPE})

    return metrics


def _server() -> Handler:
    async def server(request: Request) -> Response:
        return json_response(inference.server_metadata())

    return server


def _live() -> Handler:
    async def live(request: Request) -> Response:
        return json_response({"live": True})

    return live


def _ready(service: Service) -> Handler:
    async def ready(request: Request) -> Response:
        return _readiness(service, {})

    return ready


def _model(service: Service) -> Handler:
    async def model(request: Request) -> Response:
        _check_name(service, request)
        return json_response(inference.model_metadata(service.settings.name, service.about()))

    return model


def _model_ready(service: Service) -> Handler:
    async def model_ready(request: Request) -> Response:
        _check_name(service, request)
        return _readiness(service, {"name": service.settings.name})

    return model_ready


def _readiness(service: Service, told: Mapping[str, str]) -> Response:
    try:
        service.check_ready()
    except Refusal as error:
        return json_response(
            {**told, "ready": False, **error_value(error.code, str(error))}, error.status, error.headers()
        )
    return json_response({**told, "ready": True})


def _check_name(service: Service, request: Request) -> None:
    if request.path_params["name"] != service.settings.name:
        raise Refusal(f"The model must be {service.settings.name!r}, the only one here.", status=404, code="not_found")


def _asset(name: str, media_type: str) -> Handler:
    content = files("graft.serving").joinpath("assets", name).read_bytes()
    headers = {"content-security-policy": PAGE_POLICY, "cache-control": "no-cache"}

    async def asset(request: Request) -> Response:
        return Response(content, headers=headers, media_type=media_type)

    return asset
