"""What the machine offers."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from graft.core import machine
from graft.core.errors import BadInput

CPUINFO_X86 = "processor\t: 0\nflags\t\t: fpu avx2 amx_bf16 avx512f\n\nprocessor\t: 1\nflags\t\t: sve\n"
CPUINFO_ARM = "processor\t: 0\nBogoMIPS\t: 48.00\nFeatures\t: fp asimd bf16 sve\n"


def test_threads_follow_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFT_THREADS", " 3 ")
    assert machine.threads() == 3
    for wrong in ("0", "-1", "two", "1.5", "5000", "9" * 5000):
        monkeypatch.setenv("GRAFT_THREADS", wrong)
        with pytest.raises(BadInput, match="GRAFT_THREADS must be"):
            machine.threads()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs an affinity mask")
def test_threads_follow_the_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRAFT_THREADS", raising=False)
    before = os.sched_getaffinity(0)
    assert 1 <= machine.threads() <= len(before)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert machine.threads() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("content", "cpus"), [("150000 100000\n", 2), ("50000 100000\n", 1), ("max 100000\n", 1 << 20), ("", 1 << 20)]
)
def test_quota_of_a_container(content: str, cpus: int, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text(content)
    assert machine._quota_cpus(tmp_path / "cpu.max") == cpus
    assert machine._quota_cpus(tmp_path / "missing") == 1 << 20


def test_cache_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path))
    assert machine.cache_directory() == tmp_path
    monkeypatch.setenv("GRAFT_CACHE", "here")
    assert machine.cache_directory() == Path.cwd() / "here"
    monkeypatch.delenv("GRAFT_CACHE")
    assert machine.cache_directory().is_absolute()
    assert "graft" in str(machine.cache_directory())


@pytest.mark.parametrize(
    ("content", "flags"),
    [(CPUINFO_X86, {"avx2", "amx_bf16", "avx512f"}), (CPUINFO_ARM, {"asimd", "bf16", "sve"}), ("nothing\n", set())],
)
def test_flags_of_the_first_processor(content: str, flags: set[str], tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(content)
    assert machine.FEATURES.intersection(machine._linux_flags(tmp_path / "cpuinfo")) == flags
    assert machine._linux_flags(tmp_path / "missing") == []


def test_features_of_this_machine() -> None:
    features = machine.cpu_features()
    assert list(features) == sorted(set(features))
    assert machine.has_bfloat16() == bool({"amx_bf16", "avx512_bf16", "bf16"} & set(features))
    began = time.perf_counter()
    for _ in range(10):
        machine.cpu_features()
    assert (time.perf_counter() - began) / 10 < 0.02


def test_versions_import_nothing_heavy() -> None:
    code = "import sys, graft.core.machine as m; v = m.versions(); print(*sorted(v)); print(*sys.modules)"
    names, modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout.splitlines()
    assert {"graft", "python", "numpy", "pillow", "keras", "openvino", "scikit-learn"} <= set(names.split())
    assert not {"numpy", "keras", "openvino", "sklearn", "tensorflow", "rich"} & set(modules.split())


def test_versions_name_what_runs() -> None:
    import numpy as np

    import graft

    versions = machine.versions()
    assert versions["graft"] == graft.__version__
    assert versions["numpy"] == np.__version__
    assert versions["python"] == ".".join(map(str, sys.version_info[:3]))
