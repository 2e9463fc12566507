"""A folder that answers by itself: beside the network a short program, what it needs, and how to run it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final, NoReturn

import numpy as np

from graft.bundle.export.records import Export, Parity
from graft.core.errors import IntegrityProblem
from graft.core.files import write_atomic
from graft.evaluation.rejection import threshold_told

ASSETS: Final = Path(__file__).parents[1] / "assets" / "deployable"
FILES: Final = ("predict.py", "prepare.py", "Dockerfile", "requirements.txt")
README: Final = "README.md"
WRITER: Final = "export"
MOST_CLASSES: Final = 20  # named in the text
LARGEST_LEVEL: Final = 1  # of 255, that a prepared photo may differ by
LARGEST_DIFFERENCE: Final = 0.01  # of a probability, between the program and the network on the same photo
SECONDS: Final = 120.0
LOAD: Final = "import sys, numpy, prepare; numpy.save(sys.argv[2], prepare.load(sys.argv[1]))"


def write_deployable(folder: Path, export: Export) -> None:
    """Add the program, its requirements, a container's recipe and a text that says what all of it is."""
    for name in FILES:
        write_atomic(folder / name, (ASSETS / name).read_bytes(), writer=WRITER)
    write_atomic(folder / README, readme(export).encode(), writer=WRITER)


def check_program(folder: Path, photo: Path, pixels: np.ndarray, probabilities: np.ndarray, scratch: Path) -> None:
    """Let the folder's program answer for a photo's file, by itself, in a process of its own.

    `pixels`, (side, side, 3) uint8, are the photo as Graft prepares it; `probabilities` what the network gives for it.

    Raises: `IntegrityProblem` golden_mismatch where either is another one.
    """
    place = scratch / "loaded.npy"
    _run(folder, "-c", LOAD, str(photo), str(place))
    loaded = np.load(place, allow_pickle=False)
    same_shape = loaded.shape == pixels.shape
    level = int(np.abs(loaded.astype(int) - pixels).max()) if same_shape else 255
    if level > LARGEST_LEVEL:
        _refuse(f"prepare a photo to within {LARGEST_LEVEL} level of 255, got {level}")
    answer = json.loads(_run(folder, "predict.py", str(photo)))
    difference = float(np.abs(np.array(list(answer["all"].values())) - probabilities).max())
    if not difference <= LARGEST_DIFFERENCE:
        _refuse(f"answer within {LARGEST_DIFFERENCE:g} of the network, got {difference:.2g}")


def _run(folder: Path, *words: str) -> str:
    # -B: no compiled file may be left in the folder.
    command = [sys.executable, "-B", *words]
    ended = subprocess.run(command, cwd=folder, capture_output=True, timeout=SECONDS, check=False)
    if ended.returncode != 0:
        last = ended.stderr.decode(errors="replace").strip().splitlines()[-1:]
        _refuse(f"run by itself, got: {''.join(last)[:200]}")
    return ended.stdout.decode()


def _refuse(rule: str) -> NoReturn:
    raise IntegrityProblem(
        f"The folder's program must {rule}.", hint="Nothing was left. Please report it.", code="golden_mismatch"
    )


def _compared(parity: Parity) -> str:
    if parity.exported_accuracy is None:
        return ""
    return (
        f"\nIn this format it is right on {parity.exported_accuracy:.1%} of the {parity.n_photos:,} photos that it was "
        "compared on."
    )


def readme(export: Export) -> str:
    """What a person needs to know who has this folder and nothing else."""
    made, given = export.provenance, export.input
    low, high = made.accuracy_interval
    seen = "which it had never seen" if made.scored_on == "test" else "which its settings were chosen on"
    named = ", ".join(f"`{name}`" for name in export.classes[:MOST_CLASSES])
    more = f" and {len(export.classes) - MOST_CLASSES} more" if len(export.classes) > MOST_CLASSES else ""
    terms = "\n".join(f"- {what}: {licence}" for what, licence in export.licences)
    return f"""# An image classifier

It tells {len(export.classes)} classes apart: {named}{more}. It was right on {made.accuracy:.1%} of {made.n_scored:,}
{made.scored_on} photos, {seen} (95 % interval {low:.1%} to {high:.1%}).{_compared(export.parity)}

```
pip install -r requirements.txt
python predict.py photo.jpg
```

Or in a container:

```
docker build -t classifier .
docker run --rm -v "$PWD/photos:/photos:ro" classifier /photos/photo.jpg
```

Each photo gives one line of JSON: the likeliest class, its probability, and the probability of each class. The
probabilities are calibrated: of the answers given with 80 %, about 80 % are right.
When an answer is `sure`: {threshold_told(export.threshold)}.

## What is here

- `{export.file}`: the network in ONNX, {export.numbers}. It reads `{given.name}`, (photo, {given.side_pixels},
  {given.side_pixels}, 3) uint8 RGB, and gives `{export.output}`, (photo, class) float32. Scaling is inside.
- `predict.py`: from files to answers, and `prepare.py`: from a file to what the network reads. Each is short enough to
  be read and changed.
- `labels.json`: the classes in the order of the columns. `export.json`: everything that is known about this classifier.
- `golden.npz`: `pixels` and the `probabilities` that the network gave for them, to check another runtime with.

A photo that cannot be used gives a line with an `error` instead, the others are answered, and the exit status is 1.
It reads JPEG, PNG, WebP, BMP, GIF and TIFF of one page, of at most {given.max_pixels:,} pixels and with sides of at
least {given.min_side_pixels}, prepared as in the training, to one level of 255. Of what the training reads it refuses
colours of 16 bits a sample (save them with 8; gray may have 16, unless zero is white) and TIFF files that hold a small
copy of the picture.

Give only photos to it that may be opened: it is no service for strangers' files.

## Terms

{terms}
"""
