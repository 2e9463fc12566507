"""`graft data`: what is listed, what is said before and after a download, and the exit statuses."""

import json
from pathlib import Path
from typing import Any

import pytest

from graft.cli.main import main
from graft.pipeline import public_data as module
from tests.data.publications import cifar, sign_digits


@pytest.fixture
def brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    data, content = sign_digits()
    monkeypatch.setattr(module, "find_data", lambda name: data)
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.zip").write_bytes(content)
    return "file.zip"


def test_list_tells_names_sizes_and_terms(capsys: Any) -> None:
    assert main(["data", "list"]) == 0
    text = capsys.readouterr().out
    for word in (
        "sign_digits",
        "cats_and_dogs_small",
        "825 MB",
        "bring your own",
        "Apache-2.0",
        "graft data fetch NAME",
    ):
        assert word in text
    assert main(["data", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["data"]
    assert [data["name"] for data in listed] == ["sign_digits", "cats_and_dogs_small", "cifar10", "santa"]
    assert listed[2]["sha256"].startswith("c4a38c50")


def test_fetch_tells_the_terms_first_and_the_next_command_last(brought: str, capsys: Any) -> None:
    assert main(["data", "fetch", "sign_digits", "--from", brought]) == 0
    text = capsys.readouterr().out
    assert text.index("terms   Apache-2.0") < text.index("The 20 photos are in sign_digits now")
    assert "graft recipes run sign-digits-vgg16 sign_digits --split 1712/300/50" in text
    assert Path("sign_digits/TERMS.txt").is_file() and Path("sign_digits/9/IMG_2.JPG").is_file()
    assert main(["data", "fetch", "sign_digits"]) == 0
    assert "Nothing was downloaded" in capsys.readouterr().out


def test_fetch_for_programs_is_one_object_and_the_terms_stand_beside_it(brought: str, capsys: Any) -> None:
    assert main(["data", "fetch", "sign_digits", "--from", brought, "-o", "my digits", "--json"]) == 0
    out, err = capsys.readouterr()
    value = json.loads(out)
    assert value["photos"] == 20 and value["fetched"] and value["checked"] == "photos"
    assert value["folder"] == str(Path("my digits").absolute()) and Path(value["terms_file"]).is_file()
    assert "Apache-2.0" in err and "Apache-2.0" in value["terms"]


def test_what_was_checked_is_said(brought: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    data, content = cifar()
    monkeypatch.setattr(module, "find_data", lambda name: data)
    Path("c.tar.gz").write_bytes(content)
    assert main(["data", "fetch", "cifar10", "--from", "c.tar.gz"]) == 0
    assert "the archive has the SHA-256 that is known of it" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["fetch"], 2, "One NAME must be given, got 0."),
        (["fetch", "a", "b"], 2, "One NAME must be given, got 2."),
        (["fetch", "cifar"], 2, "Did you mean cifar10?"),
        (["fetch", "santa"], 3, "must be brought by you"),
        (["list", "cifar10"], 2, "Nothing may follow list"),
        (["list", "-o", "x"], 2, "Nothing may follow list"),
        (["load", "cifar10"], 2, "must be one of list, fetch"),
    ],
)
def test_what_cannot_be_done_is_said(words: list[str], status: int, said: str, capsys: Any) -> None:
    assert main(["data", *words]) == status
    assert said in capsys.readouterr().err


def test_offline_is_one_sentence_with_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    monkeypatch.setenv("GRAFT_OFFLINE", "1")
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    assert main(["data", "fetch", "cifar10", "--json"]) == 3
    out, err = capsys.readouterr()
    error = json.loads(out)["error"]
    assert error["code"] == "no_download" and "cifar-10-binary.tar.gz" in error["message"]
    assert "graft data fetch cifar10 --from FILE" in error["hint"]
    assert "no licence is stated" in err and not Path("cifar10").exists()
