"""What `/openapi.json` and `/docs` say of each route."""

from collections.abc import Mapping
from html import escape
from typing import Any

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


def _documented(summary: str, answer: Mapping[str, Any], *statuses: int, **extra: Any) -> Documented:
    responses: dict[int, Any] = {200: {"description": summary, "content": {"application/json": {"schema": answer}}}}
    error = {"application/json": {"schema": ERROR}}
    responses |= {status: {"description": STATUSES[status], "content": error} for status in statuses}
    return {"summary": summary, "responses": responses, "response_class": Response, "openapi_extra": extra or None}


PREDICT = _documented(
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
INFER = _documented(
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


def page(schema: Mapping[str, Any]) -> str:
    """The routes as a page that loads nothing from elsewhere; its links also hold below a path of a proxy."""
    rows = "\n".join(
        f"<dt><code>{method.upper()} {escape(path)}</code></dt><dd>{escape(documented['summary'])}<ul>"
        + "".join(
            f"<li>{escape(status)}: {escape(each['description'])}</li>"
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
<body><main><h1>{title}</h1><p><a href="./">Try it</a>. For programs: <a href="openapi.json">openapi.json</a>.</p>
<dl>{rows}</dl></main></body></html>"""
