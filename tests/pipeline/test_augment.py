"""Sheets of views: which photos they show, and that the views are those of a training."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from graft.core.errors import BadInput, ImageRefused, ResourceProblem
from graft.core.hashing import sha256_bytes
from graft.core.progress import SilentProgress
from graft.data.augmentation.presets import PRESETS, parse
from graft.data.augmentation.sheet import GAP, MARGIN, TILE_PIXELS, is_sheet
from graft.data.augmentation.views import make_view
from graft.data.images import decode, encode_png, load_pixels
from graft.pipeline import augment as module
from graft.pipeline import normalizing, places
from graft.pipeline.augment import AugmentResult, augment
from tests.data.folders import RULES, make_folder, photo_bytes
from tests.hostile.image_kinds import deep_png


def made(path: Path, output: Path, **options: object) -> AugmentResult:
    return augment(path, output=output, progress=SilentProgress(), **{"image_size": 32, **options})


@pytest.fixture
def data(tmp_path) -> Path:
    return make_folder(tmp_path / "photos", {"a": 3, "b": 3, "c": 3})


def test_one_photo_is_shown_with_its_views(tmp_path):
    photo = tmp_path / "cat.png"
    photo.write_bytes(photo_bytes(1, 40))
    result = made(photo, tmp_path / "new" / "views.png", words="classic", views=3, seed=5)
    assert result.summary() == {
        "file": str(tmp_path / "new" / "views.png"),
        "augment": "classic",
        "augmentation": {"schema": "graft/augmentation/1"} | result.summary()["augmentation"],
        "meaning": result.meaning,
        "normalization": None,
        "views": 3,
        "seed": 5,
        "side_pixels": 32,
        "photos": [{"path": "cat.png", "label": "", "sha256": sha256_bytes(photo_bytes(1, 40))}],
    }
    assert result.augmentation == PRESETS["classic"]
    assert is_sheet(result.file.read_bytes())


def test_the_views_are_those_of_a_training(tmp_path):
    """At the tiles' own size nothing is resized, so the sheet's pixels are the views' pixels."""
    photo = tmp_path / "cat.png"
    photo.write_bytes(photo_bytes(1, 300))
    result = made(photo, tmp_path / "views.png", words="strong", views=2, seed=5, image_size=TILE_PIXELS)
    sheet = decode(result.file.read_bytes(), rules=RULES)
    pixels = load_pixels(photo.read_bytes(), side_pixels=TILE_PIXELS, geometry="squash", rules=RULES)
    view = make_view(pixels, parse("strong"), sha256=sha256_bytes(photo.read_bytes()), view=1, seed=5)
    for number, wanted in enumerate((pixels, view)):
        left = MARGIN + number * (TILE_PIXELS + GAP)
        column = sheet[:, left : left + TILE_PIXELS]
        tops = [top for top in range(len(sheet) - TILE_PIXELS) if (column[top : top + TILE_PIXELS] == wanted).all()]
        assert len(tops) == 1, number


def test_data_are_shown_by_a_photo_of_each_class(data, tmp_path):
    result = made(data, tmp_path / "views.png")
    assert [each.label for each in result.shown] == ["a", "b", "c"]
    assert all(each.path.startswith(f"{each.label}/") for each in result.shown)
    assert result.views == 6
    assert result.words == "symbols"
    first = result.file.read_bytes()
    assert made(data, tmp_path / "views.png").file.read_bytes() == first
    others = [made(data, tmp_path / "views.png", seed=seed, views=1).shown for seed in range(5)]
    assert len({tuple(each.path for each in shown) for shown in others}) > 1


def test_many_classes_are_shown_by_some(tmp_path):
    data = make_folder(tmp_path / "photos", {f"class {number}": 1 for number in range(20)})
    result = made(data, tmp_path / "views.png", views=2)
    labels = [each.label for each in result.shown]
    assert len(labels) == len(set(labels)) == module.MOST_ROWS


def test_photos_kept_for_validation_and_test_are_not_shown(tmp_path):
    data = make_folder(tmp_path / "photos", {"train/a": 1, "train/b": 1, "valid/a": 9, "test/a": 9, "test/b": 9})
    for seed in range(5):
        result = made(data, tmp_path / "views.png", views=2, seed=seed)
        assert {each.path.split("/")[0] for each in result.shown} == {"train"}


def test_a_folder_without_classes(tmp_path):
    data = make_folder(tmp_path, {"flat": 8}) / "flat"
    result = made(data, tmp_path / "views.png", views=2)
    assert len(result.shown) == module.MOST_ROWS
    assert {each.label for each in result.shown} == {""}


