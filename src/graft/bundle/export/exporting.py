"""From a bundle to a folder with its network in another format, written only when it answers the same."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from graft.backbones.catalogue import find
from graft.bundle.bundle import Bundle
from graft.bundle.export.deployable import check_program, write_deployable
from graft.bundle.export.formats import FORMS, KINDS, check_network, check_possible, made_of
from graft.bundle.export.parity import Answers, check, compare, problem
from graft.bundle.export.records import Export, Form, Format, InputSpec, Numbers, Parity
from graft.core import machine
from graft.core.child import run_child
from graft.core.errors import BadInput
from graft.core.files import assemble_atomic, make_directory, remove_tree, write_atomic
from graft.core.folders import whole_folder
from graft.core.hashing import sha256_file, sha256_json
from graft.core.npz import NpzRows
from graft.core.progress import Progress
from graft.core.records import record_hash, to_json
from graft.core.version import __version__

DESCRIPTION: Final = "export.json"
LABELS: Final = "labels.json"
GOLDEN: Final = "golden.npz"
WRITER: Final = "export"
FORMS_FOLDER: Final = "forms"  # until one of them is chosen
SECONDS: Final = 1800.0  # the largest network on a slow, busy machine
ENVIRONMENT: Final[Mapping[str, str]] = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}


@dataclass(frozen=True)
class Photos:
    """Photos as a network is given them: `(photo, side, side, 3)` uint8, and their classes, -1 where unknown."""

    pixels: np.ndarray
    labels: np.ndarray


def export_bundle(
    bundle: Bundle,
    format: Format,
    folder: Path,
    *,
    numbers: Numbers,
    compared: Photos,
    calibration: np.ndarray | None,
    scratch: Path,
    progress: Progress,
) -> Export:
    """Write `folder`: the network, its description, labels and golden examples; a folder that is there is replaced.

    `bundle` was loaded in float32. On the photos to be `compared` it must answer as the bundle does; `calibration`,
    `(photo, side, side, 3)` uint8, are what int8 is calibrated on.

    Raises: `BadInput` for numbers or a format that cannot be had here, `IntegrityProblem` golden_mismatch where the
    export answers otherwise, `ResourceProblem` where it cannot be made or written. Nothing is left then.
    """
    check_possible(format, numbers)
    check_network(format, numbers, find(bundle.manifest.backbone))
    if numbers == "int8" and (calibration is None or not len(calibration)):
        raise BadInput("--numbers int8 must have photos to be calibrated on, got none.", hint="Give a run or --data.")
    kind = KINDS[format]
    work = _Work(bundle, format, numbers, scratch, progress)
    make_directory(folder.parent)
    with whole_folder(folder, writer=WRITER) as unfinished:
        pixels, expected = bundle.golden_examples()
        forms = work.convert(unfinished / FORMS_FOLDER, calibration if numbers == "int8" else None)
        if numbers != "float32":
            work.prove(forms.pop("float32"), pixels, expected)
        form, parity, golden = work.chosen(forms, compared, pixels, expected)
        for path in forms[form].parent.iterdir():
            path.rename(unfinished / path.name)
        remove_tree(unfinished / FORMS_FOLDER)
        export = _described(bundle, format, numbers, form, unfinished / kind.file, parity)
        _write_beside(unfinished, export, pixels, golden)
        if format == "folder":
            write_deployable(unfinished, export)
            photo = scratch / "golden.jpg"
            write_atomic(photo, bundle.golden_photo(), writer=WRITER)
            check_program(unfinished, photo, pixels[0], golden[0], scratch)
    return export


@dataclass(frozen=True)
class _Work:
    """One export under way."""

    bundle: Bundle
    format: Format
    numbers: Numbers
    scratch: Path
    progress: Progress

    def convert(self, folder: Path, calibration: np.ndarray | None) -> dict[Form, Path]:
        """Let a second process write the network in every form that is tried: each below `folder`, by itself."""
        kind = KINDS[self.format]
        photos = self._saved("calibration", calibration) if calibration is not None else ""
        forms: dict[Form, Path] = {form: folder.absolute() / form / kind.file for form in FORMS[self.numbers]}
        for path in forms.values():
            make_directory(path.parent)
        paths = {form: str(path) for form, path in forms.items()}
        first = made_of(self.format, self.numbers)
        job = {
            "bundle": str(self.bundle.path),
            "format": self.format,
            "made_of": first,
            "forms": paths,
            "photos": photos,
        }
        with self.progress.stage(f"Writing {kind.title}", None, "files"):
            self._run("graft.bundle.export.convert_worker", job, f"Writing {kind.title}", KINDS[first].backend)
        return forms

    def prove(self, network: Path, golden: np.ndarray, probabilities: np.ndarray) -> None:
        """Refuse a network that was converted wrongly, which smaller numbers could hide."""
        none, unknown = probabilities[:0], np.empty(0, int)
        exported = Answers(self.answers(network, golden), none, unknown)
        check(compare(Answers(probabilities, none, unknown), exported), self.format, "float32")

    def chosen(
        self, forms: Mapping[Form, Path], compared: Photos, golden: np.ndarray, probabilities: np.ndarray
    ) -> tuple[Form, Parity, np.ndarray]:
        """The first form that answers as the bundle does, how it compares, and its answers to the golden examples.

        Raises: `IntegrityProblem` golden_mismatch, of the last form, where none does.
        """
        count = len(golden)
        pixels = np.concatenate([golden, compared.pixels]) if len(compared.pixels) else golden
        with self.progress.stage("Comparing answers", len(pixels) * len(forms), "photos") as stage:
            native = Answers(probabilities, self.bundle.predict_pixels(compared.pixels), compared.labels)
            for form, network in forms.items():
                answers = self.answers(network, pixels)
                exported = Answers(answers[:count], answers[count:], compared.labels)
                parity = compare(native, exported)
                stage.advance(len(pixels))
                if form == tuple(forms)[-1] or not problem(parity, self.numbers):
                    break
        check(parity, self.format, self.numbers)
        return form, parity, exported.golden

    def answers(self, network: Path, pixels: np.ndarray) -> np.ndarray:
        """What the file says of `pixels`, read by its own runtime in a process that has nothing else."""
        place = self.scratch / "answers.npy"
        job = {
            "format": self.format,
            "path": str(network.absolute()),
            "photos": self._saved("pixels", pixels),
            "answers": str(place),
        }
        title = KINDS[self.format].title
        self._run("graft.bundle.export.answer_worker", job, f"Reading {title}", "openvino")
        return np.asarray(np.load(place, allow_pickle=False))

    def _saved(self, name: str, pixels: np.ndarray) -> str:
        path = self.scratch / f"{name}.npy"
        np.save(path, pixels, allow_pickle=False)
        return str(path)

    def _run(self, module: str, job: Mapping[str, object], task: str, backend: str) -> None:
        home = str(machine.cache_directory() / "keras")
        environment = {**ENVIRONMENT, "KERAS_BACKEND": backend, "KERAS_HOME": home}
        run_child(module, job, environment=environment, timeout_seconds=SECONDS, task=task)


def _described(bundle: Bundle, format: Format, numbers: Numbers, form: Form, network: Path, parity: Parity) -> Export:
    manifest = bundle.manifest
    given = InputSpec(
        side_pixels=manifest.side_pixels,
        geometry=manifest.preprocessing.geometry,
        sixteen_bit_white=manifest.rules.sixteen_bit_white,
        max_pixels=manifest.rules.max_pixels,
        min_side_pixels=manifest.rules.min_side_pixels,
    )
    return Export(
        graft_version=__version__,
        format=format,
        numbers=numbers,
        form=form,
        file=network.name,
        sha256=_content_hash(network),
        bundle_sha256=bundle.sha256(),
        input=given,
        input_sha256=record_hash(given),
        classes=manifest.classes,
        threshold=bundle.threshold,
        parity=parity,
        provenance=manifest.provenance,
        licences=manifest.licences,
    )


def _content_hash(network: Path) -> str:
    """Of the file; of a folder, or of a graph and its constants, of the names and hashes of all files."""
    if network.is_dir():
        files = [path for path in network.rglob("*") if path.is_file()]
    else:
        files = [network, *(path for path in (network.with_suffix(".bin"),) if path.is_file())]
    if len(files) == 1:
        return sha256_file(network)
    return sha256_json({path.relative_to(network.parent).as_posix(): sha256_file(path) for path in sorted(files)})


def _write_beside(folder: Path, export: Export, pixels: np.ndarray, probabilities: np.ndarray) -> None:
    """Description, labels in the order of the columns, and golden examples with what the network gave for them."""
    write_atomic(folder / DESCRIPTION, to_json(export), writer=WRITER)
    labels = json.dumps(list(export.classes), ensure_ascii=False, indent=1)
    write_atomic(folder / LABELS, f"{labels}\n".encode(), writer=WRITER)
    with assemble_atomic(folder / GOLDEN, writer=WRITER) as file:
        NpzRows(file, {}, 0).finish({"pixels": pixels, "probabilities": probabilities})
