import gc
import os

import ml_dtypes
import numpy as np
import pytest

from graft.core.errors import ResourceProblem
from graft.features.records import Output
from graft.features.table import Table, as_stored, bytes_needed, spacious


@pytest.mark.parametrize("limit", [0, 1 << 20])
def test_rows_come_back_where_they_were_put(tmp_path, limit):
    values = np.arange(20, dtype=np.float16).reshape(5, 4)
    table = Table(tmp_path / "scratch", 5, in_memory_bytes=limit)
    table.write(np.array([4, 0]), {"b": values[[4, 0]], "a": values[[4, 0], :1]})
    table.write(np.array([1, 2, 3]), {"a": values[1:4, :1], "b": values[1:4]})
    arrays = table.finish(["a", "b"])
    assert list(arrays) == ["a", "b"]
    assert (arrays["b"] == values).all() and (arrays["a"] == values[:, :1]).all()
    assert isinstance(arrays["b"], np.memmap) == (limit == 0)
    with pytest.raises(ValueError, match="read-only"):
        arrays["a"][0] = 1


def test_a_file_of_bfloat16_keeps_its_values(tmp_path):
    values = np.linspace(-1e30, 1e30, 24, dtype=np.float32).reshape(2, 2, 2, 3).astype(ml_dtypes.bfloat16)
    table = Table(tmp_path, 2, in_memory_bytes=0)
    table.write(np.array([0, 1]), {"x": values})
    assert (table.finish(["x"])["x"] == values).all()


def test_the_disk_is_given_back(tmp_path):
    table = Table(tmp_path, 3, in_memory_bytes=0)
    table.write(np.array([0]), {"x": np.ones((1, 4), np.float16)})
    arrays = table.finish(["x"])
    del table, arrays
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_error_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "posix_fallocate", _full, raising=False)
    table = Table(tmp_path, 3, in_memory_bytes=0)
    with pytest.raises(ResourceProblem) as caught:
        table.write(np.array([0]), {"x": np.ones((1, 4), np.float16)})
    assert caught.value.code == "disk_full" and "24 bytes" in caught.value.message


def _full(*_):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("pooling", ["avg", "max"])
def test_vectors_are_kept_as_float16_and_never_become_infinite(pooling):
    stored = as_stored(np.array([1.0001, 7e4, -1e30], np.float32), Output(layer="x", pooling=pooling))
    assert stored.dtype == np.float16
    assert stored.tolist() == [1.0, 65504.0, -65504.0]


def test_whole_activations_keep_their_range():
    stored = as_stored(np.array([1.0, 3e38], np.float32), Output(layer="x", pooling="none"))
    assert stored.dtype == ml_dtypes.bfloat16
    assert np.isfinite(stored.astype(np.float32)).all()


@pytest.mark.parametrize("exact", [False, True])
def test_the_bytes_of_views_are_known_before_any_is_made(tmp_path, exact):
    outputs = (Output(layer="cut", pooling="none"), Output(layer="cut"), Output(layer="low", pooling="max"))
    needed = bytes_needed(outputs, {"cut": (3, 5, 7), "low": (9, 9, 2)}, photos=4, views=6, exact=exact)
    table = Table(tmp_path, 24)
    values = {"cut:none": (3, 5, 7), "cut:avg": (7,), "low:max": (2,)}
    made = {name: np.zeros((1, *shape), np.float32) for name, shape in values.items()}
    stored = {output.name: made[output.name] if exact else as_stored(made[output.name], output) for output in outputs}
    table.write(np.array([0]), stored)
    assert needed == sum(array.nbytes for array in table.finish(list(values)).values())


def test_an_array_is_in_memory_up_to_its_limit_and_in_a_file_above(tmp_path):
    small, large = (spacious(tmp_path / "scratch", (2, 3), np.float32, limit) for limit in (24, 23))
    assert not isinstance(small, np.memmap) and isinstance(large, np.memmap)
    assert small.shape == large.shape == (2, 3) and small.dtype == large.dtype == np.float32
