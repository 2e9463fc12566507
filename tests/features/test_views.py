"""Several views of each photo at once: each what it must be, computed once, kept by everything it depends on."""

import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from graft.core.errors import BadInput, IntegrityProblem
from graft.data import stream
from graft.data.augmentation.presets import PRESETS
from graft.data.augmentation.views import make_view
from graft.data.images import load_pixels
from graft.features import extraction, store
from graft.features.engines import open_engine, run_pixels
from graft.features.extraction import extract_views
from graft.features.records import Output
from graft.features.store import Store
from graft.features.table import as_stored
from tests.features.samples import SIDE
from tests.features.test_extraction import ROOT, RULES, Scene, Steps, same

COUNT = 7
VIEWS = 4
LIGHT = PRESETS["light"]


class Views(Scene):
    """Photos, a store, and one way to extract views."""

    def __init__(self, folder, cache, count=COUNT, seed=0):
        super().__init__(folder, cache, count, seed)
        outputs = (Output(layer="s3_out", pooling="none"), Output(layer="s1_out"))
        self.program = replace(self.program, outputs=outputs)

    def views(self, photos=None, *, program=None, augmentation=LIGHT, seed=3, views=VIEWS, **changes):
        given = {"augmentation": augmentation, "seed": seed, "views": views, **self.options, **changes}
        photos = self.photos if photos is None else photos
        return extract_views(self.root, photos, program or self.program, self.weights, **given)

    def view(self, photo, view, side=SIDE):
        """The pixels of one view, made without the stream."""
        content = (self.root / self.photos[photo].path).read_bytes()
        pixels = load_pixels(content, side_pixels=side, geometry="squash", rules=RULES)
        return make_view(pixels, LIGHT, sha256=self.photos[photo].sha256, view=view, seed=3)

    def by_hand(self):
        """The values of each output in float32, (view, photo, …)."""
        with open_engine(self.program, self.weights, threads=2, cache=self.options["cache"]) as engine:
            pixels = np.stack([self.view(photo, view) for view in range(VIEWS) for photo in range(COUNT)])
            outputs = run_pixels(engine, pixels)
        return {name: array.reshape(VIEWS, COUNT, *array.shape[1:]) for name, array in outputs.items()}


@pytest.fixture
def scene(tmp_path, cache):
    return Views(tmp_path, cache)


def test_each_view_is_what_the_engine_gives_for_its_pixels(scene):
    result = scene.views()
    expected = scene.by_hand()
    assert list(result.values) == ["s3_out:none", "s1_out:avg"]
    for output in scene.program.outputs:
        values = result.values[output.name]
        assert values.shape[:2] == (VIEWS, COUNT) and not values.flags.writeable
        assert np.array_equal(values, as_stored(expected[output.name], output))
    assert (result.computed, result.reused, result.events) == (VIEWS * COUNT, 0, ())


def test_sabotage_another_seed_gives_other_views(scene):
    values = scene.views(seed=4).values["s1_out:avg"]
    expected = as_stored(scene.by_hand()["s1_out:avg"], Output(layer="s1_out"))
    assert np.array_equal(values[0], expected[0])
    assert all(not np.array_equal(values[view, photo], expected[view, photo]) for view in (1, 2, 3) for photo in (0, 1))


def test_view_0_is_shared_with_every_other_reading_of_the_photos(scene, tmp_path):
    plain = scene.extract()
    result = scene.views()
    assert (result.computed, result.reused) == ((VIEWS - 1) * COUNT, COUNT)
    assert all(np.array_equal(values[0], plain.values[name]) for name, values in result.values.items())
    other = Store(tmp_path / "other", cap_bytes=1 << 30)
    scene.views(store=other)
    assert scene.extract(store=other).reused == COUNT


def test_more_views_add_to_those_that_are_there(scene):
    few = scene.views(views=2)
    more = scene.views()
    assert (more.computed, more.reused) == (2 * COUNT, 2 * COUNT)
    assert all(np.array_equal(values[:2], few.values[name]) for name, values in more.values.items())
    again = scene.views(views=3)
    assert (again.computed, again.reused) == (0, 3 * COUNT)


def test_the_second_time_no_engine_is_opened_and_nothing_is_decoded(scene, monkeypatch):
    first = scene.views()
    monkeypatch.setattr(extraction, "open_engine", None)
    monkeypatch.setattr(extraction, "stream_views", None)
    second = scene.views()
    assert second.computed == 0 and same(first, second)


