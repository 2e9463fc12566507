"""The scan looks at every file, whatever the others are, and its outcome depends on nothing but their bytes."""

import hashlib
from pathlib import Path

import pytest

from graft.core.errors import CODES, BadInput
from graft.core.progress import SilentProgress, SilentStage
from graft.data import images
from graft.data import scan as scan_module
from graft.data.scan import meaning, remedy
from tests.data.folders import RULES, make_folder, photo_bytes, scanned


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """38 good photos and two bad files: 5 % are bad, which is just allowed."""
    root = make_folder(tmp_path / "data", {"a": 19, "b": 19})
    (root / "a" / "broken.jpg").write_bytes(b"no image")
    (root / "b" / "cut.png").write_bytes(photo_bytes(1)[:-20])
    return root


def test_bad_files_are_left_out_and_told(folder: Path) -> None:
    result = scanned(folder)
    assert len(result.good) == 38
    assert [(item.path, item.code) for item in result.quarantined] == [
        ("a/broken.jpg", "not_an_image"),
        ("b/cut.png", "truncated"),
    ]
    assert result.quarantined[0].sha256 == hashlib.sha256(b"no image").hexdigest()
    assert all(item.reason for item in result.quarantined)
    good = result.good[0]
    assert (good.entry.path, good.facts.format, good.facts.width) == ("a/photo_000.png", "PNG", 12)
    assert good.sha256 == hashlib.sha256((folder / good.entry.path).read_bytes()).hexdigest()


def test_one_bad_file_more_is_too_many(folder: Path) -> None:
    (folder / "b" / "third.png").write_bytes(b"")
    with pytest.raises(BadInput) as caught:
        scanned(folder)
    assert caught.value.code == "too_many_bad"
    for words in ("3 of 41 files", "2 not_an_image", "1 truncated", "a/broken.jpg", "b/cut.png", "b/third.png", "5%"):
        assert words in caught.value.message


def test_a_row_of_a_table_without_its_file_is_told_as_one(folder: Path) -> None:
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    rows = [f"{name},{name[0]}" for name in [*names[:20], *names[-18:], "b/missing.png"]]
    (folder / "table.csv").write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    with pytest.raises(BadInput, match="not_found") as caught:
        scanned(folder / "table.csv", on_bad="fail")
    assert caught.value.hint.startswith("Correct the paths: those of a table start at its own folder")


def test_what_to_do_depends_on_why() -> None:
    assert meaning("not_found") == "the file does not exist"
    assert meaning("truncated") == CODES["truncated"]
    assert remedy({"truncated", "corrupt"}) == "Repair or remove these files"
    assert remedy({"not_found", "outside_root"}).startswith("Correct the paths")
    both = remedy({"not_found", "truncated"})
    assert both.startswith("Correct the paths") and both.endswith("Repair or remove the other files")


def test_on_bad_fail_stops_at_any(folder: Path) -> None:
    with pytest.raises(BadInput, match="2 of 40 files cannot be used") as caught:
        scanned(folder, on_bad="fail")
    assert caught.value.code == "too_many_bad"


def test_many_bad_files_are_not_all_told(tmp_path: Path) -> None:
    root = make_folder(tmp_path, {"a": 2, "b": 2})
    for number in range(9):
        (root / "a" / f"bad{number}.jpg").write_bytes(b"")
    with pytest.raises(BadInput, match="And 4 more") as caught:
        scanned(root)
    assert "bad5" not in caught.value.message


@pytest.mark.parametrize("left", [0, 1])
def test_a_class_without_two_good_photos_is_refused(tmp_path: Path, left: int) -> None:
    root = make_folder(tmp_path, {"a": 60, "b": left})
    (root / "b" / "bad.jpg").write_bytes(b"")
    with pytest.raises(BadInput, match=f"'b' has {left}") as caught:
        scanned(root)
    assert caught.value.code == "class_empty"


def test_an_empty_class_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="'c' has 0"):
        scanned(make_folder(tmp_path, {"a": 2, "b": 2, "c": 0}))


def test_the_number_of_workers_and_the_memory_change_nothing(folder: Path, tmp_path: Path) -> None:
    plain = scanned(folder, workers=1)
    assert scanned(folder, workers=5) == plain
    assert scanned(folder, cache=tmp_path / "cache") == plain
    assert scanned(folder, cache=tmp_path / "cache") == plain


