"""The sample: real digits as a plain data folder, made whole or not at all."""

from collections import Counter
from pathlib import Path

import pytest

from graft.core.errors import BadInput
from graft.data import sample
from graft.data.images import decode
from graft.data.sample import write_digits_sample
from graft.data.sources import read_source
from tests.data.folders import RULES


def test_ten_classes_of_digits(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "digits"
    write_digits_sample(folder)
    source = read_source(folder)
    assert source.classes == tuple("0123456789")
    counts = Counter(entry.label for entry in source.entries)
    assert sum(counts.values()) == 1_797
    assert min(counts.values()) > 170
    pixels = decode((folder / source.entries[0].path).read_bytes(), rules=RULES)
    assert pixels.shape == (32, 32, 3)
    assert pixels.max() == 255  # paper
    assert pixels.min() < 60  # ink
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.png")}
    write_digits_sample(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.png")} == before
    assert list(folder.parent.iterdir()) == [folder]


def test_an_occupied_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_bytes(b"mine")
    with pytest.raises(BadInput) as caught:
        write_digits_sample(tmp_path)
    assert caught.value.code == "already_exists"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_stop_midway_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter(range(20))
    real = sample.encode_png

    def stop(pixels):
        if next(calls) == 10:
            raise KeyboardInterrupt
        return real(pixels)

    monkeypatch.setattr(sample, "encode_png", stop)
    with pytest.raises(KeyboardInterrupt):
        write_digits_sample(tmp_path / "digits")
    assert list(tmp_path.iterdir()) == []
