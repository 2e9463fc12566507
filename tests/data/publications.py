"""Small stand-ins for the archives that publishers offer: the same names and layouts, a few bytes a photo."""

import io
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from graft.core.hashing import sha256_bytes, sha256_json
from graft.data.public.catalogue import find_data
from graft.data.public.records import PublicData

TOP = "Sign-Language-Digits-Dataset-master"
BATCH_IMAGES = 20


def zipped(members: Mapping[str, bytes]) -> bytes:
    """A zip of these members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def tarred(members: Mapping[str, bytes]) -> bytes:
    """A compressed tar of these members."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def sign_digits(**changes: object) -> tuple[PublicData, bytes]:
    """Two photos a digit, recognised by their contents, among other things of the repository."""
    photos = {f"{digit}/IMG_{number}.JPG": b"photo %d %d" % (digit, number) for digit in range(10) for number in (1, 2)}
    members = {
        f"{TOP}/LICENSE": b"a licence",
        f"{TOP}/README.md": b"a description",
        f"{TOP}/get_dataset.py": b"import os",
        f"{TOP}/Examples/example_0.JPG": b"an example",
        **{f"{TOP}/Dataset/{path}": content for path, content in photos.items()},
    }
    contents = sha256_json({path: sha256_bytes(content) for path, content in photos.items()})
    data = replace(find_data("sign_digits"), photos=len(photos), contents_sha256=contents)
    return replace(data, **changes), zipped(members)


def cats_and_dogs(**changes: object) -> tuple[PublicData, bytes]:
    """The layout of Microsoft's zip with 2,005 photos of each, of which two are empty files as there."""
    members = {"readme[1].txt": b"read me", "MSR-LA - 3467.docx": b"PK\x03\x04" + b"\0" * 26 + b"[Content_Types].xml"}
    for animal in ("Cat", "Dog"):
        members |= {f"PetImages/{animal}/{number}.jpg": b"%s %d" % (animal.encode(), number) for number in range(2005)}
        members[f"PetImages/{animal}/Thumbs.db"] = b"thumbs"
    members["PetImages/Cat/666.jpg"] = b""
    content = zipped(members)
    data = replace(find_data("cats_and_dogs_small"), sha256=sha256_bytes(content), archive_bytes=len(content))
    return replace(data, **changes), content


def cifar_batch(number: int) -> np.ndarray:
    """(images, 3073) uint8: classes in turn; each image's first row is red in rising levels, the rest one green."""
    records = np.zeros((BATCH_IMAGES, 3073), np.uint8)
    records[:, 0] = np.arange(BATCH_IMAGES) % 10
    records[:, 1:33] = np.arange(32)
    records[:, 1 + 1024 : 1 + 2048] = (np.arange(BATCH_IMAGES) + number)[:, None]
    return records


def cifar(batches: Mapping[int, bytes] | None = None, **changes: object) -> tuple[PublicData, bytes]:
    """Five batches of 20 images and a test batch, in another order than that of their numbers."""
    contents = batches or {number: cifar_batch(number).tobytes() for number in (1, 3, 4, 5, 2)}
    top = "cifar-10-batches-bin"
    members = {f"{top}/data_batch_{number}.bin": content for number, content in contents.items()}
    members |= {f"{top}/test_batch.bin": cifar_batch(9).tobytes(), f"{top}/readme.html": b"<html>"}
    content = tarred(members)
    data = replace(find_data("cifar10"), photos=5 * BATCH_IMAGES, sha256=sha256_bytes(content))
    return replace(data, archive_bytes=len(content), **changes), content
