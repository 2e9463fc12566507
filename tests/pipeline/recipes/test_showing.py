"""Recipes as a user meets them: on the network of their choice, timed, refused with a way out."""

from pathlib import Path

import pytest

from graft.backbones.catalogue import find as find_backbone
from graft.backbones.layers import LayerTable, table_of
from graft.backbones.networks import build
from graft.core.errors import BadInput
from graft.pipeline.recipes import reference
from graft.pipeline.recipes.showing import (
    listed,
    script,
    shown,
    view,
    way,
    way_shown,
    write_script,
)
from graft.training.recipes.catalogue import catalogue, find, ways
from graft.training.recipes.counting import figures
from tests.training.recipes.tables import own_table, table


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layer tables are made here: the child process that makes them has its own tests."""

    def layers(record, side_pixels: int, cache: Path) -> LayerTable:
        return table(record.name, side_pixels)

    monkeypatch.setattr(reference, "layer_table", layers)


def test_a_recipe_on_its_own_network():
    seen = view("finetune_vgg16_block5@published")
    assert seen.recipe == find("finetune-vgg16-block5")
    assert seen.variants == ("corrected",)
    assert seen.figures == figures(seen.recipe, own_table(seen.recipe), classes=2)
    assert seen.seconds > 0
    text = shown(seen)
    assert "16,812,353 parameters, 30 weight tensors" in text
    assert "9,177,089 trainable in 10 tensors" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("name", catalogue())
def test_each_is_shown_in_80_columns(name):
    text = shown(view(name))
    assert max(map(len, text.splitlines())) <= 80
    assert "not reproduced" in text or find(name).measured
    assert f"{find(name).parameters:,} parameters" in text


def test_another_network_size_and_number_of_classes():
    seen = view("santa-vgg19", backbone="mobilenet_0.25", image_size=96, classes=5)
    assert (seen.figures.backbone, seen.figures.side_pixels, seen.figures.classes) == ("mobilenet_0.25", 96, 5)
    assert seen.recipe.parameters == seen.figures.parameters == 218_544 + 9 * 256 * 132 + 132 + 132 * 5 + 5
    text = shown(seen, every=True)
    assert "89.4 % test, 10 epochs, with VGG19" in text
    assert all(layer.name in text for layer in seen.figures.layers)


def test_what_a_user_says_of_the_training():
    seen = view("finetune-vgg16-block5", epochs=(3, 4), batch=8, head="flatten,dense=16", binary_head="softmax")
    assert [phase.epochs for phase in seen.recipe.phases] == [3, 4]
    assert seen.recipe.parameters == 14_714_688 + (8192 * 16 + 16) + (16 * 2 + 2)
    text = " ".join(shown(seen).split())
    assert "3 epochs of 100 steps in batches of 8" in text
    assert "flatten, dense 16, then 2 softmax units" in text
    longer = view("finetune-vgg16-block5", epochs=(3, 40), head="flatten,dense=16")
    assert longer.seconds > 2 * seen.seconds


def test_what_the_recipe_fixes_cannot_be_said():
    with pytest.raises(BadInput, match="the training must be as the recipe has it, got --optimizer"):
        view("santa-vgg19", optimizer="adamw")


def test_weights(shared: Path):
    text = " ".join(shown(view("scratch-cnn")).split())
    assert "with random weights, at 150 px" in text
    file = str(shared / "weights" / "mobilenet_0.25_224_notop.weights.h5")
    seen = view("santa-vgg19", backbone="mobilenet", weights=file)
    assert seen.figures.backbone == "mobilenet_0.25", "of the family the one that the file fits"
    text = " ".join(shown(seen).split())
    assert "MobileNet 0.25 in the place of VGG19 with the weights of mobilenet_0.25_224_notop.weights.h5" in text
    assert f'"--weights", default={file!r}' in script("santa-vgg19", backbone="mobilenet", weights=file)
    assert "\"--weights\", default='random'" in script("santa-vgg19", weights="random")


def test_of_a_family_the_network_whose_weights_are_here(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reference, "all_here", lambda cache: ())
    with pytest.raises(BadInput, match="must be one network, got 'mobilenet'"):
        view("santa-vgg19", backbone="mobilenet")
    here = [(find_backbone(name), None) for name in ("mobilenet_0.5", "vgg16")]
    monkeypatch.setattr(reference, "all_here", lambda cache: here)
    assert view("santa-vgg19", backbone="mobilenet").figures.backbone == "mobilenet_0.5"


def test_the_head_in_words():
    text = " ".join(shown(view("cifar10-efficientnetb0")).split())
    assert (
        "convolution of 7 filters of 7 x 7, batch normalization, global average pooling, dropout 0.2, flatten, "
        "dense 512, then 10 softmax units" in text
    )


def test_results_of_another_network_say_so():
    text = " ".join(shown(view("cifar10-efficientnetb0", backbone="mobilenet_0.25")).split())
    assert "MobileNet 0.25 in the place of EfficientNet-B0 with ImageNet's weights" in text
    assert "88.9 % test, phase 1, 10 epochs, with EfficientNet-B0" in text
    assert "in the place of" not in shown(view("cifar10-efficientnetb0"))


def test_a_network_that_takes_no_photo_so_small_has_its_smallest_side():
    smallest = find_backbone("efficientnet_b0").min_side_pixels
    assert view("santa-vgg19", backbone="efficientnet_b0").figures.side_pixels == max(64, smallest)


def test_a_size_at_which_the_head_does_not_fit_names_one_at_which_it_does():
    with pytest.raises(BadInput) as caught:
        view("cifar10-efficientnetb0", backbone="mobilenet_0.25", image_size=128)
    assert "must read a map of 7 x 7, got 4 x 4 from mobilenet_0.25 at 128 pixels" in caught.value.message
    assert caught.value.hint == "Use --image-size 224."


def test_all_are_listed():
    text = listed()
    shown = [f"@{name.partition('@')[2]}" if "@" in name else name for name in (*catalogue(), *ways())]
    assert all(name in text for name in shown)
    measured = {name.partition("@")[0] for name, recipe in catalogue().items() if recipe.measured}
    names = {name.partition("@")[0] for name in catalogue()}
    assert text.count("not reproduced") == len(names - measured), "a variant's result stands for the whole group"


def test_ways_are_commands():
    assert way("feature_extractor") is ways()["feature-extractor"]
    assert way("scratch-cnn") is None
    assert "graft classify IMAGES" in way_shown(ways()["classify"])


def test_a_script_is_written_to_a_new_file_or_over_an_earlier_one(tmp_path):
    path = tmp_path / "santa.py"
    text = script("santa-vgg19")
    write_script(path, text)
    write_script(path, text + "# more\n")
    assert path.read_text(encoding="utf-8") == text + "# more\n"
    path.write_text("print('mine')\n")
    with pytest.raises(BadInput, match="a script that graft recipes show wrote before"):
        write_script(path, text)
    with pytest.raises(BadInput, match="a Python file"):
        write_script(tmp_path / "santa.txt", text)


def test_the_tables_of_these_tests_are_those_of_the_networks():
    record = find_backbone("mobilenet_0.25")
    plain = build(record, side_pixels=96)
    assert table("mobilenet_0.25", 96) == table_of(record, 96, plain, plain)
