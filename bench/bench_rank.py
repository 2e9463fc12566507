"""How the backbones whose weights are in the folder `shared` do on real photos: what `--backbone auto` rests on.

Out-of-fold accuracy of the training and validation photos, each backbone at its own size, as `graft backbones rank`
measures it; in brackets the difference to the best in points, with McNemar's p-value.

    python bench/bench_rank.py [DATA ...]
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sides import SHARED, table

from graft.backbones.catalogue import catalogue
from graft.backbones.weights import import_weights

SETS = ("sign_digits", "santa", "cats_and_dogs_small")


def ranked(data: str, cache: Path) -> dict[str, object]:
    """One row: the whole command, from start to exit."""
    command = [sys.executable, "-m", "graft", "backbones", "rank", str(SHARED / "data" / data), "--json", "--quiet"]
    began = time.perf_counter()
    ended = subprocess.run(
        command, env=os.environ | {"GRAFT_CACHE": str(cache)}, stdout=subprocess.PIPE, text=True, check=True
    )
    seconds = time.perf_counter() - began
    ranking = json.loads(ended.stdout)
    names = {entry["weights_sha256"]: entry["backbone"] for entry in ranking["entries"]}
    row: dict[str, object] = {"data": data, "photos": f"{ranking['n']:,}"}
    row |= {entry["backbone"]: told(entry) for entry in sorted(ranking["entries"], key=lambda each: each["backbone"])}
    return row | {"recommended": names[ranking["recommended"]], "seconds": f"{seconds:.0f}"}


def told(entry: dict[str, object]) -> str:
    """Accuracy, and the difference to the best."""
    accuracy, against = entry["accuracy"], entry["against_best"]
    share = f"{100 * accuracy['value']:.1f} %"
    speed = f", {entry['photos_per_second']:,.0f}/s"
    if against is None:
        return f"**{share}**{speed}"
    return f"{share} ({100 * against['difference']:+.1f}, p = {against['p_value']:.1g}){speed}"


def main() -> None:
    """Rank on the data sets named, or on all; networks are compiled on the first."""
    if not SHARED.is_dir():
        sys.exit(f"real photos and weights must be in {SHARED}, but it is not there")
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        for file in sorted((SHARED / "weights").glob("*_notop.weights.h5")):
            import_weights(file, tuple(catalogue()), cache)
        table([ranked(data, cache) for data in sys.argv[1:] or SETS])


if __name__ == "__main__":
    main()
