"""The loaded bundle with a small engine: answers, failures, batches and the gate of golden examples."""

import itertools
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.bundle.bundle import BATCH, Bundle
from graft.bundle.records import Failure, Prediction
from graft.core.errors import BadInput, ImageRefused, IntegrityProblem
from graft.core.randomness import stream
from graft.data.images import encode_png, load_pixels
from graft.data.records import ImageRules
from graft.training.linear import as_sigmoid, as_softmax
from graft.training.records import Classifier
from tests.bundle.making import (
    BLUE,
    COLOURS,
    GREEN,
    RED,
    SIDE,
    colour_classifier,
    contents,
    install_tiny,
    rewrite,
    solid,
    solid_png,
    write_tiny,
)


def labels(answers: list[Prediction | Failure]) -> list[str]:
    return [item.label if isinstance(item, Prediction) else item.code for item in answers]


def photos(n: int) -> np.ndarray:
    return stream(1, "bundle test").integers(0, 256, size=(n, SIDE, SIDE, 3)).astype(np.uint8)


def test_it_names_the_colours_however_a_photo_is_given(tiny: Path, tmp_path: Path) -> None:
    bundle = Bundle.load(tiny)
    path = tmp_path / "red.png"
    path.write_bytes(solid_png(RED))
    answers = bundle.predict([path, str(path), solid_png(GREEN), solid(BLUE)])
    assert labels(answers) == ["red", "red", "green", "blue"]
    assert [item.path for item in answers] == [str(path), str(path), "", ""]


def test_a_prediction_ranks_the_classes(tiny: Path) -> None:
    bundle = Bundle.load(tiny)
    answer = bundle.predict_bytes(solid_png(GREEN))
    assert (answer.label, answer.probability) == answer.top[0]
    assert {label for label, _ in answer.top} == set(COLOURS)
    assert [p for _, p in answer.top] == sorted((p for _, p in answer.top), reverse=True)
    assert sum(p for _, p in answer.top) == pytest.approx(1, abs=1e-6)
    assert len(bundle.predict_bytes(solid_png(GREEN), top=2).top) == 2


def test_one_input_gives_a_list_of_one(tiny: Path, tmp_path: Path) -> None:
    bundle = Bundle.load(tiny)
    path = tmp_path / "blue.png"
    path.write_bytes(solid_png(BLUE))
    for single in (path, str(path), path.read_bytes(), solid(BLUE)):
        assert labels(bundle.predict(single)) == ["blue"]


def test_a_bad_photo_fails_alone(tiny: Path, tmp_path: Path) -> None:
    bundle = Bundle.load(tiny)
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"<html>")
    gray = np.zeros((40, 40), np.uint8)
    answers = bundle.predict([solid_png(RED), bad, tmp_path / "none.png", tmp_path, gray, solid(BLUE)])
    assert labels(answers) == ["red", "not_an_image", "not_found", "not_a_file", "bad_input", "blue"]
    failure = answers[1]
    assert isinstance(failure, Failure)
    assert failure.path == str(bad)
    assert failure.message
    with pytest.raises(ImageRefused):
        bundle.predict_bytes(b"<html>")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_does_not_hang(tiny: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert labels(Bundle.load(tiny).predict([tmp_path / "pipe"])) == ["not_a_file"]


def test_all_bad_and_none_at_all(tiny: Path) -> None:
    bundle = Bundle.load(tiny)
    assert bundle.predict([]) == []
    assert labels(bundle.predict([b"", b"x"])) == ["not_an_image"] * 2
    assert bundle.predict_pixels(photos(0)).shape == (0, 3)


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 31, 33, 70])
def test_batches_do_not_change_answers(tiny: Path, n: int) -> None:
    bundle = Bundle.load(tiny, threads=2)
    pixels = photos(n)
    together = bundle.predict_pixels(pixels)
    alone = np.concatenate([bundle.predict_pixels(row[None]) for row in pixels])
    backwards = bundle.predict_pixels(pixels[::-1])[::-1]
    assert together.shape == (n, 3)
    assert together.dtype == np.float32
    assert np.abs(together - alone).max() <= 1e-5
    assert np.abs(together - backwards).max() <= 1e-5


def test_batches_are_used_only_when_every_thread_gets_one(tiny: Path) -> None:
    bundle = Bundle.load(tiny, threads=2)
    bundle.predict_pixels(photos(2 * BATCH - 1))
    assert list(bundle._engines) == [(1, False)]
    bundle.predict_pixels(photos(2 * BATCH))
    assert list(bundle._engines) == [(1, False), (BATCH, False)]


