"""What `/openapi.json` and `/docs` say of each route."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import quote

from fastapi import Response

Documented = dict[str, Any]
BINARY = {"type": "string", "format": "binary"}
ERROR = {
    "type": "object",
    "required": ["error", "code"],
    "properties": {"error": {"type": "string"}, "code": {"type": "string"}},
}
LABELLED = {"label": {"type": "string"}, "probability": {"type": "number"}}
PREDICTION = {
    "type": "object",
    "required": ["label", "probability", "top"],
    "properties": {**LABELLED, "top": {"type": "array", "items": {"type": "object", "properties": LABELLED}}},
}
OBJECT = {"type": "object"}
STATUSES = {
    400: "The request is not what it must be.",
    404: "There is no such address or model.",
    408: "The request came too slowly.",
    413: "The request, an image or the number of images is too large.",
    415: "The body's type is not read.",
    422: "The image cannot be used; `code` says why.",
    429: "Too many images wait; see Retry-After.",
    503: "The classifier is not ready; see Retry-After.",
    504: "The answer took too long.",
}


@dataclass(frozen=True)
class Usage:
    """How a route is asked: what it takes, a line to type, and what comes back. Code in `text` has back-ticks."""

    text: str
    ask: str
    answer: str

    @property
    def markdown(self) -> str:
        """As OpenAPI has it."""
        return f"{self.text}\n\n```sh\n{self.ask}\n```\n\n```json\n{self.answer}\n```"

    @property
    def html(self) -> str:
        """As the page has it."""
        return f"<p>{_html(self.text)}</p><pre>{escape(self.ask)}</pre><pre>{escape(self.answer)}</pre>"


ADDRESS = "localhost:8000"
NAME = "classifier"
PREDICT_USAGE = Usage(
    "One image or several in the field `image` of a form (`multipart/form-data`), or one as the body itself (`image/…` "
    "or `application/octet-stream`). `?top=3` for so many of the likeliest labels. For several images the answer is a "
    "list, in which an image that cannot be used has `error` and `code` in its place.",
    f"curl -F image=@cat.jpg {ADDRESS}/predict\n"
    f"curl -H 'Content-Type: image/jpeg' --data-binary @cat.jpg '{ADDRESS}/predict?top=2'",
    '{"label":"cat","probability":0.93,"top":[{"label":"cat","probability":0.93},{"label":"dog","probability":0.07}]}',
)
INFER_USAGE = Usage(
    "JSON (`application/json`) with one tensor: `image`, of the content of image files in base64, or `pixels`, of "
    "images in the shape that `GET /v2/models/{name}` names.",
    """printf '{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","data":["%s"]}]}' \\
  "$(base64 < cat.jpg | tr -d '\\n')" |"""
    f" curl -H 'Content-Type: application/json' -d @- {ADDRESS}/v2/models/{NAME}/infer",
    f'''{{"model_name":"{NAME}","model_version":"1","outputs":[
  {{"name":"probabilities","shape":[1,2],"datatype":"FP32","data":[0.93,0.07]}},
  {{"name":"label","shape":[1],"datatype":"BYTES","data":["cat"]}}]}}''',
)
USAGES = {"/predict": PREDICT_USAGE, "/v2/models/{name}/infer": INFER_USAGE}


def _documented(summary: str, answer: Mapping[str, Any], *statuses: int, **extra: Any) -> Documented:
    responses: dict[int, Any] = {200: {"description": summary, "content": {"application/json": {"schema": answer}}}}
    error = {"application/json": {"schema": ERROR}}
    responses |= {status: {"description": STATUSES[status], "content": error} for status in statuses}
    return {"summary": summary, "responses": responses, "response_class": Response, "openapi_extra": extra or None}


PREDICT: Documented = {"description": PREDICT_USAGE.markdown} | _documented(
    "Say what is on one image or several",
    {"oneOf": [PREDICTION, {"type": "array", "items": {"anyOf": [PREDICTION, ERROR]}}]},
    *(400, 408, 413, 415, 422, 429, 503, 504),
    parameters=[
        {
            "name": "top",
            "in": "query",
            "description": "How many of the likeliest labels to name",
            "schema": {"type": "integer", "minimum": 1, "default": 5},
        }
    ],
    requestBody={
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"image": {"type": "array", "items": BINARY}}}
            },
            "image/*": {"schema": BINARY},
            "application/octet-stream": {"schema": BINARY},
        },
    },
)
INFER: Documented = {"description": INFER_USAGE.markdown} | _documented(
    "The same by the Open Inference Protocol",
    OBJECT,
    *(400, 404, 408, 413, 415, 422, 429, 503, 504),
    requestBody={"required": True, "content": {"application/json": {"schema": OBJECT}}},
)
ABOUT = _documented("What is served, how good it is, under which terms and limits", OBJECT, 503)
SERVER = _documented("What the server is", OBJECT)
LIVE = _documented("Whether the service runs", OBJECT)
READY = _documented("Whether the classifier answers", OBJECT, 503)
MODEL = _documented("What the model takes and gives", OBJECT, 404, 503)
MODEL_READY = _documented("Whether the model answers", OBJECT, 404, 503)
METRICS = _documented("Figures for Prometheus, as text", {"type": "string"})


def page(schema: Mapping[str, Any], name: str = NAME) -> str:
    """The routes as a page that loads nothing from elsewhere; its links also hold below a path of a proxy.

    `name` is the model's in the lines to type.
    """
    usages = {
        path: usage.html.replace(f"models/{NAME}/", f"models/{escape(quote(name, safe=''))}/")
        for path, usage in USAGES.items()
    }
    rows = "\n".join(
        f"<dt><code>{method.upper()} {escape(path)}</code></dt><dd><p>{escape(documented['summary'])}.</p>"
        + usages.get(path, "")
        + "<ul>"
        + "".join(
            f"<li>{escape(status)}: {_html(each['description'])}</li>"
            for status, each in documented["responses"].items()
            if status != "200"
        )
        + "</ul></dd>"
        for path, methods in schema["paths"].items()
        for method, documented in methods.items()
    )
    title = escape(schema["info"]["title"])
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><link rel="stylesheet" href="page.css"></head>
<body><main><h1>{title}</h1><p><a href="./">Try it</a>. For programs: <a href="openapi.json">openapi.json</a>.
In the lines to type, put this page's address, without <code>docs</code>, in the place of <code>{ADDRESS}</code>.</p>
<dl>{rows}</dl></main></body></html>"""


def _html(text: str) -> str:
    """A text in which back-ticks stand around code."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text))
