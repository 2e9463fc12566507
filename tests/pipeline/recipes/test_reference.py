"""Reference recipes as trainings: what each fixes, what may still be said, and what becomes of it on other networks."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from graft.backbones.catalogue import candidates, catalogue
from graft.backbones.catalogue import find as find_backbone
from graft.backbones.freezing import Freeze, can_be_trained, map_levels, resolve
from graft.backbones.layers import LayerTable
from graft.backbones.records import BackboneRecord
from graft.backbones.weights import WeightsFile
from graft.core.errors import BadInput
from graft.core.records import from_json, to_json
from graft.data.records import Manifest
from graft.pipeline import asking, planning
from graft.pipeline.choosing import Chosen
from graft.pipeline.options import RuleOptions, TrainOptions, TuningOptions
from graft.pipeline.planning import follow, preprocessing, resolve_plan
from graft.pipeline.recipes import reference
from graft.pipeline.recipes.reference import OPEN, on_network, recipe_tuning, sized, with_recipe
from graft.training.heads.records import Head
from graft.training.recipes import catalogue as recipes
from graft.training.recipes.catalogue import find
from graft.training.recipes.records import OWN_RECIPES
from graft.training.records import Plan
from graft.training.tuning.records import Tuning
from tests.pipeline.conftest import write_photos
from tests.pipeline.test_asking import OTHERS
from tests.pipeline.works import intake_of
from tests.training.recipes.tables import table

WEIGHTS = WeightsFile(Path("weights.safetensors"), "", "a" * 64)
CLOSED = {name: value for name, value in OTHERS.items() if name not in OPEN}
NAMES = tuple(recipes.catalogue())


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = write_photos(tmp_path_factory.mktemp("two") / "photos", per_class=6, labels=("plain", "stripes"))
    return intake_of(folder).manifest


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """Layer tables are made here, and weights are made up: which random ones were asked for is returned."""
    drawn: list[tuple[str, int, int]] = []

    def layers(record: BackboneRecord, side_pixels: int, cache: Path) -> LayerTable:
        return table(record.name, side_pixels)

    def initial(record: BackboneRecord, side_pixels: int, seed: int, cache: Path) -> WeightsFile:
        drawn.append((record.name, side_pixels, seed))
        return replace(WEIGHTS, sha256="b" * 64)

    monkeypatch.setattr(reference, "layer_table", layers)
    monkeypatch.setattr(planning, "layer_table", layers)
    monkeypatch.setattr(planning, "initial_weights", initial)
    monkeypatch.setattr(asking.backend, "choose", lambda wanted: "tensorflow" if wanted == "auto" else wanted)
    monkeypatch.setattr(
        planning, "choose_backbone", lambda name, weights, **_: Chosen(find_backbone(name), WEIGHTS, "as asked")
    )
    return drawn


def asked(recipe: str, **words: Any) -> TrainOptions:
    return TrainOptions(data="photos", recipe=recipe, **words)


def planned(manifest: Manifest, recipe: str, given: Plan | None = None, **words: Any) -> Plan:
    """The plan of a training as the command line begins it."""
    options = asked(recipe, **words)
    options = with_recipe(follow(options, given) if given else options)
    return resolve_plan(options, manifest, given).plan


def tuning_of(plan: Plan) -> Tuning:
    assert plan.tuning is not None
    return plan.tuning


class TestWhatItFixes:
    @pytest.mark.parametrize("name", OWN_RECIPES)
    def test_other_trainings_are_left_as_they_are(self, name: str) -> None:
        options = asked(name, dropout=0.3, epochs=7)
        assert with_recipe(options) == options
        assert sized(options, find_backbone("sprout")) == options

    @pytest.mark.parametrize("name", NAMES)
    def test_each_in_a_plan(self, name: str, manifest: Manifest) -> None:
        recipe = recipes.find(name)
        plan = planned(manifest, name)
        assert (plan.recipe, plan.backbone, plan.side_pixels) == (recipe.name, recipe.backbone, recipe.side_pixels)
        tuning = tuning_of(plan)
        assert (tuning.head, tuning.phases, tuning.augments) == (recipe.head, recipe.phases, recipe.augments)
        assert (tuning.augmentation, tuning.batch_images) == (recipe.augmentation, recipe.batch_images)
        # What our own fine-tuning adds is no part of a published system.
        added = (tuning.label_smoothing, tuning.mixup, tuning.averaging, tuning.dropout, tuning.time_budget_seconds)
        assert added == (0, 0, 0, 0, None) and tuning.layer_decay == 1
        record = find_backbone(recipe.backbone)
        assert plan.preprocessing == preprocessing(recipe.preprocessing, record)
        assert plan.random_weights is (recipe.weights == "random")

    @pytest.mark.parametrize(
        "words", ["santa-vgg19@published", "Santa_VGG19", " santa-vgg19 ", "SANTA-VGG19@PUBLISHED"]
    )
    def test_published_is_the_recipe_itself(self, words: str, manifest: Manifest) -> None:
        assert planned(manifest, words) == planned(manifest, "santa-vgg19")

    def test_the_variants_differ_where_they_say(self, manifest: Manifest) -> None:
        plain, corrected = planned(manifest, "santa-vgg19"), planned(manifest, "santa-vgg19@corrected")
        assert plain.preprocessing.scale == (1 / 255,) * 3 and plain.preprocessing.channel_order == "rgb"
        assert corrected.preprocessing == find_backbone("vgg19").preprocessing
        assert corrected.preprocessing.channel_order == "bgr"
        assert tuning_of(plain).phases == tuning_of(corrected).phases
        intended = planned(manifest, "santa-vgg19@intended")
        assert tuning_of(intended).phases[0].freeze == Freeze(kind="until", layer="block5_conv1")

    @pytest.mark.parametrize(
        ("name", "code", "told"),
        [
            ("santa-vgg18", "not_found", "Nearest: santa-vgg19"),
            ("nonsense-without-end", "not_found", "See: graft recipes list."),
            ("santa-vgg19@improved", "not_found", "@published, @corrected, @intended"),
            ("classify", "bad_input", "graft classify"),
        ],
    )
    def test_names_that_none_has(self, name: str, code: str, told: str) -> None:
        with pytest.raises(BadInput) as caught:
            with_recipe(asked(name))
        assert caught.value.code == code and told in f"{caught.value.message} {caught.value.hint}"


def test_another_number_of_classes_is_told(manifest: Manifest) -> None:
    assert planned(manifest, "santa-vgg19").recipe_reason == "as asked"
    told = planned(manifest, "sign-digits-vgg16").recipe_reason
    assert told == "as asked; with 2 classes, not 10, it ends in one sigmoid unit"
    two = planned(manifest, "sign-digits-vgg16", binary_head="softmax").recipe_reason
    assert two.endswith("it ends in a softmax of 2 units")


class TestWhatMayBeSaid:
    def test_every_word_about_training_is_open_or_closed(self) -> None:
        """A new option must be decided upon; those about photos belong to all trainings."""
        words = {field.name for field in fields(TuningOptions) if not hasattr(RuleOptions, field.name)}
        assert set(OTHERS) == words and words >= OPEN
        assert set(CLOSED) | OPEN == words

    def test_any_recipe_takes_another_head(self) -> None:
        options = with_recipe(asked("santa-vgg19", head="global_average_pooling,dense=8"))
        head = recipe_tuning(options, "tensorflow").head
        assert isinstance(head, Head)
        assert [layer.kind for layer in head.layers] == ["global_average_pooling", "dense"]
        own = recipe_tuning(with_recipe(asked("santa-vgg19")), "tensorflow").head
        assert own == find("santa-vgg19").head != head

    @pytest.mark.parametrize("word", CLOSED)
    def test_what_would_make_it_another_is_refused_by_name(self, word: str) -> None:
        with pytest.raises(BadInput, match=rf"With --recipe scratch-cnn .* got --{word.replace('_', '-')}\.") as caught:
            with_recipe(asked("scratch-cnn", **{word: CLOSED[word]}))
        assert "--recipe finetune" in caught.value.hint

    @pytest.mark.parametrize(
        "words",
        [{"optimizer": "adam"}, {"layer_decay": 0.9}, {"averaging": 0.98}, {"dropout": 0.0}, {"augment": "auto"}],
    )
    def test_what_is_usual_elsewhere_is_refused_too(self, words: dict[str, Any]) -> None:
        with pytest.raises(BadInput, match=f"got --{next(iter(words)).replace('_', '-')}"):
            with_recipe(asked("scratch-cnn", **words))

    def test_all_of_them_are_named_at_once(self) -> None:
        with pytest.raises(BadInput) as caught:
            with_recipe(asked("scratch-cnn", dropout=0.5, mixup=0.2, epochs=3))
        assert "got --mixup, --dropout." in caught.value.message and "epochs" not in caught.value.message

    def test_open_words_are_followed(self, manifest: Manifest) -> None:
        words: dict[str, Any] = {"batch": 7, "views": 3, "store": "never", "backend": "torch"}
        tuning = tuning_of(planned(manifest, "features-vgg16", train_precision="bfloat16", **words))
        assert (tuning.batch_images, tuning.views, tuning.storing) == (7, 3, "never")
        assert (tuning.backend, tuning.precision) == ("torch", "bfloat16")

    def test_words_about_photos_seed_and_units_are_followed(self, manifest: Manifest) -> None:
        plan = planned(manifest, "features-vgg16", seed=4, binary_head="softmax", image_size=96)
        assert (plan.seed, plan.binary_units, plan.side_pixels) == (4, 2, 96)

    @pytest.mark.parametrize(
        ("words", "wanted"), [(None, (30, 100)), (5, (5, 5)), ((3,), None), ((3, 4), (3, 4)), ((3, 4, 5), None)]
    )
    def test_epochs_of_all_phases_or_of_each(self, words: Any, wanted: tuple[int, ...] | None) -> None:
        options = with_recipe(asked("finetune-vgg16-block5", epochs=words))
        if wanted is None:
            with pytest.raises(BadInput, match=r"--epochs must be one number, or 2 numbers for the 2 phases"):
                recipe_tuning(options, "tensorflow")
            return
        phases = recipe_tuning(options, "tensorflow").phases
        assert tuple(phase.epochs for phase in phases) == wanted
        published = recipes.find("finetune-vgg16-block5").phases
        assert tuple(replace(phase, epochs=1) for phase in phases) == tuple(
            replace(each, epochs=1) for each in published
        )

    def test_several_epochs_are_for_recipes_with_phases(self, manifest: Manifest) -> None:
        with pytest.raises(BadInput, match="--epochs must be one number, got 2,3"):
            planned(manifest, "finetune", backbone="sprout", epochs=(2, 3))


class TestAnotherNetwork:
    """`--backbone`: its own preprocessing, its uppermost level where the recipe names a block."""

    def test_its_own_preprocessing(self, manifest: Manifest) -> None:
        plan = planned(manifest, "santa-vgg19", backbone="mobilenet_0.25")
        assert plan.preprocessing == find_backbone("mobilenet_0.25").preprocessing
        assert plan.preprocessing != preprocessing("rescale_255", find_backbone("mobilenet_0.25"))

    @pytest.mark.parametrize("words", ["vgg19", "VGG19"])
    def test_its_own_network_said_aloud_changes_nothing(self, words: str, manifest: Manifest) -> None:
        assert candidates(words) == ("vgg19",)
        assert planned(manifest, "santa-vgg19", backbone=words) == planned(manifest, "santa-vgg19")

    @pytest.mark.parametrize(
        ("name", "side"), [("sprout", 64), ("mobilenet_0.25", 96), ("vgg19", 64), ("convnet", 46), ("vit_b16", 224)]
    )
    def test_the_uppermost_level_takes_the_place_of_a_block(self, name: str, side: int) -> None:
        recipe, record = recipes.find("finetune-vgg16-block5"), find_backbone(name)
        layers = table(name, side)
        tuning = recipe_tuning(asked(recipe.name, epochs=(2, 3)), "tensorflow")
        found = on_network(tuning, recipe, record, side)
        head, upper = found.phases
        assert head == tuning.phases[0], "where nothing is named nothing changes"
        assert replace(upper, freeze=tuning.phases[1].freeze) == tuning.phases[1]
        trained = resolve(layers, upper.freeze).trained
        assert trained
        if name == "vgg19":
            assert upper.freeze.layer == "block5_conv1", "it has the block too"
            return
        levels = dict(
            zip((layer.name for layer in layers.without_top()), map_levels(layers.without_top()), strict=True)
        )
        highest = max(levels[layer.name] for layer in layers.without_top() if can_be_trained(layer))
        assert {levels[layer] for layer in trained} == {highest}

    def test_on_its_own_network_the_words_stay(self) -> None:
        recipe = recipes.find("finetune-vgg16-block5")
        tuning = recipe_tuning(asked(recipe.name), "tensorflow")
        assert on_network(tuning, recipe, find_backbone("vgg16"), 150) == tuning

    def test_layers_that_are_counted_in_one_network_are_a_level_of_another(self) -> None:
        """The last five of VGG16 are its block 5; the last five of a deeper network would be next to nothing."""
        recipe = recipes.find("sign-digits-vgg16")
        tuning = recipe_tuning(asked(recipe.name), "tensorflow")
        assert on_network(tuning, recipe, find_backbone("vgg16"), 224) == tuning
        (phase,) = on_network(tuning, recipe, find_backbone("sprout"), 64).phases
        assert resolve(table("sprout", 64), phase.freeze).trained == ("s3_down", "s3_a", "s3_b", "head")

    @pytest.mark.parametrize("name", ["cifar10-efficientnetb0", "features-vgg16", "scratch-cnn"])
    def test_recipes_that_name_no_block_keep_their_words(self, name: str) -> None:
        recipe = recipes.find(name)
        tuning = recipe_tuning(asked(name), "tensorflow")
        assert on_network(tuning, recipe, find_backbone("sprout"), 112) == tuning

    def test_the_size_is_the_recipe_s_or_the_least_that_there_is(self, manifest: Manifest) -> None:
        assert planned(manifest, "santa-vgg19", backbone="sprout").side_pixels == 64
        smallest = find_backbone("inception_v3").min_side_pixels
        assert smallest > 64
        assert sized(asked("santa-vgg19"), find_backbone("inception_v3")).image_size == smallest
        assert sized(asked("santa-vgg19", image_size=50), find_backbone("inception_v3")).image_size == 50

    def test_a_head_that_does_not_fit_is_refused_before_anything_is_written(self, manifest: Manifest) -> None:
        with pytest.raises(BadInput, match="must read a map of 7 x 7, got 3 x 3 from sprout at 48 pixels") as caught:
            planned(manifest, "cifar10-efficientnetb0", backbone="sprout", image_size=48)
        assert caught.value.hint == "Use --image-size 224 or 112." or "112" in caught.value.hint
        assert planned(manifest, "cifar10-efficientnetb0", backbone="sprout", image_size=112).side_pixels == 112
        other = planned(manifest, "cifar10-efficientnetb0", backbone="sprout", image_size=48, head="flatten,dense=8")
        assert other.side_pixels == 48, "another head, that fits every map"


class TestWeights:
    def test_from_nothing_as_the_recipe_has_it(self, manifest: Manifest, in_this_process: Any) -> None:
        plan = planned(manifest, "scratch-cnn", seed=3)
        assert (plan.random_weights, plan.weights_sha256) == (True, "b" * 64)
        assert in_this_process == [("convnet", 150, 3)]

    def test_from_nothing_on_another_network(self, manifest: Manifest, in_this_process: Any) -> None:
        assert planned(manifest, "scratch-cnn", backbone="sprout", image_size=48).random_weights
        assert in_this_process == [("sprout", 48, 0)]

    @pytest.mark.parametrize("recipe", ["features-vgg16", "finetune"])
    def test_asked_for(self, manifest: Manifest, in_this_process: Any, recipe: str) -> None:
        plan = planned(manifest, recipe, backbone="vgg16", weights="random", image_size=64)
        assert (plan.backbone, plan.random_weights) == ("vgg16", True)
        assert in_this_process == [("vgg16", 64, 0)]

    def test_a_file_is_not_random(self, manifest: Manifest, in_this_process: Any) -> None:
        assert planned(manifest, "scratch-cnn", weights="mine.h5").weights_sha256 == "a" * 64
        assert in_this_process == []

    def test_which_network_must_be_said(self, manifest: Manifest) -> None:
        with pytest.raises(BadInput, match="must be one network, got 'auto'"):
            planned(manifest, "finetune", weights="random")

    def test_where_none_are_here_another_network_is_named(
        self, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def missing(*arguments: Any, **words: Any) -> Chosen:
            raise BadInput("There must be weights.", hint="Give a file.", code="weights_missing")

        monkeypatch.setattr(planning, "choose_backbone", missing)
        with pytest.raises(BadInput) as caught:
            planned(manifest, "features-vgg16")
        assert caught.value.hint == "Give a file. Or run the recipe on another network with --backbone NAME."
        with pytest.raises(BadInput) as caught:
            planned(manifest, "finetune", backbone="vgg16")
        assert caught.value.hint == "Give a file."


class TestPreprocessing:
    @pytest.mark.parametrize(("name", "scale"), [("none", 1.0), ("rescale_255", 1 / 255)])
    def test_instead_of_the_network_s_own(self, manifest: Manifest, name: Any, scale: float) -> None:
        plan = planned(manifest, "finetune", backbone="vgg16", preprocessing=name)
        assert plan.preprocessing.scale == (scale,) * 3 and plan.preprocessing.offset == (0.0,) * 3
        assert plan.preprocessing.channel_order == "rgb"
        assert plan.preprocessing.geometry == find_backbone("vgg16").preprocessing.geometry

    def test_what_is_asked_for_stands_above_the_recipe(self, manifest: Manifest) -> None:
        assert planned(manifest, "santa-vgg19", preprocessing="none").preprocessing.scale == (1.0,) * 3
        plan = planned(manifest, "santa-vgg19", backbone="sprout", preprocessing="rescale_255")
        assert plan.preprocessing.scale == (1 / 255,) * 3

    @pytest.mark.parametrize("name", ["none", "rescale_255"])
    def test_every_network_is_still_given_as_many_channels_as_it_reads(self, name: Any) -> None:
        for record in catalogue().values():
            found = preprocessing(name, record)
            assert found.channels == record.preprocessing.channels, record.name
            assert found.geometry == record.preprocessing.geometry


FOLLOWED: dict[str, Callable[[], dict[str, Any]]] = {
    "as published": lambda: {"recipe": "finetune-vgg16-block5"},
    "corrected": lambda: {"recipe": "finetune-vgg16-block5@corrected", "epochs": (2, 1)},
    "another network": lambda: {"recipe": "finetune-vgg16-block5", "backbone": "sprout", "image_size": 64, "epochs": 3},
    "from nothing": lambda: {"recipe": "scratch-cnn", "seed": 5, "batch": 4},
    "with raw pixels": lambda: {"recipe": "sign-digits-vgg16", "views": 2},
    "all augmented": lambda: {"recipe": "cifar10-efficientnetb0", "binary_head": "softmax"},
    "preprocessing": lambda: {"recipe": "finetune", "backbone": "vgg16", "preprocessing": "rescale_255"},
    "random": lambda: {"recipe": "finetune", "backbone": "vgg16", "weights": "random", "image_size": 64},
}


class TestFollowed:
    """`--config`: a plan leads to the same plan, to the last byte, without another word."""

    @pytest.mark.parametrize("name", FOLLOWED)
    def test_to_the_same_bytes(self, manifest: Manifest, name: str) -> None:
        words = FOLLOWED[name]()
        plan = planned(manifest, words.pop("recipe"), **words)
        written = to_json(plan)
        given = from_json(Plan, written, source="plan.json")
        assert to_json(planned(manifest, "auto", given)) == written

    def test_the_recipe_may_be_named_again(self, manifest: Manifest) -> None:
        plan = planned(manifest, "santa-vgg19", epochs=2)
        assert planned(manifest, "santa-vgg19@published", plan) == plan

    @pytest.mark.parametrize(
        ("recipe", "words", "told"),
        [
            ("santa-vgg19", {"epochs": 3}, "--epochs"),
            ("santa-vgg19", {"views": 3}, "--views"),
            ("santa-vgg19@corrected", {}, "that of the plan to follow, santa-vgg19, got santa-vgg19@corrected"),
            ("santa-vgg19", {"image_size": 80}, "side_pixels"),
            ("santa-vgg19", {"seed": 9}, "seed"),
            ("santa-vgg19", {"preprocessing": "none"}, "preprocessing"),
        ],
    )
    def test_sabotage_another_word_is_refused(
        self, manifest: Manifest, recipe: str, words: dict[str, Any], told: str
    ) -> None:
        plan = planned(manifest, "santa-vgg19", epochs=2)
        with pytest.raises(BadInput, match=told):
            planned(manifest, recipe, plan, **words)
