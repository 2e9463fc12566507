"""Each reference recipe reaches its floor on real photos, with a stand-in for weights that are not at hand. Hours."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "bench" / "bench_recipes.py"
RECIPES = (
    *("sign-digits-vgg16", "scratch-cnn", "scratch-cnn-augmented", "features-vgg16", "features-vgg16-augmented"),
    *("finetune-vgg16-block5", "santa-vgg19", "cifar10-efficientnetb0@corrected"),
)
SECONDS_TO_END = 3600


@pytest.mark.slow
@pytest.mark.timeout(SECONDS_TO_END)
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_reaches_its_floor(shared: Path, tmp_path: Path, recipe: str) -> None:
    """The same script writes the table in bench/RESULTS.md, Graft's own `auto` on the same photos beside."""
    report = tmp_path / "recipes.json"
    words = [sys.executable, str(SCRIPT), "--recipe", recipe, "--json", str(report)]
    ended = subprocess.run(words, capture_output=True, text=True, check=False, timeout=SECONDS_TO_END)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (found,) = json.loads(report.read_text())
    assert found["recipe"] == recipe
    assert found["reached"] >= found["floor"] > 0.5
    assert found["auto"]["test"]["accuracy"] > 0.5


@pytest.mark.slow
def test_sabotage_a_floor_that_is_not_reached_fails(shared: Path, tmp_path: Path) -> None:
    """One epoch of training from nothing: the script says so and ends with status 1."""
    code = (
        f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r})\n"
        "import bench_recipes\nfrom dataclasses import replace\n"
        "bench_recipes.CASES = (replace(bench_recipes.CASES[1], epochs=(1,), floor=0.99),)\n"
        "bench_recipes.main(['--without-auto'])\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=1200)
    assert ended.returncode == 1
    assert "Missed: scratch-cnn: " in ended.stdout
