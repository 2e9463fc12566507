"""Each reference recipe reaches its floor on real photos, with a stand-in for weights that are not at hand. Hours."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "bench" / "bench_recipes.py"
FLOORS = {
    "sign-digits-vgg16": 0.97,
    "scratch-cnn": 0.70,
    "scratch-cnn-augmented": 0.76,
    "features-vgg16": 0.96,
    "features-vgg16-augmented": 0.96,
    "finetune-vgg16-block5": 0.97,
    "santa-vgg19": 0.93,
    "cifar10-efficientnetb0@corrected": 0.70,
}
SECONDS_TO_END = 7200  # of a recipe and of auto beside it, on a busy machine


@pytest.mark.slow
@pytest.mark.timeout(SECONDS_TO_END + 60)
@pytest.mark.parametrize("recipe", FLOORS)
def test_a_recipe_reaches_its_floor(shared: Path, tmp_path: Path, recipe: str) -> None:
    """The same script writes the table in bench/RESULTS.md, Graft's own `auto` on the same photos beside."""
    report = tmp_path / "recipes.json"
    words = [sys.executable, str(SCRIPT), "--recipe", recipe, "--json", str(report)]
    ended = subprocess.run(words, capture_output=True, text=True, check=False, timeout=SECONDS_TO_END)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (found,) = json.loads(report.read_text())
    assert found["recipe"] == recipe
    assert found["reached"] >= FLOORS[recipe]
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
