"""The pages of the reference recipes say what the records say, and nothing else."""

import json
import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from graft.report.recipes import measured_lines, published_text
from graft.training.recipes.catalogue import catalogue, ways
from graft.training.recipes.counting import SystemFigures, figures
from graft.training.recipes.records import Measured, Recipe
from tests.architecture.sources import ROOT
from tests.architecture.test_readme import DOCUMENTS, commands, problem
from tests.training.recipes.tables import own_table

PAGES = ROOT / "docs" / "recipes"
IMAGES = ROOT / "docs" / "images" / "recipes"
RESULTS = (ROOT / "bench" / "RESULTS.md").read_text(encoding="utf-8")
NAMES = tuple(dict.fromkeys(name.partition("@")[0] for name in catalogue()))
COUNT = re.compile(r"(?<![\w.,])\d{1,3}(?:,\d{3})+(?!\w|,\d)")  # 16,812,353
PERCENT = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)(?:\s+(?:to|and)\s+(\d+(?:\.\d+)?))?\s%")
SOURCES = "sources.json"
DRAWING = "augmented-views.png"  # of the digits that come with Graft: no photo of anybody's
NO_SCORES = {"10", "15", "95", "100"}  # CIFAR-10's division, intervals, and where training accuracy ends
REFRESH = "run: python bench/recipe_pages.py"


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script that writes the pages' parts."""
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    import recipe_pages

    return recipe_pages


def page(name: str) -> str:
    return (PAGES / f"{name}.md").read_text(encoding="utf-8")


def group(name: str) -> tuple[Recipe, ...]:
    return tuple(recipe for each, recipe in catalogue().items() if each.partition("@")[0] == name)


def by_hand(text: str) -> str:
    """A page without the parts that are written by the script, and without commands."""
    text = re.sub(r"<!-- (\w+) -->\n.*?<!-- /\1 -->", "", text, flags=re.DOTALL)
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def counted(name: str) -> list[SystemFigures]:
    return [figures(recipe, own_table(recipe), classes=recipe.classes) for recipe in group(name)]


def counts_known(name: str) -> set[int]:
    """Every count that a page about this recipe may name."""
    known = {1000, 1280} | {2 * 1031}  # ImageNet's classes, EfficientNet's channels, all sign digits
    for recipe, found in zip(group(name), counted(name), strict=True):
        known |= {recipe.parameters, *recipe.trainable_parameters, *recipe.photos, sum(recipe.photos)}
        known |= {each for phase in found.phases for each in (phase.trainable_parameters, phase.frozen_parameters)}
        known |= {layer.parameters for layer in found.layers} | {layer.shape[-1] for layer in found.layers}
        below = [layer for layer in found.layers if not layer.head]
        known |= {sum(layer.parameters for layer in below), found.parameters}
        known |= {sum(layer.parameters for layer in below if layer.trained[-1])}
        known |= {sum(layer.parameters for layer in below[: number + 1]) for number in range(len(below))}
    return known


def test_each_recipe_has_a_page_and_each_page_a_recipe():
    assert {path.stem for path in PAGES.glob("*")} == {*NAMES, "ways", "README"}
    assert {PAGES / f"{name}.md" for name in NAMES} <= set(DOCUMENTS)  # their commands and links are tested as all are


