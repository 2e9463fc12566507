"""The words of `graft train` about fine-tuning: told in its help, passed on as typed, refused in one sentence."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from graft.cli import train as command
from graft.cli.main import main
from graft.pipeline.options import TrainOptions, TuningOptions

WORDS = [f"--{field.name.replace('_', '-')}" for field in fields(TuningOptions)]


@pytest.fixture
def helped(capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["train", "--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("word", [*WORDS, "--recipe", "--tensorboard", "--plots"])
def test_help_mentions_each_word(word: str, helped: str) -> None:
    assert f"  {word} " in helped


def test_help_names_what_may_be_chosen(helped: str) -> None:
    joined = " ".join(helped.split())
    names = ("auto", "probe", "finetune", *command.OPTIMIZERS, *command.BACKENDS, "trained", *command.STORES)
    for name in (*names, "symbols", "classic", "Ctrl-C keeps the best so far"):
        assert name in joined


def test_each_field_has_its_word() -> None:
    """All that Python offers can be typed, and nothing else."""
    assert set(command.FIELDS) | {"command"} == {field.name for field in fields(TrainOptions)}


TYPED: dict[str, tuple[str, Any]] = {
    "freeze": ("auto", "auto"),
    "freeze_until": ("block5_conv1", "block5_conv1"),
    "freeze_level": ("4", 4),
    "unfreeze_last": ("5", 5),
    "unfreeze": ("none", "none"),
    "head": ("trained", "trained"),
    "augment": ("classic,rotation=30", "classic,rotation=30"),
    "views": ("3", 3),
    "layer_decay": ("0.8", 0.8),
    "epochs": ("30", 30),
    "batch": ("8", 8),
    "optimizer": ("sgd", "sgd"),
    "learning_rate": ("1e-3", 1e-3),
    "label_smoothing": ("0", 0.0),
    "mixup": ("0.2", 0.2),
    "averaging": ("0.9", 0.9),
    "dropout": ("0.5", 0.5),
    "train_precision": ("float32", "float32"),
    "store": ("never", "never"),
    "backend": ("jax", "jax"),
    "time_budget": ("20m", "20m"),
    "tensorboard": ("curves", "curves"),
    "plots": ("figures", "figures"),
    "recipe": ("finetune", "finetune"),
}


@pytest.mark.parametrize("name", TYPED)
def test_what_is_typed_arrives(name: str, pipeline: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[TrainOptions] = []
    pipeline("train", train=lambda options, *, progress: seen.append(options))
    monkeypatch.setattr(command, "tell_training", lambda result, console: None)
    typed, wanted = TYPED[name]
    assert main(["train", "photos", f"--{name.replace('_', '-')}", typed]) == 0
    assert seen[0] == TrainOptions(data="photos", command=seen[0].command, **{name: wanted})


def test_every_word_is_typed_here() -> None:
    words = {field.name for field in fields(TuningOptions)} - {"max_megapixels", "max_megabytes", "min_side", "white"}
    assert words <= set(TYPED)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--recipe", "fine-tune"], "finetune"),
        (["--optimizer", "adan"], "adam"),
        (["--backend", "theano"], "tensorflow"),
        (["--unfreeze", "some"], "none"),
        (["--store", "maybe"], "never"),
        (["--epochs", "0"], "1"),
        (["--epochs", "many"], "many"),
        (["--views", "1001"], "1000"),
        (["--batch", "0"], "1"),
        (["--freeze-level", "-1"], "0"),
        (["--unfreeze-last", "-1"], "1"),
        (["--learning-rate", "0"], "0"),
        (["--label-smoothing", "1"], "0.99"),
        (["--dropout", "1"], "0.99"),
        (["--averaging", "2"], "0.9999"),
        (["--mixup", "-1"], "0"),
        (["--train-precision", "float16"], "float32"),
        (["--epoch", "3"], "Did you mean --epochs?"),
        (["--freeze-untill", "block5_conv1"], "Did you mean --freeze-until?"),
    ],
)
def test_a_bad_word_is_one_sentence(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "photos", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ")
    assert told in err and len(err.strip().splitlines()) <= 2


# What only the data, or other words, make wrong.
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--recipe", "finetune", "--freeze-until", "a", "--unfreeze-last", "3"], "must be said in one way"),
        (["--recipe", "probe", "--epochs", "3"], "got --epochs."),
        (["--time-budget", "soon"], "--time-budget must be a time as 90s, 5m or 1h"),
        (["--recipe", "finetune", "--time-budget", "0"], "--time-budget must be more than nothing"),
        (["--recipe", "finetune", "--augment", "clasic"], "Did you mean classic?"),
        (["--recipe", "finetune", "--augment", "classic,rotation=x"], "rotation must be"),
    ],
)
def test_words_that_do_not_go_together_leave_nothing_behind(
    words: list[str],
    told: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from graft.pipeline import asking
    from tests.pipeline.conftest import write_photos

    monkeypatch.setattr(asking.backend, "choose", lambda wanted: "tensorflow")
    data = write_photos(tmp_path / "photos", per_class=6)
    run = tmp_path / "run"
    assert main(["train", str(data), "-o", str(run), "--backbone", "sprout", "--image-size", "48", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and told in err
    assert "Traceback" not in err
    assert not run.exists()
