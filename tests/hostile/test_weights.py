"""Weights files that lie, point elsewhere or hold too much: each refused in one sentence, nothing written."""

import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import psutil
import pytest

from graft.backbones.catalogue import find
from graft.backbones.layouts import layout
from graft.backbones.reading.conversion import convert
from graft.backbones.weights import import_weights
from graft.core.errors import BadInput, GraftError, IntegrityProblem
from graft.core.hashing import sha256_file
from graft.core.tensors import write_tensors

NAME = "mobilenet_0.25"
Attack = Callable[[h5py.File, Path], None]


def _write_good(path: Path) -> Path:
    """A sound file in the Keras 3 layout, made from the table of shapes alone."""
    rng = np.random.default_rng(0)
    counts: dict[str, int] = {}
    with h5py.File(path, "w") as file:
        for layer in layout(find(NAME)).layers:
            number = counts.get(layer.kind, 0)
            counts[layer.kind] = number + 1
            group = file.create_group(f"layers/{layer.kind}{f'_{number}' if number else ''}/vars")
            group.attrs["name"] = layer.name
            for index, (_, shape) in enumerate(layer.weights):
                group[str(index)] = rng.uniform(0.1, 1, shape).astype(np.float32)
    return path


def _convert(path: Path, folder: Path) -> dict[str, Any]:
    """The child's work, in this process."""
    kind = "safetensors" if path.suffix == ".safetensors" else "hdf5"
    target = folder / "cache" / "weights.safetensors"
    target.parent.mkdir(exist_ok=True)
    job = {"path": str(path), "kind": kind, "names": [NAME], "source_sha256": sha256_file(path), "target": str(target)}
    return convert(job)


def _refused(path: Path, folder: Path) -> GraftError:
    with pytest.raises(GraftError) as caught:
        _convert(path, folder)
    assert list((folder / "cache").iterdir()) == []
    assert caught.value.message.count("\n") == 0
    assert len(caught.value.message) < 500
    return caught.value


def test_the_file_that_is_attacked_is_good(tmp_path: Path) -> None:
    assert _convert(_write_good(tmp_path / "good.h5"), tmp_path)["backbone"] == NAME


def _replace(file: h5py.File, **options: Any) -> h5py.Dataset:
    del file["layers/conv2d/vars/0"]
    return file.create_dataset("layers/conv2d/vars/0", **options)


def _external_link(file: h5py.File, folder: Path) -> None:
    _write_good(folder / "elsewhere.h5")
    del file["layers/conv2d/vars/0"]
    file["layers/conv2d/vars/0"] = h5py.ExternalLink(str(folder / "elsewhere.h5"), "layers/conv2d/vars/0")


def _external_group(file: h5py.File, folder: Path) -> None:
    _write_good(folder / "elsewhere.h5")
    del file["layers"]
    file["layers"] = h5py.ExternalLink(str(folder / "elsewhere.h5"), "layers")


def _soft_link(file: h5py.File, folder: Path) -> None:
    del file["layers/conv2d_1/vars/0"]
    file["layers/conv2d_1/vars/0"] = h5py.SoftLink("/layers/conv2d/vars/0")


def _hard_link_twice(file: h5py.File, folder: Path) -> None:
    del file["layers/batch_normalization/vars/1"]
    file["layers/batch_normalization/vars/1"] = file["layers/batch_normalization/vars/0"]


def _group_in_itself(file: h5py.File, folder: Path) -> None:
    del file["layers/conv2d/vars/0"]
    file["layers/conv2d/vars/0"] = file["layers"]


def _virtual(file: h5py.File, folder: Path) -> None:
    shape = file["layers/conv2d/vars/0"].shape
    virtual = h5py.VirtualLayout(shape=shape, dtype="f4")
    virtual[:] = h5py.VirtualSource("/etc/passwd", "data", shape=shape)
    del file["layers/conv2d/vars/0"]
    file.create_virtual_dataset("layers/conv2d/vars/0", virtual)


def _external_storage(file: h5py.File, folder: Path) -> None:
    shape = file["layers/conv2d/vars/0"].shape
    _replace(file, shape=shape, dtype="f4", external=[(str(folder / "secret.bin"), 0, h5py.h5f.UNLIMITED)])


def _huge_shape(file: h5py.File, folder: Path) -> None:
    _replace(file, shape=(1 << 20, 1 << 20), dtype="f4", chunks=(64, 64))[0, 0] = 1


