"""Recipes as plain-Keras scripts: each is the recipe's system to the last parameter, and runs by itself."""

import ast
import math
import os
import runpy
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from graft.core.errors import BadInput
from graft.core.telemetry import without_telemetry
from graft.data.augmentation.presets import PRESETS
from graft.pipeline.recipes.keras_script import keras_script
from graft.training.recipes.catalogue import catalogue, find
from graft.training.recipes.counting import figures
from tests.training.recipes.tables import own_table, table

EACH_ONCE = [name for name in catalogue() if "@" not in name or name.endswith(("@intended", "@short"))]


def script_of(name: str) -> str:
    recipe = find(name)
    return keras_script(recipe, own_table(recipe), classes=recipe.classes)


def namespace(text: str, folder: Path):
    """What a script defines, in this process."""
    path = folder / "script.py"
    path.write_text(text, encoding="utf-8")
    with without_telemetry():
        import keras  # noqa: F401
    return runpy.run_path(str(path))


def trained(model) -> tuple[int, int]:
    """Parameters that will be trained, and in how many tensors."""
    sizes = [weight.shape for weight in model.trainable_weights]
    return sum(math.prod(size) for size in sizes), len(sizes)


@pytest.mark.parametrize("name", catalogue())
def test_each_is_a_script_without_graft(name):
    tree = ast.parse(script_of(name))
    imported = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    } | {str(node.module).split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"argparse", "pathlib", "keras", "numpy"}
    assert max(map(len, script_of(name).splitlines())) <= 120


def freezing_calls(text: str) -> list[dict[str, object]]:
    """The arguments of each phase's freezing, as they stand in the script."""
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    found = [call for call in calls if ast.unparse(call.func) == "freeze"]
    found.sort(key=lambda call: call.lineno)
    return [
        {
            "trained_layers": ast.literal_eval(call.args[1]),
            "normalization": ast.literal_eval(call.keywords[0].value),
        }
        for call in found
    ]


@pytest.mark.parametrize("name", EACH_ONCE)
def test_its_model_has_the_recipes_parameters_in_each_phase(name, tmp_path):
    recipe, text = find(name), script_of(name)
    made = namespace(text, tmp_path)
    model = made["build_model"]("random")
    assert model.count_params() == recipe.parameters
    counted = figures(recipe, own_table(recipe), classes=recipe.classes)
    assert trained(model)[1] == counted.trainable_tensors
    if recipe.weights == "random":
        assert trained(model) == (recipe.parameters, counted.phases[0].trainable_tensors)
        return
    calls = freezing_calls(text)
    assert len(calls) == len(counted.phases)
    for call, phase in zip(calls, counted.phases, strict=True):
        made["freeze"](model, **call)
        assert trained(model) == (phase.trainable_parameters, phase.trainable_tensors)


def test_the_layers_of_the_head_have_their_names(tmp_path):
    model = namespace(script_of("sign-digits-vgg16"), tmp_path)["build_model"]("random")
    assert [layer.name for layer in model.layers[1:]] == ["base", "global_average_pooling", "softmax"]
    assert model.output.shape == (None, 10)


@pytest.mark.parametrize("norm", ["batch", "batch_renorm", "layer", "group", "instance"])
def test_normalised_networks_from_nothing(norm, tmp_path):
    below = table(f"convnet_{norm}", 64)
    recipe = find("scratch-cnn")
    model = namespace(keras_script(recipe, below, classes=3), tmp_path)["build_model"]()
    assert model.count_params() == figures(recipe, below, classes=3).parameters


def test_widths_and_preprocessing_of_another_network(tmp_path):
    below = table("mobilenet_0.25", 64)
    made = namespace(keras_script(find("santa-vgg19"), below, classes=2, binary_units=2), tmp_path)
    assert made["build_model"]("random").count_params() == 218_544 + 4 * 256 * 132 + 132 + 132 * 2 + 2
    assert made["prepared"](np.array([[[0.0, 127.5, 255.0]]])).min() == -1


def test_the_corrected_one_feeds_the_network_as_its_authors_did(tmp_path):
    pixels = np.arange(48, dtype=np.float32).reshape(1, 4, 4, 3)
    made = namespace(script_of("features-vgg16@corrected"), tmp_path)
    theirs = made["keras"].applications.vgg16.preprocess_input(pixels.copy(), data_format="channels_last")
    assert np.allclose(made["prepared"](pixels), theirs, atol=1e-4)
    as_published = namespace(script_of("features-vgg16"), tmp_path)["prepared"](pixels)
    assert np.allclose(as_published, pixels / 255)


@pytest.mark.wide
def test_a_published_efficientnet_file_is_mended_as_keras_does_where_it_fetches_it(tmp_path):
    """Its file holds deviations as variances; from a file `keras.applications` alone would scale pixels wrongly."""
    made = namespace(script_of("cifar10-efficientnetb0"), tmp_path)

    def base_of(weights):
        base = made["build_model"](weights).get_layer("base")
        kind = made["keras"].layers.Normalization
        return base, next(layer for layer in base.layers if isinstance(layer, kind))

    deviations = np.array([0.229, 0.224, 0.225], np.float32)
    for variance in (deviations, deviations**2):  # as published; as it should be, which stays
        base, normalization = base_of("random")
        mean, _, count = normalization.get_weights()
        normalization.set_weights([mean, variance, count])
        base.save_weights(tmp_path / "notop.weights.h5")
        _, found = base_of(str(tmp_path / "notop.weights.h5"))
        assert np.allclose(found.get_weights()[1], deviations**2)


