"""`graft backbones verify`: sound things are sound, each kind of damage is found, and nothing is removed."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from graft.backbones.catalogue import find
from graft.backbones.layouts import layout
from graft.backbones.reading.conversion import VERSION
from graft.cli.main import main
from graft.core.errors import BadInput
from graft.core.progress import SilentProgress
from graft.core.tensors import tensors_sha256, write_tensors
from graft.features.compiled import compiled_form
from graft.pipeline.verify import verify
from tests.features.samples import sprout

PROGRESS = SilentProgress()
NAME = "mobilenet_0.25"


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path))
    return tmp_path


def put_weights(cache: Path, change=None) -> Path:
    """Weights with a top as a conversion leaves them; `change` spoils the tensors before they are written."""
    shapes = layout(find(NAME)).shapes(), layout(find(NAME)).top_shapes()
    tensors, top = ({name: np.ones(shape, np.float32) for name, shape in each.items()} for each in shapes)
    if change:
        change(tensors)
    folder = cache / "weights"
    folder.mkdir(exist_ok=True)
    path = folder / f"{'a' * 64}-{VERSION}.safetensors"
    common = {"backbone": NAME, "source_sha256": "a" * 64, "top_sha256": tensors_sha256(top)}
    for place, each in ((path, tensors), (path.with_name(f"{path.stem}-top.safetensors"), top)):
        write_tensors(place, each, metadata={**common, "tensors_sha256": tensors_sha256(each)}, writer="test")
    return path


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-6] ^= 1
    path.write_bytes(content)


def problems(*names: str) -> dict[str, str]:
    found = verify(names, deep=False, progress=PROGRESS)
    return {checked.part: checked.problem for checked in found if checked.problem}


def test_sound_weights_are_sound(cache):
    put_weights(cache)
    found = verify((), deep=False, progress=PROGRESS)
    assert [(checked.backbone, checked.part, checked.sound) for checked in found] == [
        ("sprout", "weights", True),
        (NAME, "top", True),
        (NAME, "weights", True),
    ]


@pytest.mark.parametrize("part", ["weights", "top"])
def test_a_flipped_bit_is_found_and_nothing_removed(cache, part):
    path = put_weights(cache)
    damaged = path if part == "weights" else path.with_name(f"{path.stem}-top.safetensors")
    flip(damaged)
    assert problems() == {part: "its numbers do not match their hash"}
    assert damaged.is_file()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda tensors: tensors["conv1/kernel"].fill(np.nan), "conv1/kernel holds NaN or infinity"),
        (lambda tensors: tensors.pop("conv1/kernel"), "conv1/kernel must have the shape (3, 3, 3, 8), got none"),
        (lambda tensors: tensors.update(more=np.ones(2, np.float32)), "more must have the shape none, got (2,)"),
    ],
)
def test_what_the_network_does_not_have_is_found(cache, change, problem):
    put_weights(cache, change)
    assert problems() == {"weights": problem}


def test_a_top_that_is_gone_is_told(cache):
    path = put_weights(cache)
    path.with_name(f"{path.stem}-top.safetensors").unlink()
    assert problems() == {"weights": "the top that belongs to it is gone"}


def test_the_exit_status_says_damaged_and_what_to_do(cache, capsys):
    path = put_weights(cache)
    assert main(["backbones", "verify"]) == 0
    assert "sound" in capsys.readouterr().out
    path.write_bytes(path.read_bytes()[:-4])
    assert main(["backbones", "verify", "--json"]) == 4
    value = json.loads(capsys.readouterr().out)
    assert (value["checked"], value["damaged"]) == (3, 1)
    assert main(["backbones", "verify"]) == 4
    text = capsys.readouterr().out
    assert "DAMAGED" in text and f"Remove {path}" in text


def test_names_choose_what_is_checked(cache):
    put_weights(cache)
    assert {checked.backbone for checked in verify(["mobilenet"], deep=False, progress=PROGRESS)} == {NAME}
    assert verify(["vgg16"], deep=False, progress=PROGRESS) == []
    with pytest.raises(BadInput, match="must be one of the catalogue's"):
        verify(["mobilnet"], deep=False, progress=PROGRESS)


def test_a_damaged_compiled_form_is_found(cache, tmp_path):
    program, weights = sprout(tmp_path)
    form = compiled_form(program, weights, cache)
    named = [checked for checked in verify((), deep=False, progress=PROGRESS) if checked.part == "compiled form"]
    assert [(checked.backbone, checked.sound) for checked in named] == [("sprout", True)]
    flip(form.graph.with_suffix(".bin"))
    assert problems() == {"compiled form": "network.bin does not match its hash"}
    shutil.rmtree(form.graph.parent)
    assert problems() == {}


@pytest.mark.slow
def test_deep_compares_with_keras_and_finds_another_network(cache, monkeypatch):
    found = verify(["sprout"], deep=True, progress=PROGRESS)
    assert [(checked.part, checked.sound) for checked in found][-1] == ("compared with Keras", True)
    monkeypatch.setattr("graft.pipeline.verify.TOLERANCE", 0.0)
    assert not verify(["sprout"], deep=True, progress=PROGRESS)[-1].sound
