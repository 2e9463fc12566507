"""`ImageClassifier` beside scikit-learn's own tools."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.utils import get_tags

from graft import ImageClassifier
from graft.backbones.families.sprout import WEIGHTS_FILE
from graft.backbones.weights import ASSETS
from graft.core.errors import BadInput, ResourceProblem
from tests.pipeline.conftest import CLASSES, draw_photo


def classifier() -> ImageClassifier:
    return ImageClassifier(backbone="sprout", image_size=64, precision="float32")


@pytest.fixture(scope="module")
def arrays() -> tuple[np.ndarray, np.ndarray]:
    pixels = np.stack([np.asarray(draw_photo(label, number)) for number in range(12) for label in CLASSES])
    return pixels, np.array(CLASSES * 12)


def test_it_learns_from_arrays_and_from_paths(arrays, photos):
    pixels, labels = arrays
    fitted = classifier().fit(pixels, labels)
    assert fitted.classes_.tolist() == sorted(CLASSES)
    assert fitted.score(pixels, labels) == 1.0
    paths = [photos / label / f"{number:03d}.png" for number in range(12, 18) for label in CLASSES]
    assert fitted.score(paths, CLASSES * 6) > 0.9
    np.testing.assert_allclose(fitted.predict_proba(paths).sum(axis=1), 1, rtol=1e-5)
    again = classifier().fit([str(path) for path in paths], list(CLASSES * 6))
    assert again.predict(paths[:3]).tolist() == list(CLASSES)


def test_it_is_cloned_unfitted_with_equal_parameters(arrays):
    fitted = classifier().fit(*arrays)
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        copy.predict(arrays[0])
    assert copy.set_params(seed=3).seed == 3


def test_cross_validation_in_two_processes(arrays):
    scores = cross_val_score(classifier(), *arrays, cv=2, n_jobs=2)
    assert scores.shape == (2,) and scores.min() > 0.8


def test_its_tags_say_that_photos_are_no_table():
    tags = get_tags(classifier())
    assert tags.estimator_type == "classifier"
    assert not tags.input_tags.two_d_array


@pytest.mark.parametrize(
    ("photos", "labels", "message"),
    [
        (np.zeros((2, 8, 8, 3)), [0, 1], "uint8"),
        (np.zeros((2, 8, 8), np.uint8), [0, 1], "photo, height, width, 3"),
        (np.zeros((3, 64, 64, 3), np.uint8), [0, 1], "same length"),
        (np.zeros((2, 64, 64, 3), np.uint8), [1, 1], "two classes"),
        ([], [], "at least one"),
    ],
)
def test_wrong_input_is_one_sentence(photos, labels, message):
    with pytest.raises((BadInput, ValueError), match=message):
        classifier().fit(photos, labels)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"precision": "float64"}, "'precision' is not valid"),
        ({"seed": -1}, "'seed' is not valid"),
        ({"seed": "x"}, "'seed' is not valid"),
        ({"image_size": 100_000}, "'image_size' is not valid"),
        ({"image_size": 64.5}, "'image_size' is not valid"),
        ({"backbone": 3}, "'backbone' is not valid"),
    ],
)
def test_wrong_parameters_are_one_sentence(arrays, parameters, message):
    with pytest.raises(BadInput, match=message):
        classifier().set_params(**parameters).fit(*arrays)


@pytest.mark.parametrize(
    ("photos", "message"),
    [
        ("cat.jpg", "got one str"),
        (Path("cat.jpg"), "got one PosixPath|got one WindowsPath"),
        (7, "got one int"),
        (np.array(7), "got one ndarray"),
        ([np.zeros((8, 8, 3), np.uint8), np.zeros((9, 9, 3), np.uint8)], "several shapes"),
        (["nowhere/cat.jpg"], "cat.jpg: The file must exist"),
    ],
)
def test_wrong_photos_are_one_sentence(photos, message):
    with pytest.raises(BadInput, match=message):
        classifier().fit(photos, [0, 1])


def test_a_photo_that_cannot_be_read_is_named(photos, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    good = photos / CLASSES[0] / "000.png"
    with pytest.raises(BadInput, match=r"broken\.jpg: "):
        classifier().fit([good, tmp_path / "broken.jpg"], [0, 1])
    with pytest.raises(BadInput, match="paths throughout, got a int"):
        classifier().fit([good, 3], [0, 1])


class Labelled:
    """As a column of a table: indexed by its labels, none of which is 0."""

    def __init__(self, values):
        self.values = dict(enumerate(values, start=100))

    def __len__(self):
        return len(self.values)

    def __getitem__(self, label):
        return self.values[label]

    def __iter__(self):
        return iter(self.values.values())


def test_sequences_indexed_by_labels_are_read(arrays, photos):
    paths = [photos / label / f"{number:03d}.png" for number in range(4) for label in CLASSES]
    fitted = classifier().fit(*arrays)
    assert (fitted.predict(Labelled(paths)) == fitted.predict(paths)).all()


def test_missing_weights_are_named_as_they_were_asked_for(arrays, tmp_path, monkeypatch):
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path))
    with pytest.raises(
        BadInput, match=r"The weights of mobilenet must be .* graft backbones show NAME .* mobilenet_1\.0"
    ):
        classifier().set_params(backbone="mobilenet").fit(*arrays)
    with pytest.raises(BadInput, match=r"The weights of vgg16 must be .* published as http"):
        classifier().set_params(backbone="vgg16").fit(*arrays)


def test_weights_of_another_family_are_refused_by_the_name_asked_for(arrays, tmp_path, monkeypatch):
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path))
    other = classifier().set_params(backbone="mobilenet", weights=ASSETS / WEIGHTS_FILE)
    with pytest.raises(
        BadInput, match=r"does not fit mobilenet \(nearest: mobilenet_.*\): it .* use --backbone sprout"
    ):
        other.fit(*arrays)


def test_a_cache_that_is_no_folder_is_a_resource_problem(arrays, tmp_path, monkeypatch):
    (tmp_path / "compiled").write_text("no folder")
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path))
    with pytest.raises(ResourceProblem, match=r"The cache folder .* must be readable, got: .* GRAFT_CACHE"):
        classifier().fit(*arrays)
