"""The classic normalisations, against their formulas; what is fitted is fitted once and only where it is needed."""

import numpy as np
import pytest

from graft.core.errors import BadInput, ResourceProblem
from graft.core.records import from_json, to_json
from graft.data.augmentation import normalization
from graft.data.augmentation.normalization import (
    NAMES,
    SMALLEST_SCALE,
    Fitted,
    Normalization,
    Normalizer,
    Whitening,
    check_memory,
    fit,
    parse_normalization,
)

DRAW = np.random.default_rng(3)
TRAINING = DRAW.uniform(0, 1, (40, 5, 4, 3)) * [1.0, 0.5, 2.0]
IMAGES = DRAW.uniform(0, 1, (6, 5, 4, 3)).astype(np.float32)


def applied(words: str, training: np.ndarray = TRAINING) -> np.ndarray:
    before = IMAGES.copy()
    made = fit(parse_normalization(words), [training]).apply(IMAGES)
    assert (before == IMAGES).all()
    assert made.dtype == np.float32
    assert made.shape == IMAGES.shape
    return made


def close(first: np.ndarray, second: np.ndarray) -> bool:
    return bool(np.abs(first - second).max() < 1e-4 * np.abs(second).max())


def test_samplewise_uses_each_image_alone():
    mean = IMAGES.mean(axis=(1, 2, 3), keepdims=True)
    std = IMAGES.std(axis=(1, 2, 3), keepdims=True)
    assert close(applied("samplewise-center"), IMAGES - mean)
    assert close(applied("samplewise-std"), (IMAGES - mean) / (std + SMALLEST_SCALE))
    assert close(fit(Normalization(samplewise_std=True), ()).apply(IMAGES), applied("samplewise-std"))


def test_featurewise_uses_the_channels_of_the_training_photos():
    mean, std = TRAINING.mean(axis=(0, 1, 2)), TRAINING.std(axis=(0, 1, 2))
    assert close(applied("featurewise-center"), IMAGES - mean)
    assert close(applied("featurewise-std"), (IMAGES - mean) / (std + SMALLEST_SCALE))
    assert not close(applied("featurewise-std", TRAINING[:5]), applied("featurewise-std"))


def test_zca_is_the_inverse_root_of_the_covariance():
    flat = (TRAINING - TRAINING.mean(axis=(0, 1, 2))).reshape(len(TRAINING), -1)
    values, vectors = np.linalg.eigh(flat.T @ flat / len(flat))
    kept = values > 1e-9  # fewer photos than pixels: the rest was never seen and is dropped
    root = vectors[:, kept] @ np.diag(values[kept] ** -0.5) @ vectors[:, kept].T
    wanted = ((IMAGES - TRAINING.mean(axis=(0, 1, 2))).reshape(len(IMAGES), -1) @ root).reshape(IMAGES.shape)
    assert kept.sum() == 40
    assert close(applied("zca"), wanted)


def test_zca_whitens_what_it_was_fitted_on():
    many = np.random.default_rng(4).normal(size=(500, 3, 3, 1)) @ np.ones((1, 2)) + DRAW.normal(size=(500, 3, 3, 2))
    white = fit(Normalization(zca_whitening=True), [many]).apply(many).reshape(500, -1)
    assert np.abs(white.T @ white / 500 - np.eye(18)).max() < 1e-3
    assert np.abs(many.reshape(500, -1).T @ many.reshape(500, -1) / 500 - np.eye(18)).max() > 0.5  # it was not before


def test_zca_takes_the_place_of_featurewise_scaling():
    assert (applied("zca,featurewise-std") == applied("zca")).all()


def test_samplewise_comes_before_featurewise():
    mean = IMAGES.mean(axis=(1, 2, 3), keepdims=True)
    assert close(applied("samplewise-center,featurewise-center"), IMAGES - mean - TRAINING.mean(axis=(0, 1, 2)))


def test_words():
    for name in NAMES:
        assert parse_normalization(name.upper().replace("-", "_")).words == name
    both = parse_normalization(" zca , samplewise-std")
    assert both == Normalization(zca_whitening=True, samplewise_std=True)
    assert both.words == "samplewise-std,zca"
    assert both.needs_fit
    assert parse_normalization("zca=0.5,featurewise-std").words == "featurewise-std,zca=0.5"
    assert parse_normalization("zca=0.5").zca_epsilon == 0.5
    for wrong in ("zca=0", "zca=inf", "zca=", "zca=x"):
        with pytest.raises(BadInput, match="epsilon of zca must be a number above 0"):
            parse_normalization(wrong)
    with pytest.raises(BadInput, match="must be one of"):
        parse_normalization("featurewise-std=1")
    assert not Normalization(samplewise_std=True, samplewise_center=True).needs_fit
    with pytest.raises(BadInput, match=r"must be one of samplewise-center.*got 'center'"):
        parse_normalization("zca,center")


def test_whitening_beyond_the_memory_is_refused_before_the_photos_are_read():
    whitening = Normalization(zca_whitening=True)
    check_memory(whitening, (256, 224, 224, 3))
    check_memory(Normalization(featurewise_std=True), (10_000, 224, 224, 3))
    with pytest.raises(ResourceProblem, match=r"of 2,000 photos of 224 x 224 pixels would need 3\.6 GB"):
        check_memory(whitening, (2000, 224, 224, 3))


def test_fitting_looks_at_the_memory(monkeypatch):
    monkeypatch.setattr(normalization, "MAX_WHITENING_BYTES", 1000)
    with pytest.raises(ResourceProblem):
        fit(Normalization(zca_whitening=True), [TRAINING])


def test_shapes_are_checked():
    with pytest.raises(BadInput, match=r"must have 60 numbers, .* got 48"):
        fit(Normalization(zca_whitening=True), [TRAINING]).apply(IMAGES[:, :4])
    for wrong, problem in (((), "at least one"), ([TRAINING[:0]], "at least one"), ([TRAINING[0]], "must be .image")):
        with pytest.raises(BadInput, match=problem):
            fit(Normalization(featurewise_center=True), wrong)


def test_photos_come_in_batches_of_any_size():
    for words in ("featurewise-std", "zca"):
        whole = applied(words)
        parts = fit(parse_normalization(words), (TRAINING[at : at + 7] for at in range(0, 40, 7))).apply(IMAGES)
        assert close(parts, whole)


def test_zca_leaves_out_what_only_rounding_varies():
    """Copies of a photo differ in nothing; dividing by that would blow up whatever else is there."""
    twice = np.concatenate([TRAINING, TRAINING])
    whitening = fit(parse_normalization("zca"), [twice]).whitening
    assert whitening is not None and whitening.gains.shape == (40,)
    assert close(applied("zca", twice), applied("zca"))


def test_zca_with_an_epsilon_of_its_own():
    assert np.abs(applied("zca=10")).max() < 0.5 * np.abs(applied("zca")).max()


def test_what_was_fitted_can_be_kept():
    made = fit(parse_normalization("samplewise-center,zca=0.01"), [TRAINING])
    assert made.whitening is not None
    fitted = from_json(Fitted, to_json(made.fitted), source="test")
    again = Normalizer(fitted, Whitening.of(made.whitening.tensors()))
    assert fitted == made.fitted
    assert (again.apply(IMAGES) == made.apply(IMAGES)).all()
    for kept in ((made.fitted, None), (Fitted(normalization=Normalization()), made.whitening)):
        with pytest.raises(ValueError, match="must come with its matrices"):
            Normalizer(*kept)