def test_one_engine_runs_all_views_and_a_photo_is_decoded_twice_at_most(scene, monkeypatch):
    opened, decoded = [], []
    engine, load = extraction.open_engine, stream.load_pixels
    monkeypatch.setattr(extraction, "open_engine", lambda *args, **named: opened.append(1) or engine(*args, **named))
    monkeypatch.setattr(stream, "load_pixels", lambda *args, **named: decoded.append(1) or load(*args, **named))
    scene.views()
    assert len(opened) == 1 and len(decoded) == 2 * COUNT


@pytest.mark.parametrize(
    "change", [{"seed": 4}, {"augmentation": replace(LIGHT, rotation_degrees=10.5)}, {"augmentation": PRESETS["none"]}]
)
def test_other_views_are_computed_anew_and_view_0_is_not(scene, change):
    scene.views()
    result = scene.views(**change)
    assert (result.computed, result.reused) == ((VIEWS - 1) * COUNT, COUNT)


def test_views_of_another_version_are_computed_anew(scene, monkeypatch):
    scene.views()
    monkeypatch.setattr(store, "AUGMENTATION_VERSION", "another")
    assert scene.views().reused == COUNT


def test_values_do_not_depend_on_which_photos_and_views_are_asked_for(scene, tmp_path):
    together = scene.views()
    some = scene.views(scene.photos[4:1:-1], views=2, store=Store(tmp_path / "other", cap_bytes=1 << 30))
    for name, values in together.values.items():
        assert np.array_equal(some.values[name], values[:2, 4:1:-1])


def test_the_same_bytes_are_computed_once(scene):
    copy = replace(scene.photos[2], path="copy.png")
    (scene.root / copy.path).write_bytes((scene.root / scene.photos[2].path).read_bytes())
    steps = Steps()
    result = scene.views((copy, *scene.photos), progress=steps)
    assert steps.done == VIEWS * COUNT and result.computed == VIEWS * (COUNT + 1)
    assert all(np.array_equal(values[:, 0], values[:, 3]) for values in result.values.values())


def test_progress_counts_photos_and_then_their_views(scene):
    steps = Steps()
    scene.views(progress=steps)
    stages = [("Reading photos with sprout", COUNT, "photos"), ("Reading views with sprout", 3 * COUNT, "views")]
    assert steps.stages[-2:] == stages and steps.done == VIEWS * COUNT


@pytest.mark.parametrize("after", [4, 15])
def test_an_interrupted_run_keeps_what_it_had(scene, tmp_path, after):
    with pytest.raises(KeyboardInterrupt):
        scene.views(progress=Steps(interrupt_after=after))
    resumed = scene.views()
    assert resumed.reused >= after and resumed.computed == VIEWS * COUNT - resumed.reused
    assert same(resumed, scene.views(store=Store(tmp_path / "fresh", cap_bytes=1 << 30)))


def test_a_flipped_byte_in_a_shard_is_computed_again_with_an_event(scene):
    first = scene.views()
    for path in scene.shards():
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 16
        path.write_bytes(content)
    second = scene.views()
    assert same(first, second) and second.computed == VIEWS * COUNT
    assert len(second.events) == 2 and all("damaged and removed" in event for event in second.events)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_photos_that_measure_have_view_0_only(scene, split):
    photos = (*scene.photos[:2], replace(scene.photos[2], split=split))
    assert scene.views(photos, views=1).values["s1_out:avg"].shape[:2] == (1, 3)
    with pytest.raises(IntegrityProblem, match=rf"photo002.png' of the {split} split") as caught:
        scene.views(photos, views=2)
    assert caught.value.code == "split_leak"


def test_sabotage_without_the_first_check_no_view_is_made_either(scene, monkeypatch):
    monkeypatch.setattr(extraction, "require_training", lambda _: None)
    with pytest.raises(IntegrityProblem, match="photo000"):
        scene.views((replace(scene.photos[0], split="test"),), views=2)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_where_all_are_judged_augmented_photos_that_measure_have_views_too(scene, split):
    """The same ones, under the same names in the store, as if they were training photos."""
    expected = scene.views(views=2)
    photos = tuple(replace(photo, split=split) for photo in scene.photos)
    with pytest.raises(IntegrityProblem) as caught:
        scene.views(photos, views=2, judged_augmented=False)
    assert caught.value.code == "split_leak"
    found = scene.views(photos, views=1, judged_augmented=True)
    assert found.computed == 0, "the photos as they are, are not asked for"
    for name, values in found.values.items():
        assert np.array_equal(values, expected.values[name][1:])
        assert not np.array_equal(values[0], expected.values[name][0])


