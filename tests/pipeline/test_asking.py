"""From the words about fine-tuning to what the plan says of it."""

from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import pytest

from graft.backbones.freezing import Freeze
from graft.core.errors import BadInput
from graft.core.progress import SilentProgress
from graft.data.augmentation.presets import PRESETS, parse
from graft.pipeline import asking
from graft.pipeline.asking import BUDGET_VARIABLE, asked_tuning, freeze_words, seconds_of
from graft.pipeline.intake import read_data
from graft.pipeline.options import RuleOptions, TrainOptions, TuningOptions
from graft.pipeline.planning import follow, resolve_plan
from graft.training.heads.records import Dense, Dropout, Flatten, Head
from graft.training.tuning.records import Tuning
from tests.pipeline.conftest import options as built_in

# One value that is not the default, for each word about fine-tuning.
OTHERS: dict[str, Any] = {
    "freeze": "auto",
    "freeze_until": "s3_a",
    "freeze_level": 2,
    "unfreeze_last": 3,
    "unfreeze": "all",
    "head": "trained",
    "augment": "strong",
    "views": 3,
    "epochs": 7,
    "batch": 8,
    "optimizer": "sgd",
    "layer_decay": 0.8,
    "learning_rate": 0.02,
    "label_smoothing": 0.2,
    "mixup": 0.3,
    "averaging": 0.9,
    "dropout": 0.4,
    "train_precision": "float32",
    "store": "never",
    "backend": "jax",
    "time_budget": "90s",
}
FREEZING = ("freeze", "freeze_until", "freeze_level", "unfreeze_last", "unfreeze")


