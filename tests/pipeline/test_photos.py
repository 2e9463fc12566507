"""Which files a folder stands for, and that what is refused unread takes its place among the answers."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import pytest

from graft.bundle.records import Failure
from graft.core.errors import BadInput
from graft.core.progress import SilentProgress
from graft.pipeline.photos import each_answer


def names(paths: Iterable[Path]) -> Iterator[str]:
    """The answer to a path is its name; paths are taken some at a time, as by a network."""
    waiting = iter(paths)
    while group := list(islice(waiting, 3)):
        yield from (path.name for path in group)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photos a to h, of which b, c, and h are links out of the folder."""
    inside = tmp_path / "photos"
    inside.mkdir()
    (tmp_path / "secret.png").write_bytes(b"")
    for letter in "abcdefgh":
        place = inside / f"{letter}.png"
        if letter not in "bch":
            place.write_bytes(b"")
            continue
        try:
            place.symlink_to(tmp_path / "secret.png")
        except OSError:
            pytest.skip("this system does not let us make links")
    return inside


@pytest.mark.parametrize("stream", [False, True])
def test_refusals_take_their_places_among_the_answers(folder: Path, stream: bool) -> None:
    inputs = [str(folder), str(folder / "b.png"), str(folder)]
    found = list(each_answer(iter(inputs) if stream else inputs, names, SilentProgress()))
    told = [f"{Path(each.path).name} {each.code}" if isinstance(each, Failure) else each for each in found]
    out = "outside_root"
    once = ["a.png", f"b.png {out}", f"c.png {out}", "d.png", "e.png", "f.png", "g.png", f"h.png {out}"]
    assert told == [*once, "b.png", *once]


def test_a_folder_of_refusals_only_is_not_empty(folder: Path) -> None:
    for letter in "adefg":
        (folder / f"{letter}.png").unlink()
    found = list(each_answer([str(folder)], names, SilentProgress()))
    assert [each.code for each in found] == ["outside_root"] * 3
    assert "Name the link itself" in found[0].message


def test_a_link_within_the_folder_and_a_folder_that_is_a_link_itself(folder: Path, tmp_path: Path) -> None:
    (folder / "again.png").symlink_to("a.png")
    (tmp_path / "link").symlink_to(folder)
    found = list(each_answer([str(tmp_path / "link")], names, SilentProgress()))
    assert [each for each in found if isinstance(each, str)] == [
        *("a.png", "again.png", "d.png", "e.png", "f.png", "g.png")
    ]
    assert all(each.path.startswith(str(tmp_path / "link")) for each in found if isinstance(each, Failure))


def test_only_a_list_that_a_program_makes_may_be_empty() -> None:
    assert list(each_answer(iter([]), names, SilentProgress())) == []
    with pytest.raises(BadInput, match="got an empty list of paths"):
        list(each_answer([], names, SilentProgress()))
