"""The parts of docs/recipes that come from records: layer tables, results, and the charts that are there.

Each part stands between `<!-- NAME -->` and `<!-- /NAME -->`; the rest of a page is written by hand. Run this after
`measured` of a recipe has changed. With runs of recipes, their charts are taken first, and what they are charts of is
noted beside them.

    python bench/recipe_pages.py [--charts RUN ...]
"""

import argparse
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from graft.backbones.catalogue import find as find_backbone
from graft.backbones.layers import LayerTable
from graft.core.progress import make_progress
from graft.report.figures import VIEWS_AGAIN
from graft.report.recipes import best_published, layer_lines, measured_lines, measured_of
from graft.report.words import NO_BREAK
from graft.training.recipes.catalogue import catalogue
from graft.training.recipes.counting import figures
from graft.training.recipes.records import Recipe

PAGES = Path(__file__).resolve().parents[1] / "docs" / "recipes"
IMAGES = PAGES.parent / "images" / "recipes"
INDEX = "README"
SOURCES = "sources.json"  # for each recipe's plain name, of which training its charts are
DEPTH, TIMING = "depth-profile", "timing"
CHARTS = {
    "learning-curves": "Learning curves: dots for training, a line for validation",
    "confusion-matrix": "Confusion matrix: true classes down, answers across",
    TIMING: "What computing and reading again took: durations as bars",
    DEPTH: "Depth profile: accuracy of a linear probe at each depth of the network",
}
Tables = Callable[[Recipe], LayerTable]


def lectures() -> dict[str, tuple[Recipe, ...]]:
    """Each recipe with its variants, the published one first, by its plain name: a page for each."""
    groups = groupby(catalogue().values(), key=lambda each: each.name.partition("@")[0])
    return {name: tuple(group) for name, group in groups}


def index_blocks() -> dict[str, str]:
    """What docs/recipes/README.md takes from the records."""
    lines = [
        "| recipe | what it teaches | data | network | published | measured |",
        "|---|---|---|---|---|---|",
    ]
    for name, group in lectures().items():
        recipe = group[0]
        cells = (f"[`{name}`]({name}.md)", recipe.lesson, f"`{recipe.data}`", f"`{recipe.backbone}`")
        lines.append(f"| {' | '.join((*cells, best_published(recipe), measured_of(group)))} |")
    return {"recipes": plain("\n".join(lines))}


def page_blocks(group: Sequence[Recipe], table: LayerTable, images: Path = IMAGES) -> dict[str, str]:
    """What the page of a recipe and its variants takes from the records; `table` is of the published one's network."""
    first = group[0]
    layers = "\n".join(layer_lines(figures(first, table, classes=first.classes)))
    return {
        "layers": f"```text\n{layers}\n```",
        "measured": plain("\n".join(line for recipe in group for line in results(recipe))).strip("\n"),
        "charts": "\n\n".join(charts(first.name, images)),
    }


def results(recipe: Recipe) -> list[str]:
    """A recipe's measured results as a list, and the command of each below it."""
    lines = []
    commands = [each.command for each in recipe.measured]
    for number, line in enumerate(measured_lines(recipe)):
        lines.append(f"- `{recipe.name}`: {line}")
        if number < len(commands):
            lines += ["", "  ```sh", f"  {commands[number]}", "  ```", ""]
    return lines


def charts(name: str, images: Path = IMAGES) -> list[str]:
    """Whose charts they are, and a line of Markdown for each that is there; nothing where none is."""
    files = {kind: f"{name}-{kind}.svg" for kind in CHARTS}
    there = [f"![{CHARTS[kind]}](../images/recipes/{file})" for kind, file in files.items() if (images / file).exists()]
    if not there:
        return []
    made = json.loads((images / SOURCES).read_text(encoding="utf-8"))[name]
    own = catalogue()[made["recipe"]].backbone
    network = f"`{made['backbone']}` at {made['side_pixels']} px"
    place = "" if made["backbone"] == own else f" in place of `{own}`"
    epochs = " + ".join(map(str, made["epochs"]))
    return [f"Charts of `{made['recipe']}` with {network}{place}, {epochs} epochs, as `--plots` draws them:", *there]


def take_charts(run: Path, images: Path = IMAGES) -> str:
    """Take a run's charts for its recipe's page, with what they are of; returns the recipe's plain name."""
    from graft.pipeline.report import rebuild_report

    plan = json.loads((run / "plan.json").read_text(encoding="utf-8"))
    seconds = json.loads((run / "made.json").read_text(encoding="utf-8"))["seconds"]
    name = plan["recipe"].partition("@")[0]
    with tempfile.TemporaryDirectory() as folder:
        rebuild_report(run, plots=Path(folder), progress=make_progress(quiet=True))
        for kind in CHARTS:
            if kind == DEPTH and plan.get("random_weights"):
                continue  # of a network that had learned nothing
            if kind == TIMING and VIEWS_AGAIN not in seconds:
                continue  # nothing to compare with
            shutil.copyfile(Path(folder, f"{kind}.svg"), images / f"{name}-{kind}.svg")
    path = images / SOURCES
    sources = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    sources[name] = {key: plan[key] for key in ("recipe", "backbone", "side_pixels")}
    sources[name]["epochs"] = [phase["epochs"] for phase in plan["tuning"]["phases"]]
    path.write_text(json.dumps(sources, indent=1, sort_keys=True) + "\n", encoding="utf-8", newline="\n")
    return name


def plain(text: str) -> str:
    """The text with ordinary blanks."""
    return text.replace(NO_BREAK, " ")


def held(text: str) -> dict[str, str]:
    """The parts between the marks of a page."""
    return {name: part.strip("\n") for name, part in re.findall(r"<!-- (\w+) -->\n(.*?)<!-- /\1 -->", text, re.DOTALL)}


def refreshed(text: str, blocks: Mapping[str, str]) -> str:
    """The page with these parts between its marks."""
    for name, part in blocks.items():
        inside = f"<!-- {name} -->\n{part}\n<!-- /{name} -->" if part else f"<!-- {name} -->\n<!-- /{name} -->"
        text = re.sub(rf"<!-- {name} -->\n.*?<!-- /{name} -->", lambda _: inside, text, flags=re.DOTALL)  # noqa: B023
    return text


def main(tables: Tables) -> None:
    """Bring every page up to date."""
    wanted = {INDEX: index_blocks()}
    wanted |= {name: page_blocks(group, tables(group[0])) for name, group in lectures().items()}
    for name, blocks in wanted.items():
        path = PAGES / f"{name}.md"
        text = path.read_text(encoding="utf-8")
        new = refreshed(text, blocks)
        if new != text:
            path.write_text(new, encoding="utf-8", newline="\n")
            print(f"{path.name}: brought up to date", file=sys.stderr)


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--charts", nargs="+", type=Path, default=[], metavar="RUN", help="runs to take charts from")
    for run in words.parse_args().charts:
        print(f"{take_charts(run)}: charts taken from {run}", file=sys.stderr)
    from graft.pipeline.recipes.reference import sized_table

    main(lambda recipe: sized_table(recipe, find_backbone(recipe.backbone), None))
