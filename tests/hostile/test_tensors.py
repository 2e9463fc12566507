"""Each malformed file of tensors is refused with a code, quickly and without allocating what it asks for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from graft.core import tensors
from graft.core.errors import GraftError, IntegrityProblem
from graft.core.tensors import read_tensors, write_tensors
from tests.hostile.tensor_attacks import GOOD, attacks, packed

ROOT = Path(__file__).resolve().parents[2]
ATTACKS = attacks()
REFUSAL_SECONDS = 0.2
REFUSAL_BYTES = 50 << 20


@pytest.mark.parametrize("name", ATTACKS)
def test_refused_for_the_right_reason(name: str, tmp_path: Path) -> None:
    content, says = ATTACKS[name]
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(IntegrityProblem) as caught:
        read_tensors(tmp_path / "file", source="SOURCE")
    assert caught.value.code == "bundle_invalid"
    assert says in caught.value.message
    assert caught.value.message.startswith("SOURCE: ")
    assert len(caught.value.message) < 400


def test_the_file_that_attacks_are_made_from_is_good(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(packed(GOOD))
    with read_tensors(tmp_path / "file") as file:
        assert file.tensors["x"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("gate", ["_entry", "_counts"])
def test_sabotage_without_a_gate_an_attack_passes_it(
    gate: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lenient = {
        "_entry": lambda name, fields, source, code: tensors._Entry(name, "U8", (0,), *fields["data_offsets"]),
        "_counts": lambda value: True,
    }
    name = {"_entry": "dtype lies, wider", "_counts": "shape twice negative"}[gate]
    monkeypatch.setattr(tensors, gate, lenient[gate])
    with pytest.raises((AssertionError, ValueError, pytest.fail.Exception)):
        test_refused_for_the_right_reason(name, tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux tells it")
def test_refusals_are_quick_and_small(tmp_path: Path) -> None:
    paths = os.pathsep.join(filter(None, [str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    ended = subprocess.run(
        [sys.executable, "-m", "tests.hostile.tensor_attacks", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    told = json.loads(ended.stdout)
    assert told["seconds"].keys() == ATTACKS.keys()
    slow = {name: seconds for name, seconds in told["seconds"].items() if seconds > REFUSAL_SECONDS}
    assert slow == {}
    assert told["bytes"] < REFUSAL_BYTES


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_devices_folders_and_links_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    write_tensors(tmp_path / "file", {}, metadata={}, writer="test")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path, tmp_path / "link", tmp_path / "loop"):
        with pytest.raises(IntegrityProblem):
            read_tensors(path)
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path, tmp_path / "loop"):
        with pytest.raises(GraftError):
            read_tensors(path, follow_links=True)


def test_each_cut_and_each_flipped_bit_of_the_header_is_refused_or_harmless(tmp_path: Path) -> None:
    import numpy as np

    values = {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "mask": np.array([True, False])}
    write_tensors(tmp_path / "file", values, metadata={"k": "v"}, writer="test")
    content = (tmp_path / "file").read_bytes()
    data = sum(value.nbytes for value in values.values())
    path = tmp_path / "damaged"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(IntegrityProblem):
            read_tensors(path)
    for position in range(len(content) - data):
        for bit in (position % 8, (position + 5) % 8):
            path.write_bytes(content[:position] + bytes([content[position] ^ (1 << bit)]) + content[position + 1 :])
            try:
                with read_tensors(path) as file:
                    assert sum(value.nbytes for value in file.tensors.values()) == data
            except IntegrityProblem:
                continue