def test_the_head_of_a_script_says_whose_network_it_is(tmp_path):
    below = table("mobilenet_0.25", 64)
    words = "graft recipes show santa-vgg19 --as-keras --backbone mobilenet_0.25"
    text = keras_script(find("santa-vgg19"), below, classes=2, command=words)
    assert "Here MobileNet 0.25 stands in the place of VGG19." in text
    assert "Published: 89.4 % test, 10 epochs, with VGG19." in text
    assert f"Written by: {words}\n" in text
    own = script_of("santa-vgg19")
    assert "stands in the place" not in own and "Written by: graft recipes show santa-vgg19 --as-keras\n" in own


def test_weight_normalisation_has_no_layer_in_keras(tmp_path):
    with pytest.raises(BadInput, match=r"keras\.applications, got convnet_weight"):
        keras_script(find("scratch-cnn"), table("convnet_weight", 64), classes=2)


@pytest.mark.parametrize("name", ["vit_b16", "sprout"])
def test_networks_that_plain_keras_has_not_are_refused(name):
    small = replace(table("mobilenet_0.25", 64), backbone=name)
    with pytest.raises(BadInput, match=r"one that Graft builds with keras\.applications, got"):
        keras_script(find("features-vgg16"), small, classes=2)


def test_changes_that_no_layer_makes_are_refused():
    odd = replace(find("santa-vgg19"), augmentation=PRESETS["strong"])
    with pytest.raises(BadInput, match="brightness"):
        keras_script(odd, own_table(odd), classes=2)


def test_photos_are_split_by_folders_or_by_shares(tmp_path):
    made = namespace(script_of("sign-digits-vgg16"), tmp_path)
    photos = tmp_path / "photos"
    for label in range(10):
        (photos / str(label)).mkdir(parents=True)
        for number in range(206 if label else 208):
            (photos / str(label) / f"{number}.png").touch()
    parts = made["splits"](photos)
    assert [len(part) for part in parts] == [1712, 300, 50]
    assert len({path for part in parts for path, _ in part}) == 2062
    shutil.rmtree(photos / "9")
    with pytest.raises(SystemExit, match="must hold 10 class folders, found 9"):
        made["splits"](photos)


def test_an_epoch_of_so_many_steps_goes_round_again(tmp_path):
    photos_class = namespace(script_of("scratch-cnn"), tmp_path)["Photos"]
    photos = [(f"{number}.png", number % 2) for number in range(30)]
    every = photos_class(photos, shuffle=True)
    assert len(every) == 2 and sorted(every.order) == list(range(30))
    stepped = photos_class(photos, shuffle=True, steps=5)
    assert len(stepped) == 5 and len(stepped.order) == 100
    assert sorted(stepped.order[:30]) == list(range(30))
    before = list(stepped.order)
    stepped.on_epoch_end()
    assert list(stepped.order) != before
    assert list(photos_class(photos).order) == list(range(30))


def few_photos(shared: Path, data: str, folder: Path, classes: int) -> Path:
    """Some real photos of each class, in the folders of three splits."""
    roots = [path for path in (shared / "data" / data / "train", shared / "data" / data) if path.is_dir()]
    for split in ("train", "validation", "test"):
        for source in sorted(each for each in roots[0].iterdir() if each.is_dir())[:classes]:
            (folder / split / source.name).mkdir(parents=True)
            for photo in sorted(source.iterdir())[:4]:
                shutil.copy(photo, folder / split / source.name)
    return folder


def run_script(name: str, shared: Path, folder: Path, backend: str) -> str:
    recipe = find(name)
    data = {"cifar10": "cifar10_small"}.get(recipe.data, recipe.data)
    photos = few_photos(shared, data, folder / "photos", recipe.classes)
    path = folder / "script.py"
    path.write_text(script_of(name), encoding="utf-8")
    weights = [] if recipe.weights == "random" else ["--weights", "random"]
    ended = subprocess.run(
        [sys.executable, str(path), str(photos), "--epochs", "1", "--steps", "1", *weights],
        cwd=folder,
        env=os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        check=False,
    )
    output = ended.stdout.decode()
    assert ended.returncode == 0, ended.stderr.decode()[-3000:]
    assert f"{recipe.parameters:,} parameters, {recipe.trainable_parameters[0]:,} of them trained" in output
    assert "test: accuracy" in output
    assert len(list(folder.glob("*.keras"))) == len(recipe.phases)
    return output


needs_tensorflow = pytest.mark.skipif(find_spec("tensorflow") is None, reason="needs TensorFlow")


@pytest.mark.wide
@needs_tensorflow
def test_one_trains_a_step_on_real_photos(shared, tmp_path):
    run_script("scratch-cnn", shared, tmp_path, "tensorflow")


@pytest.mark.slow
@needs_tensorflow
@pytest.mark.parametrize("name", catalogue())
def test_each_trains_a_step_on_real_photos(name, shared, tmp_path):
    run_script(name, shared, tmp_path, "tensorflow")


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.parametrize("name", ["scratch-cnn-augmented", "features-vgg16", "cifar10-efficientnetb0"])
def test_other_backends_train_a_step_too(backend, name, shared, tmp_path):
    if find_spec(backend) is None:
        pytest.skip(f"needs {backend}")
    run_script(name, shared, tmp_path, backend)
