"""Downloads: what arrives is the published file or nothing; what was cut is continued; offline means offline."""

import hashlib
import json
import socket

import pytest

from graft.core import download as module
from graft.core.download import Published, download
from graft.core.errors import GraftError, IntegrityProblem, ResourceProblem
from graft.core.progress import SilentProgress
from tests.core.serving import Publisher, publishing

CONTENT = b"\x89HDF" + bytes(range(256)) * 4000  # a megabyte
PROGRESS = SilentProgress()


@pytest.fixture(autouse=True)
def no_pause_no_proxy(monkeypatch):
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.0)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("GRAFT_OFFLINE", raising=False)


@pytest.fixture
def publisher():
    with publishing(Publisher(CONTENT)) as each:
        yield each


def published(publisher, **changes):
    values = {"url": publisher.url, "limit_bytes": 2 << 20, "md5": publisher.md5, "otherwise": "Bring the file."}
    return Published(**(values | changes))


def refused(publisher, path, **changes) -> GraftError:
    """The error of a download that must leave nothing behind."""
    with pytest.raises(GraftError) as caught:
        download(published(publisher, **changes), path, progress=PROGRESS)
    assert list(path.parent.iterdir()) == []
    return caught.value


@pytest.mark.parametrize(
    ("hashes", "checked"),
    [({}, "md5"), ({"md5": ""}, ""), ({"sha256": Publisher(CONTENT).sha256}, "sha256")],
)
def test_the_file_arrives_and_says_what_was_checked(publisher, tmp_path, hashes, checked):
    assert download(published(publisher, **hashes), tmp_path / "w.h5", progress=PROGRESS) == checked
    assert [path.name for path in tmp_path.iterdir()] == ["w.h5"]
    assert (tmp_path / "w.h5").read_bytes() == CONTENT


def test_a_cut_download_goes_on_where_it_stopped(publisher, tmp_path):
    publisher.cuts = [300_000, 200_000]
    download(published(publisher), tmp_path / "w.h5", progress=PROGRESS)
    assert (tmp_path / "w.h5").read_bytes() == CONTENT
    assert publisher.asked == ["", "bytes=300000-", "bytes=500000-"]


def test_a_download_that_keeps_being_cut_is_continued_by_the_next_call(publisher, tmp_path):
    publisher.cuts = [100_000] * module.TRIES
    with pytest.raises(ResourceProblem, match="must arrive whole, got 400000 bytes") as caught:
        download(published(publisher), tmp_path / "w.h5", progress=PROGRESS)
    assert caught.value.code == "no_download"
    assert "goes on where it stopped" in caught.value.hint and "Bring the file." in caught.value.hint
    assert not (tmp_path / "w.h5").exists()
    download(published(publisher), tmp_path / "w.h5", progress=PROGRESS)
    assert publisher.asked[-1] == "bytes=400000-"
    assert (tmp_path / "w.h5").read_bytes() == CONTENT


@pytest.mark.parametrize("vice", ["ranges", "validator"])
def test_without_ranges_or_a_name_for_the_version_it_begins_again(publisher, tmp_path, vice):
    setattr(publisher, vice, False)
    publisher.cuts = [300_000]
    download(published(publisher), tmp_path / "w.h5", progress=PROGRESS)
    assert (tmp_path / "w.h5").read_bytes() == CONTENT
    assert len(publisher.asked) == 2


def test_a_file_that_changed_meanwhile_is_not_mixed(publisher, tmp_path):
    publisher.cuts = [100_000] * module.TRIES
    with pytest.raises(ResourceProblem):
        download(published(publisher), tmp_path / "w.h5", progress=PROGRESS)
    publisher.content = CONTENT[::-1]
    download(published(publisher, md5=publisher.md5), tmp_path / "w.h5", progress=PROGRESS)
    assert (tmp_path / "w.h5").read_bytes() == CONTENT[::-1]


def test_a_part_of_another_address_is_not_continued(publisher, tmp_path):
    publisher.cuts = [100_000] * module.TRIES
    with pytest.raises(ResourceProblem):
        download(published(publisher), tmp_path / "w.h5", progress=PROGRESS)
    download(published(publisher, url=publisher.url + "?other"), tmp_path / "w.h5", progress=PROGRESS)
    assert publisher.asked[-1] == ""


@pytest.mark.parametrize("note", [b"", b"[]", b'{"url": 3}', b"\xff", None])
def test_a_damaged_note_only_costs_the_part(publisher, tmp_path, note):
    (tmp_path / "w.h5.part").write_bytes(b"nonsense")
    if note is not None:
        (tmp_path / "w.h5.part.json").write_bytes(note)
    download(published(publisher), tmp_path / "w.h5", progress=PROGRESS)
    assert (tmp_path / "w.h5").read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_dropped(publisher, tmp_path):
    (tmp_path / "w.h5.part").write_bytes(CONTENT + b"more")
    note = {"url": publisher.url, "validator": f'"{publisher.md5}"', "total": str(len(CONTENT))}
    (tmp_path / "w.h5.part.json").write_text(json.dumps(note))
    download(published(publisher), tmp_path / "w.h5", progress=PROGRESS)
    assert (tmp_path / "w.h5").read_bytes() == CONTENT


