"""Whatever ends a writer, its artefact is the old one or the new one, by hash; and a writer that fails says so."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from graft.core.errors import ResourceProblem
from graft.core.files import CRASH_EXIT_STATUS, CRASH_POINTS, sweep_stray
from graft.core.hashing import sha256_file
from tests.crash import faults
from tests.crash.writers import SABOTAGE, WRITERS, Writer

ROOT = Path(__file__).resolve().parents[2]
DURABLE = {"after_rename", "before_directory_fsync"}  # from here on the artefact is the new one
posix_only = pytest.mark.skipif(os.name == "nt", reason="Windows knows no limit of a file's size")


def run_writer(row: str, folder: Path, version: int, *, crash_at: str = "", largest: str = "") -> tuple[int, str]:
    """Exit status and output of a process that writes once."""
    paths = [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    if crash_at:
        environment["GRAFT_CRASH_AT"] = f"{row}:{crash_at}"
    command = [sys.executable, "-m", "tests.crash.writers", row, str(folder), str(version), *filter(None, [largest])]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended.returncode, ended.stdout


def reference_hash(writer: Writer, folder: Path, version: int) -> str:
    """What the artefact of `version` must hash to."""
    folder.mkdir()
    return sha256_file(writer(folder, version))


def visible(folder: Path) -> list[str]:
    """What a reader sees: strays are ignored by everyone."""
    return sorted(path.name for path in folder.iterdir() if not re.fullmatch(r"\.graft-.*\.tmp", path.name))


def crash_and_judge(row: str, writer: Writer, point: str, tmp_path: Path) -> None:
    """Crash at `point` while version 2 replaces version 1; judge the artefact, then write again and sweep."""
    old, new = (reference_hash(writer, tmp_path / f"reference{version}", version) for version in (1, 2))
    assert old != new
    folder = tmp_path / "place"
    folder.mkdir()
    path = writer(folder, 1)
    status, _ = run_writer(row, folder, 2, crash_at=point)
    assert status == CRASH_EXIT_STATUS, f"the writer never passed {point}"
    assert visible(folder) == [path.name]
    assert sha256_file(path) == (new if point in DURABLE else old)
    assert writer(folder, 2) == path
    assert sha256_file(path) == new
    sweep_stray(folder, older_than_seconds=-1.0)
    assert [each.name for each in folder.iterdir()] == [path.name]


@pytest.mark.parametrize("point", CRASH_POINTS)
@pytest.mark.parametrize("row", WRITERS)
def test_crash_leaves_old_or_new(row: str, point: str, tmp_path: Path) -> None:
    crash_and_judge(row, WRITERS[row], point, tmp_path)


@pytest.mark.parametrize("row", WRITERS)
def test_first_write_that_crashes_leaves_nothing(row: str, tmp_path: Path) -> None:
    status, _ = run_writer(row, tmp_path, 1, crash_at="before_rename")
    assert status == CRASH_EXIT_STATUS
    assert visible(tmp_path) == []


def test_sabotage_a_naive_writer_is_caught(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        crash_and_judge("naive", SABOTAGE["naive"], "half_written", tmp_path)


def test_sabotage_a_hook_that_is_not_passed_is_caught(tmp_path: Path) -> None:
    with pytest.raises((AssertionError, FileNotFoundError)):
        crash_and_judge("never", SABOTAGE["never"], "before_rename", tmp_path)


@posix_only
@pytest.mark.parametrize("row", WRITERS)
def test_full_disk_for_real(row: str, tmp_path: Path) -> None:
    path = WRITERS[row](tmp_path, 1)
    old = sha256_file(path)
    status, output = run_writer(row, tmp_path, 2, largest="65536")
    assert status == 3
    told = json.loads(output)
    assert told["code"] == "disk_full"
    needed, free = (int(number) for number in re.findall(r"(\d+) bytes", told["message"]))
    assert needed > 65536
    assert free > 0
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    assert sha256_file(path) == old
    assert run_writer(row, tmp_path, 2) == (0, "")
    assert sha256_file(path) == reference_hash(WRITERS[row], tmp_path / "reference", 2)


def fail_and_judge(writer: Writer, fault: tuple[str, str, int, int, str], folder: Path) -> None:
    """Let the disk fail while version 2 replaces version 1: a coded error, the old content, no stray."""
    _, call, number, after, code = fault
    path = writer(folder, 1)
    old = sha256_file(path)
    with pytest.MonkeyPatch.context() as patch:
        shim = faults.install(patch, folder)
        shim.fail(call, number, after=after)
        with pytest.raises(ResourceProblem) as caught:
            writer(folder, 2)
    assert caught.value.code == code
    assert caught.value.exit_status == 3
    assert caught.value.hint
    assert sha256_file(path) == old
    assert [each.name for each in folder.iterdir()] == [path.name]


@pytest.mark.parametrize("fault", faults.DISK_FAULTS, ids=lambda fault: fault[0])
@pytest.mark.parametrize("row", WRITERS)
def test_failing_disk(row: str, fault: tuple[str, str, int, int, str], tmp_path: Path) -> None:
    fail_and_judge(WRITERS[row], fault, tmp_path)


@pytest.mark.parametrize("row", SABOTAGE)
def test_sabotage_writers_without_care_are_caught(row: str, tmp_path: Path) -> None:
    (tmp_path / f"{row}.bin").write_bytes(b"old")
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        fail_and_judge(SABOTAGE[row], faults.DISK_FAULTS[3], tmp_path)


@pytest.mark.parametrize("row", WRITERS)
def test_vanished_folder_for_real(row: str, tmp_path: Path) -> None:
    status, output = run_writer(row, tmp_path / "gone", 1)
    assert (status, json.loads(output)["code"]) == (3, "cannot_write")
    assert not (tmp_path / "gone").exists()


def judge_order(seen: list[tuple[str, str]], name: str) -> None:
    """Temporary file in the same folder -> write -> fsync -> close -> rename -> fsync of the folder, nothing else."""
    steps = [call + (" folder" if each == "." else "") for call, each in seen]
    shrunk = [step for position, step in enumerate(steps) if position == 0 or step != steps[position - 1]]
    assert shrunk == ["open", "write", "fsync", "close", "replace", "open folder", "fsync folder", "close folder"]
    temporaries = {each for call, each in seen if call in {"open", "write", "fsync"} and each != "."}
    assert len(temporaries) == 1
    assert re.fullmatch(r"\.graft-.*\.tmp", temporaries.pop())
    assert [each for call, each in seen if call == "replace"] == [name]


@posix_only
@pytest.mark.parametrize("row", WRITERS)
def test_order_of_system_calls(row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shim = faults.install(monkeypatch, tmp_path)
    path = WRITERS[row](tmp_path, 1)
    judge_order(shim.seen, path.name)


@posix_only
@pytest.mark.parametrize("left_out", ["fsync", "fsync folder"])
def test_sabotage_a_left_out_fsync_is_caught(left_out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    function = {"fsync": "_fsync", "fsync folder": "_fsync_directory"}[left_out]
    monkeypatch.setattr(f"graft.core.files.{function}", lambda _: None)
    shim = faults.install(monkeypatch, tmp_path)
    path = WRITERS["bytes"](tmp_path, 1)
    with pytest.raises(AssertionError):
        judge_order(shim.seen, path.name)
