"""Exports of a trained classifier in every format, each read back by its own runtime in a process of its own."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from graft.backbones.catalogue import find
from graft.bundle.bundle import Bundle
from graft.bundle.export import exporting
from graft.bundle.export.exporting import Photos, export_bundle
from graft.bundle.export.formats import KINDS, check_network, check_possible, made_of
from graft.bundle.export.parity import Answers
from graft.bundle.export.records import Export
from graft.cli.main import main
from graft.core.child import run_child
from graft.core.errors import BadInput, IntegrityProblem
from graft.core.hashing import sha256_file
from graft.core.progress import SilentProgress
from graft.core.records import from_json, record_hash
from graft.core.tensors import read_tensors
from graft.features.engines import best_precision
from graft.pipeline.export import _check_float32, export
from graft.pipeline.train import train
from tests.pipeline.conftest import finished, options, photos, write_photos

__all__ = ["finished", "photos"]  # fixtures: a run of the built-in network on drawn photos
SOONER = {("openvino", "float32"): (), ("folder", "int8"): pytest.mark.wide}
BOTH = [
    pytest.param(format, numbers, marks=SOONER.get((format, numbers), pytest.mark.slow))
    for format, kind in KINDS.items()
    for numbers in kind.numbers
]


def needed(format: str, numbers: str = "float32") -> str:
    """The packages that are needed and not there, as a list in words; empty where the format can be made."""
    modules = KINDS[made_of(format, numbers)].modules
    return ", ".join(package for module, package in modules.items() if importlib.util.find_spec(module) is None)


def read_back(format: str, folder: Path, photos: np.ndarray, scratch: Path, backend: str = "") -> np.ndarray:
    """What an export answers for pixels, by its own runtime in a process of its own."""
    np.save(scratch / "pixels.npy", photos)
    job = {
        "format": format,
        "path": str(folder / KINDS[format].file),
        "photos": str(scratch / "pixels.npy"),
        "answers": str(scratch / "answers.npy"),
    }
    environment = {
        **exporting.ENVIRONMENT,
        "KERAS_BACKEND": backend or KINDS[format].backend,
        "KERAS_HOME": str(scratch),
    }
    run_child("graft.bundle.export.answer_worker", job, environment=environment, timeout_seconds=300, task="Reading")
    return np.load(scratch / "answers.npy", allow_pickle=False)


@pytest.mark.parametrize(("format", "numbers"), BOTH)
def test_each_format_answers_the_same(finished, tmp_path, format, numbers):
    if missing := needed(format, numbers):
        pytest.skip(f"{format} in {numbers} needs {missing}")
    folder = tmp_path / "export"
    done = export(finished.run, format=format, numbers=numbers, output=folder, progress=SilentProgress())
    stored = from_json(Export, (folder / "export.json").read_bytes(), source="export.json")
    assert stored == done.export
    assert stored.parity.n_photos == 9 and stored.parity.accuracy == stored.parity.exported_accuracy
    if (folder / stored.file).is_file() and format != "openvino":
        assert stored.sha256 == sha256_file(folder / stored.file)
    assert json.loads((folder / "labels.json").read_text()) == list(stored.classes) == ["checks", "plain", "stripes"]
    assert stored.input_sha256 == record_hash(stored.input)
    assert stored.threshold == Bundle.load(finished.bundle, check=False).threshold is not None
    with np.load(folder / "golden.npz", allow_pickle=False) as golden:
        assert golden["pixels"].shape == (8, 64, 64, 3) and golden["probabilities"].shape == (8, 3)
    extra = {"predict.py", "prepare.py", "Dockerfile", "requirements.txt", "README.md"} if format == "folder" else set()
    extra |= {"model.bin"} if format == "openvino" else set()
    beside = {"export.json", "labels.json", "golden.npz", stored.file}
    assert {path.name for path in folder.iterdir()} == beside | extra
    assert done.size_bytes == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
@pytest.mark.parametrize("format", ["keras", "h5"])
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_files_of_keras_answer_on_every_backend(bundle, tmp_path, format, backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    exported(bundle, tmp_path / "export", tmp_path / "scratch", format=format)
    pixels, probabilities = bundle.golden_examples()
    answers = read_back(format, tmp_path / "export", pixels, tmp_path, backend=backend)
    assert np.abs(answers - probabilities).max() < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_smaller_numbers_make_smaller_files(finished, tmp_path, format):
    if missing := needed(format, "int8"):
        pytest.skip(f"{format} in int8 needs {missing}")
    sizes = []
    for numbers in ("float32", "float16", "int8"):
        export(finished.run, format=format, numbers=numbers, output=tmp_path / numbers, progress=SilentProgress())
        sizes.append(sum(path.stat().st_size for path in (tmp_path / numbers).glob("model.*")))
    assert sizes[1] < 0.55 * sizes[0] and sizes[2] < 0.3 * sizes[0]


COLOURS = {"red": (220, 20, 30), "green": (20, 200, 30), "blue": (20, 30, 220)}
QUICK = ("openvino",)


@pytest.fixture(scope="module")
def colours(tmp_path_factory) -> Path:
    """A run that tells colours apart."""
    folder = tmp_path_factory.mktemp("colours")
    for number in range(16):
        for label, pixels in zip(COLOURS, colour_photos(number), strict=True):
            (folder / "photos" / label).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / "photos" / label / f"{number:02d}.png")
    return train(options(folder / "photos", folder / "run", recipe="probe"), progress=SilentProgress()).run


def colour_photos(seed: int) -> np.ndarray:
    """One of each colour, in the order of `COLOURS`, with noise."""
    noise = np.random.default_rng(seed).normal(0, 12, (len(COLOURS), 64, 64, 3))
    plain = np.array(list(COLOURS.values()))[:, np.newaxis, np.newaxis]
    return np.clip(plain + noise, 0, 255).astype(np.uint8)


def test_solid_colours_keep_their_names_in_the_classifier_and_on_the_command_line(colours, tmp_path, capsys):
    paths = [tmp_path / f"{name}.png" for name in COLOURS]
    for path, pixels in zip(paths, colour_photos(99), strict=True):
        Image.fromarray(pixels).save(path)
    with Bundle.load(colours / "classifier.graft") as bundle:
        assert [answer.label for answer in bundle.predict(paths)] == list(COLOURS)
    assert main(["predict", str(colours), *map(str, paths), "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["label"] for line in lines] == list(COLOURS)


@pytest.mark.parametrize(
    "format", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in KINDS]
)
def test_solid_colours_keep_their_names_in_each_format(colours, tmp_path, format):
    """From pixels to the label: red is red, also in the order of the classes."""
    if missing := needed(format):
        pytest.skip(f"{format} needs {missing}")
    export(colours, format=format, output=tmp_path / "export", progress=SilentProgress())
    labels = json.loads((tmp_path / "export" / "labels.json").read_text())
    chances = read_back(format, tmp_path / "export", colour_photos(99), tmp_path)
    assert [labels[place] for place in chances.argmax(axis=1)] == list(COLOURS)


@pytest.fixture
def bundle(finished, tmp_path):
    with Bundle.load(finished.bundle, precision="float32") as loaded:
        yield loaded


def exported(bundle: Bundle, folder: Path, scratch: Path, **changes):
    scratch.mkdir(exist_ok=True)
    given = {
        "numbers": "float32",
        "compared": Photos(np.empty((0, 64, 64, 3), np.uint8), np.empty(0, int)),
        "calibration": None,
        "scratch": scratch,
        "progress": SilentProgress(),
    }
    return export_bundle(bundle, changes.pop("format", "openvino"), folder, **(given | changes))


@pytest.mark.skipif(best_precision() != "bfloat16", reason="this processor does not compute in bfloat16")
@pytest.mark.parametrize(("n_lost", "refused"), [(1, False), (2, True)])
def test_a_classifier_that_is_worse_in_float32_is_refused(colours, tmp_path, monkeypatch, n_lost, refused):
    told = options(colours.parent / "photos", tmp_path / "run", recipe="probe", precision="bfloat16")
    run = train(told, progress=SilentProgress()).run
    answers = Bundle.predict_pixels

    def worse(self, pixels, **named):
        chances = answers(self, pixels, **named)
        if self.precision == "float32" and len(pixels) > n_lost:
            chances[:n_lost] = np.roll(chances[:n_lost], 1, axis=1)
        return chances

    with monkeypatch.context() as patch:
        patch.setattr(Bundle, "predict_pixels", worse)
        if not refused:
            with Bundle.load(run / "classifier.graft", precision="float32") as bundle:
                _check_float32(bundle, Photos(colour_photos(99), np.array([2, 1, 0])))
            return
        with pytest.raises(IntegrityProblem, match="must be as good in float32") as caught:
            export(run, format="openvino", output=tmp_path / "out", progress=SilentProgress())
    assert "--precision float32" in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_sabotage_other_answers_leave_nothing(bundle, tmp_path, monkeypatch):
    """And what was there before stays."""
    folder = tmp_path / "export"
    exported(bundle, folder, tmp_path / "scratch")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    answers = exporting._Work.answers
    monkeypatch.setattr(exporting._Work, "answers", lambda self, *given: answers(self, *given)[:, ::-1])
    with pytest.raises(IntegrityProblem, match="must answer as the bundle does"):
        exported(bundle, folder, tmp_path / "scratch")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("export", "scratch")] == []


def test_sabotage_other_weights_are_noticed(bundle, tmp_path, monkeypatch):
    """The gate reads the file, not what it was made from."""
    convert = exporting._Work.convert

    def damaged(self, folder, calibration):
        forms = convert(self, folder, calibration)
        constants = forms["float32"].with_suffix(".bin")
        values = np.frombuffer(constants.read_bytes(), np.uint8).copy()
        values[len(values) // 2 :: 97] ^= 1 << 6
        constants.write_bytes(values.tobytes())
        return forms

    monkeypatch.setattr(exporting._Work, "convert", damaged)
    with pytest.raises(IntegrityProblem, match="must answer"):
        exported(bundle, tmp_path / "export", tmp_path / "scratch")
    assert not (tmp_path / "export").exists()


@pytest.mark.parametrize("numbers", ["float16", pytest.param("int8", marks=pytest.mark.slow)])
def test_sabotage_smaller_numbers_hide_no_wrong_conversion(bundle, tmp_path, monkeypatch, numbers):
    """They are judged on photos, which may not show it; their float32 form is on the golden examples."""
    if missing := needed("openvino", numbers):
        pytest.skip(f"openvino in {numbers} needs {missing}")
    compare = exporting._Work.answers
    monkeypatch.setattr(
        exporting._Work, "answers", lambda self, path, pixels: compare(self, path, pixels[..., ::-1].copy())
    )
    given = bundle.golden_examples()[0]
    with pytest.raises(IntegrityProblem, match="in float32 must answer as the bundle does"):
        exported(bundle, tmp_path / "export", tmp_path / "scratch", numbers=numbers, calibration=given)
    assert not (tmp_path / "export").exists()


def test_int8_falls_back_to_weights_alone(bundle, tmp_path, monkeypatch):
    """Where all in int8 loses too much, what is left is the next form, and it is said which."""
    given = bundle.golden_examples()[0]
    right = bundle.predict_pixels(given)
    answers = exporting._Work.answers

    def wrong(self, path, pixels):
        got = answers(self, path.parents[1] / "float32" / path.name, pixels)
        return got[:, ::-1] if path.parent.name == "int8" else got

    def converted(self, folder, calibration):
        numbers = self.numbers
        object.__setattr__(self, "numbers", "float32")
        forms = convert(self, folder, calibration)
        object.__setattr__(self, "numbers", numbers)
        for form in ("int8", "int8-weights"):
            forms[form] = folder.absolute() / form / forms["float32"].name
            forms[form].parent.mkdir()
            forms[form].write_bytes(forms["float32"].read_bytes())
        return forms

    convert = exporting._Work.convert
    monkeypatch.setattr(exporting._Work, "answers", wrong)
    monkeypatch.setattr(exporting._Work, "convert", converted)
    monkeypatch.setattr(exporting, "check_possible", lambda format, numbers: None)
    compared = Photos(given, right.argmax(axis=1))
    done = exported(
        bundle, tmp_path / "out", tmp_path / "scratch", numbers="int8", compared=compared, calibration=given
    )
    assert done.form == "int8-weights" and done.numbers == "int8"
    assert not (tmp_path / "out" / exporting.FORMS_FOLDER).exists()


@pytest.mark.slow
def test_a_file_alone_is_compared_on_its_golden_examples(finished, tmp_path):
    done = export(finished.bundle, format="openvino", output=tmp_path / "out", progress=SilentProgress())
    assert done.export.parity.n_photos == 0 and "no photos to compare" in done.note
    other = write_photos(tmp_path / "other", per_class=5)
    done = export(finished.bundle, format="openvino", output=tmp_path / "out", data=other, progress=SilentProgress())
    assert done.export.parity.n_photos == 15 and done.note == ""


def test_int8_needs_photos_to_be_calibrated_on(finished, tmp_path):
    if missing := needed("onnx"):
        pytest.skip(f"onnx needs {missing}")
    with pytest.raises(BadInput, match="int8 must have photos to be calibrated on, got none"):
        export(finished.bundle, format="onnx", numbers="int8", output=tmp_path / "out", progress=SilentProgress())


def test_a_folder_of_something_else_is_left_alone(finished, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(BadInput) as caught:
        export(finished.run, format="openvino", output=tmp_path / "mine", progress=SilentProgress())
    assert caught.value.code == "already_exists" and (tmp_path / "mine" / "letter.txt").read_text() == "dear"


def test_what_cannot_be_is_said_at_once(monkeypatch):
    with pytest.raises(BadInput, match="--format keras can only be written in float32, got int8") as caught:
        check_possible("keras", "int8")
    assert "onnx, openvino, litert, folder" in caught.value.hint
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for format in ("onnx", "folder", "litert", "saved-model"):
        with pytest.raises(BadInput, match=f"--format {format} needs TensorFlow") as caught:
            check_possible(format, "float32")
        assert caught.value.code == "extra_missing" and "pip install 'graft-vision[" in caught.value.hint
    for format in ("openvino", "keras", "h5"):
        check_possible(format, "float32")
    check_possible("openvino", "float16")
    with pytest.raises(BadInput, match="--format openvino in int8 needs TensorFlow and tf2onnx and onnx") as caught:
        check_possible("openvino", "int8")
    assert caught.value.code == "extra_missing"
    assert "Without it there are keras, h5, and openvino in float32 and float16." in caught.value.hint


@pytest.mark.parametrize("name", ["convnext_tiny", "vit_b16"])
def test_networks_that_a_format_cannot_hold_are_told(name):
    for format in ("onnx", "folder", "keras", "h5"):
        with pytest.raises(BadInput, match=f"--format {format} must be of another network") as caught:
            check_network(format, "float32", find(name))
        assert "Use --format openvino or saved-model or litert." in caught.value.hint
    for numbers in ("float32", "float16"):
        check_network("openvino", numbers, find(name))
    told = "--format openvino in int8 must be of another network, for it is made of onnx, which cannot hold"
    with pytest.raises(BadInput, match=told) as caught:
        check_network("openvino", "int8", find(name))
    assert "Use --format litert, or --numbers float32 or float16." in caught.value.hint
    for format in ("onnx", "openvino"):
        check_network(format, "int8", find("resnet50"))


@pytest.mark.slow
def test_answers_come_from_the_file_alone(bundle, tmp_path):
    """The process that reads an export is given its path and pixels, nothing of the bundle."""
    exported(bundle, tmp_path / "export", tmp_path / "scratch")
    work = exporting._Work(bundle, "openvino", "float32", tmp_path / "scratch", SilentProgress())
    pixels, probabilities = bundle.golden_examples()
    moved = tmp_path / "elsewhere"
    (tmp_path / "export").rename(moved)
    got = work.answers(moved / "model.xml", pixels)
    assert np.abs(got - probabilities).max() < 1e-3
    assert Answers(got, got[:0], np.empty(0)).golden.shape == (8, 3)
    with read_tensors(bundle.path) as file:
        assert file.tensors
