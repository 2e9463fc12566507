"""What a data folder or a table names: files with labels, before anything is opened."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from graft.data.records import Split

SPLIT_NAMES: Mapping[str, Split] = MappingProxyType(
    {
        "train": "train",
        "training": "train",
        "validation": "validation",
        "valid": "validation",
        "val": "validation",
        "test": "test",
        "testing": "test",
    }
)


@dataclass(frozen=True)
class Entry:
    """One file meant as a photo. `path` is relative to the source's root, with forward slashes."""

    path: str
    label: str
    split: Split | None = None
    group: str | None = None


def class_name(name: str) -> str:
    """The class that a folder or a label names: some file systems hand out decomposed letters, others do not."""
    return unicodedata.normalize("NFC", name)
