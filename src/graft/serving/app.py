"""The application: routes, and around them what holds for every request."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute

from graft.core.version import __version__
from graft.serving import documentation
from graft.serving.errors import ClientLeft, Refusal, not_ready
from graft.serving.routes import PAGE_POLICY, Handler, make_router
from graft.serving.service import Service, timed_out

LOG = logging.getLogger(__name__)
QUICK = ("POST", "/predict")  # answered without FastAPI's layers: they cost a quarter of the front's time for a photo
OTHER = "other"  # the route of what no route answers
STATUS_LEFT = 499  # of what nobody waited for, as other servers count it
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


def make_app(service: Service, on_ready: Callable[[], None], on_problem: Callable[[], None]) -> "Guard":
    """The application of `service`; `on_ready` is called whenever its classifier was loaded."""
    app = FastAPI(
        title=f"Graft: {service.settings.name}",
        version=__version__,
        docs_url=None,  # FastAPI's own page loads its parts from the internet
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan(service, on_ready, on_problem),
        exception_handlers={
            Refusal: _refused,
            ClientLeft: _left,
            Exception: _defect,
            404: _unknown,
            405: _wrong_method,
        },
    )
    router = make_router(service)
    app.include_router(router)

    async def docs(request: Request) -> Response:
        headers = {"content-security-policy": PAGE_POLICY}
        return Response(
            documentation.page(app.openapi(), service.settings.name), headers=headers, media_type="text/html"
        )

    app.add_api_route("/docs", docs, methods=["GET"], include_in_schema=False)
    handlers = {route.path: route.endpoint for route in router.routes if isinstance(route, APIRoute)}
    return Guard(app, service, handlers)


class Guard:
    """Around the application: a time limit, counting, one line of log, and a JSON answer to every defect."""

    def __init__(self, app: FastAPI, service: Service, handlers: Mapping[str, Handler]) -> None:
        self._app = app
        self._service = service
        self._quick = handlers[QUICK[1]]
        self._known = {"/docs", "/openapi.json", *handlers}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request (or the lifespan)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answering = _Answering(send, closing=lambda: self._service.draining)
        try:
            await self._answer(scope, receive, answering)
        finally:
            self._note(scope, answering)

    async def _answer(self, scope: Message, receive: Receive, answering: "_Answering") -> None:
        seconds = self._service.limits.request_seconds
        try:
            async with asyncio.timeout(seconds):
                if (scope["method"], scope["path"]) == QUICK:
                    response = await _response(self._quick, Request(scope, receive))
                    await response(scope, receive, answering)
                else:
                    await self._app(scope, receive, answering)
        except TimeoutError:
            await answering.refuse(timed_out(seconds))
        except asyncio.CancelledError:
            if not self._service.draining:
                raise
            await answering.refuse(not_ready("the service is ending"))  # this task ends here, and so does the process
        except Exception as error:  # a defect becomes an answer; what it says may quote a client
            LOG.error("A defect: %s", type(error).__name__, exc_info=self._service.settings.debug)
            await answering.refuse(_internal())

    def _note(self, scope: Message, answering: "_Answering") -> None:
        seconds = time.monotonic() - answering.began
        path = getattr(scope.get("route"), "path", scope["path"])
        route = path if path in self._known else OTHER
        self._service.metrics.requests.labels(route, answering.status or STATUS_LEFT).inc()
        self._service.metrics.seconds.labels(route).observe(seconds)
        LOG.info("%s %s %s %.0f ms", _method(scope["method"]), route, answering.status or STATUS_LEFT, 1000 * seconds)


class _Answering:
    """Passes an answer on, with the headers that every answer has, and remembers its status."""

    def __init__(self, send: Send, *, closing: Callable[[], bool]) -> None:
        self.status = ""
        self.began = time.monotonic()
        self._send = send
        self._closing = closing

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = str(message["status"])
            more = [*HEADERS, *([(b"connection", b"close")] if self._closing() else [])]
            message = {**message, "headers": [*message.get("headers", ()), *more]}
        await self._send(message)

    async def refuse(self, why: Refusal) -> None:
        """Answer with `why`, unless an answer has begun."""
        if not self.status:
            headers = {"content-type": "application/json", "content-length": str(len(why.body())), **why.headers()}
            raw = [(name.encode(), value.encode()) for name, value in headers.items()]
            await self({"type": "http.response.start", "status": why.status, "headers": raw})
            await self._send({"type": "http.response.body", "body": why.body()})


def _lifespan(
    service: Service, on_ready: Callable[[], None], on_problem: Callable[[], None]
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.start(on_ready, on_problem)
        try:
            yield
        finally:
            await service.stop()

    return lifespan


async def _response(handler: Handler, request: Request) -> Response:
    """What FastAPI would answer by the handlers of exceptions above; a defect goes on to the guard."""
    try:
        return await handler(request)
    except Refusal as why:
        return await _refused(request, why)
    except ClientLeft as error:
        return await _left(request, error)


async def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, Refusal):
        raise error
    return Response(error.body(), error.status, error.headers(), media_type="application/json")


async def _unknown(request: Request, error: Exception) -> Response:
    why = Refusal("There is nothing at this address.", hint="See /docs.", status=404, code="not_found")
    return await _refused(request, why)


async def _wrong_method(request: Request, error: Exception) -> Response:
    why = Refusal("This address does not know the method.", hint="See /docs.", status=405, code="method_not_allowed")
    response = await _refused(request, why)
    response.headers.update(getattr(error, "headers", None) or {})
    return response


async def _left(request: Request, error: Exception) -> Response:
    return Response(status_code=STATUS_LEFT)  # goes nowhere, and is counted


async def _defect(request: Request, error: Exception) -> Response:
    return await _refused(request, _internal())  # the error itself goes on to the guard


def _internal() -> Refusal:
    return Refusal("Something unexpected happened in Graft.", status=500, code="internal")


def _method(method: str) -> str:
    """A method that is known; others are a client's own words."""
    return method if method in ("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH") else OTHER
