"""Recognises, by content, files of other tools: models that can carry code are never opened, only named."""

import stat
from pathlib import Path

from graft.core.errors import BadInput

HEAD_BYTES = 4096
HINT = (
    "Graft never loads a format that can carry code. Give a run folder or its classifier.graft; "
    "pretrained weights of a known network go in by --weights FILE when training."
)
# (offset, bytes there, what such a file is)
SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file (.h5)"),
    (0, b"PK\x05\x06", "an empty zip archive"),
    (0, b"\x93NUMPY", "a NumPy array (.npy)"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"BZh", "a bzip2 archive"),
    (0, b"\xfd7zXZ\x00", "an xz archive"),
    (257, b"ustar", "a tar archive"),
    (4, b"TFL3", "a TensorFlow Lite model (.tflite)"),
    (0, b"GGUF", "a GGUF model"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (0, b"%PDF", "a PDF"),
    (0, b"#!", "a script"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program"),
)
# A name in the first bytes of a zip archive tells whose it is.
ZIP_MEMBERS: tuple[tuple[bytes, str], ...] = (
    (b"data.pkl", "a PyTorch model (.pt)"),
    (b"model.weights.h5", "a Keras model (.keras)"),
    (b"config.json", "a Keras model (.keras)"),
    (b".npy", "a NumPy archive (.npz)"),
)


def refuse_foreign(path: Path) -> None:
    """Raise `BadInput` (`format_not_allowed`) where `path` is a model or archive of another tool.

    Links, pipes and devices are not touched here: the reader of tensors refuses them.
    """
    try:
        kind = path.lstat().st_mode
        if stat.S_ISDIR(kind):
            _refuse_folder(path)
        if not stat.S_ISREG(kind):
            return
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return  # the reader says what is wrong with it
    found = foreign_kind(head)
    if found:
        raise BadInput(f"{path} must be a Graft bundle, got {found}.", hint=HINT, code="format_not_allowed")


def foreign_kind(head: bytes) -> str:
    """What a file with these first bytes is, as "a Keras model (.keras)"; empty where it is nothing known."""
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        return ""  # the layout of a tensor file: the length of a JSON text, then that text
    if head.startswith(b"PK\x03\x04"):
        return next((kind for member, kind in ZIP_MEMBERS if member in head), "a zip archive")
    if len(head) > 2 and head[0] == 0x80 and head[1] in range(2, 6):
        return "a pickle"  # protocols 2 to 5
    for offset, signature, kind in SIGNATURES:
        if head[offset : offset + len(signature)] == signature:
            return kind
    return ""


def _refuse_folder(path: Path) -> None:
    if (path / "saved_model.pb").exists():
        raise BadInput(
            f"{path} must be a Graft bundle, got a TensorFlow SavedModel.", hint=HINT, code="format_not_allowed"
        )
    raise BadInput(f"{path} must be a Graft bundle, got a folder.", hint="Give the file classifier.graft in it.")
