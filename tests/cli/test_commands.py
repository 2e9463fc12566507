"""The other commands: what they pass on to the pipeline and what they say."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from graft.cli import evaluate as evaluate_command
from graft.cli import train as train_command
from graft.cli.main import main
from graft.core.progress import SilentProgress
from graft.core.records import record
from graft.data.inspection.summary import inspect_manifest
from graft.data.records import ImageFacts, Manifest, Photo, Quarantined
from graft.evaluation.records import ClassScore, Confusion, Evaluation, ReliabilityBin, Score
from graft.pipeline.report import Rebuilt

SCORE = Score(value=0.9, low=0.8, high=0.95, method="wilson")
SUMMARY = {
    "run": "photos-run",
    "n": {"train": 5000, "validation": 1000, "test": 1200, "quarantined": 3},
    "validation": {"accuracy": 0.91},
    "test": {"accuracy": 0.9, "interval": [0.8, 0.95]},
}


@record
class Options:
    """A stand-in for TrainOptions with one constraint of its own."""

    data: str
    output: str | None = None
    seed: int = 0
    image_size: int | None = None
    split: str = "70/15/15"
    on_bad: str = "quarantine"
    command: str


@dataclass(frozen=True)
class Result:
    run: Path = Path("photos-run")
    bundle: Path = Path("photos-run/classifier.graft")
    report: Path = Path("photos-run/report.html")
    summary: dict[str, Any] = field(default_factory=lambda: dict(SUMMARY))
    text: str = "Test accuracy  90.0 %"
    next_command: tuple[str, str] = ("graft predict photos-run PHOTO…", "says what is on other photos")


@pytest.fixture
def trained(pipeline):
    """Notes the options of each training."""
    seen: list[Options] = []

    def train(options, *, progress):
        assert isinstance(progress, SilentProgress)
        seen.append(options)
        return Result()

    pipeline("options", TrainOptions=Options)
    pipeline("train", train=train)
    return seen


def evaluation(split: str = "test") -> Evaluation:
    """Two classes, twenty photos."""
    return Evaluation(
        manifest_hash="m",
        bundle_hash="b",
        split=split,
        n=20,
        classes=("cat", "dog"),
        accuracy=SCORE,
        top5=None,
        balanced_accuracy=SCORE,
        macro_f1=SCORE,
        log_loss=SCORE,
        ece=0.02,
        reliability=(ReliabilityBin(low=0.5, high=1.0, count=20, confidence=0.9, accuracy=0.9),),
        per_class=(
            ClassScore(name="cat", support=10, predicted=20, precision=SCORE, recall=SCORE, f1=SCORE),
            ClassScore(name="dog", support=10, predicted=0, precision=None, recall=SCORE, f1=SCORE),
        ),
        confusion=((9, 1), (1, 9)),
        worst_confusions=(Confusion(true="dog", predicted="cat", count=1),),
        majority_share=0.5,
    )


def test_train_passes_on_what_was_typed(trained, capsys):
    words = ["train", "my photos", "-o", "first", "--seed", "3", "--image-size", "128", "--on-bad", "fail"]
    assert main(words) == 0
    assert trained == [
        Options(
            data="my photos",
            output="first",
            seed=3,
            image_size=128,
            on_bad="fail",
            command="graft train 'my photos' -o first --seed 3 --image-size 128 --on-bad fail",
        )
    ]


def test_train_tells_the_run_s_own_words(trained, capsys):
    assert main(["train", "photos"]) == 0
    lines = ["Test accuracy  90.0 %", "", "Next: graft predict photos-run PHOTO…", "      says what is on other photos"]
    assert capsys.readouterr().out.splitlines() == lines


def test_quiet_gives_no_advice(trained, capsys):
    assert main(["train", "photos", "--quiet"]) == 0
    assert capsys.readouterr().out.splitlines() == ["Test accuracy  90.0 %"]


def test_train_json_is_exactly_one_object(trained, capsys):
    assert main(["train", "photos", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == SUMMARY


def test_train_refuses_what_the_record_refuses(pipeline, trained, capsys):
    @record
    class Narrow:
        data: str
        split: int = 0  # whatever is typed is a text: refused
        command: str

    pipeline("options", TrainOptions=Narrow)
    assert main(["train", "photos", "--split", "x"]) == 2
    assert "'split' is not valid" in capsys.readouterr().err
    assert trained == []


def test_train_options_are_those_of_the_record():
    """The words the command line offers are the record's: names, and choices where there are few."""
    from graft.pipeline.options import TrainOptions

    hints = get_type_hints(TrainOptions)
    assert set(train_command.FIELDS) <= set(hints)
    assert set(hints) - set(train_command.FIELDS) == {"command"}
    for name, choices in (
        ("preprocessing", train_command.PREPROCESSINGS),
        ("engine", train_command.ENGINES),
        ("precision", train_command.PRECISIONS),
        ("on_bad", train_command.ON_BAD),
        ("binary_head", train_command.BINARY_HEADS),
    ):
        assert get_args(hints[name]) == choices