def _bomb(file: h5py.File, folder: Path) -> None:
    _replace(file, data=np.zeros((64 << 20,), np.float32), compression="gzip", chunks=(1 << 20,))


def _huge_chunk(file: h5py.File, folder: Path) -> None:
    shape = file["layers/conv2d/vars/0"].shape
    options = {"maxshape": (None,) * 4, "chunks": (64, 64, 64, 64), "compression": "gzip"}
    _replace(file, data=np.ones(shape, np.float32), **options)


def _plug_in_filter(file: h5py.File, folder: Path) -> None:
    shape = file["layers/conv2d/vars/0"].shape
    _replace(file, data=np.ones(shape, np.float32), compression="lzf")


def _never_written(file: h5py.File, folder: Path) -> None:
    _replace(file, shape=file["layers/conv2d/vars/0"].shape, dtype="f4")


def _text(file: h5py.File, folder: Path) -> None:
    _replace(file, data=["code"] * 3)


def _compound(file: h5py.File, folder: Path) -> None:
    _replace(file, data=np.zeros(3, [("a", "f4"), ("b", "i4")]))


def _scalar(file: h5py.File, folder: Path) -> None:
    _replace(file, data=h5py.Empty("f4"))


def _wrong_shape(file: h5py.File, folder: Path) -> None:
    _replace(file, data=np.ones((3, 3, 3, 9), np.float32))


def _too_few(file: h5py.File, folder: Path) -> None:
    del file["layers/batch_normalization_3/vars/3"]


def _gap(file: h5py.File, folder: Path) -> None:
    del file["layers/batch_normalization_3/vars/2"]


def _missing_layer(file: h5py.File, folder: Path) -> None:
    del file["layers/conv2d_13"]


def _one_layer_more(file: h5py.File, folder: Path) -> None:
    group = file.create_group("layers/dense/vars")
    group.attrs["name"] = "backdoor"
    group["0"] = np.ones(3, np.float32)


def _same_name_twice(file: h5py.File, folder: Path) -> None:
    file["layers/conv2d_1/vars"].attrs["name"] = file["layers/conv2d/vars"].attrs["name"]


def _name_as_path(file: h5py.File, folder: Path) -> None:
    file["layers/conv2d/vars"].attrs["name"] = "../conv1"


def _name_as_number(file: h5py.File, folder: Path) -> None:
    file["layers/conv2d/vars"].attrs["name"] = 7


def _name_as_list(file: h5py.File, folder: Path) -> None:
    file["layers/conv2d/vars"].attrs["name"] = ["conv1", "conv2"]


def _endless_name(file: h5py.File, folder: Path) -> None:
    file["layers/conv2d/vars"].attrs["name"] = "x" * 40_000


def _some_names_only(file: h5py.File, folder: Path) -> None:
    del file["layers/conv2d/vars"].attrs["name"]


def _many_entries(file: h5py.File, folder: Path) -> None:
    for number in range(10_100):
        file["layers/conv2d/vars"].create_group(f"x{number}")


def _layers_as_data(file: h5py.File, folder: Path) -> None:
    del file["layers"]
    file["layers"] = np.zeros(3)


def _nothing(file: h5py.File, folder: Path) -> None:
    del file["layers"]


HDF5_ATTACKS: dict[Attack, str] = {
    _external_link: "must hold its data itself, got a link named '0'",
    _external_group: "must hold its data itself, got a link named 'layers'",
    _soft_link: "must hold its data itself, got a link named '0'",
    _hard_link_twice: "must be stored once|stored once",
    _group_in_itself: "must have a data set named '0'",
    _virtual: "as a virtual data set",
    _external_storage: "stored in another file",
    _huge_shape: r"kernel of shape \(3, 3, 3, 8\) in layer conv1, got \(1048576, 1048576\)",
    _bomb: r"got \(67108864,\)",
    _huge_chunk: "in pieces of",
    _plug_in_filter: "with filters",
    _never_written: "never written",
    _text: "must hold numbers",
    _compound: "must hold numbers",
    _scalar: "must hold arrays",
    _wrong_shape: r"kernel of shape \(3, 3, 3, 8\) in layer conv1, got \(3, 3, 3, 9\)",
    _too_few: "must have 4 weights in layer conv_pw_2_bn, got 3|must have 4 weights in layer conv_dw_2_bn, got 3",
    _gap: "must number the weights of 'batch_normalization_3' from 0",
    _missing_layer: "must have a layer conv_pw_13, got none",
    _one_layer_more: "no layer besides the network's own, got 'backdoor'",
    _same_name_twice: "must name each layer once",
    _name_as_path: "must have plain names",
    _name_as_number: "must be text",
    _name_as_list: "must name each layer once",
    _endless_name: "names of 1 to 300 characters",
    _some_names_only: "must identify all its layers in one way",
    _many_entries: "at most 10000 entries",
    _layers_as_data: "must have a group named 'layers'",
    _nothing: "must hold Keras weights",
}


