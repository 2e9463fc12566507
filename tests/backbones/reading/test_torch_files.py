"""Torch's weights files are read as torch reads them, and by content alone."""

import importlib.util
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.backbones.reading.torch_files import looks_like_torch, open_torch
from graft.core.errors import BadInput
from tests.backbones.reading.torch_writing import (
    EMPTY_DICT,
    FORM,
    MAGIC,
    MARK,
    NONE,
    TRUE,
    mapping,
    number,
    storage,
    tensor,
    text,
    write_members,
    write_sequence,
    write_torch,
    write_torch_before_zip,
)

WITHOUT_TORCH = importlib.util.find_spec("torch") is None
Write = Callable[[Path, Mapping[str, np.ndarray]], Path]
both_forms = pytest.mark.parametrize("write", [write_torch, write_torch_before_zip])


def _read(path: Path) -> dict[str, Any]:
    with open_torch(path) as tensors:
        return {name: np.array(each[()]) for name, each in tensors.items()}


def _some() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "conv.weight": rng.normal(size=(4, 3, 2, 5)).astype(np.float32),
        "conv.bias": rng.normal(size=4).astype(np.float16),
        "double": rng.normal(size=(2, 3)),
        "bn.num_batches_tracked": np.array(7, np.int64),
        "empty": np.zeros(0, np.float32),
    }


@both_forms
def test_names_shapes_and_numbers_come_back(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path / "weights.pth", _some())
    assert looks_like_torch(path.read_bytes()[:512])
    read = _read(path)
    assert list(read) == list(_some())
    for name, values in _some().items():
        assert (read[name].shape, read[name].dtype) == (values.shape, values.dtype)
        assert np.array_equal(read[name], values)


def test_shapes_are_known_before_a_number_is_read(tmp_path: Path) -> None:
    path = write_torch(tmp_path / "weights.pth", _some())
    content = bytearray(path.read_bytes())
    content[content.index(_some()["conv.weight"].tobytes())] ^= 1
    path.write_bytes(content)
    with (
        pytest.raises(BadInput, match=r"weights file weights\.pth must be whole.*checksum") as caught,
        open_torch(path) as tensors,
    ):
        assert tensors["conv.weight"].shape == (4, 3, 2, 5)
        assert np.array_equal(tensors["conv.bias"][()], _some()["conv.bias"])
        _ = tensors["conv.weight"][()]
    assert caught.value.code == "weights_refused"


def test_tensors_may_share_an_array_and_be_transposed(tmp_path: Path) -> None:
    values = np.arange(24, dtype=np.float32)
    items = {
        "first": tensor(storage("0", 24), (2, 3)),
        "second": tensor(storage("0", 24), (3, 2), (1, 3), offset=6),
        "third": tensor(storage("0", 24), (1, 2, 3, 2), (99, 1, 2, 6), offset=12),
    }
    read = _read(write_members(tmp_path / "weights.pth", mapping(items), {"0": values.tobytes()}))
    assert np.array_equal(read["first"], values[:6].reshape(2, 3))
    assert np.array_equal(read["second"], values[6:12].reshape(2, 3).T)
    assert np.array_equal(read["third"][0], values[12:].reshape(2, 3, 2).transpose(2, 1, 0))


def test_tensors_of_the_old_form_share_arrays_in_any_order(tmp_path: Path) -> None:
    values, others = np.arange(24, dtype=np.float32), np.arange(3, dtype=np.int64)
    items = {
        "of-the-last": tensor(storage("7", 3, "Long", NONE), (3,)),
        "first": tensor(storage("81", 24, "Float", NONE), (2, 3)),
        "second": tensor(storage("81", 24, "Float", NONE), (3, 2), (1, 3), offset=6),
    }
    read = _read(write_sequence(tmp_path / "weights.pth", mapping(items), {"81": values, "7": others}))
    assert np.array_equal(read["of-the-last"], others)
    assert np.array_equal(read["first"], values[:6].reshape(2, 3))
    assert np.array_equal(read["second"], values[6:12].reshape(2, 3).T)


