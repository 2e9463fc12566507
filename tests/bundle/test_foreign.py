"""Files of other tools are named by their content and never opened, whatever they are called."""

import io
import pickle
import tarfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from graft.bundle.foreign import foreign_kind, refuse_foreign
from graft.bundle.format import read_bundle
from graft.core.errors import BadInput


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return file.getvalue()


def hdf5() -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as opened:
        opened["w"] = np.zeros(3)
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("x"))
    return file.getvalue()


def npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, a=np.zeros(2))
    return file.getvalue()


FOREIGN = {
    "keras": (zipped("metadata.json", "config.json", "model.weights.h5"), "Keras"),
    "torch": (zipped("archive/data.pkl", "archive/version"), "PyTorch"),
    "npz": (npz(), "NumPy"),
    "zip": (zipped("photos/cat.jpg"), "zip"),
    "empty zip": (zipped(), "zip"),
    "hdf5": (hdf5(), "HDF5"),
    "tar": (tarred(), "tar"),
    "gzip": (b"\x1f\x8b\x08" + b"\x00" * 20, "gzip"),
    "tflite": (b"\x1c\x00\x00\x00TFL3" + b"\x00" * 20, "TensorFlow Lite"),
    "program": (b"\x7fELF" + b"\x00" * 20, "program"),
    "script": (b"#!/bin/sh\nrm -rf /\n", "script"),
    "photo": (b"\xff\xd8\xff\xe0" + b"\x00" * 20, "JPEG"),
    **{f"pickle {p}": (pickle.dumps({"a": 1}, protocol=p), "pickle") for p in (2, 3, 4, 5)},
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_files_are_named_and_refused(tmp_path: Path, kind: str) -> None:
    content, said = FOREIGN[kind]
    path = tmp_path / "classifier.graft"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=said) as caught:
        read_bundle(path)
    assert caught.value.code == "format_not_allowed"
    assert caught.value.exit_status == 2
    assert "--weights" in caught.value.hint


def test_a_saved_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01")
    with pytest.raises(BadInput, match="SavedModel") as caught:
        read_bundle(tmp_path)
    assert caught.value.code == "format_not_allowed"


def test_a_folder_is_told_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="got a folder") as caught:
        read_bundle(tmp_path)
    assert "classifier.graft" in caught.value.hint


@pytest.mark.parametrize("length", [0x0280, 0x010280, 0x8B1F, 0x5A4D, 0x2123, 0xD8FF, 0x04034B50 & 0xFFFFFF])
def test_a_header_length_that_looks_like_a_signature_is_no_foreign_file(length: int) -> None:
    assert foreign_kind(length.to_bytes(8, "little") + b'{"a"') == ""


def test_links_and_pipes_are_left_to_the_reader(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "none")
    refuse_foreign(tmp_path / "link")
    refuse_foreign(tmp_path / "none")
