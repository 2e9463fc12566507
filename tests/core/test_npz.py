import io
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

from graft.core.errors import ResourceProblem
from graft.core.files import Assembly, assemble_atomic
from graft.core.npz import NpzRows

MAPS = np.random.default_rng(0).normal(size=(11, 3, 2)).astype(np.float32)
VECTORS = np.arange(55, dtype=np.float16).reshape(11, 5)
NAMES = np.array([f"photo {number} ä" for number in range(11)])


def write(path: Path, order, sizes) -> None:
    """All rows in the given order, some at a time."""
    fields = {"maps": (MAPS.dtype, (3, 2)), "vectors": (VECTORS.dtype, (5,))}
    with assemble_atomic(path, writer="npz") as file:
        rows = NpzRows(file, fields, len(MAPS))
        at = 0
        for size in sizes:
            some = np.array(order[at : at + size])
            rows.rows("vectors", some, VECTORS[some])
            rows.rows("maps", some, MAPS[some])
            at += size
        rows.finish({"names": NAMES, "about": np.array('{"a": 1}'), "none": np.zeros((0, 4))})


def judge(path: Path) -> None:
    with np.load(path, allow_pickle=False) as found:
        assert list(found) == ["maps", "vectors", "names", "about", "none"]
        assert found["maps"].dtype == np.float32 and (found["maps"] == MAPS).all()
        assert found["vectors"].dtype == np.float16 and (found["vectors"] == VECTORS).all()
        assert (found["names"] == NAMES).all() and found["about"].item() == '{"a": 1}'
        assert found["none"].shape == (0, 4)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None


@pytest.mark.parametrize(
    ("order", "sizes"),
    [(range(11), [11]), (range(10, -1, -1), [4, 4, 3]), ([3, 1, 2, 9, 10, 0, 4, 8, 7, 6, 5], [6, 5])],
)
def test_rows_in_any_order_make_the_file_that_numpy_reads(order, sizes, tmp_path):
    write(tmp_path / "a.npz", list(order), sizes)
    judge(tmp_path / "a.npz")
    assert [each.name for each in tmp_path.iterdir()] == ["a.npz"]


def test_the_bytes_do_not_depend_on_the_order(tmp_path):
    write(tmp_path / "a.npz", list(range(11)), [11])
    write(tmp_path / "b.npz", list(range(10, -1, -1)), [5, 6])
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_sabotage_a_flipped_byte_is_found_by_the_sum(tmp_path):
    write(tmp_path / "a.npz", list(range(11)), [11])
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[200] ^= 1
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() == "maps.npy"


@pytest.mark.skipif(shutil.which("unzip") is None, reason="needs the program unzip")
def test_another_reader_takes_it(tmp_path):
    write(tmp_path / "a.npz", list(range(11)), [11])
    ended = subprocess.run(["unzip", "-t", tmp_path / "a.npz"], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


def test_an_error_leaves_the_old_file_and_no_other(tmp_path):
    write(tmp_path / "a.npz", list(range(11)), [11])
    with pytest.raises(KeyError), assemble_atomic(tmp_path / "a.npz", writer="npz") as file:
        file.write(b"something")
        raise KeyError
    judge(tmp_path / "a.npz")
    assert [each.name for each in tmp_path.iterdir()] == ["a.npz"]


def test_a_full_disk_is_told_before_the_work(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("graft.core.files.allocate", full)
    with pytest.raises(ResourceProblem) as caught:
        write(tmp_path / "a.npz", list(range(11)), [11])
    assert caught.value.code == "disk_full" and "a.npz" in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_an_assembly_is_read_and_written_like_a_file(tmp_path):
    with assemble_atomic(tmp_path / "a", writer="bytes") as file:
        assert isinstance(file, Assembly) and file.seekable() and file.readable() and file.writable()
        assert file.write(b"0123456789") == 10
        assert file.seek(4) == 4 and file.read(3) == b"456" and file.tell() == 7
        file.write(b"x")
    assert (tmp_path / "a").read_bytes() == b"0123456x89"


@pytest.mark.slow
def test_arrays_of_more_than_four_gibibytes(tmp_path):
    if shutil.disk_usage(tmp_path).free < 7 << 30:
        pytest.skip("needs 7 GiB of free disk")
    n_rows, width = (1 << 30) // 1024 + 5, 1024  # float32: 4 GiB and a little
    with assemble_atomic(tmp_path / "large.npz", writer="npz") as file:
        rows = NpzRows(file, {"first": (np.dtype("<f4"), (width,)), "second": (np.dtype("<f4"), (1,))}, n_rows)
        rows.rows("first", np.array([n_rows - 1]), np.full((1, width), 7, np.float32))
        rows.rows("second", np.arange(n_rows), np.arange(n_rows, dtype=np.float32)[:, None])
        rows.finish({"names": NAMES})
    with zipfile.ZipFile(tmp_path / "large.npz") as archive:
        assert archive.testzip() is None
        assert archive.getinfo("first.npy").file_size > 1 << 32
    with np.load(tmp_path / "large.npz", allow_pickle=False) as found:
        assert (found["second"][:, 0] == np.arange(n_rows)).all() and (found["names"] == NAMES).all()