def test_what_a_checkpoint_of_the_old_form_holds_besides_is_passed_over(tmp_path: Path) -> None:
    """Its other arrays lie between those of the weights, and count as the file's own."""
    weights = mapping({"w": tensor(storage("5", 2, "Float", NONE), (2,))})
    momentum = tensor(storage("4", 3, "Float", NONE), (3,))
    pickle = mapping({"optimizer": mapping({"momentum": momentum}), "state_dict": weights})
    arrays = {"4": np.zeros(3, np.float32), "5": np.array([2, 3], np.float32)}
    assert _read(write_sequence(tmp_path / "checkpoint.pth", pickle, arrays))["w"].tolist() == [2, 3]


def test_texts_of_python_2_are_read(tmp_path: Path) -> None:
    def old(value: str) -> bytes:
        return b"U" + bytes([len(value)]) + value.encode()

    pickle = mapping({"w": tensor(storage("5", 2, "Float", NONE), (2,))}).replace(text("w"), old("w"))
    pickle = pickle.replace(text("storage"), old("storage")).replace(text("cpu"), old("cpu"))
    facts = EMPTY_DICT + MARK + old("little_endian") + TRUE + b"u"
    arrays = {"5": np.array([2, 3], np.float32)}
    path = write_sequence(tmp_path / "old.pth", pickle, arrays, before=(MAGIC, FORM, facts))
    assert _read(path)["w"].tolist() == [2, 3]


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_the_weights_of_a_checkpoint_are_found(tmp_path: Path, key: str) -> None:
    weights = mapping({"w": tensor(storage("0", 2), (2,))})
    pickle = mapping({"epoch": number(3), "arch": text("some"), key: weights}, ordered=False)
    path = write_members(tmp_path / "checkpoint.pth", pickle, {"0": np.ones(2, np.float32).tobytes()})
    assert list(_read(path)) == ["w"]


@pytest.mark.skipif(WITHOUT_TORCH, reason="needs torch")
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before"])
def test_files_that_torch_writes_are_read(tmp_path: Path, zipped: bool) -> None:
    import torch

    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(2, 5))
    state = {
        **model.state_dict(),
        "transposed": torch.randn(4, 5, 6, 7).permute(2, 3, 1, 0),
        "part": torch.arange(20.0).reshape(4, 5)[1:3],
        "half": torch.randn(3, 4).half().T,
        "brain": torch.randn(7).bfloat16(),
    }
    whole = {"state_dict": model.state_dict(), "epoch": 3, "rate": 0.1, "steps": [1, 2]}
    torch.save(state, tmp_path / "state.pth", _use_new_zipfile_serialization=zipped)
    torch.save(whole, tmp_path / "whole.pth", _use_new_zipfile_serialization=zipped)
    for path, expected in ((tmp_path / "state.pth", state), (tmp_path / "whole.pth", model.state_dict())):
        assert looks_like_torch(path.read_bytes()[:512])
        read = _read(path)
        assert list(read) == list(expected)
        for name, values in expected.items():
            assert np.array_equal(read[name].astype(np.float64), values.double().numpy()), name


@pytest.mark.skipif(WITHOUT_TORCH, reason="needs torch")
@both_forms
def test_torch_reads_what_the_tests_write(tmp_path: Path, write: Write) -> None:
    import torch

    read = torch.load(write(tmp_path / "weights.pth", _some()), weights_only=True)
    assert {name: each.numpy().tolist() for name, each in read.items()} == {
        name: values.tolist() for name, values in _some().items()
    }


def test_other_archives_are_not_taken_for_torch(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("weights/data.pkl", "")
    for content in ((tmp_path / "model.keras").read_bytes(), b"", b"PK\3\4", b"PK\3\4" + bytes(40)):
        assert not looks_like_torch(content[:512])
