"""Class names: which may travel in a bundle."""

import pytest

from graft.bundle.checks import MAX_CLASSES, class_problem

GOOD = [
    ("cat", "dog"),
    ("Cat", "cat"),
    ("10", "2"),
    ("<5 mm", ">5 mm"),
    ("Grüne Äpfel", "りんご", "👩‍🔬"),
    ("a.b/c", 'it\'s 100 % "fine" & so on'),
    ("x" * 255, "y"),
    tuple(str(i) for i in range(MAX_CLASSES)),
]
BAD = [
    ((), "2 to"),
    (("only",), "2 to"),
    (tuple(str(i) for i in range(MAX_CLASSES + 1)), "2 to"),
    (("", "b"), "1 to 255 letters"),
    (("x" * 256, "b"), "1 to 255 letters"),
    ((" a", "b"), "blank ends"),
    (("a ", "b"), "blank ends"),
    (("a", "a"), "twice"),
    (("caf\u00e9", "cafe\u0301"), "twice"),
    (("<script>alert(1)</script>", "b"), "markup"),
    (("a</td>", "b"), "markup"),
    (("<!-- a", "b"), "markup"),
    (("a\nb", "c"), "control"),
    (("a\x00b", "c"), "control"),
    (("a\x1b[31mb", "c"), "control"),
    (("a\u2028b", "c"), "control"),
    (("a\u202eb", "c"), "control"),
    (("a\ud800", "c"), "control"),
]


@pytest.mark.parametrize("classes", GOOD, ids=range(len(GOOD)))
def test_usual_names_are_good(classes: tuple[str, ...]) -> None:
    assert class_problem(classes) == ""


@pytest.mark.parametrize(("classes", "said"), BAD, ids=range(len(BAD)))
def test_names_that_cannot_travel_are_told(classes: tuple[str, ...], said: str) -> None:
    problem = class_problem(classes)
    assert said in problem
    assert "got" in problem
    assert "\n" not in problem