def test_the_same_preprocessing_as_for_training(tiny: Path) -> None:
    """A photo's file gives the same numbers as its pixels, decoded by the one function."""
    bundle = Bundle.load(tiny)
    noisy = stream(3, "noisy").integers(0, 256, size=(50, 70, 3)).astype(np.uint8)
    data = encode_png(noisy)
    pixels = load_pixels(data, side_pixels=SIDE, geometry="squash", rules=ImageRules())
    expected = bundle.predict_pixels(pixels[None])[0]
    for given in (data, noisy):
        answer = bundle.predict(given)[0]
        assert isinstance(answer, Prediction)
        assert {label: p for label, p in answer.top} == pytest.approx(
            dict(zip(COLOURS, expected.tolist(), strict=True))
        )


def test_answers_come_one_by_one_from_endless_input(tiny: Path) -> None:
    bundle = Bundle.load(tiny)
    taken = list(itertools.islice(bundle.predict_each(solid_png(RED) for _ in itertools.count()), 5))
    assert labels(taken) == ["red"] * 5


def test_many_inputs_keep_their_order(tiny: Path) -> None:
    colours = [(RED, "red"), (GREEN, "green"), (BLUE, "blue")]
    chosen = [colours[i] for i in stream(0, "order").integers(0, 3, 150)]
    answers = Bundle.load(tiny, threads=3).predict(solid(colour) for colour, _ in chosen)
    assert labels(answers) == [label for _, label in chosen]


def test_threads_may_share_a_bundle(tiny: Path) -> None:
    bundle = Bundle.load(tiny, check=False)
    found: dict[int, list[str]] = {}

    def ask(number: int) -> None:
        found[number] = labels(bundle.predict([solid(RED), solid(GREEN)] * 5))

    workers = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert list(found.values()) == [["red", "green"] * 5] * 8
    assert len(bundle._engines) == 1


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((SIDE, SIDE, 3), np.uint8),
        np.zeros((1, SIDE, SIDE + 1, 3), np.uint8),
        np.zeros((1, SIDE, SIDE, 3), np.float32),
        np.zeros((1, 3, SIDE, SIDE), np.uint8),
    ],
)
def test_pixels_of_another_shape_or_type_are_refused(tiny: Path, pixels: np.ndarray) -> None:
    with pytest.raises(BadInput, match="pixels must have shape"):
        Bundle.load(tiny).predict_pixels(pixels)


def test_arrays_beyond_the_limits_fail(tiny: Path) -> None:
    bundle = Bundle.load(tiny, rules=ImageRules(max_pixels=5000))
    answers = bundle.predict([np.zeros((100, 100, 3), np.uint8), np.zeros((4, 50, 3), np.uint8), solid(RED)])
    assert labels(answers) == ["too_many_pixels", "bad_input", "red"]


def test_top_must_be_positive(tiny: Path) -> None:
    with pytest.raises(BadInput, match="top must be at least 1, got 0"):
        Bundle.load(tiny).predict([solid(RED)], top=0)


def test_one_thread_answers_alone_or_a_batch_where_it_is_asked_to(tiny: Path) -> None:
    bundle = Bundle.load(tiny, threads=2)
    together = bundle.predict_pixels(photos(BATCH))
    assert np.array_equal(bundle.predict_pixels(photos(BATCH - 1), apart=True), together[:-1])
    assert np.array_equal(bundle.predict_pixels(photos(BATCH), apart=True), together)
    assert list(bundle._engines) == [(1, False), (1, True), (BATCH, False)]


@pytest.mark.parametrize(("threshold", "sure"), [(None, None), (0.0, True), (1.0, False)])
def test_answers_are_sure_from_the_threshold_on(tmp_path: Path, monkeypatch, threshold, sure) -> None:
    install_tiny(monkeypatch.setattr)
    path = write_tiny(tmp_path / "classifier.graft", replace(colour_classifier(), threshold=threshold))
    bundle = Bundle.load(path)
    assert bundle.threshold == threshold
    assert bundle.predict(solid(RED))[0].sure is sure


def test_it_may_be_closed_and_used_again(tiny: Path) -> None:
    with Bundle.load(tiny) as bundle:
        engine: Any = bundle._engines[1, False]
    assert engine.closed
    assert not bundle._engines
    assert labels(bundle.predict([solid(RED)])) == ["red"]
    bundle.warm_up()
    assert len(bundle._engines) == 2
    assert bundle.events == ()
    assert len(bundle.sha256()) == 64


def test_the_file_is_not_held_open(tiny: Path) -> None:
    bundle = Bundle.load(tiny)
    if Path("/proc/self/maps").exists():
        assert str(tiny) not in Path("/proc/self/maps").read_text()
    tiny.unlink()
    assert labels(bundle.predict([solid(RED)])) == ["red"]


def two_classes() -> Classifier:
    random = stream(4, "two")
    return Classifier(
        taps=("low", "high"),
        mean=random.normal(size=5).astype(np.float32),
        scale=np.array([1, 0, 2, 1, 1], np.float32),
        kernel=random.normal(size=(5, 2)).astype(np.float32),
        bias=random.normal(size=2).astype(np.float32),
        temperature=1.7,
    )


