"""What folders and tables mean, and that each misunderstanding is told in one sentence."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.core.errors import BadInput
from graft.data.entries import Entry
from graft.data.sources import natural_key, read_source
from tests.data.folders import make_folder, photo_bytes


def test_folder_of_class_folders(tmp_path: Path) -> None:
    make_folder(tmp_path, {"dog": 2, "cat": 1, "cat/night": 1})
    source = read_source(tmp_path)
    assert source.origin == "folder"
    assert source.classes == ("cat", "dog")
    assert source.entries == (
        Entry("cat/night/photo_000.png", "cat"),
        Entry("cat/photo_000.png", "cat"),
        Entry("dog/photo_000.png", "dog"),
        Entry("dog/photo_001.png", "dog"),
    )


@pytest.mark.parametrize("name", ["validation", "valid", "val", "Val"])
def test_split_folders(tmp_path: Path, name: str) -> None:
    make_folder(tmp_path, {"train/a": 2, "train/b": 2, f"{name}/a": 1, f"{name}/b": 1, "test/a": 1})
    source = read_source(tmp_path)
    assert source.origin == "splits"
    assert source.classes == ("a", "b")
    assert [entry.split for entry in source.entries if entry.path.startswith(name)] == ["validation"] * 2
    assert Entry("test/a/photo_000.png", "a", "test") in source.entries


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    assert read_source(make_folder(tmp_path, {"train": 2, "bus": 2})).classes == ("bus", "train")


def test_numbers_in_class_names_are_ordered_by_value(tmp_path: Path) -> None:
    assert read_source(make_folder(tmp_path, {str(n): 1 for n in (10, 2, 1, 0)})).classes == ("0", "1", "2", "10")


@given(st.lists(st.text(max_size=8), max_size=8, unique=True))
def test_natural_order_is_total_and_needs_no_locale(names: list[str]) -> None:
    assert sorted(names, key=natural_key) == sorted(reversed(names), key=natural_key)


def test_natural_order_by_value() -> None:
    assert sorted(["b2", "a10", "a2", "b", "a"], key=natural_key) == ["a", "a2", "a10", "b", "b2"]


def test_what_is_no_photo_is_ignored_and_named(tmp_path: Path) -> None:
    make_folder(tmp_path, {"a": 1, "b": 1})
    ignored = ["a/Thumbs.db", "a/.DS_Store", "a/._photo.jpg", "a/notes.txt", "a/labels", "readme.md"]
    for name in ignored:
        (tmp_path / name).write_bytes(b"words")
    make_folder(tmp_path, {"__MACOSX/a": 1, ".git": 1, "a/.cache": 1})
    source = read_source(tmp_path)
    assert source.ignored == tuple(sorted([*ignored, "__MACOSX", ".git", "a/.cache"]))
    assert source.classes == ("a", "b")
    assert len(source.entries) == 2


def test_a_photo_without_an_ending_is_found_by_its_content(tmp_path: Path) -> None:
    make_folder(tmp_path, {"a": 1, "b": 1})
    (tmp_path / "a" / "IMG 7").write_bytes(photo_bytes(9))
    (tmp_path / "a" / "IMG.0815").write_bytes(photo_bytes(10))
    assert {entry.path for entry in read_source(tmp_path).entries} >= {"a/IMG 7", "a/IMG.0815"}


def test_an_empty_class_is_known(tmp_path: Path) -> None:
    make_folder(tmp_path, {"a": 1, "b": 1, "c": 0})
    source = read_source(tmp_path)
    assert (source.classes, source.empty_classes) == (("a", "b", "c"), ("c",))


def test_decomposed_letters_name_the_same_class(tmp_path: Path) -> None:
    make_folder(tmp_path, {"train/Ka\u0308fer": 1, "train/Biene": 1, "test/K\u00e4fer": 1})
    assert read_source(tmp_path).classes == ("Biene", "K\u00e4fer")


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        ({"Cat": 1, "cat": 1}, "upper and lower case"),
        ({"only": 3}, "two classes"),
        ({"photos/a": 2, "photos/b": 2}, "Did you mean"),
        ({}, "one folder a class"),
        ({"train/a": 1, "train/b": 1, "birds": 1}, "either class folders or split folders"),
        ({"train/a": 1, "train/b": 1, "val/a": 1, "valid/a": 1}, "one validation folder"),
        ({"test/a": 1, "test/b": 1}, "train split, got only test"),
        ({"train/a": 1, "train/b": 1, "test/c": 1}, "none of 'c'"),
        ({"a": 0, "b": 0}, "photos, got none"),
    ],
)
def test_misunderstandings_are_told(tmp_path: Path, folders: dict[str, int], words: str) -> None:
    make_folder(tmp_path, folders)
    if len(list(tmp_path.iterdir())) < len({name.split("/")[0] for name in folders}):
        pytest.skip("this file system cannot tell the names apart")
    with pytest.raises(BadInput, match=words):
        read_source(tmp_path)


def test_photos_without_class_folders(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"")
    with pytest.raises(BadInput, match="got 1 without a class folder"):
        read_source(tmp_path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing", "must exist"),
        ("data.7z", "Archives of other kinds must be unpacked first"),
        ("photo.jpg", "got the file 'photo.jpg'"),
    ],
)
def test_what_is_no_folder(tmp_path: Path, name: str, words: str) -> None:
    if name != "missing":
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(BadInput, match=words):
        read_source(tmp_path / name)


def table(tmp_path: Path, text: str) -> Path:
    make_folder(tmp_path, {"x": 4})
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_table(tmp_path: Path) -> None:
    rows = ["x/photo_001.png,b,train,p1,", "x/photo_002.png,b,val,,", "x/photo_000.png, a ,train,,dark", ""]
    source = read_source(table(tmp_path, "\n".join(["\ufeffpath, label ,split,group,comment", *rows, ""])))
    assert source.origin == "csv"
    assert source.root == tmp_path.resolve()
    assert source.classes == ("a", "b")
    assert source.entries == (
        Entry("x/photo_000.png", "a", "train", None),
        Entry("x/photo_001.png", "b", "train", "p1"),
        Entry("x/photo_002.png", "b", "validation", None),
    )


@pytest.mark.parametrize("before", ["", "sep={0}\r\n", "\ufeff", "\ufeffsep={0}\n"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_tables_as_spreadsheets_write_them(tmp_path: Path, separator: str, before: str) -> None:
    """Where the comma is the decimal sign, columns are separated by semicolons, and a comma is any other letter."""
    rows = [("comment", "path", "label"), ('"2,5; old"', "x/photo_000.png", "a"), ("", "x/photo_001.png", "b")]
    text = before.format(separator) + "\r\n".join(separator.join(row) for row in rows) + "\r\n"
    entries = read_source(table(tmp_path, text)).entries
    assert entries == (Entry("x/photo_000.png", "a"), Entry("x/photo_001.png", "b"))


def test_table_with_absolute_paths_inside(tmp_path: Path) -> None:
    path = table(tmp_path, "")
    rows = [f"{tmp_path.resolve()}/x/photo_000.png,a", "./x/photo_001.png,b"]
    path.write_text("path,label\n" + "\n".join(rows))
    assert [entry.path for entry in read_source(path).entries] == ["x/photo_000.png", "x/photo_001.png"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "first line must name"),
        ("path|label\na|b\n", "Separate the columns by commas, semicolons or tabs"),
        ("path;label\na.png\n", "Row 2 of the table must have 2 columns"),
        ("sep=;\npath;label\na.png\n", "Row 3 of the table must have 2 columns"),
        ("sep=;\npath,label\na.png,a\n", "first line must name"),
        (f'"{"x" * 140_000}",path,label\n', "valid CSV"),
        ("file,class\n1,2\n", "got 'file,class'"),
        ("path,label,label\n1,2,3\n", "first line must name"),
        ("path,label\nx/photo_000.png\n", "Row 2 of the table must have 2 columns"),
        ("path,label\n,a\n", "Row 2 of the table must have a path and a label"),
        ("path,label\na.png,\n", "Row 2"),
        ("path,label,split\na.png,a,dev\n", "must be train, validation or test, got 'dev'"),
        ("path,label,split\na.png,a,train\nb.png,b,\n", "Either all rows"),
        ("path,label\na.png,a\na.png,b\n", "each photo once"),
        ('path,label\n"a.png,a\n', "valid CSV"),
        ("path,label\na.png,a\n", "two classes"),
        ("path,label,split\na.png,a,test\nb.png,b,val\n", "train split, got only test, validation"),
    ],
)
def test_wrong_tables_are_told(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read_source(table(tmp_path, text))


def test_a_table_of_other_bytes(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("path,label\nä.png,ä\n".encode("latin-1"))
    with pytest.raises(BadInput, match="UTF-8"):
        read_source(path)


@pytest.mark.parametrize("files", [("plan.json", "manifest.json"), ("made.json",), (".lock",), (".lock", "plan.json")])
@pytest.mark.parametrize("inside", ["", "a/"])
def test_folders_of_runs_are_no_photos(tmp_path: Path, files: tuple[str, ...], inside: str) -> None:
    make_folder(tmp_path, {"a": 2, "b": 2})
    run = tmp_path / f"{inside}photos-run"
    run.mkdir()
    for name in files:
        (run / name).write_text("{}")
    if ".lock" not in files:
        (run / "thumbnail.png").write_bytes(photo_bytes(9))
    source = read_source(tmp_path)
    assert source.classes == ("a", "b") and len(source.entries) == 4
    assert source.ignored == (f"{inside}photos-run",)


def test_a_class_folder_with_a_lock_stays_a_class(tmp_path: Path) -> None:
    make_folder(tmp_path, {"a": 2, "b": 2})
    (tmp_path / "a" / ".lock").touch()
    assert read_source(tmp_path).classes == ("a", "b")


def test_one_class_is_enough_where_it_is_only_measured(tmp_path: Path) -> None:
    make_folder(tmp_path, {"a": 2})
    with pytest.raises(BadInput, match="two classes at least"):
        read_source(tmp_path)
    assert read_source(tmp_path, least_classes=1).classes == ("a",)


def test_no_train_split_is_needed_where_photos_are_only_measured(tmp_path: Path) -> None:
    source = read_source(make_folder(tmp_path, {"test/a": 2, "test/b": 1}), least_classes=1)
    assert source.classes == ("a", "b")
    assert {entry.split for entry in source.entries} == {"test"}
