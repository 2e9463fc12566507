"""Keeps a decoder's own messages off the user's terminal: what is wrong with an image, the refusal or a flag says."""

import ctypes
import re
import warnings
from functools import lru_cache

_PILLOW = r"PIL\."
_FILTER = ("ignore", None, Warning, re.compile(_PILLOW), 0)  # as `warnings` keeps what `filterwarnings` is told


def silence_pillow() -> None:
    """Have Pillow's warnings ignored. Asked before each image: other code may exchange the filters at any time."""
    if _FILTER not in warnings.filters[:1]:
        warnings.filterwarnings("ignore", module=_PILLOW)


@lru_cache(maxsize=1)
def silence_libtiff(pillow_core: str) -> None:
    """Have libtiff, which Pillow brings, write nothing on standard error; Pillow learns of errors by return values.

    `pillow_core` is the file of Pillow's extension module. Where libtiff is hidden inside it, as on Windows, nothing
    is done.
    """
    try:
        core = ctypes.CDLL(pillow_core)
        set_handlers = (core.TIFFSetErrorHandler, core.TIFFSetWarningHandler)
    except (OSError, AttributeError):
        return
    for set_handler in set_handlers:
        set_handler.argtypes, set_handler.restype = (ctypes.c_void_p,), ctypes.c_void_p
        set_handler(None)