@pytest.fixture(autouse=True)
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Whatever is installed: the backend that is asked for, TensorFlow where none is. Notes what was asked for."""
    asked: list[str] = []

    def choose(wanted: str) -> str:
        asked.append(wanted)
        return "tensorflow" if wanted == "auto" else wanted

    monkeypatch.setattr(asking.backend, "choose", choose)
    monkeypatch.delenv(BUDGET_VARIABLE, raising=False)
    return asked


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def choose(wanted: str) -> str:
        raise BadInput(f"Fine-tuning must find {wanted}.", hint="Type: pip install it.", code="extra_missing")

    monkeypatch.setattr(asking.backend, "choose", choose)


def manifest(*splits: str) -> Any:
    return SimpleNamespace(photos=[SimpleNamespace(split=split) for split in splits or ("train", "validation")])


def ask(*splits: str, **words: Any) -> tuple[Tuning | None, str]:
    return asked_tuning(TrainOptions(data="photos", **words), manifest(*splits))


def test_every_word_about_fine_tuning_is_tested_here() -> None:
    own = {field.name for field in fields(TuningOptions)} - {field.name for field in fields(RuleOptions)}
    assert set(OTHERS) == own


@pytest.mark.parametrize(
    ("words", "freeze"),
    [
        ({}, Freeze(kind="auto")),
        ({"freeze": "auto"}, Freeze(kind="auto")),
        ({"freeze_until": "block5_conv1"}, Freeze(kind="until", layer="block5_conv1")),
        ({"freeze_level": 4}, Freeze(kind="level", count=4)),
        ({"unfreeze_last": 5}, Freeze(kind="last", count=5)),
        ({"unfreeze": "all"}, Freeze(kind="all")),
        ({"unfreeze": "none"}, Freeze(kind="none")),
    ],
)
def test_each_way_to_say_what_is_frozen(words: dict[str, Any], freeze: Freeze) -> None:
    assert freeze_words(TuningOptions(**words)) == freeze
    tuning, _ = ask(recipe="finetune", **words)
    assert tuning is not None and tuning.freeze == freeze


@pytest.mark.parametrize("first", FREEZING)
@pytest.mark.parametrize("second", FREEZING)
def test_two_ways_at_once_are_refused_by_name(first: str, second: str) -> None:
    if first == second:
        return
    with pytest.raises(BadInput, match="must be said in one way") as caught:
        ask(recipe="finetune", **{name: OTHERS[name] for name in (first, second)})
    for name in (first, second):
        assert f"--{name.replace('_', '-')}" in caught.value.message


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("5m", 300), ("1.5h", 5400), ("1h", 3600), ("45", 45), (" 2 M ", 120), ("0", 0), ("720h", 2_592_000)],
)
def test_times(text: str, seconds: float) -> None:
    assert seconds_of(text, "--time-budget") == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5m", "5d", "1h30m", "1e3", "nan", "inf", "5 m m", "721h", "9" * 50])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="--time-budget must be a time as 90s, 5m or 1h, at most 30 days, got") as caught:
        ask(recipe="finetune", time_budget=text)
    assert len(caught.value.message) < 160


def test_the_budget_of_auto_is_five_minutes_or_what_the_variable_says(monkeypatch: pytest.MonkeyPatch) -> None:
    tuning, _ = ask()
    assert tuning is not None and tuning.time_budget_seconds == 300
    monkeypatch.setenv(BUDGET_VARIABLE, "20m")
    tuning, _ = ask()
    assert tuning is not None and tuning.time_budget_seconds == 1200
    tuning, _ = ask(time_budget="2m")
    assert tuning is not None and tuning.time_budget_seconds == 120, "what is typed goes before the variable"


def test_the_variable_has_no_say_where_fine_tuning_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BUDGET_VARIABLE, "0")
    tuning, reason = ask(recipe="finetune")
    assert tuning is not None and tuning.time_budget_seconds is None
    assert reason == "as asked"


def test_a_bad_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BUDGET_VARIABLE, "a while")
    with pytest.raises(BadInput, match=f"{BUDGET_VARIABLE} must be a time"):
        ask()
    assert ask(recipe="probe") == (None, "as asked")


def test_auto_without_time_is_the_probe_and_looks_for_no_backend(
    monkeypatch: pytest.MonkeyPatch, chosen: list[str]
) -> None:
    monkeypatch.setenv(BUDGET_VARIABLE, "0")
    assert ask() == (None, "auto is the linear probe where the time budget is 0")
    assert ask(recipe="probe") == (None, "as asked")
    assert chosen == []


@pytest.mark.parametrize("text", ["0", "0s", "0.0h"])
def test_no_time_is_refused_where_fine_tuning_is_asked_for(text: str) -> None:
    with pytest.raises(BadInput, match="--time-budget must be more than nothing"):
        ask(recipe="finetune", time_budget=text)
    assert ask(time_budget=text) == (None, "auto is the linear probe where the time budget is 0")


def test_auto_without_validation_photos_is_the_probe() -> None:
    tuning, reason = ask("train", "test")
    assert tuning is None and "no validation photos" in reason
    tuning, _ = ask("train", "test", recipe="finetune")
    assert tuning is not None


@pytest.mark.usefixtures("nothing_installed")
def test_auto_without_a_backend_is_the_probe_and_says_what_to_install() -> None:
    tuning, reason = ask()
    assert tuning is None
    assert "nothing can fine-tune" in reason and "pip install it" in reason


@pytest.mark.usefixtures("nothing_installed")
@pytest.mark.parametrize("words", [{"recipe": "finetune"}, {"backend": "torch"}])
def test_a_backend_that_was_asked_for_must_be_there(words: dict[str, Any]) -> None:
    with pytest.raises(BadInput) as caught:
        ask(**words)
    assert caught.value.code == "extra_missing"


@pytest.mark.parametrize("recipe", ["auto", "finetune"])
def test_the_backend_is_decided_once(recipe: str, chosen: list[str]) -> None:
    tuning, _ = ask(recipe=recipe, backend="jax")
    assert tuning is not None and tuning.backend == "jax"
    tuning, _ = ask(recipe=recipe)
    assert tuning is not None and tuning.backend == "tensorflow"
    assert chosen == ["jax", "auto"]


@pytest.mark.parametrize("name", OTHERS)
def test_with_the_probe_alone_no_word_about_fine_tuning_stands(name: str) -> None:
    with pytest.raises(BadInput, match="nothing must be said about fine-tuning") as caught:
        ask(recipe="probe", **{name: OTHERS[name]})
    assert f"--{name.replace('_', '-')}." in caught.value.message


def test_all_of_them_are_named() -> None:
    with pytest.raises(BadInput, match=r"got --views, --epochs, --store\."):
        ask(recipe="probe", views=2, epochs=2, store="always")


@pytest.mark.parametrize("name", [name for name in OTHERS if name not in FREEZING])
def test_every_word_reaches_the_plan(name: str) -> None:
    """A word that changes nothing would be one that is forgotten."""
    usual, _ = ask(recipe="finetune")
    other, _ = ask(recipe="finetune", **{name: OTHERS[name]})
    assert usual is not None and other is not None
    different = [field.name for field in fields(Tuning) if getattr(usual, field.name) != getattr(other, field.name)]
    assert len(different) == 1


def test_words_keep_their_values() -> None:
    tuning, _ = ask(recipe="finetune", **{name: OTHERS[name] for name in OTHERS if name not in FREEZING})
    assert tuning == Tuning(
        head="trained",
        augmentation=PRESETS["strong"],
        views=3,
        epochs=7,
        batch_images=8,
        optimizer="sgd",
        rate=0.02,
        layer_decay=0.8,
        label_smoothing=0.2,
        mixup=0.3,
        averaging=0.9,
        dropout=0.4,
        precision="float32",
        storing="never",
        backend="jax",
        time_budget_seconds=90.0,
    )


def test_the_usual_augmentation_mirrors_nothing() -> None:
    tuning, _ = ask(recipe="finetune")
    assert tuning is not None and tuning.augmentation == PRESETS["symbols"]
    assert not (tuning.augmentation.horizontal_flip or tuning.augmentation.vertical_flip)


def test_an_augmentation_in_words_is_read_at_once() -> None:
    tuning, _ = ask(recipe="finetune", augment="classic,rotation=30")
    assert tuning is not None and tuning.augmentation == parse("classic,rotation=30")
    with pytest.raises(BadInput, match="must begin with one of"):
        ask(recipe="finetune", augment="clasic")


def test_a_head_in_words_is_read_at_once() -> None:
    """The layers of a reference recipe's head are a word like any other, for any network."""
    tuning, _ = ask(recipe="finetune", head="flatten,dense=256,dropout=0.5")
    assert tuning is not None
    assert tuning.head == Head(layers=(Flatten(), Dense(units=256), Dropout(rate=0.5)))
    with pytest.raises(BadInput, match="dens"):
        ask(recipe="finetune", head="flatten,dens=256")


