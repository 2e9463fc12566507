"""Hostile bundles are refused: each with its code, fast, in little memory, and without touching anything."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import graft.bundle.checks
import graft.bundle.format
from graft.bundle.format import read_bundle
from graft.core.errors import GraftError, IntegrityProblem
from tests.bundle.making import contents, install_tiny, rewrite, write_tiny
from tests.hostile.bundle_attacks import ATTACKS, with_layers

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 0.2
MEMORY_BYTES = 50 << 20
NEEDS_POSIX = {"a_named_pipe", "a_symbolic_link"}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        install_tiny(patch.setattr)
        return write_tiny(tmp_path_factory.mktemp("good") / "classifier.graft")


@pytest.fixture(scope="module")
def report(good: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All attacks, read one after the other by one watched child."""
    folder = tmp_path_factory.mktemp("attacks")
    for name, (_, make) in ATTACKS.items():
        if os.name == "nt" and name in NEEDS_POSIX:
            continue
        shutil.copy(good, folder / f"{name}.graft")
        make(folder / f"{name}.graft")
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "tests.hostile.bundle_child", str(good), str(folder)]
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_there_are_at_least_sixty_attacks() -> None:
    assert len(ATTACKS) >= 60


@pytest.mark.parametrize("name", ATTACKS)
def test_it_is_refused_with_its_code_and_fast(report: dict[str, Any], name: str) -> None:
    if os.name == "nt" and name in NEEDS_POSIX:
        pytest.skip("needs links and pipes")
    if name == "nothing":
        pytest.skip("no file, no result: see test_format")
    result = report["results"][name]
    assert result["code"] == ATTACKS[name][0], result
    assert result["seconds"] < SECONDS
    assert len(result["message"]) < 1000


def test_sabotage_layers_that_are_left_as_they_are_are_accepted(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So each attack on them is refused for what it changes."""
    install_tiny(monkeypatch.setattr)
    description, arrays = contents(good)
    with_layers(description, arrays)
    rewrite(tmp_path / "layered.graft", description, arrays)
    manifest, tensors = read_bundle(tmp_path / "layered.graft")
    tensors.close()
    assert [each.units for each in manifest.head.hidden] == [5, 4]


def test_all_attacks_together_cost_little_memory(report: dict[str, Any]) -> None:
    assert report["memory_bytes"] < MEMORY_BYTES


def test_no_attack_runs_writes_or_connects_anything(report: dict[str, Any]) -> None:
    assert report["events"] == []


def test_the_watch_would_see_it(good: Path) -> None:
    """The canary sings: the same hook notices a file being written and a process started."""
    code = (
        "import sys, tests.hostile.bundle_child as child\n"
        "from pathlib import Path\n"
        "def evil(path):\n"
        "    open(sys.argv[1] + '.evil', 'w').close(); import os; os.system('true'); raise child.GraftError('no')\n"
        "real = child.read_bundle\n"
        "child.install_tiny(setattr)\n"
        "child.read_bundle = lambda path: evil(path) if seen else (seen.append(1), real(path))[1]\n"
        "seen = []\n"
        "print(child.main(Path(sys.argv[1]), Path(sys.argv[1]).parent)['events'])\n"
    )
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    done = subprocess.run(
        [sys.executable, "-c", code, str(good)], cwd=ROOT, env={**os.environ, "PYTHONPATH": paths}, capture_output=True
    )
    Path(f"{good}.evil").unlink()
    assert b".evil" in done.stdout, done.stderr.decode()
    assert b"os.system" in done.stdout


@pytest.mark.parametrize(
    ("gate", "attack"),
    [
        ("check_layout", "weights_missing"),
        ("check_values", "nan_in_backbone_stem_kernel"),
        ("_check_hashes", "bit_flipped_in_head_kernel"),
    ],
)
def test_each_gate_is_what_refuses(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gate: str, attack: str
) -> None:
    """With one gate taken out its attack passes: so it is this gate that works."""
    install_tiny(monkeypatch.setattr)
    path = tmp_path / "classifier.graft"
    shutil.copy(good, path)
    ATTACKS[attack][1](path)
    with pytest.raises(IntegrityProblem):
        read_bundle(path)
    monkeypatch.setattr(graft.bundle.format, gate, lambda *arguments: None)
    read_bundle(path)[1].close()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_damage_is_refused_or_harmless(good: Path, tmp_path: Path, data: st.DataObject) -> None:
    """Bytes flipped, cut out, put in or spliced, most of them in the header: a coded refusal, never anything else."""
    raw = bytearray(good.read_bytes())
    header = int.from_bytes(raw[:8], "little") + 8
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, header if data.draw(st.booleans()) else len(raw)))
        kind = data.draw(st.sampled_from(("set", "cut", "insert", "end")))
        if kind == "set" and at < len(raw):
            raw[at] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del raw[at : at + data.draw(st.integers(1, 64))]
        elif kind == "insert":
            raw[at:at] = data.draw(st.binary(max_size=16))
        else:
            del raw[at:]
    path = tmp_path / "damaged.graft"
    path.write_bytes(raw)
    with pytest.MonkeyPatch.context() as patch:
        install_tiny(patch.setattr)
        try:
            read_bundle(path)[1].close()
        except GraftError:
            return
    assert bytes(raw) == good.read_bytes()