def test_the_index_is_the_records(pages):
    assert pages.held(page("README")) == pages.index_blocks(), REFRESH
    assert all(f"(docs/recipes/{name}.md)" in page("README") or f"({name}.md)" in page("README") for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_layers_results_and_charts_are_the_records(name, pages):
    assert pages.held(page(name)) == pages.page_blocks(group(name), own_table(group(name)[0])), REFRESH


@pytest.mark.parametrize("name", NAMES)
def test_every_count_in_a_page_is_the_networks(name):
    named = {int(text.replace(",", "")) for text in COUNT.findall(by_hand(page(name)))}
    extra = {2560, 3_634_851, 50_000} if name == "cifar10-efficientnetb0" else set()  # held by tests of their own
    assert named <= counts_known(name) | extra
    first = group(name)[0]
    assert {first.parameters, *first.trainable_parameters} <= named


@pytest.mark.parametrize("name", NAMES)
def test_every_percentage_in_a_page_is_published_or_measured(name):
    text = by_hand(page(name))
    published = {f"{100 * each:.4g}" for recipe in group(name) for it in recipe.published for each in (it.low, it.high)}
    named = {number for pair in PERCENT.findall(text) for number in pair if number}
    measured = {f"{float(each):.1f}" for each in re.findall(r"(\d+(?:\.\d+)?)%", RESULTS)}
    assert named - published - measured <= NO_SCORES
    assert published <= named


def test_the_ways_are_those_of_the_catalogue():
    text = page("ways")
    assert re.findall(r"^\| `([a-z-]+)` \|", text, re.MULTILINE) == list(ways())
    assert re.findall(r"^## `([a-z-]+)`:", text, re.MULTILINE) == list(ways())
    example = ways()["classify"].published.partition(": ")[2].partition(";")[0]
    assert example in text.replace("\n", " ")


def test_commands_of_results_can_be_typed():
    for recipe in catalogue().values():
        for each in recipe.measured:
            assert [problem(words) for words in commands(each.command)] == [""], recipe.name


def test_pictures_are_charts_or_of_the_digits_that_come_with_graft():
    sources = json.loads((IMAGES / SOURCES).read_text(encoding="utf-8"))
    assert {path.name for path in IMAGES.glob("*") if path.suffix != ".svg"} == {DRAWING, SOURCES}
    assert set(sources) == {name for name in NAMES if list(IMAGES.glob(f"{name}-learning-curves.svg"))}
    for path in IMAGES.glob("*"):
        if path.suffix == ".svg":
            assert not re.search(rb"<image|data:image|href", path.read_bytes()), path.name
            assert any(path.name.startswith(f"{name}-") for name in NAMES)


def test_a_new_result_or_chart_reaches_the_page(pages, tmp_path):
    recipe = catalogue()["scratch-cnn"]
    new = Measured(
        backbone="convnet",
        data="cats_and_dogs_small",
        side_pixels=150,
        epochs="12",
        validation=0.7312,
        test=None,
        interval=None,
        seconds=754.0,
        cores=4,
        command="graft train photos --recipe scratch-cnn",
        auto_backbone=None,
        auto_test=None,
        auto_seconds=None,
    )
    (tmp_path / "scratch-cnn-learning-curves.svg").write_text("<svg/>")
    made = {"recipe": "scratch-cnn", "backbone": "convnet_batch", "side_pixels": 150, "epochs": [12]}
    (tmp_path / pages.SOURCES).write_text(json.dumps({"scratch-cnn": made}))
    changed = replace(recipe, measured=(new,))
    blocks = pages.page_blocks((changed,), own_table(recipe), tmp_path)
    text = pages.refreshed(page("scratch-cnn"), blocks)
    assert pages.held(text) == blocks
    assert "73.1 % validation, with convnet at 150 px" in text and f"  {new.command}\n" in text
    assert "with `convnet_batch` at 150 px in place of `convnet`, 12 epochs, as `--plots` draws them:" in text
    assert by_hand(text) == by_hand(page("scratch-cnn"))
    assert measured_lines(changed)[0].startswith("73.1")


def test_sabotage_a_wrong_figure_is_noticed():
    assert 16_812_354 not in counts_known("features-vgg16")
    assert COUNT.findall("1,712 and 16,812,353, 98 %") == ["1,712", "16,812,353"]
    assert PERCENT.findall("83 to 84 % and 97.5 %") == [("83", "84"), ("97.5", "")]
    assert published_text(catalogue()["scratch-cnn-augmented"].published[1]).startswith("83 to 84 %")


def test_pages_are_written_once(pages, tmp_path: Path, monkeypatch):
    for path in PAGES.glob("*.md"):
        text = path.read_text(encoding="utf-8")
        (tmp_path / path.name).write_text(re.sub(r"(<!-- \w+ -->\n).*?(<!-- /)", r"\1\2", text, flags=re.DOTALL))
    monkeypatch.setattr(pages, "PAGES", tmp_path)
    pages.main(own_table)
    assert all((tmp_path / path.name).read_bytes() == path.read_bytes() for path in PAGES.glob("*.md"))
