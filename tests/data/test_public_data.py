"""The tutorials' own data: records that can be checked, and archives that become the tutorials' folders."""

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from graft.core.errors import BadInput
from graft.core.hashing import sha256_file, sha256_json
from graft.data.images import decode
from graft.data.public.catalogue import CIFAR_CLASSES, find_data, public_data
from graft.data.public.layouts import LAYOUTS, Item, items
from graft.data.public.records import PublicData
from graft.data.records import ImageRules
from graft.data.sources import read_source
from tests.data.publications import BATCH_IMAGES, cats_and_dogs, cifar, cifar_batch, sign_digits, tarred, zipped


def unpacked(data: PublicData, content: bytes) -> dict[str, tuple[bytes, Item]]:
    return {item.path: (b"".join(item.pieces), item) for item in items(data, io.BytesIO(content), "archive")}


def photos(data: PublicData, content: bytes) -> dict[str, bytes]:
    return {path: found for path, (found, item) in unpacked(data, content).items() if item.is_photo}


def test_every_data_set_can_be_checked_or_is_not_fetched():
    for data in public_data().values():
        assert data.terms and data.shape and data.recipes, data.name
        if data.url:
            assert data.url.startswith("https://") and data.home.startswith("https://"), data.name
            assert bool(data.sha256) != bool(data.contents_sha256), data.name
            assert all(len(value) in (0, 64) for value in (data.sha256, data.contents_sha256)), data.name
            assert data.layout in LAYOUTS and Path(data.file).name == data.file, data.name
            assert data.archive_bytes and data.folder_bytes, data.name


def test_an_unknown_name_names_the_nearest():
    assert find_data("Cats-And-Dogs-Small").name == "cats_and_dogs_small"
    with pytest.raises(BadInput, match="must be one of") as caught:
        find_data("cifr10")
    assert caught.value.code == "not_found" and "Did you mean cifar10?" in caught.value.hint
    with pytest.raises(BadInput) as caught:
        find_data("zzz")
    assert caught.value.hint == "See graft data list."


def test_sign_digits_are_class_folders_with_the_publishers_words():
    data, content = sign_digits()
    found = unpacked(data, content)
    assert [path for path, (_, item) in found.items() if not item.is_photo] == ["LICENSE", "README.md"]
    assert found["LICENSE"][0] == b"a licence"
    assert set(photos(data, content)) == {f"{digit}/IMG_{number}.JPG" for digit in range(10) for number in (1, 2)}
    assert found["7/IMG_2.JPG"][0] == b"photo 7 2"


def test_cats_and_dogs_are_the_books_photos_and_splits():
    data, content = cats_and_dogs()
    found = photos(data, content)
    assert len(found) == data.photos == 4000
    assert Counter(path.rpartition("/")[0] for path in found) == {
        "train/cats": 1000,
        "train/dogs": 1000,
        "validation/cats": 500,
        "validation/dogs": 500,
        "test/cats": 500,
        "test/dogs": 500,
    }
    assert found["train/cats/cat.999.jpg"] == b"Cat 999"
    assert found["validation/dogs/dog.1000.jpg"] == b"Dog 1000"
    assert found["validation/cats/cat.1499.jpg"] == b"Cat 1499"
    assert found["test/dogs/dog.1999.jpg"] == b"Dog 1999"
    assert found["train/cats/cat.666.jpg"] == b""  # what cannot be read is passed on as it is
    assert {path for path in unpacked(data, content) if path not in found} == set(data.documents)


def test_cifar_is_divided_by_its_published_order_and_keeps_every_pixel(tmp_path):
    data, content = cifar()
    found = photos(data, content)
    splits = {path.split("/")[0]: set() for path in found}
    for path in found:
        splits[path.split("/")[0]].add(int(Path(path).stem))
    assert splits == {"test": set(range(10)), "validation": set(range(10, 25)), "train": set(range(25, 100))}
    for number in (0, 24, 25, 99):
        batch, place = number // BATCH_IMAGES + 1, number % BATCH_IMAGES
        record = cifar_batch(batch)[place]
        split = "test" if number < 10 else "validation" if number < 25 else "train"
        pixels = decode(found[f"{split}/{CIFAR_CLASSES[record[0]]}/{number:05}.png"], rules=ImageRules())
        assert pixels.shape == (32, 32, 3)
        assert (pixels[0, :, 0] == np.arange(32)).all() and not pixels[1:, :, 0].any()  # red, by rows
        assert (pixels[..., 1] == place + batch).all() and not pixels[..., 2].any()


def test_the_tutorials_division_of_all_50_000():
    from graft.data.public.layouts import _cifar_split

    n = find_data("cifar10").photos
    assert Counter(_cifar_split(number, n) for number in range(n)) == {
        "test": 5000,
        "validation": 7500,
        "train": 37_500,
    }


def test_a_batch_that_is_not_what_it_must_be_is_refused():
    short = {number: cifar_batch(number).tobytes()[: -1 if number == 4 else None] for number in range(1, 6)}
    with pytest.raises(BadInput, match=r"data_batch_4\.bin must have 61460 bytes, got 61459"):
        photos(*cifar(short))
    wrong = {number: cifar_batch(number) for number in range(1, 6)}
    wrong[2][3, 0] = 10
    with pytest.raises(BadInput, match=r"data_batch_2\.bin must name classes up to 9, got 10"):
        photos(*cifar({number: batch.tobytes() for number, batch in wrong.items()}))


@pytest.mark.parametrize(
    "name", ["../evil.jpg", "/etc/evil.jpg", "top/Dataset/0/../../evil.jpg", "top/Dataset/0/a\\..\\b.jpg"]
)
def test_hostile_names_refuse_the_archive(name):
    data, _ = sign_digits()
    with pytest.raises(BadInput) as caught:
        unpacked(data, zipped({name: b"x"}))
    assert caught.value.code == "archive_unsafe"
    with pytest.raises(BadInput) as caught:
        unpacked(cifar()[0], tarred({name: b"x"}))
    assert caught.value.code == "archive_unsafe"


def test_what_the_folders_are_is_what_graft_reads(tmp_path):
    data, content = cifar()
    for path, found in photos(data, content).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(found)
    source = read_source(tmp_path)
    assert source.origin == "splits" and source.classes == data.classes
    assert Counter(entry.split for entry in source.entries) == {"train": 75, "validation": 15, "test": 10}


def test_the_pinned_contents_are_those_of_the_photos_themselves(shared):
    root = shared / "data" / "sign_digits"
    hashes = {path.relative_to(root).as_posix(): sha256_file(path) for path in root.glob("[0-9]/*")}
    data = find_data("sign_digits")
    assert len(hashes) == data.photos
    assert sha256_json(hashes) == data.contents_sha256
    one = next(iter(hashes))
    assert sha256_json(hashes | {one: "0" * 64}) != data.contents_sha256  # sabotage: a single photo counts
