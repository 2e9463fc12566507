"""From a published archive to the photos and folders of a tutorial. Nothing is written here.

Every member is judged as in any other archive. Where a photo goes is made from numbers and class names that were
recognised in its name; the publisher's documents keep their own names, which are stated in the record.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

import numpy as np

from graft.data.archives.members import Checker, Found, damaged
from graft.data.archives.tars import walk_tar
from graft.data.archives.zips import walk_zip
from graft.data.images import encode_png
from graft.data.public.catalogue import CIFAR_CLASSES
from graft.data.public.records import PublicData

CIFAR_SIDE_PIXELS = 32
CIFAR_RECORD_BYTES = 1 + 3 * CIFAR_SIDE_PIXELS**2  # the class, then all red, all green, all blue
CIFAR_BATCHES = 5
# The classic book's numbers of each class: 0–999, 1000–1499, 1500–1999.
CATS_AND_DOGS_ENDS = (("train", 1000), ("validation", 1500), ("test", 2000))

_CLASS_FOLDER = re.compile(r"[^/]+/Dataset/([0-9])/([^/]+\.jpe?g)", re.IGNORECASE)
_PET = re.compile(r"PetImages/(Cat|Dog)/(0|[1-9][0-9]{0,4})\.jpg")
_BATCH = re.compile(r"[^/]+/data_batch_([1-5])\.bin")


@dataclass(frozen=True)
class Item:
    """One file to write: `path` below the folder, with forward slashes; a document is no photo."""

    path: str
    pieces: Iterable[bytes]
    size: int
    is_photo: bool = True


def items(data: PublicData, file: BinaryIO, archive: str) -> Iterator[Item]:
    """The files of a data set in the archive's order, each to be read before the next is asked for.

    Raises: `BadInput` archive_unsafe, archive_damaged, archive_unsupported.
    """
    checker = Checker(archive, file.seek(0, os.SEEK_END))
    is_zip = Path(data.file).suffix == ".zip"
    for found in walk_zip(file, archive) if is_zip else walk_tar(file, archive, "gzip"):
        path = checker.check(found.member)
        if not path or found.member.is_folder:
            continue
        yield from LAYOUTS[data.layout](data, path, found, archive)
        name = path.rpartition("/")[2]
        if path.count("/") <= 1 and name in data.documents:
            yield Item(name, found.pieces, found.member.size, is_photo=False)


def _class_folders(data: PublicData, path: str, found: Found, archive: str) -> Iterator[Item]:
    """One folder of photos a class, below a folder named Dataset."""
    match = _CLASS_FOLDER.fullmatch(path)
    if match:
        yield Item(f"{match[1]}/{match[2]}", found.pieces, found.member.size)


def _cats_and_dogs(data: PublicData, path: str, found: Found, archive: str) -> Iterator[Item]:
    """The first photos of each animal, numbered as published, in the classic book's three splits."""
    match = _PET.fullmatch(path)
    if match:
        animal, number = match[1].lower(), int(match[2])
        split = next((split for split, end in CATS_AND_DOGS_ENDS if number < end), None)
        if split:
            yield Item(f"{split}/{animal}s/{animal}.{number}.jpg", found.pieces, found.member.size)


def _cifar(data: PublicData, path: str, found: Found, archive: str) -> Iterator[Item]:
    """The training images in the published order: the first 10 % test, the next 15 % validation, the rest train.

    The published test images are not used: neither does the tutorial.
    """
    match = _BATCH.fullmatch(path)
    if not match:
        return
    per_batch = data.photos // CIFAR_BATCHES
    content = b"".join(found.pieces)
    if len(content) != per_batch * CIFAR_RECORD_BYTES:
        damaged(archive, f"{path} must have {per_batch * CIFAR_RECORD_BYTES} bytes, got {len(content)}")
    records = np.frombuffer(content, np.uint8).reshape(per_batch, CIFAR_RECORD_BYTES)
    labels = records[:, 0]
    if labels.max() >= len(CIFAR_CLASSES):
        damaged(archive, f"{path} must name classes up to {len(CIFAR_CLASSES) - 1}, got {labels.max()}")
    pixels = records[:, 1:].reshape(-1, 3, CIFAR_SIDE_PIXELS, CIFAR_SIDE_PIXELS).transpose(0, 2, 3, 1)
    for place, image in enumerate(pixels):
        number = (int(match[1]) - 1) * per_batch + place
        png = encode_png(image)
        split = _cifar_split(number, data.photos)
        yield Item(f"{split}/{CIFAR_CLASSES[labels[place]]}/{number:05}.png", (png,), len(png))


def _cifar_split(number: int, n_images: int) -> str:
    if number * 10 < n_images:
        return "test"
    return "validation" if number * 4 < n_images else "train"


LAYOUTS: Mapping[str, Callable[[PublicData, str, Found, str], Iterator[Item]]] = MappingProxyType(
    {"class_folders": _class_folders, "cats_and_dogs": _cats_and_dogs, "cifar": _cifar}
)
