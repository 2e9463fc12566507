"""No file speaks of how it came about: of the places and meetings in which it was written."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT

SKIPPED = {
    ".git",
    ".venv",
    "__pycache__",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".hypothesis",
    "build",
    "dist",
}
# Each pattern is written so that it does not match itself.
PATTERNS = {
    "a place on one machine": re.compile(r"(?<![\w.])/(wor[k]|roo[t]|tmp/la[b])/|/hom[e]/[a-z]+/|[C]:\\Users\\\w"),
    "a sitting": re.compile(r"""(?<!scope=["'])\bsession[s]?\b""", re.IGNORECASE),
    "a number in a tracker": re.compile(
        r"\b(issu[e]|pull reques[t]|ticke[t])s? ?#?\d+|(?<![&\w\"'(=:#-])#\d+\b(?![\"';])", re.I
    ),
    "who wrote it": re.compile(r"\bengineer \d|\bCONTRACT[S]\.md|\b(claud[e]|chatgp[t]|copilo[t])\b", re.IGNORECASE),
    "unfinished work": re.compile(r"\b(TOD[O]|FIXM[E]|XX[X])\b"),
}


def findings(text: str) -> list[str]:
    """What a text says that it should not, with the line's number."""
    return [
        f"line {number} names {what}: {match.group()!r}"
        for number, line in enumerate(text.splitlines(), 1)
        for what, pattern in PATTERNS.items()
        if (match := pattern.search(line))
    ]


def project_files() -> Iterator[Path]:
    """The files of the project: what git tracks or would track, or all but the skipped folders where git is missing."""
    try:
        words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        listed = subprocess.run(words, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
        paths = [ROOT / name for name in listed if name]
    except (OSError, subprocess.CalledProcessError):
        paths = [path for path in ROOT.rglob("*") if not SKIPPED & set(path.relative_to(ROOT).parts)]
    return (path for path in paths if path.is_file())


def test_no_file_names_where_it_was_written():
    problems = []
    for path in project_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # an image or an array
        problems += [f"{path.relative_to(ROOT)}: {finding}" for finding in findings(text)]
    assert problems == []


def test_the_files_are_found():
    names = {path.relative_to(ROOT).as_posix() for path in project_files()}
    assert {"pyproject.toml", "Makefile", "README.md", "src/graft/__init__.py", "tests/conftest.py"} <= names


@pytest.mark.parametrize(
    "text",
    [
        "see /" + "work/shared",
        "cd /" + "tmp/lab/v",
        "in this sess" + "ion we",
        "fixes iss" + "ue 12",
        "as in #" + "12",
        "by engin" + "eer 7",
        "# TO" + "DO: later",
    ],
)
def test_sabotage_words_are_noticed(text):
    assert len(findings(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        '@pytest.fixture(scope="session")',
        "color: #444;",
        'fill="#123456"',
        "&#39;",
        "framework/x",
        "src/work/x",
        "PR curve",
    ],
)
def test_ordinary_text_is_left_alone(text):
    assert findings(text) == []
