"""Checkpoints: a commit comes back bit for bit, is found out when damaged, and belongs to one training."""

import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graft.core.errors import BadInput, GraftError, IntegrityProblem, ResourceProblem
from graft.core.records import to_sealed_json
from graft.core.tensors import encode_header, read_tensors, tensors_sha256, write_tensors
from graft.training import checkpoints as module
from graft.training.checkpoints import Checkpoints, Commit

IDENTITY = {"backend": "tensorflow 2.21.0", "plan": "p" * 64}
N_CUTS = 20


def make(folder: Path, report: Callable[[str], None] = print, **changed: str) -> Checkpoints:
    return Checkpoints(folder, IDENTITY | changed, report)


def tensors(step: int) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(step)
    return {
        "weights/conv/kernel": draw.normal(size=(3, 3, 4, 5)).astype(np.float32),
        "optimizer/iterations": np.array(step, np.int64),
        "dropout/seed": draw.integers(0, 2**32, 2, np.uint32),
    }


def state(step: int) -> dict[str, Any]:
    return {"phase": 1, "best": {"loss": 0.1 + 1e-17 * step, "epoch": None}, "losses": [1 / 3] * 3, "name": "tête"}


def fill(folder: Path, *steps: int) -> Checkpoints:
    made = make(folder)
    made.load()
    for step in steps:
        made.save(step, tensors(step), state(step))
    return made


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def path_of(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}.safetensors"


def assert_holds(folder: Path, step: int, said: int = 0) -> list[str]:
    """The commit that a new process goes on from is that of `step`, bit for bit; returns what was reported."""
    told: list[str] = []
    saved = make(folder, told.append).load()
    assert saved is not None
    assert (saved.step, saved.state) == (step, state(step))
    assert tensors_sha256(saved.tensors) == tensors_sha256(tensors(step))
    assert len(told) == said
    return told


def test_nothing_there_is_none_and_the_folder_is_made(tmp_path: Path) -> None:
    assert make(tmp_path / "checkpoints").load() is None
    assert (tmp_path / "checkpoints").is_dir()


def test_the_newest_comes_back_and_two_are_kept(tmp_path: Path) -> None:
    fill(tmp_path, 5, 100_000_000, 7, 20, 120)
    assert names(tmp_path) == ["step-00000020.safetensors", "step-00000120.safetensors"]
    assert_holds(tmp_path, 120)


def test_steps_are_ordered_as_numbers(tmp_path: Path) -> None:
    fill(tmp_path, 99_999_999, 100_000_000)
    assert_holds(tmp_path, 100_000_000)


def test_the_same_state_gives_the_same_bytes(tmp_path: Path) -> None:
    fill(tmp_path / "a", 20, 120)
    fill(tmp_path / "b", 7, 20, 120)
    assert path_of(tmp_path / "a", 120).read_bytes() == path_of(tmp_path / "b", 120).read_bytes()


def test_a_commit_of_the_same_step_is_replaced(tmp_path: Path) -> None:
    made = fill(tmp_path, 3, 4)
    made.save(4, tensors(9), state(9))
    saved = make(tmp_path).load()
    assert saved is not None and saved.tensors["optimizer/iterations"] == 9
    assert names(tmp_path) == ["step-00000003.safetensors", "step-00000004.safetensors"]


def test_what_is_loaded_is_the_callers_own(tmp_path: Path) -> None:
    """Arrays may be changed, and the file replaced while they live (which Windows forbids to mapped files)."""
    made = fill(tmp_path, 1)
    saved = make(tmp_path).load()
    assert saved is not None
    saved.tensors["weights/conv/kernel"] += 1
    made.save(1, tensors(1), state(1))
    assert_holds(tmp_path, 1)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False)),
    st.integers(-(2**200), 2**200),
    st.text(st.characters(codec="utf-8")),
)
def test_numbers_and_text_come_back_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, floats: list[float], whole: int, text: str
) -> None:
    folder = tmp_path_factory.mktemp("exact")
    made = make(folder)
    made.save(0, {}, {"floats": floats, "whole": whole, "nested": {text: text}})
    saved = made.load()
    assert saved is not None
    assert (saved.state["whole"], saved.state["nested"]) == (whole, {text: text})
    assert struct.pack(f"{len(floats)}d", *saved.state["floats"]) == struct.pack(f"{len(floats)}d", *floats)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32(1), np.zeros(2), b"bytes", {1, 2}])