def option_types() -> list[str]:
    """The options of `graft train` that refuse some texts."""
    actions = train_command.parser()._actions
    return [action.option_strings[-1] for action in actions if action.option_strings and action.type]


@pytest.mark.parametrize("option", option_types())
def test_a_wrong_value_of_any_option_is_one_sentence(option, trained, capsys):
    assert main(["train", "photos", option, "no such value"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"error: {option} must be ")
    assert first.endswith(", got 'no such value'.")
    assert second == "See graft train --help."
    assert trained == []


def test_demo(pipeline, capsys):
    seen = []

    def demo(folder, *, progress):
        seen.append(folder)
        return Result()

    pipeline("demo", demo=demo)
    assert main(["demo"]) == 0
    assert main(["demo", "-o", "elsewhere", "--json"]) == 0
    assert seen == [Path("graft-demo"), Path("elsewhere")]
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == SUMMARY


def test_evaluate(pipeline, capsys):
    seen = []

    def evaluate(run, data, *, split, progress):
        seen.append((run, data, split))
        return evaluation("given" if data else split or "test")

    pipeline("evaluate", evaluate=evaluate)
    assert main(["evaluate", "run"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("Right on 90.0 % of 20 test photos (95 % interval: 80.0 % to 95.0 %).\n")
    assert "commonest class would be right on 50.0 %" in text
    assert "dog taken for cat: 1" in text
    assert [line.split() for line in text.splitlines() if line.startswith("dog ")] == [["dog", "10", "90.0", "%", "–"]]
    assert main(["evaluate", "run", "later", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "graft/evaluation/1"
    assert main(["evaluate", "run", "--split", "validation"]) == 0
    assert seen == [
        (Path("run"), None, None),
        (Path("run"), Path("later"), None),
        (Path("run"), None, "validation"),
    ]
    assert set(evaluate_command.SPLITS) == {"train", "validation", "test"}


def test_evaluate_tells_what_stands_in_the_way_of_the_score(pipeline, capsys):
    doubtful = replace(evaluation("given"), n_quarantined=2, n_seen_in_training=5)
    pipeline("evaluate", evaluate=lambda run, data, *, split, progress: doubtful if data else evaluation())
    assert main(["evaluate", "run", "later"]) == 0
    text = capsys.readouterr().out
    assert "2 files of DATA could not be used" in text and "5 of 20 photos were among those" in text
    assert "Next:" not in text
    assert main(["evaluate", "run", "later", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["n_quarantined"], values["n_seen_in_training"]) == (2, 5)
    assert main(["evaluate", "run"]) == 0
    text = capsys.readouterr().out
    assert "Next: graft report run" in text and "DATA" not in text


def test_report(pipeline, monkeypatch, capsys, tmp_path):
    page = tmp_path / "report.html"
    asked = []

    def rebuild(run, *, plots, progress):
        asked.append(plots)
        return Rebuilt(page, (plots / "confusion-matrix.svg",) if plots else ())

    pipeline("report", rebuild_report=rebuild)
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert main(["report", "run"]) == 0
    assert capsys.readouterr().out == f"Report: {page}\n"
    assert opened == []
    assert main(["report", "run", "--open", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"report": str(page), "figures": []}
    assert opened == [page.resolve().as_uri()]
    assert main(["report", "run", "--plots", "figures"]) == 0
    assert capsys.readouterr().out == f"Report: {page}\nFigure: {Path('figures/confusion-matrix.svg')}\n"
    assert asked == [None, None, Path("figures")]


def manifest() -> Manifest:
    """Four photos of two classes, and a file that was left out."""
    facts = ImageFacts(format="PNG", width=20, height=10, mode="RGB")
    photos = tuple(
        Photo(path=f"{label}/{n}.png", label=label, split="train", sha256=f"{label}{n}" * 32, group="g", facts=facts)
        for label in (0, 1)
        for n in (0, 1)
    )
    left_out = (Quarantined(path="0/cut.jpg", code="truncated", reason="it ends early"),)
    return Manifest(
        classes=("cat", "dog"),
        photos=photos,
        quarantined=left_out,
        split_origin="made",
        split_fractions=(0.7, 0.15, 0.15),
        seed=0,
    )


@pytest.fixture
def inspected(pipeline):
    """Notes the options of each inspection; its photos are those of `manifest`, or all good where DATA says so."""
    seen = []

    def inspect(data, *, progress, **options):
        seen.append((data, options))
        found = manifest()
        return inspect_manifest(replace(found, quarantined=()) if data.name == "clean" else found)

    pipeline("inspect", inspect=inspect)
    return seen


def test_inspect_tells_counts_and_what_was_left_out(inspected, capsys):
    assert main(["inspect", "photos", "--seed", "4", "--on-bad", "fail"]) == 0
    text = capsys.readouterr().out
    assert inspected == [(Path("photos"), {"seed": 4, "on_bad": "fail"})]
    assert text.startswith("4 photos in 2 classes: 1 thing to look at first\n")
    assert "0/cut.jpg: truncated, it ends early" in text
    assert "Next: graft inspect photos -o inspect.html" in text
    assert "graft train" not in text  # it would refuse so many bad files
    assert main(["inspect", "my photos/clean"]) == 0
    text = capsys.readouterr().out
    assert "Next: graft inspect 'my photos/clean' -o inspect.html" in text
    assert "Next: graft train 'my photos/clean'" in text


def test_inspect_json_is_one_object(inspected, capsys):
    assert main(["inspect", "photos", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["quarantine"] == [{"path": "0/cut.jpg", "code": "truncated", "reason": "it ends early"}]
    assert {"classes", "duplicates", "shortcuts", "leaks", "conflicts", "notes", "verdict"} <= set(value)
    assert "page" not in value
    assert main(["inspect", "photos", "--json", "-o", "x.html"]) == 0
    assert json.loads(capsys.readouterr().out)["page"] == "x.html"


def test_inspect_writes_a_page_where_asked(inspected, capsys):
    assert main(["inspect", "clean", "-o", "x.html"]) == 0
    options = {"output": Path("x.html"), "command": "graft inspect clean -o x.html"}
    assert inspected == [(Path("clean"), options)]
    text = capsys.readouterr().out
    assert "Page: x.html" in text
    assert "-o inspect.html" not in text
    assert "Next: graft train clean" in text


def test_backbones_list_and_show(capsys):
    assert main(["backbones", "list"]) == 0
    text = capsys.readouterr().out
    assert "sprout" in text
    assert main(["backbones", "list", "--json"]) == 0
    networks = json.loads(capsys.readouterr().out)["backbones"]
    assert networks[0]["weights_here"] == "built in"
    names = [each["name"] for each in networks]
    assert main(["backbones", "show", names[0]]) == 0
    assert names[0] in capsys.readouterr().out
    assert main(["backbones", "show", names[0], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == names[0]


def test_imported_weights_are_marked(monkeypatch, capsys):
    from graft.backbones import weights
    from graft.backbones.catalogue import find

    monkeypatch.setattr(weights, "imported", lambda cache: ((find("vgg16"), None),))
    assert main(["backbones", "list"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert "imported before" in lines["vgg16"] and "built in" in lines["sprout"]
    assert "imported" not in lines["vgg19"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["backbones"], "list|show|fetch|verify|rank must be given."),
        (["backbones", "lits"], "must be one of list, show, fetch, verify, rank, got 'lits'."),
        (["backbones", "show"], "NAME must be given."),
        (["backbones", "fetch"], "NAME must be given."),
        (["backbones", "fetch", "vgg16", "vgg19"], "One NAME must be given, got 2: vgg16, vgg19."),
        (["backbones", "list", "--deep"], "--deep belongs to graft backbones verify, got list."),
        (["backbones", "list", "vgg16"], "Nothing may follow list, got 'vgg16'."),
    ],
)
def test_backbones_refusals(words, message, capsys):
    assert main(words) == 2
    assert message in capsys.readouterr().err


def test_show_of_a_family_lists_its_members(capsys):
    assert main(["backbones", "show", "MobileNetV3"]) == 0
    text = capsys.readouterr().out
    assert "mobilenet_v3_small_0.75" in text and "mobilenet_v3_large_1.0" in text and "vgg16" not in text
