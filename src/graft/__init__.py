"""Graft turns a folder of labelled photos into the best image classifier its data allow, and proves how good it is."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from graft.core.errors import GraftError
from graft.core.version import __version__

if TYPE_CHECKING:
    from graft.pipeline.api import load, train
    from graft.pipeline.estimator import ImageClassifier

__all__ = ["GraftError", "ImageClassifier", "__version__", "load", "train"]

# Public names whose modules are loaded when the name is first used: `import graft` itself stays instant.
_HOMES = (
    ("ImageClassifier", "graft.pipeline.estimator"),
    ("load", "graft.pipeline.api"),
    ("train", "graft.pipeline.api"),
)


def __getattr__(name: str) -> Any:
    home = dict(_HOMES).get(name)
    if home is None:
        raise AttributeError(f"module 'graft' has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
