"""`graft show`: what a classifier's file is, how good it was measured to be, and under which terms it stands."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from graft.cli.console import Console, byte_size, columns, percent, printable
from graft.cli.parsing import Parser

if TYPE_CHECKING:
    from graft.bundle.records import BundleManifest

MOST_CLASSES = 20  # named, unless programs ask


def parser() -> Parser:
    """The words `graft show` understands."""
    words = Parser(
        "show",
        "RUN",
        "Say what a classifier's file is, how good it was measured to be, and under which terms it stands.",
        (
            ("graft show classifier.graft", "a file that somebody gave you; nothing in it is run"),
            ("graft show photos-run", "the classifier of a run"),
        ),
    )
    words.add_argument("source", metavar="RUN", help="a run's folder, or its file classifier.graft")
    return words.add_common()


def run(arguments: Namespace, console: Console) -> int:
    """Show what `arguments` name."""
    from graft.bundle.format import read_bundle
    from graft.core.hashing import sha256_file
    from graft.core.records import to_value
    from graft.pipeline.predict import bundle_of

    path = bundle_of(Path(arguments.source))
    manifest, file = read_bundle(path)
    file.close()
    size, digest = path.stat().st_size, sha256_file(path)
    if console.json:
        console.value({"file": str(path), "bytes": size, "sha256": digest, **to_value(manifest)})
        return 0
    for line in describe(manifest, size, digest):
        console.line(line)
    console.advise(f"graft predict {arguments.source} PHOTO…", "says what is on photos")
    return 0


def describe(manifest: "BundleManifest", size_bytes: int, digest: str) -> list[str]:
    """A classifier for people: what it tells apart, how well, what it is made of, its terms."""
    from graft.backbones.catalogue import find
    from graft.evaluation.rejection import threshold_told
    from graft.report.tables import pixels_told

    made, network = manifest.provenance, find(manifest.backbone)
    names = [printable(name) for name in manifest.classes]
    more = f" and {len(names) - MOST_CLASSES:,} more" if len(names) > MOST_CLASSES else ""
    low, high = made.accuracy_interval
    seen = "it never saw" if made.scored_on == "test" else "it was chosen on"
    side = manifest.side_pixels
    rows = [
        ("Tells apart", f"{len(names):,} classes: {', '.join(names[:MOST_CLASSES])}{more}"),
        (f"{made.scored_on.capitalize()} accuracy", f"{percent(made.accuracy)} of {made.n_scored:,} photos {seen}"),
        ("", f"95 % interval {100 * low:.1f} to {percent(high)}"),
        ("Sure", threshold_told(manifest.head.threshold)),
        (
            "Trained",
            f"on {made.n_train:,} photos, recipe {printable(made.recipe)}, Graft {printable(made.graft_version)}",
        ),
        ("Network", f"{network.title} at {side} × {side} pixels, {manifest.precision}"),
        ("Pixels", pixels_told(manifest.preprocessing, network)),
        ("Size", byte_size(size_bytes)),
        ("SHA-256", digest),
    ]
    rows += [
        ("Terms" if not number else "", f"{what}: {terms}") for number, (what, terms) in enumerate(manifest.licences)
    ]
    return columns([(name, printable(text)) for name, text in rows])