def test_judged_augmented_views_are_computed_where_the_store_has_none(scene, tmp_path):
    """So the readers of the stream were told too."""
    photos = tuple(replace(photo, split="test") for photo in scene.photos)
    store = Store(tmp_path / "other", cap_bytes=1 << 30)
    found = scene.views(photos, views=2, judged_augmented=True, store=store)
    assert found.computed == 2 * COUNT
    expected = scene.views(views=3).values
    assert all(np.array_equal(values, expected[name][1:]) for name, values in found.values.items())


def test_no_photos_are_refused(scene):
    with pytest.raises(BadInput) as caught:
        scene.views(())
    assert caught.value.code == "no_photos"


def test_exact_values_are_the_engine_s_own_and_kept_apart(scene):
    scene.views()
    exact = scene.views(exact=True)
    assert exact.reused == 0
    for name, expected in scene.by_hand().items():
        assert exact.values[name].dtype == np.float32 and np.array_equal(exact.values[name], expected)
    assert scene.views(exact=True).computed == 0


def test_large_results_live_on_the_disk(scene, monkeypatch):
    in_memory = scene.views()
    table = extraction.Table
    monkeypatch.setattr(extraction, "Table", lambda scratch, n: table(scratch, n, in_memory_bytes=0))
    mapped = scene.views()
    assert all(isinstance(values, np.memmap) for values in mapped.values.values()) and same(in_memory, mapped)


EXACT = """
import sys
from dataclasses import replace
from pathlib import Path
import numpy as np
from graft.core.telemetry import without_telemetry
with without_telemetry():
    import keras
from graft.backbones.cuts import split
from graft.features.graphs import loaded_network
from graft.features.preprocessing import network_input
from graft.features.records import Output
from tests.features.samples import random_program
from tests.features.test_views import Views

name, side, batch = "mobilenet_0.25", 64, 8
scene = Views(Path(sys.argv[1]), Path(sys.argv[2]), count=12)
program, scene.weights = random_program(name, side, Path(sys.argv[1]))
scene.program = replace(program, outputs=(Output(layer="conv_pw_6_relu", pooling="none"),), batch_images=batch)
values = scene.views(kind="keras", exact=True).values["conv_pw_6_relu:none"]

network = loaded_network(scene.program, scene.weights)
prefix, suffix = split(network, "conv_pw_6_relu")
generator = np.random.default_rng(0)
photos, views = generator.permutation(12)[:batch], generator.integers(0, 4, batch)
given = network_input(np.stack([scene.view(photo, view, side) for photo, view in zip(photos, views)]),
                      scene.program.preprocessing)
backend = keras.backend.backend()
if backend == "tensorflow":
    import tensorflow as tf
    weights = [variable.value for variable in suffix.trainable_variables]
    @tf.function
    def step(x):
        below = tf.stop_gradient(prefix(x, training=False))
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(suffix(below, training=False) ** 2)
        return below, [each for each in tape.gradient(loss, weights) if each is not None]
    got = step(given)[0].numpy()
elif backend == "jax":
    import jax
    first = [[each.value for each in part] for part in (prefix.trainable_variables, prefix.non_trainable_variables)]
    fixed = [each.value for each in suffix.non_trainable_variables]
    @jax.jit
    def step(weights, x):
        below = jax.lax.stop_gradient(prefix.stateless_call(*first, x, training=False)[0])
        loss = lambda weights: (suffix.stateless_call(weights, fixed, below, training=False)[0] ** 2).mean()
        return below, jax.grad(loss)(weights)
    got = np.asarray(step([each.value for each in suffix.trainable_variables], given)[0])
else:
    import torch
    with torch.no_grad():
        got = keras.ops.convert_to_numpy(prefix(given, training=False))
stored = values[views, photos]
assert not np.array_equal(got, values[(views + 1) % 4, photos])
print(backend, np.array_equal(got, stored), float(np.abs(got - stored).max() / np.abs(stored).max()))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "exact"), [("tensorflow", True), ("torch", True), ("jax", False)])
def test_exact_values_are_the_bits_of_a_training_step(backend, exact, tmp_path, cache):
    """XLA adds up in another order where it may fuse more: there they agree within the rounding of float32."""
    if find_spec(backend) is None:  # importing it here would bring Keras, and with it what sends telemetry
        pytest.skip(f"needs {backend}")
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", EXACT, str(tmp_path), str(cache)]
    ended = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    name, equal, difference = ended.stdout.split()[-3:]
    assert name == backend and (equal == "True" or not exact) and float(difference) < 1e-5
