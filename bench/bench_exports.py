"""What exports keep: every format in every numbers beside the classifier it was made from, on the same photos.

Trains a probe on the sets named (default: cats_and_dogs_small, of the folder `shared`), exports it in every way, and
compares each on all of the set's photos, those it was trained on too: what is measured is not how good it is but
whether two programs say the same, and there are more of them. A refused export is a row that says so.

    python bench/bench_exports.py [SET …]
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sides import SHARED, table, train

from graft.bundle.export.formats import KINDS

WEIGHTS = SHARED / "weights" / "mobilenet_v2_1.0_224_notop.weights.h5"
TRAINING = ("--backbone", "mobilenet_v2_1.0", "--weights", str(WEIGHTS), "--recipe", "probe", "--precision", "float32")
SETS = ("cats_and_dogs_small",)


def main() -> None:
    for name in sys.argv[1:] or SETS:
        print(f"\n{name}\n")
        with tempfile.TemporaryDirectory() as folder:
            table(rows(SHARED / "data" / name, Path(folder)))


def rows(data: Path, folder: Path) -> list[dict[str, object]]:
    cache, run = folder / "cache", folder / "run"
    train([str(data), *TRAINING], cache=cache, run=run)
    photos = flat(data, folder / "all")
    kinds = [(format, numbers) for format in KINDS for numbers in KINDS[format].numbers if format != "folder"]
    return [row(run, photos, cache, format, numbers) for format, numbers in kinds]


def flat(data: Path, folder: Path) -> Path:
    """All photos in folders of their classes alone: given splits are left out, so that all are compared."""
    splits = [data / name for name in ("train", "validation", "test") if (data / name).is_dir()]
    for split in splits or [data]:
        for file in split.glob("*/*"):
            place = folder / file.parent.name / f"{split.name}-{file.name}"
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)
    return folder


def row(run: Path, photos: Path, cache: Path, format: str, numbers: str) -> dict[str, object]:
    words = ["export", str(run), "--format", format, "--numbers", numbers, "--data", str(photos), "--json", "--quiet"]
    output = run.with_name(f"{format}-{numbers}")
    began = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-m", "graft", *words, "-o", str(output)],
        env=os.environ | {"GRAFT_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - began
    if ended.returncode:
        said = (ended.stdout or ended.stderr).strip().splitlines()[-1][:200]
        return described(f"{format} {numbers}", f"refused: {said}", *[""] * 6)
    made = json.loads(ended.stdout.splitlines()[-1])
    seen = made["parity"]
    return described(
        f"{format} {made['form']}",
        f"{seen['n_photos']:,}",
        f"{seen['accuracy']:.2%}",
        f"{seen['exported_accuracy']:.2%}",
        f"{seen['agreement']:.2%}",
        f"{seen['largest_difference']:.1g}",
        f"{made['bytes'] / 1e6:.1f}",
        f"{seconds:.0f}",
    )


def described(*values: str) -> dict[str, object]:
    names = ("export", "photos", "classifier", "exported", "same class", "largest difference", "MB", "seconds")
    return dict(zip(names, values, strict=True))


if __name__ == "__main__":
    main()
