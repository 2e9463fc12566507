"""What a request is refused with: a status, a stable code, a sentence; no path, no traceback, no client's bytes."""

import json
from collections.abc import Mapping

from graft.core.errors import GraftError

RETRY_SECONDS = 1
TOO_LARGE = ("too_many_bytes", "too_many_pixels")


class Refusal(GraftError):
    """A request cannot be answered; `status` is HTTP's, `code` one of `graft.core.errors.CODES`."""

    default_code = "request_invalid"

    def __init__(self, message: str, *, status: int = 400, hint: str = "", code: str = "") -> None:
        super().__init__(message, hint=hint, code=code)
        self.status = status

    def body(self) -> bytes:
        """The answer's JSON."""
        return json.dumps(error_value(self.code, str(self)), ensure_ascii=False).encode()

    def headers(self) -> dict[str, str]:
        """What the answer's head says beside its type: when to come again."""
        return {"retry-after": str(RETRY_SECONDS)} if self.status in (429, 503) else {}


class ClientLeft(Exception):
    """Nobody waits for the answer any more."""


def error_value(code: str, message: str) -> Mapping[str, str]:
    """One error as the service tells it."""
    return {"error": message, "code": code}


def status_of(code: str) -> int:
    """The status for one image that was refused with `code`."""
    if code in TOO_LARGE:
        return 413
    return 503 if code == "resource" else 422


def too_large(what: str, most_bytes: int) -> Refusal:
    """The refusal of more than `most_bytes`."""
    return Refusal(f"{what} must have at most {most_bytes} bytes, got more.", status=413, code="too_many_bytes")


def not_ready(why: str) -> Refusal:
    """The refusal while nothing can be answered."""
    return Refusal(f"The classifier must be ready, but {why}.", hint="Try again soon.", status=503, code="not_ready")