def test_a_sigmoid_head_answers_as_its_softmax_twin(tiny: Path, tmp_path: Path) -> None:
    softmax = Bundle.load(write_tiny(tmp_path / "softmax.graft", two_classes(), ("no", "yes")))
    sigmoid = Bundle.load(write_tiny(tmp_path / "sigmoid.graft", as_sigmoid(two_classes()), ("no", "yes")))
    again = Bundle.load(write_tiny(tmp_path / "again.graft", as_softmax(as_sigmoid(two_classes())), ("no", "yes")))
    assert contents(tmp_path / "sigmoid.graft")[1]["head/kernel"].shape == (5, 1)
    pixels = photos(20)
    assert np.abs(softmax.predict_pixels(pixels) - sigmoid.predict_pixels(pixels)).max() < 1e-6
    assert np.abs(softmax.predict_pixels(pixels) - again.predict_pixels(pixels)).max() < 1e-6


Manifest = dict[str, Any]
Tensors = dict[str, np.ndarray]


def swap_channels(manifest: Manifest, tensors: Tensors) -> None:
    manifest["preprocessing"]["channel_order"] = "bgr"


def scale_twice(manifest: Manifest, tensors: Tensors) -> None:
    manifest["preprocessing"]["scale"] = [(1 / 64) ** 2] * 3


def skip_scale(manifest: Manifest, tensors: Tensors) -> None:
    manifest["preprocessing"]["scale"] = [1.0] * 3


def skip_offset(manifest: Manifest, tensors: Tensors) -> None:
    manifest["preprocessing"]["offset"] = [0.0] * 3


def other_geometry(manifest: Manifest, tensors: Tensors) -> None:
    manifest["preprocessing"]["geometry"] = "crop"


def other_weights(manifest: Manifest, tensors: Tensors) -> None:
    tensors["backbone/stem/kernel"] *= np.float32(1.05)


def other_head(manifest: Manifest, tensors: Tensors) -> None:
    tensors["head/kernel"] = tensors["head/kernel"][:, ::-1].copy()


def other_taps(manifest: Manifest, tensors: Tensors) -> None:
    """The same width and other layers cannot be had in the tiny network, so only the scale of one tap is lost."""
    tensors["head/scale"][:3] = 0


def other_temperature(manifest: Manifest, tensors: Tensors) -> None:
    manifest["head"]["temperature"] = 1.1


def other_order(manifest: Manifest, tensors: Tensors) -> None:
    tensors["golden/probabilities"] = np.roll(tensors["golden/probabilities"], 1, axis=1)


SABOTAGE = [
    swap_channels,
    scale_twice,
    skip_scale,
    skip_offset,
    other_geometry,
    other_weights,
    other_head,
    other_taps,
    other_temperature,
    other_order,
]


@pytest.mark.parametrize("sabotage", SABOTAGE, ids=lambda change: change.__name__)
def test_the_golden_examples_catch_sabotage_that_hashes_cannot(
    tiny: Path, sabotage: Callable[[Manifest, Tensors], None]
) -> None:
    """Every hash fits, as after a defect in our own code: only running the network shows it."""
    manifest, tensors = contents(tiny)
    sabotage(manifest, tensors)
    rewrite(tiny, manifest, tensors)
    with pytest.raises(IntegrityProblem) as caught:
        Bundle.load(tiny)
    assert caught.value.code == "golden_mismatch"
    Bundle.load(tiny, check=False)


def test_bfloat16_falls_back_to_float32_where_the_processor_lacks_it(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, tensors = contents(tiny)
    manifest["precision"] = "bfloat16"
    for tolerances in (manifest["golden"]["tolerance"], manifest["golden"]["logit_tolerance"]):
        tolerances["bfloat16"] = 0.5
    rewrite(tiny, manifest, tensors)
    monkeypatch.setattr("graft.core.machine.has_bfloat16", lambda: False)
    assert Bundle.load(tiny).precision == "float32"
    monkeypatch.setattr("graft.core.machine.has_bfloat16", lambda: True)
    assert Bundle.load(tiny).precision == "bfloat16"
    assert Bundle.load(tiny, precision="float32").precision == "float32"


def test_a_precision_that_was_never_measured_is_refused(tiny: Path) -> None:
    with pytest.raises(BadInput, match="precision must be float32 for this bundle, got bfloat16"):
        Bundle.load(tiny, precision="bfloat16")


def test_a_relative_path_survives_a_change_of_folder(
    tiny: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny.parent)
    bundle = Bundle.load(tiny.name)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    bundle.warm_up()
    assert labels(bundle.predict([solid(RED)])) == ["red"]
