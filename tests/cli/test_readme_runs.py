"""The README's commands and its Python run, in its own order, on photos made for the purpose."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.architecture.sources import ROOT

BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Installing is not run again inside a test, nothing is downloaded (test_fetching does, from a local server), and a
# service would not end (tests/serving).
LEFT_OUT = ("pip ", "make ", "python3 ", ". ", "graft backbones fetch ", "graft data fetch ", "graft serve ", "curl ")
WEIGHTS = "mobilenet_1_0_224_tf_no_top.h5"
COLOURS = {"cat": (200, 60, 40), "dog": (40, 60, 200), "owl": (60, 180, 60)}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),  # every command of the README; three minutes on two idle cores
    pytest.mark.skipif(shutil.which("bash") is None or os.name == "nt", reason="needs bash and find"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the README speaks of: photos/, later/, new/, photos.zip, table.csv, two photos, `graft`."""
    folder = tmp_path_factory.mktemp("readme")
    for name, count in (("photos", 30), ("later", 6)):
        for label, colour in COLOURS.items():
            for number in range(count):
                write_photo(folder / name / label / f"{number}.png", colour, seed=number + 100 * len(name))
    for number, colour in enumerate(COLOURS.values()):
        write_photo(folder / "new" / f"{number}.png", colour, seed=number)
    write_photo(folder / "cat.jpg", COLOURS["cat"], seed=7)
    write_photo(folder / "bear.jpg", COLOURS["dog"], seed=8)
    shutil.make_archive(str(folder / "photos"), "zip", folder, "photos")
    rows = [f"photos/{label}/{number}.png,{label}" for label in COLOURS for number in range(30)]
    (folder / "table.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    command = folder / "bin" / "graft"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m graft "$@"\n')
    command.chmod(0o755)
    return folder


def write_photo(path: Path, colour: tuple[int, int, int], *, seed: int) -> None:
    """A noisy patch of one colour."""
    noise = np.random.default_rng(seed).normal(0, 30, (64, 64, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)).save(path)


def run(words: list[str], place: Path) -> None:
    environment = {
        **os.environ,
        "PATH": f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "BROWSER": "true",  # `--open` calls this program
        "GRAFT_CACHE": str(place / "cache"),  # what other tests import must not decide what `auto` stands for
    }
    ended = subprocess.run(words, cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{words[-1]}\n{ended.stdout}\n{ended.stderr}"


def test_the_readme_runs(place):
    shared = ROOT.parent / "shared" / "weights"
    left_out = LEFT_OUT
    if shared.exists():
        shutil.copy(shared / "mobilenet_1.0_224_notop.weights.h5", place / WEIGHTS)
        top = shared / "mobilenet_v2_1.0_224_top.weights.h5"
        run(["graft", "classify", "bear.jpg", "--weights", str(top)], place)
    else:
        left_out += ("graft classify ", "graft recipes run ")  # need weights, the first with a top
    blocks = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(blocks) >= 8
    for language, text in blocks:
        if language == "python":
            run([sys.executable, "-c", text], place)
            continue
        kept = [line for line in text.splitlines() if not line.startswith(left_out)]
        kept = [line for line in kept if WEIGHTS not in line or (place / WEIGHTS).exists()]
        run(["bash", "-euo", "pipefail", "-c", "\n".join(kept)], place)
    assert (place / "photos-run" / "report.html").stat().st_size > 10_000
    assert (place / "answers.csv").read_text().count("\n") == 4
