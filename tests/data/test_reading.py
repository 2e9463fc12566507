"""Reading one file: only regular ones, only below the root, never more than the limit."""

import os
from pathlib import Path

import pytest

from graft.core.errors import ImageRefused
from graft.data import reading
from graft.data.reading import read_bytes
from graft.data.records import ImageRules

RULES = ImageRules(max_bytes=100)


def code_of(path: Path, root: Path | None = None) -> str:
    with pytest.raises(ImageRefused) as caught:
        read_bytes(path, rules=RULES, root=root)
    return caught.value.code


def test_content_and_limit(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for size in (0, 1, 100):
        path.write_bytes(b"x" * size)
        assert read_bytes(path, rules=RULES) == b"x" * size
    path.write_bytes(b"x" * 101)
    assert code_of(path) == "too_many_bytes"


def test_a_file_that_grows_meanwhile_is_cut_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"x" * 500)
    monkeypatch.setattr(reading, "check_bytes", lambda count, rules: None)
    assert len(read_bytes(tmp_path / "a", rules=RULES)) == 101  # which the decoder's own check then refuses


def test_what_is_no_file(tmp_path: Path) -> None:
    assert code_of(tmp_path) == "not_a_file"
    assert code_of(tmp_path / "missing") == "not_found"
    assert code_of(tmp_path / "a\x00b") == "unreadable"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
@pytest.mark.timeout(10)
def test_a_pipe_does_not_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert code_of(tmp_path / "pipe") == "not_a_file"
    # exchanged for a pipe after it was looked at
    (tmp_path / "file").write_bytes(b"")
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, flags: real(tmp_path / "pipe", flags))
    assert code_of(tmp_path / "file") == "not_a_file"


@pytest.mark.skipif(not Path("/dev/null").is_char_device(), reason="this system has no devices as files")
def test_a_device() -> None:
    assert code_of(Path("/dev/zero")) == "not_a_file"


def test_links_and_dots(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "inner").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"s")
    (root / "good").write_bytes(b"g")
    try:
        (root / "in").symlink_to(root / "good")
        (root / "out").symlink_to(tmp_path / "secret")
        (root / "folder_out").symlink_to(tmp_path)
        (root / "circle").symlink_to(root / "circle")
        (root / "dangling").symlink_to(root / "nothing")
    except OSError:
        pytest.skip("this system does not let us make links")
    assert read_bytes(root / "in", rules=RULES, root=root) == b"g"
    assert code_of(root / "out", root) == "outside_root"
    assert code_of(root / "folder_out" / "secret", root) == "outside_root"
    assert code_of(root / "inner" / ".." / ".." / "secret", root) == "outside_root"
    assert code_of(tmp_path / "secret", root) == "outside_root"
    assert code_of(root / "circle", root) == "unreadable"
    assert code_of(root / "dangling", root) == "not_found"
    assert read_bytes(root / "out", rules=RULES) == b"s"  # without a root, links are the caller's affair


def test_a_root_that_is_a_link_itself(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_bytes(b"a")
    try:
        (tmp_path / "link").symlink_to(tmp_path / "real")
    except OSError:
        pytest.skip("this system does not let us make links")
    assert read_bytes(tmp_path / "link" / "a", rules=RULES, root=tmp_path / "link") == b"a"


def test_an_unreadable_file_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"a")

    def deny(path: Path, flags: int) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", deny)  # the tests may run as a user to whom nothing is forbidden
    with pytest.raises(ImageRefused, match="Permission denied") as caught:
        read_bytes(tmp_path / "a", rules=RULES)
    assert caught.value.code == "unreadable"