@pytest.mark.parametrize("attack", HDF5_ATTACKS, ids=lambda attack: attack.__name__.strip("_"))
def test_hostile_hdf5_is_refused(attack: Attack, tmp_path: Path) -> None:
    path = _write_good(tmp_path / "bad.h5")
    with h5py.File(path, "r+") as file:
        attack(file, tmp_path)
    before = psutil.Process().memory_info().rss
    begun = time.perf_counter()
    error = _refused(path, tmp_path)
    assert time.perf_counter() - begun < 2
    assert psutil.Process().memory_info().rss - before < 50 << 20
    assert error.code == "weights_refused"
    with pytest.raises(BadInput, match=HDF5_ATTACKS[attack]):
        raise error


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39], ids=str)
def test_numbers_that_are_none_are_refused(tmp_path: Path, value: float) -> None:
    path = _write_good(tmp_path / "nan.h5")
    with h5py.File(path, "r+") as file:
        values = file["layers/conv2d_5/vars/0"][()].astype(np.float64)
        values.flat[7] = value
        del file["layers/conv2d_5/vars/0"]
        file["layers/conv2d_5/vars/0"] = values
    error = _refused(path, tmp_path)
    assert (type(error), error.code) == (IntegrityProblem, "weights_not_finite")
    assert "conv_pw_5/kernel" in error.message


def _legacy(path: Path, layer: str, weights: list[str]) -> Path:
    with h5py.File(path, "w", libver="latest") as file:  # the older form holds no attribute of that length
        file.attrs["layer_names"] = [layer]
        file.create_group("conv1").attrs["weight_names"] = weights
        file["conv1/conv1/kernel:0"] = np.ones((3, 3, 3, 8), np.float32)
        file["secret"] = np.ones((3, 3, 3, 8), np.float32)
    return path


@pytest.mark.parametrize(
    ("layer", "weights", "message"),
    [
        ("conv1", ["conv1/kernel:0"], "does not fit"),  # the sound one: it is only incomplete
        ("conv1", ["../secret"], "plain names"),
        ("conv1", ["/secret"], "plain names"),
        ("conv1/../conv1", ["conv1/kernel:0"], "plain names"),
        ("conv1", ["conv1/kernel:0", "conv1/kernel:0"], "name each thing once"),
        ("conv1", ["conv1/./kernel:0"], "plain names"),
        ("conv1", ["conv1/nothing"], "must hold 'nothing' where its attributes say so"),
        ("conv1", ["conv1/kernel:0/more"], "must have a group named 'kernel:0'"),
        ("conv2", ["conv1/kernel:0"], "must hold 'conv2'"),
        ("", ["conv1/kernel:0"], "names of 1 to"),
        ("conv1", [f"w{number}" for number in range(10_001)], "at most 10000 names"),
    ],
)
def test_hostile_names_of_the_legacy_layout_are_refused(
    tmp_path: Path, layer: str, weights: list[str], message: str
) -> None:
    assert message in str(_refused(_legacy(tmp_path / "legacy.h5", layer, weights), tmp_path))


