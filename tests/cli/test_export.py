"""`graft export` on the command line: what a person reads of an export, what a program reads, how it is refused."""

import json
from pathlib import Path

import pytest

from graft.bundle.export.records import Export, InputSpec, Parity
from graft.bundle.format import read_bundle
from graft.cli.main import main
from graft.pipeline.export import NOT_COMPARED, Exported
from tests.pipeline.conftest import finished, photos

__all__ = ["finished", "photos"]  # fixtures
COMPARED = {
    "n_photos": 2000,
    "agreement": 0.999,
    "largest_difference": 0.0123,
    "accuracy": 0.98,
    "exported_accuracy": 0.979,
}


@pytest.fixture
def exported(finished, tmp_path, monkeypatch):
    """Let an export end so, without making one."""

    def end(numbers="float32", form="float32", note="", **compared):
        manifest = read_bundle(finished.bundle)[0]
        made = Export(
            graft_version="0.1.0",
            format="onnx",
            numbers=numbers,
            form=form,
            file="model.onnx",
            sha256="0" * 64,
            bundle_sha256="0" * 64,
            input=InputSpec(
                side_pixels=manifest.side_pixels,
                max_pixels=manifest.rules.max_pixels,
                min_side_pixels=manifest.rules.min_side_pixels,
                geometry=manifest.preprocessing.geometry,
                sixteen_bit_white=manifest.rules.sixteen_bit_white,
            ),
            input_sha256="0" * 64,
            classes=manifest.classes,
            parity=Parity(n_golden=8, golden_difference=1.2e-6, golden_logit_difference=0.0, **compared),
            provenance=manifest.provenance,
            licences=manifest.licences,
        )
        done = Exported(tmp_path / "x-onnx", made, 1_234_567, note)
        monkeypatch.setattr("graft.pipeline.export.export", lambda *_, **__: done)

    return end


def test_a_person_reads_how_alike_it_answers(exported, finished, capsys):
    exported(**COMPARED)
    assert main(["export", str(finished.run), "--format", "onnx"]) == 0
    shown = capsys.readouterr().out
    assert "(1.2 MB): model.onnx, float32" in shown
    assert "the same class for 99.9 % of 2,000 photos; probabilities differ by at most 0.012" in shown
    assert "Accuracy          97.9 %; the classifier 98.0 %" in shown
    assert "8, probabilities differ by at most 1.2e-06" in shown


def test_a_person_reads_what_was_not_done(exported, finished, capsys):
    exported("int8", "int8-weights", NOT_COMPARED, n_photos=0)
    assert main(["export", str(finished.run), "--format", "onnx", "--numbers", "int8"]) == 0
    shown = capsys.readouterr().out
    assert "Weights are in int8 and the rest in float32" in shown and NOT_COMPARED in shown
    assert "Golden examples" not in shown and "the same class" not in shown


def test_a_program_reads_all_of_it(exported, finished, capsys):
    exported(**COMPARED)
    assert main(["export", str(finished.run), "--format", "onnx", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["bytes"] == 1_234_567 and value["parity"]["agreement"] == 0.999 and Path(value["folder"]).name


@pytest.mark.parametrize("words", [["--format", "tensorrt"], [], ["--format", "onnx", "--numbers", "int4"]])
def test_what_is_no_format_is_refused(finished, words, capsys):
    assert main(["export", str(finished.run), *words]) == 2
    assert "Traceback" not in capsys.readouterr().err
