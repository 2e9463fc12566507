"""Set-up files agree with each other: floors, pins, targets, licence."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.architecture.sources import PACKAGE, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REQUIREMENTS = [
    Requirement(text)
    for text in (
        *PROJECT["dependencies"],
        *(each for extra in PROJECT["optional-dependencies"].values() for each in extra),
    )
]


def pins() -> dict[str, Version]:
    """The constraints file for this Python: canonical name -> version."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert all([each.operator for each in requirement.specifier] == ["=="] for requirement in pinned)
    here = [requirement for requirement in pinned if requirement.marker is None or requirement.marker.evaluate()]
    return {canonicalize_name(each.name): Version(next(iter(each.specifier)).version) for each in here}


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda each: each.name)
def test_each_requirement_has_a_floor_that_its_pin_keeps(requirement):
    assert any(each.operator == ">=" for each in requirement.specifier)
    assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])


def test_each_floor_has_a_reason():
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    for place, line in enumerate(lines):
        if re.match(r'\s+"[\w-]+>=', line):
            above = next(other for other in reversed(lines[:place]) if '"tensorflow' not in other)
            assert "# " in line or above.lstrip().startswith("# "), line


def test_constraints_name_no_host_and_no_path():
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert not re.search(r"://|^-|@ ", text, re.MULTILINE)


def test_the_licence_is_the_one_that_is_declared():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert PROJECT["license"] == "Apache-2.0"
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_types_are_shipped():
    assert (PACKAGE / "py.typed").exists()


def test_continuous_integration_runs_what_people_run():
    path = ROOT / ".ci" / "run"
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
    assert lines[-4:] == ["make test", "make test-wide", "make test-page", "make check"]
    assert os.name == "nt" or os.access(path, os.X_OK)


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_says_what_is_missing_without_python(tmp_path: Path):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    ended = subprocess.run(
        ["make", "demo", "PYTHON=no-such-python"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode != 0
    assert "Graft needs Python 3.11 or newer" in ended.stderr
    assert not (tmp_path / ".venv").exists()