def test_an_archive(data, tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for path in sorted(data.rglob("*.png")):
            archive.write(path, path.relative_to(data.parent))
    result = made(tmp_path / "photos.zip", tmp_path / "views.png", views=2)
    assert [each.label for each in result.shown] == ["a", "b", "c"]


def test_bad_files_are_passed_over(data, tmp_path):
    for path in sorted((data / "a").iterdir())[:2]:
        path.write_bytes(b"no photo")
    for path in (data / "b").iterdir():
        path.write_bytes(b"no photo")
    result = made(data, tmp_path / "views.png", views=2)
    assert [each.label for each in result.shown] == ["a", "c"]
    for path in data.rglob("*.png"):
        path.write_bytes(b"no photo")
    with pytest.raises(BadInput) as caught:
        made(data, tmp_path / "views.png")
    assert caught.value.code == "no_photos"


@pytest.mark.parametrize("name", ["note.txt", "none"])
def test_what_is_no_photo_is_refused(name, tmp_path):
    (tmp_path / "note.txt").write_text("hello")
    with pytest.raises(BadInput) as caught:
        made(tmp_path / name, tmp_path / "views.png")
    assert isinstance(caught.value, ImageRefused) is (name == "note.txt")
    assert not (tmp_path / "views.png").exists()


def test_only_a_sheet_is_replaced(data, tmp_path):
    for name in ("mine.png", "views.jpg"):
        (tmp_path / name).write_bytes(encode_png(np.zeros((9, 9, 3), np.uint8)))
        before = (tmp_path / name).read_bytes()
        with pytest.raises(BadInput):
            made(data, tmp_path / name)
        assert (tmp_path / name).read_bytes() == before
    with pytest.raises(BadInput) as caught:
        made(data, tmp_path / "mine.png")
    assert caught.value.code == "already_exists"
    made(data, tmp_path / "views.png", views=1)
    small = (tmp_path / "views.png").stat().st_size
    made(data, tmp_path / "views.png", views=3)
    assert (tmp_path / "views.png").stat().st_size > small


def test_a_folder_is_no_place(data, tmp_path):
    (tmp_path / "views.png").mkdir()
    with pytest.raises(BadInput, match="must be a new file"):
        made(data, tmp_path / "views.png")


def test_a_place_that_cannot_be_written_to(data, tmp_path, monkeypatch):
    monkeypatch.setattr(places.os, "access", lambda path, mode: False)
    with pytest.raises(ResourceProblem) as caught:
        made(data, tmp_path / "views.png")
    assert caught.value.code == "cannot_write"


def test_wrong_words_are_told_before_any_work(tmp_path):
    for options in ({"words": "clasic"}, {"normalize": "white"}):
        with pytest.raises(BadInput, match=r"must be|must begin"):
            made(tmp_path / "none", tmp_path / "views.png", **options)


def test_sixteen_bits_are_shown_as_a_training_sees_them(tmp_path):
    """A camera's twelve bits in sixteen are nearly black unless it is said which sample is white."""
    samples = np.linspace(0, 4_095, 64, dtype=np.uint16).repeat(64).reshape(64, 64, 1)
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "1.png").write_bytes(deep_png(samples, 0))
    for path in (tmp_path / "photos", tmp_path / "photos" / "a" / "1.png"):
        dark = made(path, tmp_path / "dark.png", views=2).shown[0].pixels
        light = made(path, tmp_path / "light.png", views=2, white=4_095).shown[0].pixels
        assert dark.max() < 20 and light.max() > 240


def test_what_a_photo_may_be_is_chosen(tmp_path):
    data = make_folder(tmp_path / "photos", {"a": 3, "b": 3})
    photo = data / "a" / "photo_000.png"
    photo.write_bytes(photo_bytes(0, 40))
    with pytest.raises(ImageRefused, match="megapixels") as caught:
        made(photo, tmp_path / "views.png", max_megapixels=0.001)
    assert "--max-megapixels" in (caught.value.hint or "")
    result = made(data, tmp_path / "views.png", views=1, min_side=13)
    assert [each.path for each in result.shown] == ["a/photo_000.png"]
    # what is fitted is fitted on photos that obey the same rules
    with pytest.raises(BadInput) as refused:
        made(data, tmp_path / "views.png", views=1, min_side=41, normalize="zca")
    assert refused.value.code == "no_photos"


def test_normalised_views_look_different(data, tmp_path):
    plain = made(data, tmp_path / "plain.png", views=2)
    for words in ("samplewise-std", "featurewise-center", "zca"):
        other = made(data, tmp_path / "views.png", views=2, normalize=words)
        assert other.normalization is not None
        assert other.summary()["normalization"]["zca_whitening"] is (words == "zca")
        assert other.file.read_bytes() != plain.file.read_bytes()


def test_normalising_is_fitted_on_training_photos_only(tmp_path, monkeypatch):
    data = make_folder(tmp_path / "photos", {"train/a": 4, "train/b": 3, "valid/a": 3, "test/b": 3})
    seen: list[np.ndarray] = []
    fit = normalizing.fit
    monkeypatch.setattr(normalizing, "fit", lambda wanted, images: fit(wanted, seen.extend(images) or seen))
    made(data, tmp_path / "views.png", views=2, normalize="featurewise-std")
    files = [*sorted((data / "train" / "a").iterdir()), *sorted((data / "train" / "b").iterdir())]
    wanted = {
        load_pixels(file.read_bytes(), side_pixels=32, geometry="squash", rules=RULES).tobytes() for file in files
    }
    assert {np.rint(image * 255).astype(np.uint8).tobytes() for batch in seen for image in batch} == wanted


def test_one_photo_can_only_be_normalised_by_itself(tmp_path):
    photo = tmp_path / "cat.png"
    photo.write_bytes(photo_bytes(1, 40))
    made(photo, tmp_path / "views.png", normalize="samplewise-center,samplewise-std", views=2)
    with pytest.raises(BadInput, match="needs DATA"):
        made(photo, tmp_path / "views.png", normalize="zca")
