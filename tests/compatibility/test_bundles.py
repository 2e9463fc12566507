"""Classifiers' files of every released version are read as they were: the same classes, the same answers.

`bundles/VERSION/` holds files that this version wrote, photos, and the answers that it gave (`answers.json`). Nothing
in there is ever changed; a version that writes files in another way adds its own folder. Where a file can no longer be
read, its refusal must name the version and say what to do.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from graft.bundle.bundle import Bundle
from graft.bundle.format import read_bundle
from graft.core.version import __version__
from graft.data.records import ImageRules

BUNDLES = Path(__file__).parent / "bundles"
FILES = sorted(BUNDLES.glob("*/*.graft"))
TOLERANCE = 2e-3  # of a probability in float32, between machines


def answers(file: Path) -> dict[str, dict[str, float]]:
    """Photo to class to probability, as the version gave them."""
    return json.loads((file.parent / "answers.json").read_text())[file.stem]


@pytest.mark.parametrize("file", FILES, ids=[f"{file.parent.name}-{file.stem}" for file in FILES])
def test_a_file_answers_as_it_did(file, tmp_path):
    with Bundle.load(file, precision="float32") as bundle:  # its golden examples are checked
        assert bundle.manifest.provenance.graft_version == file.parent.name
        for photo, expected in answers(file).items():
            (got,) = bundle.predict(file.parent / "photos" / photo, top=len(bundle.classes))
            assert bundle.classes == tuple(expected)
            assert np.allclose([dict(got.top)[name] for name in expected], list(expected.values()), atol=TOLERANCE)


def test_this_version_is_among_them():
    """Whoever raises the version keeps files of it: `graft train` on any photos, and what it answers."""
    assert (BUNDLES / __version__).is_dir()
    manifests = [read_bundle(file)[0] for file in FILES if file.parent.name == __version__]
    assert any(manifest.head.hidden for manifest in manifests)
    assert any(manifest.preprocessing.normalization for manifest in manifests)
    assert any(manifest.head.threshold is not None for manifest in manifests)
    assert any(manifest.precision == "bfloat16" for manifest in manifests)
    assert any(manifest.rules != ImageRules() for manifest in manifests)


def test_sabotage_a_changed_file_is_noticed(tmp_path):
    data = bytearray(FILES[0].read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "changed.graft").write_bytes(data)
    with pytest.raises(Exception, match="SHA-256"):
        Bundle.load(tmp_path / "changed.graft")
