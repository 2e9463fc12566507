"""`graft cache`: what it shows and does, by the real pipeline on a small cache."""

import json
from pathlib import Path

import numpy as np
import pytest

from graft.cli import cache as command
from graft.cli.main import main
from graft.core.files import make_directory
from graft.core.tensors import tensors_sha256, write_tensors
from graft.features.store import Store, row_id
from graft.pipeline.kept import PLACES


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    Store(tmp_path / "cache" / "store", 1 << 30).put("ab" * 32, [row_id("0" * 64)], {"x:avg": np.ones((1, 9), "f2")})
    make_directory(tmp_path / "cache" / "weights")
    tensors = {"conv/kernel": np.ones((3, 3), np.float32)}
    metadata = {"tensors_sha256": tensors_sha256(tensors)}
    write_tensors(tmp_path / "cache" / "weights" / "w.safetensors", tensors, metadata=metadata, writer="test")
    return tmp_path / "cache"


def flip(cache: Path, pattern: str) -> None:
    path = next(cache.rglob(pattern))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_show(cache, capsys):
    assert main(["cache", "show"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(str(cache)) and "GRAFT_CACHE_CAP" in out and "Next: graft cache verify" in out
    lines = {line.split()[0]: line for line in out.splitlines() if line}
    assert lines["activations"].split()[1] == "1" and "just now" in lines["weights"]
    assert main(["cache", "show", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert {kind["name"]: kind["count"] for kind in value["kinds"]}["activations"] == 1
    assert value["networks"][0]["rows"] == 1 and value["free_bytes"] > 0


def test_verify(cache, capsys):
    assert main(["cache", "verify"]) == 0
    assert capsys.readouterr().out.startswith("2 of 2 things are sound")
    flip(cache, "w.safetensors")
    assert main(["cache", "verify"]) == 4
    out = capsys.readouterr().out
    assert "damaged: weights" in out and "Next: graft cache verify --repair" in out
    assert main(["cache", "verify", "--json"]) == 4
    assert json.loads(capsys.readouterr().out)["damaged"][0]["kind"] == "weights"
    assert main(["cache", "verify", "--repair"]) == 0
    out = capsys.readouterr().out
    assert "removed: weights" in out and "again with --weights FILE" in out


def test_clear(cache, capsys):
    assert main(["cache", "clear", "all"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Removed 1 activations (") and "1 imported weights stayed" in out
    assert main(["cache", "clear", "weights", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["removed"][0]["count"] == 1
    assert main(["cache", "clear", "all"]) == 0
    assert capsys.readouterr().out == "There was nothing to remove.\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "show|verify|clear must be given."),
        (["clean"], "show|verify|clear must be one of show, verify, clear, got 'clean'."),
        (["clear"], "KIND must be given."),
        (["clear", "everything"], "KIND must be one of activations, compiled, weights,"),
        (["show", "weights"], "Nothing may follow show, got 'weights'."),
        (["show", "--repair"], "--repair must follow verify."),
    ],
)
def test_refusals(words, message, cache, capsys):
    assert main(["cache", *words]) == 2
    assert message in capsys.readouterr().err


def test_each_kind_has_a_meaning():
    assert set(command.MEANINGS) == set(PLACES)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "just now"), (59, "just now"), (60, "1 minute ago"), (7300, "2 hours ago"), (90_000, "1 day ago")],
)
def test_ages(seconds, text, monkeypatch):
    monkeypatch.setattr(command.time, "time", lambda: 1e9 + seconds)
    assert command._ago(1e9) == text


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (8_400_000, "8.4 MB"), (14_000_000_000, "14.0 GB")],
)
def test_sizes(n_bytes, text):
    from graft.cli.console import byte_size

    assert byte_size(n_bytes) == text
