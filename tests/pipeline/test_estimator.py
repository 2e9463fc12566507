"""`ImageClassifier` beside scikit-learn's own tools."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.utils import get_tags

from graft import ImageClassifier
from graft.core.errors import BadInput
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
