import shutil
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from graft.backbones.catalogue import catalogue, find
from graft.backbones.networks import build
from graft.backbones.reading.conversion import convert
from graft.backbones.weights import (
    ASSETS,
    WeightsFile,
    builtin,
    import_weights,
    imported,
    load_into,
    open_weights,
    resolve,
)
from graft.core.errors import BadInput, GraftError, IntegrityProblem, ResourceProblem
from graft.core.hashing import sha256_file
from graft.core.tensors import tensors_sha256, write_tensors
from tests.backbones.helpers import forward, images, network, randomise, tensors_of, write_keras3, write_legacy

NAME = "mobilenet_0.25"


@pytest.fixture(autouse=True)
def same_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Convert in this process, which saves a second; a test that asks for `real_child` takes the whole way."""
    if "real_child" not in request.fixturenames:
        monkeypatch.setattr("graft.backbones.weights.run_child", lambda _, job, **__: convert(job))


@pytest.fixture
def real_child() -> None:
    """Asks for the conversion in a process of its own."""


@pytest.fixture(scope="module")
def keras3_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_keras3(tmp_path_factory.mktemp("weights") / "some.weights.h5", network(NAME))


@pytest.fixture(scope="module")
def whole() -> Any:
    """MobileNet with its top."""
    model = build(find(NAME), side_pixels=32, include_top=True)
    randomise(model)
    return model


def _assert_holds(weights: WeightsFile, model: Any) -> None:
    expected = {name: values.astype(np.float32) for name, values in tensors_of(model).items()}
    with open_weights(weights) as tensors:
        assert set(tensors) <= set(expected)
        assert all(np.array_equal(values, expected[name]) for name, values in tensors.items())
    assert weights.sha256 == tensors_sha256({name: expected[name] for name in tensors_names(weights)})


def tensors_names(weights: WeightsFile) -> list[str]:
    with open_weights(weights) as tensors:
        return list(tensors)


def test_the_variant_is_found_from_the_family_name_alone(real_child: None, keras3_file: Path, tmp_path: Path) -> None:
    for asked in ("mobilenet", "auto", NAME):
        record, weights = resolve(asked, keras3_file, tmp_path)
        assert record.name == NAME
        _assert_holds(weights, network(NAME))
        assert len(tensors_names(weights)) == len(network(NAME).weights)


def test_all_ways_to_write_the_same_weights_give_the_same_hash(whole: Any, tmp_path: Path) -> None:
    backbone = build(find(NAME), side_pixels=32)
    backbone.set_weights(whole.get_weights()[: len(backbone.weights)])
    tensors = tensors_of(backbone)
    write_tensors(tmp_path / "own.safetensors", tensors, metadata={}, writer="test")
    backbone.save(tmp_path / "model.h5")
    files = [
        write_keras3(tmp_path / "names.weights.h5", backbone),
        write_keras3(tmp_path / "numbers.weights.h5", backbone, names=False),
        write_keras3(tmp_path / "top.weights.h5", whole),
        write_keras3(tmp_path / "top_numbers.weights.h5", whole, names=False),
        write_legacy(tmp_path / "legacy.h5", backbone),
        write_legacy(tmp_path / "legacy_top.h5", whole),
        write_legacy(tmp_path / "old_names.h5", backbone, weight_name=lambda layer, weight: f"{layer}_{weight}_1:0"),
        tmp_path / "model.h5",
        tmp_path / "own.safetensors",
    ]
    for file in files:
        record, weights = import_weights(file, (NAME,), tmp_path / "cache")
        assert (record.name, weights.sha256) == (NAME, tensors_sha256(tensors)), file.name


def test_long_lists_of_names_are_read_in_parts(tmp_path: Path) -> None:
    path = write_legacy(tmp_path / "parts.h5", network(NAME))
    with h5py.File(path, "r+") as file:
        names = list(file.attrs["layer_names"])
        del file.attrs["layer_names"]
        file.attrs["layer_names0"], file.attrs["layer_names1"] = names[:30], names[30:]
    _, weights = import_weights(path, (NAME,), tmp_path / "cache")
    _assert_holds(weights, network(NAME))


def test_compressed_half_precision_is_read(tmp_path: Path) -> None:
    path = tmp_path / "half.h5"
    with h5py.File(write_legacy(tmp_path / "full.h5", network(NAME)), "r") as full, h5py.File(path, "w") as half:
        half.attrs["layer_names"] = full.attrs["layer_names"]
        for name in full:
            group = half.create_group(name)
            group.attrs["weight_names"] = full[name].attrs["weight_names"]
            for weight in full[name].attrs["weight_names"]:
                values = full[name][weight][()].astype(np.float16)
                group.create_dataset(weight, data=values, compression="gzip", shuffle=True, fletcher32=True)
    _, weights = import_weights(path, (NAME,), tmp_path / "cache")
    with open_weights(weights) as tensors:
        assert {values.dtype for values in tensors.values()} == {np.dtype(np.float32)}
        kernel = tensors_of(network(NAME))["conv1/kernel"]
        assert np.array_equal(tensors["conv1/kernel"], kernel.astype(np.float16).astype(np.float32))


def test_automatic_layer_names_do_not_matter(tmp_path: Path) -> None:
    keras.layers.Normalization()  # takes a number
    model = keras.applications.EfficientNetB0(weights=None, include_top=False, input_shape=(32, 32, 3))
    randomise(model, seed=3)
    assert not any(layer.name == "normalization" for layer in model.layers)
    for path in (write_keras3(tmp_path / "a.weights.h5", model), write_legacy(tmp_path / "b.h5", model)):
        record, weights = import_weights(path, ("efficientnet_b0",), tmp_path / "cache")
        ours = build(record, side_pixels=32)
        load_into(ours, weights)
        assert all(np.array_equal(*pair) for pair in zip(ours.get_weights(), model.get_weights(), strict=True))


def test_a_file_is_converted_once(keras3_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = import_weights(keras3_file, (NAME,), tmp_path / "cache")
    monkeypatch.setattr("graft.backbones.weights.run_child", None)  # to call it now would fail
    elsewhere = shutil.copy(keras3_file, tmp_path / "renamed.h5")
    assert import_weights(Path(elsewhere), ("vgg16", NAME), tmp_path / "cache") == first
    assert imported(tmp_path / "cache") == (first,)
    assert resolve(NAME, None, tmp_path / "cache") == first
    assert resolve("mobilenet", None, tmp_path / "cache") == first
    with pytest.raises(BadInput, match=r"does not fit vgg16: it holds mobilenet_0\.25"):
        import_weights(keras3_file, ("vgg16",), tmp_path / "cache")


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_conversion_is_made_anew(keras3_file: Path, tmp_path: Path, damage: str) -> None:
    first = import_weights(keras3_file, (NAME,), tmp_path)
    good = first[1].path.read_bytes()
    bad = {"flip": good[:-5] + bytes([good[-5] ^ 1]) + good[-4:], "cut": good[:-9], "empty": b""}[damage]
    first[1].path.write_bytes(bad)
    assert import_weights(keras3_file, (NAME,), tmp_path) == first
    assert first[1].path.read_bytes() == good


def test_a_damaged_conversion_is_not_listed(keras3_file: Path, tmp_path: Path) -> None:
    _, weights = import_weights(keras3_file, (NAME,), tmp_path)
    weights.path.write_bytes(weights.path.read_bytes()[:-1])
    assert imported(tmp_path) == ()
    assert imported(tmp_path / "nothing") == ()


def test_one_flipped_bit_is_noticed_on_loading(keras3_file: Path, tmp_path: Path) -> None:
    _, weights = import_weights(keras3_file, (NAME,), tmp_path)
    content = bytearray(weights.path.read_bytes())
    content[-7] ^= 4
    weights.path.write_bytes(content)
    with pytest.raises(IntegrityProblem) as caught:
        load_into(build(find(NAME), side_pixels=32), weights)
    assert caught.value.code == "hash_mismatch"


def test_loading_sets_every_weight_in_both_formats(keras3_file: Path, tmp_path: Path) -> None:
    _, weights = import_weights(keras3_file, (NAME,), tmp_path)
    pixels = images(network(NAME))
    expected = forward(network(NAME), pixels)
    for data_format, axes, back in (
        ("channels_last", (0, 1, 2, 3), (0, 1, 2, 3)),
        ("channels_first", (0, 3, 1, 2), (0, 2, 3, 1)),
    ):
        model = build(find(NAME), side_pixels=32, data_format=data_format)
        load_into(model, weights)
        assert np.abs(forward(model, pixels.transpose(axes)).transpose(back) - expected).max() < 1e-5


def test_weights_within_a_bundle_are_found_by_their_prefix(tmp_path: Path) -> None:
    tensors = tensors_of(network("sprout"))
    stored = {f"backbone/{name}": values for name, values in tensors.items()} | {"head/bias": np.zeros(2, np.float32)}
    write_tensors(tmp_path / "some.graft", stored, metadata={}, writer="test")
    model = build(find("sprout"), side_pixels=48)
    load_into(model, WeightsFile(tmp_path / "some.graft", "backbone/", tensors_sha256(tensors)))
    assert all(np.array_equal(values, tensors[name]) for name, values in tensors_of(model).items())


def test_weights_of_another_network_are_not_loaded(keras3_file: Path, tmp_path: Path) -> None:
    _, weights = import_weights(keras3_file, (NAME,), tmp_path)
    with pytest.raises(BadInput, match=r"conv1/kernel of shape \(3, 3, 3, 16\), got \(3, 3, 3, 8\)"):
        load_into(build(find("mobilenet_0.5"), side_pixels=32), weights)
    part = keras.Model(model_input := keras.Input((4,)), keras.layers.Dense(1, name="other")(model_input))
    with pytest.raises(BadInput, match=r"other/kernel .* got none"):
        load_into(part, weights)
    head = build(find(NAME), side_pixels=32)
    part = keras.Model(head.input, head.get_layer("conv_pw_1_relu").output)
    with pytest.raises(BadInput, match=r"no tensor besides the network's own, got 'conv_"):
        load_into(part, weights)


def test_the_built_in_weights_are_the_published_ones(tmp_path: Path) -> None:
    record, weights = resolve("auto", None, tmp_path)
    assert (record.name, weights.prefix) == ("sprout", "")
    assert sha256_file(weights.path) == record.weights[0].sha256
    assert resolve("sprout", None, tmp_path) == (record, weights) == (record, builtin("sprout", tmp_path))
    with open_weights(weights) as tensors:
        assert len(tensors) == 55
        assert all(np.isfinite(values).all() for values in tensors.values())
    assert list(tmp_path.iterdir()) == []


def test_damaged_built_in_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graft.backbones.weights.ASSETS", tmp_path)
    with pytest.raises(IntegrityProblem, match="Install Graft again"):
        builtin("sprout", tmp_path)
    content = (ASSETS / "sprout.safetensors").read_bytes()
    (tmp_path / "sprout.safetensors").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(IntegrityProblem) as caught:
        builtin("sprout", tmp_path)
    assert caught.value.code == "hash_mismatch"


def test_missing_weights_say_what_to_do(tmp_path: Path) -> None:
    for call in (lambda: resolve("vgg16", None, tmp_path), lambda: builtin("vgg16", tmp_path)):
        with pytest.raises(
            BadInput, match=r"vgg16 must be on this machine.*--weights FILE.*vgg16_.*notop\.h5.*sprout"
        ) as caught:
            call()
        assert caught.value.code == "weights_missing"


def test_two_sets_of_weights_are_not_chosen_between(keras3_file: Path, tmp_path: Path) -> None:
    import_weights(keras3_file, (NAME,), tmp_path)
    other = build(find(NAME), side_pixels=32)
    randomise(other, seed=9)
    import_weights(write_keras3(tmp_path / "other.weights.h5", other), (NAME,), tmp_path)
    with pytest.raises(BadInput, match=rf"one set, got 2 on this machine that fit {NAME}"):
        resolve(NAME, None, tmp_path)


def test_the_nearest_network_and_the_first_difference_are_named(
    real_child: None, keras3_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadInput) as caught:
        import_weights(keras3_file, ("mobilenet_0.5", "mobilenet_1.0"), tmp_path)
    assert caught.value.code == "weights_refused"
    assert caught.value.message == (
        "The weights file some.weights.h5 does not fit mobilenet_0.5: it must have kernel of shape (3, 3, 3, 16) in "
        "layer conv1, got (3, 3, 3, 8)."
    )
    assert caught.value.hint == "It fits mobilenet_0.25: use --backbone mobilenet_0.25."


def test_a_reader_that_dies_blames_the_file(keras3_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: Any, code: str, **__: Any) -> Any:
        raise ResourceProblem("Reading failed.", code=code)

    monkeypatch.setattr("graft.backbones.weights.run_child", die)
    with pytest.raises(BadInput) as caught:
        import_weights(keras3_file, (NAME,), tmp_path)
    assert caught.value.code == "weights_refused"


def test_a_full_disk_stays_a_full_disk(keras3_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise ResourceProblem("No room.", code="disk_full")

    monkeypatch.setattr("graft.backbones.weights.run_child", full)
    with pytest.raises(ResourceProblem) as caught:
        import_weights(keras3_file, (NAME,), tmp_path)
    assert caught.value.code == "disk_full"


def test_a_file_that_changes_meanwhile_is_refused(
    keras3_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graft.backbones.weights.sha256_file", lambda _: "0" * 64)
    with pytest.raises(GraftError) as caught:
        import_weights(keras3_file, (NAME,), tmp_path)
    assert caught.value.code == "changed_since_scan"
    assert imported(tmp_path) == ()


@pytest.mark.parametrize(
    ("file", "family", "name"),
    [
        ("mobilenet_0.25_224_notop", "mobilenet", "mobilenet_0.25"),
        ("mobilenet_1.0_224_notop", "mobilenet", "mobilenet_1.0"),
        ("mobilenet_v2_0.35_224_notop", "mobilenet_v2", "mobilenet_v2_0.35"),
        ("mobilenet_v2_1.0_224_notop", "auto", "mobilenet_v2_1.0"),
        ("mobilenet_v2_1.0_224_top", "mobilenet_v2", "mobilenet_v2_1.0"),
    ],
)
def test_real_files_give_the_numbers_keras_gives(
    shared: Path, tmp_path: Path, file: str, family: str, name: str
) -> None:
    path = shared / "weights" / f"{file}.weights.h5"
    record, weights = resolve(family, path, tmp_path)
    assert record == catalogue()[name]
    theirs = build(record, side_pixels=224 if file.endswith("_top") else 32, include_top=file.endswith("_top"))
    theirs.load_weights(path)
    _assert_holds(weights, theirs)
    ours = build(record, side_pixels=32)
    load_into(ours, weights)
    if not file.endswith("_top"):
        pixels = images(ours)
        assert np.array_equal(forward(ours, pixels), forward(theirs, pixels))
