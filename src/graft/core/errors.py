"""The one error tree: every failure a user can meet has a stable code, an exit status and a hint."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

CODES: Mapping[str, str] = MappingProxyType(
    {
        # bad input: exit status 2
        "bad_input": "an option or argument is not what it must be",
        "not_found": "a file, folder or name does not exist",
        "already_exists": "the output is already there and holds something else",
        "resume_mismatch": "the run to go on with was made by another plan",
        "no_photos": "the folder or table holds no photo",
        "class_empty": "a class has fewer than two good photos",
        "too_many_bad": "more than the allowed share of the files cannot be used",
        "format_not_allowed": "the file is of a kind that is never opened",
        "not_an_image": "the file is no image",
        "truncated": "the image ends before it should",
        "corrupt": "the image's content is damaged",
        "too_many_pixels": "the image is larger than the limit",
        "too_many_bytes": "the file is larger than the limit",
        "too_small": "a side of the image is shorter than the limit",
        "trailing_bytes": "the file goes on after its image",
        "unreadable": "the file cannot be read",
        "archive_unsafe": "a member of the archive could do harm when unpacked",
        "archive_damaged": "the archive is cut off or damaged",
        "archive_unsupported": "the archive is compressed in a way that Graft does not read",
        "outside_root": "a path or link leads out of the data folder",
        "not_a_file": "the path is a device, pipe or socket",
        "class_set_changed": "the classes are not those of the earlier run",
        "split_leak": "the same photo is in two splits",
        "weights_refused": "the weights file does not fit the network",
        "weights_missing": "the network's weights are not on this machine",
        "extra_missing": "an optional part of the installation is needed",
        "diverged": "the loss became infinite: the learning rate is too high",
        # a request to the service: HTTP statuses of their own
        "request_invalid": "a request is not what it must be",
        "method_not_allowed": "the address does not know the method",
        "type_not_allowed": "the request's content is of a type that is not read",
        "too_many_images": "a request holds more images or parts than the limit",
        "header_too_large": "a request's header is larger than the limit",
        "too_slow": "a request arrives too slowly",
        "queue_full": "more images wait than the limit",
        "not_ready": "the classifier is not loaded, or the service is ending",
        "worker_lost": "the process that holds the classifier ended",
        "timed_out": "the answer took longer than the limit",
        # resource: exit status 3
        "resource": "the machine lacks something the work needs",
        "disk_full": "the disk has too little room",
        "locked": "another process holds the lock",
        "cannot_write": "the place cannot be written to",
        "no_download": "a file could not be fetched from its publisher",
        "cannot_compile": "the network could not be compiled for this machine",
        # integrity: exit status 4
        "integrity": "stored content is not what it must be",
        "record_invalid": "a stored record does not keep its schema",
        "future_schema": "the file was written by a newer version",
        "bundle_invalid": "the bundle is damaged or was not written by Graft",
        "checkpoint_corrupt": "a checkpoint is damaged and no older one can be used",
        "hash_mismatch": "content does not match its hash",
        "download_refused": "what was downloaded is not the published file",
        "weights_not_finite": "weights hold NaN or infinity",
        "changed_since_scan": "a file changed after it was scanned",
        "golden_mismatch": "the classifier does not reproduce its golden examples here",
        "internal": "a defect of Graft",
    }
)


class GraftError(Exception):
    """Root of all errors Graft raises on purpose.

    `message` says what must be what and what was given; `hint` says what to do. `code` is one of `CODES`.
    """

    exit_status: ClassVar[int] = 1
    default_code: ClassVar[str] = "internal"

    def __init__(self, message: str, *, hint: str = "", code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code or self.default_code
        if self.code not in CODES:
            raise ValueError(f"code must be one of graft.core.errors.CODES, got {self.code!r}")

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def __reduce__(self) -> tuple[object, ...]:
        """Survive a process boundary: keyword-only arguments are lost by the default."""
        return _rebuild, (type(self), self.message, self.hint, self.code)


class BadInput(GraftError):
    """What the user gave is not what it must be."""

    exit_status = 2
    default_code = "bad_input"


class ImageRefused(BadInput):
    """One image cannot be used; `code` says why."""

    default_code = "not_an_image"


class ResourceProblem(GraftError):
    """The machine lacks something: disk, memory, a lock, permission."""

    exit_status = 3
    default_code = "resource"


class IntegrityProblem(GraftError):
    """Stored content is not what it must be."""

    exit_status = 4
    default_code = "integrity"


def _rebuild(kind: type[GraftError], message: str, hint: str, code: str) -> GraftError:
    return kind(message, hint=hint, code=code)