def test_several_numbers_of_epochs_are_for_the_phases_of_a_recipe() -> None:
    with pytest.raises(BadInput, match=r"--epochs must be one number, got 5,10"):
        ask(recipe="finetune", epochs=(5, 10))


def test_the_defaults_of_options_and_of_the_plan_agree() -> None:
    tuning, _ = ask(recipe="finetune", augment="none")
    assert tuning == Tuning()


class TestPlans:
    """What `--config` follows."""

    @pytest.fixture
    def found(self, photos):
        return read_data(
            photos,
            split="70/15/15",
            seed=0,
            on_bad="quarantine",
            split_from=None,
            duplicates="near",
            rules=RuleOptions().rules(),
            progress=SilentProgress(),
        ).manifest

    def test_a_plan_carries_what_was_asked_about_fine_tuning(self, found, photos, tmp_path, chosen) -> None:
        first = resolve_plan(built_in(photos, tmp_path, recipe="finetune", epochs=3, unfreeze_last=4), found).plan
        assert first.recipe == "finetune" and first.tuning is not None and first.schedules == ()
        chosen.clear()
        bare = follow(TrainOptions(data=str(photos), config="plan.json"), first)
        again = resolve_plan(bare, found, first).plan
        assert (again.recipe, again.tuning) == (first.recipe, first.tuning)
        assert chosen == [], "a plan that is followed names its backend"

    def test_a_plan_of_the_probe_alone_stays_one(self, found, photos, tmp_path) -> None:
        first = resolve_plan(built_in(photos, tmp_path, recipe="probe"), found).plan
        again = resolve_plan(follow(TrainOptions(data=str(photos), config="p"), first), found, first).plan
        assert again.recipe == "probe" and again.tuning is None

    def test_the_plan_says_why(self, found, photos, tmp_path) -> None:
        plan = resolve_plan(built_in(photos, tmp_path), found).plan
        assert plan.recipe == "auto" and "the better of both is kept" in plan.recipe_reason
        assert plan.tuning is not None and plan.tuning.time_budget_seconds == 300