def test_a_link_is_never_followed(tmp_path: Path) -> None:
    """An external link to a pipe would hang whoever opens it."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("needs named pipes")
    os.mkfifo(tmp_path / "pipe")
    path = _write_good(tmp_path / "bad.h5")
    with h5py.File(path, "r+") as file:
        for name in ("model_weights", "_layer_checkpoint_dependencies"):
            file[name] = h5py.ExternalLink(str(tmp_path / "pipe"), "/")
    assert "got a link named 'model_weights'" in _refused(path, tmp_path).message


def test_damaged_files_are_refused_or_read_whole(tmp_path: Path) -> None:
    """Truncated and bit-flipped files: a refusal, or exactly tensors of the right shapes; never a crash."""
    good = _write_good(tmp_path / "good.h5").read_bytes()
    rng = np.random.default_rng(1)
    path = tmp_path / "damaged.h5"
    refused = 0
    for trial in range(40):
        content = bytearray(good)
        if trial % 2:
            del content[int(rng.integers(8, len(good))) :]
        else:
            for position in rng.integers(8, 60_000, 8):  # where the structure lies, mostly
                content[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
        try:
            assert _convert(path, tmp_path)["backbone"] == NAME
        except GraftError as error:
            assert error.code in {"weights_refused", "weights_not_finite"}
            refused += 1
    assert refused >= 20


def test_vgg19_is_not_taken_for_vgg16(tmp_path: Path) -> None:
    """It has every layer of VGG16 with the same shapes, and three more."""
    with h5py.File(tmp_path / "vgg19.h5", "w") as file:
        layers = layout(find("vgg19")).layers
        file.attrs["layer_names"] = [layer.name for layer in layers]
        for layer in layers:
            file.create_group(layer.name).attrs["weight_names"] = [name for name, _ in layer.weights]
            for name, shape in layer.weights:
                file[layer.name].create_dataset(name, data=np.zeros(shape, np.float32), compression="gzip")
    with pytest.raises(BadInput, match=r"does not fit vgg16: .* got 'block3_conv4'.* It fits vgg19"):
        import_weights(tmp_path / "vgg19.h5", ("vgg16",), tmp_path / "cache")


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", '{"class_name": "Lambda"}')


FOREIGN: dict[str, Callable[[Path], Any]] = {
    "model.keras": _zip,
    "model.h5": _zip,  # judged by content, not by name
    "model.pkl": lambda path: path.write_bytes(b"\x80\x05\x95\x1f\x00\x00\x00\x00\x00\x00\x00"),
    "saved_model.pb": lambda path: path.write_bytes(b"\x08\x01\x12\xd2\x01\n\x0e"),
    "photo.png": lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40)),
    "page.html": lambda path: path.write_bytes(b"<!doctype html><title>404</title>"),
    "empty.h5": lambda path: path.write_bytes(b""),
    "folder": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_models_are_never_opened(tmp_path: Path, name: str) -> None:
    FOREIGN[name](tmp_path / name)
    with pytest.raises(BadInput) as caught:
        import_weights(tmp_path / name, (NAME,), tmp_path / "cache")
    assert caught.value.code == "format_not_allowed"
    assert "save_weights" in caught.value.hint
    assert not (tmp_path / "cache").exists()


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        import_weights(tmp_path / "nothing.h5", (NAME,), tmp_path / "cache")
    assert caught.value.code == "not_found"
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(BadInput) as caught:
            import_weights(tmp_path / "pipe", (NAME,), tmp_path / "cache")
        assert caught.value.code == "not_a_file"


def test_a_file_far_too_large_is_refused_unread(tmp_path: Path) -> None:
    path = _write_good(tmp_path / "large.h5")
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    begun = time.perf_counter()
    with pytest.raises(BadInput, match=r"must have at most \d+ bytes to be one of mobilenet_0\.25"):
        import_weights(path, (NAME,), tmp_path / "cache")
    assert time.perf_counter() - begun < 1


@pytest.mark.parametrize("change", ["missing", "surplus", "shape", "nan", "malformed"])
def test_hostile_safetensors_are_refused(tmp_path: Path, change: str) -> None:
    tensors = {name: np.ones(shape, np.float32) for name, shape in layout(find(NAME)).shapes().items()}
    if change == "missing":
        del tensors["conv1/kernel"]
    elif change == "surplus":
        tensors["other/kernel"] = np.ones(3, np.float32)
    elif change == "shape":
        tensors["conv1/kernel"] = tensors["conv1/kernel"][:2]
    elif change == "nan":
        tensors["conv1_bn/beta"] = np.full(8, np.nan, np.float32)
    path = tmp_path / "bad.safetensors"
    write_tensors(path, tensors, metadata={}, writer="test")
    if change == "malformed":
        path.write_bytes(path.read_bytes() + b"\0")
    error = _refused(path, tmp_path)
    assert error.code == ("weights_not_finite" if change == "nan" else "weights_refused")
    assert isinstance(error, IntegrityProblem if change == "nan" else BadInput)
