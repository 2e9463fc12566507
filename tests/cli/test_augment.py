"""`graft augment`: what it passes on and what it says."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from graft.cli.main import main


@dataclass(frozen=True)
class Photo:
    path: str
    label: str


@dataclass(frozen=True)
class Result:
    file: Path
    shown: tuple[Photo, ...] = (Photo("a/1.png", "a"), Photo("b/2.png", "b"))
    views: int = 6
    words: str = "classic,rotation=30"
    meaning: str = "turned"
    one_photo: bool = False

    def summary(self) -> dict[str, Any]:
        return {"file": str(self.file)}


@pytest.fixture
def asked(pipeline, tmp_path):
    """Notes what the pipeline is asked for; it answers with `asked[0]`'s changes to a result."""
    seen: list[dict[str, Any]] = []
    (tmp_path / "views.png").write_bytes(b"1234")

    def augment(path, *, output, progress, **options):
        seen.append({"path": path, "output": output, **options})
        one = {"one_photo": True, "shown": (Photo("cat.jpg", ""),)} if path.suffix else {}
        flat = {"shown": (Photo("1.png", ""),) * 3} if path.name == "flat" else {}
        return Result(tmp_path / "views.png", **one, **flat)

    pipeline("augment", augment=augment)
    return seen


def test_what_was_typed_is_passed_on(asked):
    words = ["--augment", "light", "--views", "4", "--seed", "3", "--image-size", "64", "--normalize", "zca"]
    assert main(["augment", "photos", "-o", "v.png", *words]) == 0
    assert main(["augment", "photos", "-o", "v.png"]) == 0
    both = {"path": Path("photos"), "output": Path("v.png")}
    assert asked == [
        {**both, "words": "light", "views": 4, "seed": 3, "image_size": 64, "normalize": "zca"},
        both,
    ]


def test_it_tells_what_is_shown_and_what_next(asked, tmp_path, capsys):
    assert main(["augment", "my photos", "-o", "v.png"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"2 photos, 6 views of each → {tmp_path / 'views.png'} (4 bytes)",
        "classic,rotation=30: turned",
        "",
        "Next: graft train 'my photos' --recipe finetune --augment classic,rotation=30",
        "      fine-tunes on such views of the training photos",
    ]


@pytest.mark.parametrize("path", ["cat.jpg", "flat"])
def test_without_classes_the_next_command_names_other_photos(asked, path, capsys):
    assert main(["augment", path, "-o", "v.png"]) == 0
    out = capsys.readouterr().out
    assert "Next: graft train photos/ --recipe finetune" in out
    assert out.startswith("cat.jpg, 6 views → " if path == "cat.jpg" else "3 photos, 6 views of each → ")


def test_json_is_one_object(asked, tmp_path, capsys):
    assert main(["augment", "photos", "-o", "v.png", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": str(tmp_path / "views.png")}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["photos"], "-o FILE must be given."),
        (["-o", "v.png"], "PHOTO|DATA must be given."),
        (["photos", "-o", "v.png", "--views", "0"], "--views must be a whole number from 1 to 100"),
        (["photos", "-o", "v.png", "--image-size", "7"], "--image-size must be a whole number from 8 to 2048"),
        (["photos", "-o", "v.png", "--augmnt", "light"], "Did you mean --augment?"),
    ],
)
def test_mistakes_are_told(asked, words, says, capsys):
    assert main(["augment", *words]) == 2
    assert says in capsys.readouterr().err
    assert asked == []


def test_what_a_photo_may_be_is_passed_on_and_advised(asked, capsys):
    rules = ["--max-megapixels", "60", "--max-megabytes", "30", "--min-side", "4", "--white", "4095"]
    assert main(["augment", "photos", "-o", "v.png", *rules]) == 0
    chosen = {"max_megapixels": 60, "max_megabytes": 30, "min_side": 4, "white": 4095}
    assert asked == [{"path": Path("photos"), "output": Path("v.png"), **chosen}]
    assert f"--augment classic,rotation=30 {' '.join(rules)}\n" in capsys.readouterr().out


def test_it_works_as_typed(tmp_path, capsys):
    from tests.data.folders import make_folder

    data = make_folder(tmp_path / "photos", {"a": 2, "b": 2})
    page = tmp_path / "v.png"
    assert main(["augment", str(data), "-o", str(page), "--augment", "clasic"]) == 2
    assert "Did you mean classic?" in capsys.readouterr().err
    assert main(["augment", str(data), "-o", str(page), "--augment", "classic,flip=none", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["augment"] == "classic,flip=none"
    assert page.read_bytes().startswith(b"\x89PNG")