def test_a_wrong_hash_is_refused(publisher, tmp_path):
    error = refused(publisher, tmp_path / "w.h5", md5="0" * 32)
    assert error.code == "hash_mismatch" and error.exit_status == 4
    assert "Bring the file." in error.hint
    assert refused(publisher, tmp_path / "w.h5", sha256="0" * 64).code == "hash_mismatch"


def test_the_first_digits_of_a_hash_are_checked_where_no_more_are_stated(publisher, tmp_path):
    stated = hashlib.sha256(CONTENT).hexdigest()[:8]
    assert download(published(publisher, md5="", sha256=stated), tmp_path / "w.h5", progress=PROGRESS) == "sha256"
    (tmp_path / "w.h5").unlink()
    wrong = refused(publisher, tmp_path / "w.h5", md5="", sha256="0" * 8)
    assert wrong.code == "hash_mismatch" and "SHA256 00000000, got " in wrong.message


@pytest.mark.parametrize(("digits", "elsewhere"), [(64, True), (8, False), (0, False)])
def test_only_a_whole_hash_lets_another_host_send_the_file(publisher, tmp_path, monkeypatch, digits, elsewhere):
    asked = []
    real = module.redirecting_opener
    monkeypatch.setattr(
        module, "redirecting_opener", lambda url, **words: asked.append(words["elsewhere"]) or real(url, **words)
    )
    stated = hashlib.sha256(CONTENT).hexdigest()[:digits]
    download(published(publisher, md5="", sha256=stated), tmp_path / "w.h5", progress=PROGRESS)
    assert asked == [elsewhere]


def test_sabotage_without_the_hash_a_wrong_file_would_pass(publisher, tmp_path):
    stated = publisher.md5
    publisher.content = CONTENT[:-1] + b"!"
    assert refused(publisher, tmp_path / "w.h5", md5=stated).code == "hash_mismatch"
    assert download(published(publisher, md5=""), tmp_path / "w.h5", progress=PROGRESS) == ""


def test_a_page_in_place_of_the_file_is_refused(publisher, tmp_path):
    publisher.content, publisher.kind = b"<!doctype html><p>Sign in", "text/html; charset=utf-8"
    assert refused(publisher, tmp_path / "w.h5").code == "download_refused"
    publisher.kind = "application/octet-stream"
    assert refused(publisher, tmp_path / "w.h5").code == "download_refused"


def test_what_is_too_large_is_refused_before_and_while_it_comes(publisher, tmp_path):
    assert "at most 1000 bytes" in refused(publisher, tmp_path / "w.h5", limit_bytes=1000).message
    publisher.says_length = False
    assert "at most 1000 bytes, got more" in refused(publisher, tmp_path / "w.h5", limit_bytes=1000).message


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_missing_file_says_what_to_do_instead(publisher, tmp_path, status):
    publisher.status = status
    error = refused(publisher, tmp_path / "w.h5")
    assert isinstance(error, ResourceProblem) and error.exit_status == 3
    assert f"got {status} " in error.message and error.hint == "Bring the file."


def test_nobody_there_is_one_sentence(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/w.h5"
    wanted = Published(url=url, limit_bytes=10, otherwise="Bring the file.")
    with pytest.raises(ResourceProblem, match="must be reached, got: ") as caught:
        download(wanted, tmp_path / "w.h5", progress=PROGRESS)
    assert caught.value.code == "no_download" and caught.value.hint == "Bring the file."


def test_offline_opens_no_socket(publisher, tmp_path, monkeypatch):
    monkeypatch.setenv("GRAFT_OFFLINE", "1")
    monkeypatch.setattr(socket, "socket", None)
    monkeypatch.setattr(module, "redirecting_opener", None)
    with pytest.raises(ResourceProblem, match="GRAFT_OFFLINE is set") as caught:
        download(published(publisher), tmp_path / "w.h5", progress=PROGRESS)
    assert caught.value.code == "no_download"
    assert publisher.asked == []


def test_a_full_disk_is_told_as_one(publisher, tmp_path, monkeypatch):
    import errno
    import os

    def full(descriptor, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(ResourceProblem) as caught:
        download(published(publisher), tmp_path / "w.h5", progress=PROGRESS)
    assert caught.value.code == "disk_full"


def test_errors_of_integrity_are_of_that_kind(publisher, tmp_path):
    assert isinstance(refused(publisher, tmp_path / "w.h5", md5="0" * 32), IntegrityProblem)
