"""The writers that the crash tests go through: add a row for each new kind of artefact.

A row is a function of a folder and a version number. It writes the artefact's version (same version, same bytes) and
returns its path. Its name is the `writer` it gives to `graft.core.files`. Imports stand inside the functions: each case
is a new process.

Run as a program (`python -m tests.crash.writers ROW FOLDER VERSION [LARGEST_FILE_BYTES]`) it writes once; a refusal is
told as JSON and by the exit status.
"""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

Writer = Callable[[Path, int], Path]


def write_bytes(folder: Path, version: int) -> Path:
    from graft.core.files import write_atomic

    path = folder / "record.json"
    write_atomic(path, f'{{"version": {version}}}\n'.encode() * 50_000, writer="bytes")
    return path


def write_pieces(folder: Path, version: int) -> Path:
    from graft.core.files import write_atomic

    path = folder / "pieces.bin"
    write_atomic(path, (bytes([version]) * 50_000 for _ in range(20)), writer="pieces")
    return path


def write_tensors(folder: Path, version: int) -> Path:
    import numpy as np

    from graft.core import tensors

    path = folder / "shard.safetensors"
    values = np.random.default_rng(version).normal(size=(1000, 100))
    tensors.write_tensors(path, {"rows": values}, metadata={"version": str(version)}, writer="tensors")
    return path


def write_record(folder: Path, version: int) -> Path:
    from graft.data.records import ImageFacts, Manifest, Photo
    from graft.pipeline.run import Run

    facts = ImageFacts(format="PNG", width=9, height=9, mode="RGB")
    photos = tuple(
        Photo(path=f"{n}.png", label=n % 2, split="train", sha256=f"{version:032x}" * 2, group="g", facts=facts)
        for n in range(3000)
    )
    made = Manifest(classes=("a", "b"), photos=photos, split_origin="made", split_fractions=(1, 0, 0), seed=version)
    Run(folder).write(made)
    return folder / "manifest.json"


def write_bundle(folder: Path, version: int) -> Path:
    import numpy as np

    from graft.backbones.catalogue import find
    from graft.backbones.weights import builtin, open_weights
    from graft.bundle import format as bundle_format
    from graft.bundle.records import BundleManifest, Golden, HeadSpec, Provenance

    tap, width = find("sprout").taps[-1], find("sprout").tap_widths[-1]
    own = {
        "head/mean": np.full(width, version, np.float32),
        "head/scale": np.ones(width, np.float32),
        "head/kernel": np.ones((width, 1), np.float32),
        "head/bias": np.zeros(1, np.float32),
        "golden/photo": np.zeros(9, np.uint8),
        "golden/pixels": np.zeros((1, 64, 64, 3), np.uint8),
        "golden/probabilities": np.full((1, 2), 0.5, np.float32),
    }
    provenance = Provenance(
        graft_version="0",
        recipe="probe",
        manifest_hash="m",
        plan_hash="p",
        n_train=1,
        scored_on="test",
        n_scored=1,
        accuracy=1.0,
        accuracy_interval=(0.2, 1.0),
    )
    manifest = BundleManifest(
        classes=("a", "b"),
        backbone="sprout",
        weights_sha256="0" * 64,
        side_pixels=64,
        preprocessing=find("sprout").preprocessing,
        precision="float32",
        head=HeadSpec(taps=(tap,), temperature=1.0),
        golden=Golden(count=1, tolerance={"float32": 0.1}, logit_tolerance={"float32": 0.1}),
        provenance=provenance,
        licences=(),
        tensors_sha256="0" * 64,
    )
    path = folder / "classifier.graft"
    with open_weights(builtin("sprout", folder)) as weights:
        tensors = {f"backbone/{name}": array for name, array in weights.items()}
        bundle_format.write_bundle(path, manifest, {**own, **tensors})
    return path


def write_page(folder: Path, version: int) -> Path:
    from graft.pipeline import reporting
    from graft.pipeline.run import Run
    from tests.report.factory import make_report

    reporting.write_page(Run(folder), make_report(("a", "b"), per_class=20, name=f"version {version}"))
    return folder / "report.html"


def write_features(folder: Path, version: int) -> Path:
    import numpy as np

    from graft.pipeline.feature_files import Layout, feature_file

    path = folder / "features.npz"
    values = np.random.default_rng(version).normal(size=(1000, 100)).astype(np.float32)
    with feature_file(path, Layout({"tap:avg": "features"}, 1000, "float32"), folder) as file:
        file.write(np.arange(500, 1000), {"tap:avg": values[500:]})
        file.write(np.arange(500), {"tap:avg": values[:500]})
        file.finish({"paths": np.array([f"{n}.png" for n in range(1000)])}, (), {"version": version})
    return path


def write_checkpoint(folder: Path, version: int) -> Path:
    """Commits the same step each time: what happens between commits of two steps is tested in test_checkpoints."""
    import numpy as np

    from graft.training.checkpoints import Checkpoints

    weights = np.random.default_rng(version).normal(size=(1000, 100))
    Checkpoints(folder, {"plan": "p"}, print, keep=1).save(7, {"kernel": weights}, {"version": version})
    return folder / "step-00000007.safetensors"


WRITERS: Mapping[str, Writer] = {
    "bytes": write_bytes,
    "pieces": write_pieces,
    "tensors": write_tensors,
    "record": write_record,
    "bundle": write_bundle,
    "report": write_page,
    "features": write_features,
    "checkpoint": write_checkpoint,
}


def write_naively(folder: Path, version: int) -> Path:
    """No row but the sabotage: a writer that the tests must catch, for it has all the hooks and none of the care."""
    from graft.core.files import CRASH_POINTS, crash_point

    path = folder / "naive.bin"
    with path.open("wb") as file:
        for point in CRASH_POINTS[:2]:
            file.write(bytes([version]) * 1000)
            file.flush()
            crash_point("naive", point)
        for point in CRASH_POINTS[2:]:
            crash_point("naive", point)
    return path


def write_never(folder: Path, version: int) -> Path:
    """The other sabotage: success without a file."""
    return folder / "never.bin"


SABOTAGE: Mapping[str, Writer] = {"naive": write_naively, "never": write_never}


def main(row: str, folder: str, version: str, largest_file_bytes: str = "") -> int:
    from graft.core.errors import GraftError

    if largest_file_bytes:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (int(largest_file_bytes),) * 2)
    try:
        {**WRITERS, **SABOTAGE}[row](Path(folder), int(version))
    except GraftError as error:
        print(json.dumps({"code": error.code, "message": error.message}))
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