def test_a_second_scan_only_hashes(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    first = scanned(folder, cache=cache)
    decoded: list[bytes] = []
    real = images.check
    monkeypatch.setattr(scan_module, "check", lambda data, **options: decoded.append(data) or real(data, **options))
    (folder / "a" / "photo_000.png").rename(folder / "a" / "renamed.jpg")
    changed = photo_bytes(5_000)
    (folder / "b" / "photo_001.png").write_bytes(changed)
    second = scanned(folder, cache=cache)
    assert decoded == [changed]
    renamed = next(item for item in second.good if item.entry.path == "a/renamed.jpg")
    assert renamed.facts.flags == ("extension_mismatch",)  # told by the name of today, not by what is remembered
    assert first.quarantined == second.quarantined


def test_other_limits_or_another_decoder_are_not_remembered(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    scanned(folder, cache=cache)
    with pytest.raises(BadInput, match="too_small"):
        scanned(folder, cache=cache, rules=images.ImageRules(min_side_pixels=13))
    decoded: list[bytes] = []
    monkeypatch.setattr(
        scan_module, "check", lambda data, **options: decoded.append(data) or images.check(data, **options)
    )
    monkeypatch.setattr(scan_module, "decoder_identity", lambda rules: "another")
    scanned(folder, cache=cache)
    assert len(decoded) == 40


def test_a_memory_with_a_flipped_byte_is_made_anew(folder: Path, tmp_path: Path) -> None:
    """It would be valid JSON of the right schema, and tell another width."""
    cache = tmp_path / "cache"
    first = scanned(folder, cache=cache)
    (memory,) = (cache / "scans").iterdir()
    whole = memory.read_bytes()
    place = whole.index(b'"width": ') + len(b'"width": ')
    memory.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    assert scanned(folder, cache=cache) == first
    assert memory.read_bytes() == whole


@pytest.mark.parametrize("content", [b"", b"{", b'{"schema": "graft/scan-memory/1", "verdicts": {"x": 1}}'])
def test_a_damaged_memory_is_made_anew(folder: Path, tmp_path: Path, content: bytes) -> None:
    cache = tmp_path / "cache"
    plain = scanned(folder, cache=cache)
    (memory,) = (cache / "scans").iterdir()
    whole = memory.read_bytes()
    memory.write_bytes(content)
    assert scanned(folder, cache=cache) == plain
    assert memory.read_bytes() == whole


def test_progress_counts_every_file(folder: Path) -> None:
    counted: list[int] = []

    class Stage(SilentStage):
        def advance(self, n: int = 1) -> None:
            counted.append(n)

    class Progress(SilentProgress):
        def stage(self, name: str, total: int | None, unit: str):
            from contextlib import nullcontext

            counted.append(-(total or 0))
            return nullcontext(Stage())

    scanned(folder, progress=Progress())
    assert sum(counted) == 0
    assert counted[0] == -40


def test_limits_travel_with_the_scan(folder: Path) -> None:
    assert scanned(folder).rules == RULES


def test_the_real_folders(shared: Path) -> None:
    result = scanned(shared / "data" / "sign_digits")
    assert (len(result.good), result.quarantined) == (2_062, ())
    assert sum(item.facts.orientation != 1 for item in result.good) == 3
    result = scanned(shared / "data" / "santa")
    assert [(item.path, item.code) for item in result.quarantined] == [("santa/00000343.jpg", "too_many_pixels")]
    assert len(result.good) == 920
    mismatched = [item for item in result.good if "extension_mismatch" in item.facts.flags]
    assert {item.facts.format for item in mismatched} == {"PNG"}
    assert {item.facts.mode for item in result.good} >= {"RGB", "RGBA", "P", "CMYK"}


def test_the_allowed_share_of_bad_files_can_be_raised(folder: Path) -> None:
    (folder / "b" / "third.png").write_bytes(b"")
    assert len(scanned(folder, most_bad=1.0).quarantined) == 3
    with pytest.raises(BadInput, match="none may be bad"):
        scanned(folder, most_bad=1.0, on_bad="fail")


def test_a_single_photo_is_enough_where_it_is_asked_for(tmp_path: Path) -> None:
    root = make_folder(tmp_path, {"a": 1, "b": 2})
    with pytest.raises(BadInput, match="at least 2 good photos, but 'a' has 1"):
        scanned(root)
    assert len(scanned(root, least_photos=1).good) == 3