def test_what_json_cannot_hold_is_refused_before_anything_is_written(value: Any, tmp_path: Path) -> None:
    with pytest.raises((TypeError, ValueError)):
        make(tmp_path).save(1, tensors(1), {"value": value})
    assert names(tmp_path) == []


def test_at_least_one_is_kept(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 1, got 0"):
        Checkpoints(tmp_path, IDENTITY, print, keep=0)
    only = Checkpoints(tmp_path, IDENTITY, print, keep=1)
    only.save(1, tensors(1), state(1))
    only.save(2, tensors(2), state(2))
    assert names(tmp_path) == ["step-00000002.safetensors"]


def test_cleared_away(tmp_path: Path) -> None:
    made = fill(tmp_path / "checkpoints", 1, 2)
    made.clear()
    assert names(tmp_path) == []
    made.clear()
    assert made.load() is None


# Damage


def cuts(size: int) -> list[int]:
    """Lengths to cut a file to: nothing, within the header's length, the header and the arrays, and one byte less."""
    return sorted({0, 1, 7, 8, 9, size - 1, *np.linspace(10, size - 2, N_CUTS - 6, dtype=int).tolist()})


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    fill(folder, 20, 120)
    return folder


def copy_of(good: Path, folder: Path, newest: bytes) -> Path:
    for path in good.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    path_of(folder, 120).write_bytes(newest)
    return folder


def assert_passed_over(folder: Path) -> None:
    """The newest is reported as damaged, the one before is used, and both are named."""
    (told,) = assert_holds(folder, 20, said=1)
    for word in ("checkpoint_corrupt", "step-00000120.safetensors", "step-00000020.safetensors"):
        assert word in told


@pytest.mark.parametrize("number", range(N_CUTS))
def test_a_newest_commit_that_is_cut_off(number: int, good: Path, tmp_path: Path) -> None:
    whole = path_of(good, 120).read_bytes()
    assert len(cuts(len(whole))) == N_CUTS
    assert_passed_over(copy_of(good, tmp_path, whole[: cuts(len(whole))[number]]))


@pytest.mark.parametrize("mask", [0x01, 0x20, 0x80, 0x29, 0x28])
def test_a_newest_commit_with_any_byte_changed(mask: int, good: Path, tmp_path: Path) -> None:
    """0x20 changes the case of letters (\\u00ea to \\u00EA), 0x29 and 0x28 turn padding into tabs and backspaces."""
    whole = path_of(good, 120).read_bytes()
    folder = copy_of(good, tmp_path, whole)
    for place in range(0, len(whole)):
        changed = bytearray(whole)
        changed[place] ^= mask
        path_of(folder, 120).write_bytes(changed)
        with pytest.raises(IntegrityProblem):
            module._read(path_of(folder, 120))
    assert_passed_over(folder)  # the last byte is changed still


@pytest.mark.parametrize("step", [20, 120])
def test_one_byte_changed_in_each_file(step: int, good: Path, tmp_path: Path) -> None:
    folder = copy_of(good, tmp_path, path_of(good, 120).read_bytes())
    flip(path_of(folder, step), 700)
    if step == 120:
        assert_passed_over(folder)
    else:
        assert_holds(folder, 120)


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_none_good_is_an_error_and_never_a_restart(good: Path, tmp_path: Path) -> None:
    folder = copy_of(good, tmp_path, b"")
    flip(path_of(folder, 20), -1)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(IntegrityProblem) as caught:
        make(folder).load()
    assert (caught.value.code, caught.value.exit_status) == ("checkpoint_corrupt", 4)
    assert "step-00000120" in caught.value.message and "step-00000020" in caught.value.message
    assert str(folder) in caught.value.hint
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_damaged_commit_goes_when_the_next_is_durable(good: Path, tmp_path: Path) -> None:
    folder = copy_of(good, tmp_path, b"cut")
    made = make(folder)
    made.load()
    assert len(names(folder)) == 2, "evidence goes only when there is something better"
    made.save(60, tensors(60), state(60))
    assert names(folder) == ["step-00000020.safetensors", "step-00000060.safetensors"]
    assert_holds(folder, 60)


def test_what_is_no_commit_under_a_commits_name(good: Path, tmp_path: Path) -> None:
    folder = copy_of(good, tmp_path, b"x")
    newest = path_of(folder, 120)
    newest.unlink()
    newest.mkdir()
    assert_passed_over(folder)
    newest.rmdir()
    newest.write_bytes(path_of(folder, 20).read_bytes())  # a good one that was renamed
    assert_passed_over(folder)
    write_tensors(newest, tensors(120), metadata={}, writer="test")
    assert_passed_over(folder)


@pytest.mark.skipif(os.name == "nt", reason="Windows needs a right to make links")
def test_a_link_is_no_commit(good: Path, tmp_path: Path) -> None:
    folder = copy_of(good, tmp_path, b"x")
    path_of(folder, 120).unlink()
    path_of(folder, 120).symlink_to(path_of(good, 120))
    assert_passed_over(folder)


def test_sabotage_a_reader_that_checks_no_hash_is_caught(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy_of(good, tmp_path, path_of(good, 120).read_bytes())
    flip(path_of(folder, 120), -1)
    assert_passed_over(folder)
    monkeypatch.setattr(module, "tensors_sha256", lambda _: recorded_hash(path_of(folder, 120)))
    with pytest.raises(AssertionError):
        assert_passed_over(folder)


def recorded_hash(path: Path) -> str:
    with read_tensors(path) as file:
        return file.metadata["commit"].split('"tensors_sha256": "')[1][:64]


def test_a_commit_of_a_newer_graft_is_told_apart_from_damage(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    commit = Commit(step=2, identity=IDENTITY, state={}, tensors_sha256=tensors_sha256({}))

    class Newer(Commit):
        SCHEMA = "graft/checkpoint/2"

    newer = Newer(step=2, identity=IDENTITY, state={}, tensors_sha256=commit.tensors_sha256)
    write_tensors(path_of(tmp_path, 2), {}, metadata={"commit": to_sealed_json(newer).decode()}, writer="test")
    with pytest.raises(IntegrityProblem, match="newer Graft") as caught:
        make(tmp_path).load()
    assert caught.value.code == "future_schema"
    write_tensors(path_of(tmp_path, 2), {}, metadata={"commit": to_sealed_json(commit).decode()}, writer="test")
    saved = make(tmp_path).load()
    assert saved is not None and saved.step == 2


def test_another_processor_is_told_and_gone_on_with(tmp_path: Path) -> None:
    told: list[str] = []
    here = Checkpoints(tmp_path, IDENTITY, told.append, circumstances={"processor": "avx512_bf16"})
    assert here.load() is None
    here.save(3, {}, {})
    assert here.load() is not None and told == []
    there = Checkpoints(tmp_path, IDENTITY, told.append, circumstances={"processor": "avx2"})
    saved = there.load()
    assert saved is not None and saved.step == 3
    assert len(told) == 1 and "avx2" in told[0] and "avx512_bf16" in told[0]


def test_the_layout_stays_readable(tmp_path: Path) -> None:
    """A commit written by the first version that had them. Who changes the layout raises the schema's number."""
    content = Commit(step=2, identity={"plan": "p"}, state={"phase": 0}, tensors_sha256=tensors_sha256({}))
    text = (
        '{\n "circumstances": {},\n'
        ' "identity": {\n  "plan": "p"\n },\n "schema": "graft/checkpoint/1",\n "state": {\n  "phase": 0\n },\n'
        ' "step": 2,\n "tensors_sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",\n'
        ' "~sha256": "db73407dab7c02b7295d52d6ef8741634a1729f759fb0628cad2cf3d51a21bbb"\n}\n'
    )
    assert to_sealed_json(content).decode() == text
    path_of(tmp_path, 2).write_bytes(encode_header({}, {"commit": text}))
    saved = Checkpoints(tmp_path, {"plan": "p"}, print).load()
    assert saved is not None and saved.state == {"phase": 0}


# Another training's


def test_another_identity_is_refused_naming_each_field(tmp_path: Path) -> None:
    fill(tmp_path, 20, 120)
    other = Checkpoints(tmp_path, {"backend": "jax 0.10.0", "plan": IDENTITY["plan"], "keras": "3.15.1"}, print)
    with pytest.raises(BadInput) as caught:
        other.load()
    assert (caught.value.code, caught.value.exit_status) == ("resume_mismatch", 2)
    assert "backend (tensorflow 2.21.0 there, jax 0.10.0 now)" in caught.value.message
    assert "keras (nothing there, 3.15.1 now)" in caught.value.message
    assert "plan" not in caught.value.message.split("differs in")[1]
    assert "-o" in caught.value.hint
    assert len(names(tmp_path)) == 2


@pytest.mark.parametrize("field", IDENTITY)
def test_each_field_of_the_identity_counts(field: str, tmp_path: Path) -> None:
    fill(tmp_path, 1)
    with pytest.raises(BadInput, match=field):
        make(tmp_path, **{field: "another"}).load()
    with pytest.raises(BadInput, match=field):
        Checkpoints(tmp_path, {name: text for name, text in IDENTITY.items() if name != field}, print).load()
    assert_holds(tmp_path, 1)


def test_a_damaged_newest_does_not_hide_another_identity(good: Path, tmp_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(BadInput, match="plan"):
        make(copy_of(good, tmp_path, b""), told.append, plan="q").load()
    assert told == []


# Strays, and disks


def test_strays_are_ignored_and_swept_only_when_old(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    young, old, folder = (tmp_path / f".graft-host-1-{n}.tmp" for n in range(3))
    young.write_bytes(path_of(tmp_path, 1).read_bytes())
    old.write_bytes(b"half")
    folder.mkdir()
    (folder / "step-00000009.safetensors").write_bytes(b"half")
    then = time.time() - module.LEASE_SECONDS - 5
    os.utime(old, (then, then))
    os.utime(folder, (then, then))
    assert_holds(tmp_path, 1)
    assert names(tmp_path) == [young.name, "step-00000001.safetensors"]


@pytest.mark.parametrize("name", ["step-1.safetensors", "step-00000009.safetensors.part", "step-00000009", "notes.txt"])
def test_other_files_are_left_alone(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"mine")
    assert make(tmp_path).load() is None
    fill(tmp_path, 1, 2, 3)
    assert (tmp_path / name).read_bytes() == b"mine"


def test_a_disk_too_full_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = fill(tmp_path, 1, 2)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr("graft.core.files.free_bytes", lambda _: 700)
    with pytest.raises(ResourceProblem, match=r"needs 7\d\d bytes .* but 700 bytes are free") as caught:
        made.save(3, tensors(3), state(3))
    assert (caught.value.code, caught.value.exit_status) == ("disk_full", 3)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_vanished_folder_is_told(tmp_path: Path) -> None:
    made = fill(tmp_path / "run" / "checkpoints", 1)
    made.clear()
    with pytest.raises(ResourceProblem) as caught:
        made.save(2, tensors(2), state(2))
    assert caught.value.code == "cannot_write"
    assert not made.folder.exists()


def test_an_old_commit_that_cannot_go_does_not_stop_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = fill(tmp_path, 1, 2)

    def busy(path: Path) -> None:
        raise ResourceProblem(f"{path} is open.", code="cannot_write")

    with monkeypatch.context() as patch:
        patch.setattr(module, "remove_file", busy)
        made.save(3, tensors(3), state(3))
    assert len(names(tmp_path)) == 3
    made.save(4, tensors(4), state(4))
    assert names(tmp_path) == ["step-00000003.safetensors", "step-00000004.safetensors"]


def test_errors_are_coded(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_bytes(b"a file")
    with pytest.raises(GraftError) as caught:
        make(tmp_path / "checkpoints").load()
    assert caught.value.code == "already_exists"
