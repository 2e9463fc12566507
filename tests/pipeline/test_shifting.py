"""What a training in bfloat16 keeps, so that its classifier is as good in float32."""

from dataclasses import replace

import numpy as np
import pytest

from graft.backbones.catalogue import find
from graft.bundle.bundle import Bundle, bundle_classifier, bundle_program, bundle_weights
from graft.core import machine
from graft.core.errors import IntegrityProblem
from graft.core.progress import SilentProgress
from graft.data.records import Manifest
from graft.features.engines import best_precision, open_engine, run_pixels
from graft.features.records import Output, Precision
from graft.pipeline import shifting
from graft.pipeline.evaluate import own_photos
from graft.pipeline.export import _check_float32, _pixels, export
from graft.pipeline.run import Run
from graft.pipeline.train import train
from graft.training.linear import decision, features_matrix
from tests.pipeline.conftest import options, photos
from tests.pipeline.trained import tensors_of

__all__ = ["photos"]  # a fixture

pytestmark = pytest.mark.skipif(best_precision() != "bfloat16", reason="this processor does not compute in bfloat16")


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory) -> Run:
    """A probe in bfloat16, on fewer photos than would be drawn from."""
    place = tmp_path_factory.mktemp("shifting") / "run"
    return Run.open(train(options(photos, place, precision="bfloat16"), progress=SilentProgress()).run)


def fitted(run: Run) -> np.ndarray:
    """The pixels of all photos that the head was fitted on."""
    with Bundle.load(run.bundle, check=False) as bundle:
        splits = (own_photos(run, split, SilentProgress()) for split in ("train", "validation"))
        return np.concatenate([_pixels(judged, bundle, 1000, SilentProgress()).pixels for judged in splits])


def features(run: Run, pixels: np.ndarray, precision: Precision) -> np.ndarray:
    """What the head reads of photos, all taps computed as the training has them: (photo, width)."""
    with Bundle.load(run.bundle, check=False) as bundle:
        manifest, threads = bundle.manifest, bundle.threads
    taps = tuple(Output(layer=layer) for layer in find(manifest.backbone).taps)
    program = replace(bundle_program(manifest), outputs=taps, precision=precision)
    weights = bundle_weights(run.bundle, manifest)
    with open_engine(program, weights, threads=threads, cache=machine.cache_directory()) as engine:
        values = run_pixels(engine, pixels)
    return features_matrix(values, tuple(Output(layer=layer) for layer in manifest.head.taps))


def test_on_average_photos_are_answered_alike_in_both_precisions(run):
    """It makes the mean logits equal, for the head is linear; without it they are not."""
    pixels = fitted(run)
    assert len(pixels) <= shifting.MOST_PHOTOS
    own, exact = features(run, pixels, "bfloat16"), features(run, pixels, "float32")
    with Bundle.load(run.bundle) as bundle:
        head = bundle_classifier(bundle.manifest, tensors_of(run), "bfloat16")
        moved = bundle_classifier(bundle.manifest, tensors_of(run), "float32")
    np.testing.assert_allclose(head.shift, exact.mean(axis=0) - own.mean(axis=0), atol=1e-6)
    wanted, got, without = (
        decision(classifier, read).mean(axis=0) for classifier, read in ((head, own), (moved, exact), (head, exact))
    )
    assert np.abs(got - wanted).max() < 0.01 * np.abs(without - wanted).max()


def test_the_same_training_writes_the_same_bytes(run, photos, tmp_path):
    again = train(options(photos, tmp_path / "run", precision="bfloat16"), progress=SilentProgress()).run
    assert Run.open(again).bundle.read_bytes() == run.bundle.read_bytes()


def test_photos_are_drawn_from_those_the_head_was_fitted_on(run, monkeypatch):
    """The same ones each time, and no test photo."""
    manifest = run.read(Manifest)
    monkeypatch.setattr(shifting, "MOST_PHOTOS", 5)
    drawn = shifting.drawn(manifest, ("train",))
    assert drawn == shifting.drawn(manifest, ("train",)) and len(drawn) == 5
    assert {photo.split for photo in drawn} == {"train"}
    monkeypatch.setattr(shifting, "MOST_PHOTOS", 500)
    assert {photo.split for photo in shifting.drawn(manifest, ("train", "validation"))} == {"train", "validation"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_steep_head_is_as_good_in_float32(shared, tmp_path):
    """Sign digits with MobileNetV2: without the shift 282 instead of 306 of 309 photos, and no export."""
    weights = shared / "weights" / "mobilenet_v2_1.0_224_notop.weights.h5"
    words = {"backbone": "mobilenet_v2_1.0", "weights": str(weights), "image_size": 224, "precision": "bfloat16"}
    told = options(shared / "data" / "sign_digits", tmp_path / "run", recipe="probe", **words)
    run = Run.open(train(told, progress=SilentProgress()).run)
    with Bundle.load(run.bundle, precision="float32") as bundle:
        compared = _pixels(own_photos(run, "test", SilentProgress()), bundle, 1000, SilentProgress())
        right = (bundle.predict_pixels(compared.pixels).argmax(axis=1) == compared.labels).mean()
        assert right > 0.975
        _check_float32(bundle, compared)
        with Bundle.load(run.bundle) as own:
            without = replace(bundle, _classifier=replace(own._classifier, shift=None))
        with pytest.raises(IntegrityProblem, match="must be as good in float32"):
            _check_float32(without, compared)
    done = export(run.path, format="openvino", output=tmp_path / "export", progress=SilentProgress())
    assert done.export.parity.exported_accuracy == done.export.parity.accuracy == right
