"""Fetching a tutorial's own data: the published photos whole in their folders, or nothing at all."""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from graft.core import download as downloads
from graft.core.errors import BadInput, IntegrityProblem, ResourceProblem
from graft.core.locks import Lock
from graft.core.progress import SilentProgress
from graft.data.public.records import PublicData
from graft.pipeline import public_data as module
from graft.pipeline.public_data import RECORD, TERMS, FetchedData, fetch_data
from tests.core.serving import Publisher, publishing
from tests.data.publications import cats_and_dogs, cifar, sign_digits, zipped


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "PAUSE_SECONDS", 0.0)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("GRAFT_OFFLINE", raising=False)


class Home:
    """A public home of one data set on this machine."""

    def __init__(self, publisher: Publisher, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.publisher, self.place, self.told = publisher, place, list[PublicData]()
        self._patch = monkeypatch

    def offer(self, made: tuple[PublicData, bytes]) -> "Home":
        data, self.publisher.content = made
        data = replace(data, url=self.publisher.url)
        self._patch.setattr(module, "find_data", lambda name: data)
        return self

    def fetch(self, folder: str = "photos", archive: Path | None = None) -> FetchedData:
        return fetch_data(
            "any",
            output=self.place / folder,
            archive=archive,
            cache=self.place / "cache",
            tell=self.told.append,
            progress=SilentProgress(),
        )

    def left(self) -> list[str]:
        """Everything that is on the disk now, but for locks."""
        return sorted(path.name for path in self.place.rglob("*") if path.is_file() and path.suffix != ".lock")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    with publishing(Publisher(b"")) as publisher:
        yield Home(publisher, tmp_path, monkeypatch)


def photos(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/**/*") if path.is_file())


@pytest.mark.parametrize(("made", "checked"), [(sign_digits, "photos"), (cifar, "archive")])
def test_the_photos_arrive_with_their_terms_and_the_archive_goes(home: Home, made: Any, checked: str) -> None:
    fetched = home.offer(made()).fetch()
    assert fetched.source == home.publisher.url and fetched.checked == checked
    assert len(photos(fetched.folder)) == fetched.record.photos == fetched.data.photos
    terms = fetched.terms.read_text(encoding="utf-8")
    assert fetched.data.terms in terms and fetched.data.url in terms and fetched.data.cite in terms
    assert (fetched.data.sha256 or fetched.data.contents_sha256) in terms
    assert [path.name for path in (home.place / "cache").rglob("*") if path.suffix != ".lock"] == ["downloads"]
    assert {*fetched.data.documents, TERMS, RECORD} == {
        path.name for path in fetched.folder.iterdir() if path.is_file()
    }


def test_the_terms_are_told_before_anything_is_asked_for(home: Home) -> None:
    home.offer(sign_digits())
    asked: list[int] = []
    fetch_data(
        "any",
        output=home.place / "photos",
        cache=home.place / "cache",
        tell=lambda data: asked.append(len(home.publisher.asked)),
        progress=SilentProgress(),
    )
    assert asked == [0] and len(home.publisher.asked) == 1


def test_a_folder_that_has_them_is_left_alone_and_nothing_is_asked_for(home: Home) -> None:
    first = home.offer(sign_digits()).fetch()
    (first.folder / "3" / "Thumbs.db").write_bytes(b"of the system")
    again = home.fetch()
    assert again.source == "" and again.record == first.record
    assert len(home.publisher.asked) == len(home.told) == 1


@pytest.mark.parametrize("change", ["removed", "added", "changed", "forged"])
def test_a_folder_that_was_changed_is_never_taken_for_whole_or_overwritten(home: Home, change: str) -> None:
    folder = home.offer(sign_digits()).fetch().folder
    photo = folder / "3" / "IMG_1.JPG"
    before = photo.read_bytes()
    if change == "removed":
        photo.unlink()
    elif change == "added":
        (folder / "3" / "mine.jpg").write_bytes(b"mine")
    elif change == "changed":
        photo.write_bytes(before[::-1])  # the same size
    else:
        (folder / RECORD).write_bytes(b"{}")
    left = home.left()
    with pytest.raises(BadInput) as caught:
        home.fetch()
    assert caught.value.code == "already_exists" and home.left() == left
    assert "removed, added or changed" in caught.value.message or change == "forged"


def test_a_place_with_something_else_is_refused_before_anything_is_asked_for(home: Home) -> None:
    home.offer(sign_digits())
    (home.place / "photos").mkdir()
    home.fetch()  # an empty folder is as good as none
    (home.place / "mine").mkdir()
    (home.place / "mine" / "thesis.txt").write_text("x")
    (home.place / "file").write_text("x")
    (home.place / "link").symlink_to(home.place / "cache")
    for name in ("mine", "file", "link"):
        with pytest.raises(BadInput) as caught:
            home.fetch(name)
        assert caught.value.code == "already_exists"
    assert (home.place / "mine" / "thesis.txt").exists() and len(home.publisher.asked) == 1


def test_a_cut_download_goes_on_also_in_a_later_call(home: Home) -> None:
    home.offer(cats_and_dogs())
    home.publisher.cuts = [50_000] * downloads.TRIES
    with pytest.raises(ResourceProblem) as caught:
        home.fetch()
    assert caught.value.code == "no_download" and "goes on where it stopped" in caught.value.hint
    assert "graft data fetch cats_and_dogs_small --from FILE" in caught.value.hint
    assert not (home.place / "photos").exists()
    fetched = home.fetch()
    assert home.publisher.asked[-1] == f"bytes={50_000 * downloads.TRIES}-"
    assert len(photos(fetched.folder)) == 4000


@pytest.mark.parametrize(
    ("vice", "code"),
    [
        ("other archive", "hash_mismatch"),
        ("other photo", "download_refused"),
        ("photo missing", "download_refused"),
        ("page", "download_refused"),
        ("no archive", "download_refused"),
        ("too long", "download_refused"),
        ("elsewhere", "download_refused"),
    ],
)
def test_what_is_not_the_published_data_leaves_nothing(home: Home, vice: str, code: str) -> None:
    data, content = cifar() if vice == "other archive" else sign_digits()
    home.offer((data, content))
    if vice == "other archive":
        home.publisher.content = content[:-1] + bytes([content[-1] ^ 1])
    elif vice == "other photo":
        home.offer(sign_digits(contents_sha256="0" * 64))
    elif vice == "photo missing":
        home.offer(sign_digits(photos=21))
    elif vice == "page":
        home.publisher.content, home.publisher.kind = b"<!doctype html>", "text/html"
    elif vice == "no archive":
        home.publisher.content = b"no archive at all"
    elif vice == "too long":
        home.offer(sign_digits(archive_bytes=100))
    else:
        home.publisher.status, home.publisher.location = 302, "http://127.0.0.2/other"
    with pytest.raises(IntegrityProblem) as caught:
        home.fetch()
    assert caught.value.code == code and caught.value.exit_status == 4
    assert "graft data fetch" in caught.value.hint and home.left() == []


def test_sabotage_without_the_pinned_contents_another_photo_would_pass(home: Home) -> None:
    _, content = sign_digits()
    assert home.offer((sign_digits(contents_sha256="")[0], content.replace(b"IMG_2", b"IMG_3"))).fetch().source
    with pytest.raises(IntegrityProblem):
        home.offer((sign_digits()[0], content.replace(b"IMG_2", b"IMG_3"))).fetch("other")


def test_offline_or_unreachable_says_what_to_do_instead(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.offer(sign_digits())
    home.publisher.status = 503
    for _ in range(2):
        with pytest.raises(ResourceProblem) as caught:
            home.fetch()
        assert caught.value.code == "no_download" and caught.value.exit_status == 3
        assert home.publisher.url in caught.value.message
        assert caught.value.hint.endswith("graft data fetch sign_digits --from FILE.")
        monkeypatch.setenv("GRAFT_OFFLINE", "1")
    assert len(home.publisher.asked) == 1 and home.left() == []


def test_the_file_brought_by_hand_needs_no_connection(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFT_OFFLINE", "1")
    home.offer(cifar())
    brought = home.place / "brought.bin"
    brought.write_bytes(home.publisher.content)
    fetched = home.fetch(archive=brought)
    assert fetched.source == str(brought) and len(photos(fetched.folder)) == 100
    assert brought.exists() and home.publisher.asked == [] and len(home.told) == 1


@pytest.mark.parametrize(
    ("vice", "code", "status"),
    [("missing", "not_found", 2), ("changed", "hash_mismatch", 4), ("unsafe", "archive_unsafe", 2)],
)
def test_a_wrong_file_brought_by_hand_is_refused_and_kept(home: Home, vice: str, code: str, status: int) -> None:
    brought = home.place / "brought"
    if vice == "unsafe":
        home.offer(sign_digits())
        brought.write_bytes(zipped({"../x.jpg": b"x"}))
    elif vice == "changed":
        home.offer(cifar())
        brought.write_bytes(home.publisher.content[:-9])
    else:
        home.offer(cifar())
    with pytest.raises((BadInput, IntegrityProblem)) as caught:
        home.fetch(archive=brought)
    assert (caught.value.code, caught.value.exit_status) == (code, status)
    assert home.left() == ([] if vice == "missing" else ["brought"])


def test_a_full_disk_keeps_the_archive_for_the_next_call(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.offer(cifar())

    def full(path: Path, *_: object, **__: object) -> None:
        raise ResourceProblem("full", code="disk_full")

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_copy", full)
        with pytest.raises(ResourceProblem, match="full"):
            home.fetch()
    assert home.left() == ["cifar-10-binary.tar.gz"]
    home.fetch()
    assert len(home.publisher.asked) == 1 and "cifar-10-binary.tar.gz" not in home.left()


def test_an_archive_that_was_kept_is_checked_again(home: Home) -> None:
    home.offer(cifar())
    kept = home.place / "cache" / "downloads" / "cifar-10-binary.tar.gz"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"rotten")
    with pytest.raises(IntegrityProblem) as caught:
        home.fetch()
    assert caught.value.code == "download_refused" and home.left() == []


def test_what_a_killed_call_left_goes_when_it_is_old(home: Home) -> None:
    home.offer(sign_digits())
    for name, age_seconds in (("old", 2 * module.STRAY_SECONDS), ("young", 60.0)):
        stray = home.place / f".graft-host-{name}.tmp"
        stray.mkdir()
        os.utime(stray, (time.time() - age_seconds,) * 2)
    home.fetch()
    assert [path.name for path in home.place.glob(".graft-*")] == [".graft-host-young.tmp"]


def test_too_little_room_is_told_before_anything_is_asked_for(home: Home) -> None:
    home.offer(sign_digits(folder_bytes=1 << 62))
    with pytest.raises(ResourceProblem) as caught:
        home.fetch()
    assert caught.value.code == "disk_full" and home.publisher.asked == []


def test_one_process_at_a_time(home: Home) -> None:
    home.offer(sign_digits())
    downloads_folder = home.place / "cache" / "downloads"
    downloads_folder.mkdir(parents=True)
    with Lock(downloads_folder / "sign_digits.zip.lock"), pytest.raises(ResourceProblem) as caught:
        home.fetch()
    assert caught.value.code == "locked"


def test_what_nobody_publishes_is_to_be_brought(home: Home) -> None:
    with pytest.raises(ResourceProblem) as caught:
        fetch_data(
            "santa",
            output=home.place / "s",
            cache=home.place,
            tell=home.told.append,
            progress=SilentProgress(),
        )
    assert caught.value.code == "no_download" and "santa/ not_santa/" in caught.value.hint and home.told == []
