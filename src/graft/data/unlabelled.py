"""Photos without labels: a folder of them, flat or nested, in the order of their paths."""

from pathlib import Path

from graft.core.errors import BadInput
from graft.data.entries import SPLIT_NAMES, Entry
from graft.data.sources import Source, is_photo, list_folder, walk

NO_LABEL = ""


def has_classes(folder: Path) -> bool:
    """Whether the folder is laid out as class folders or split folders: two or more, and no photo beside them."""
    root = folder.resolve()
    folders, files, _ = list_folder(root, "")
    if any(is_photo(root / name) for name in files):
        return False
    split = any(name.lower() in SPLIT_NAMES and list_folder(root, name)[0] for name in folders)
    return split or len(folders) > 1


def read_unlabelled(folder: Path) -> Source:
    """All photos below a folder, under one empty label; `BadInput` no_photos where there is none."""
    root = folder.resolve()
    found = walk(root, "")
    if not found.photos and not found.refused:
        raise BadInput("The data must hold photos, got none.", hint="Check the path.", code="no_photos")
    return Source(
        root=root,
        entries=tuple(Entry(path, NO_LABEL) for path in found.photos),
        classes=(NO_LABEL,),
        origin="folder",
        ignored=found.ignored,
        refused=found.refused,
    )
