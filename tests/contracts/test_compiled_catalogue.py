"""Every network of the catalogue can be compiled, and the compiled form proves to compute the same."""

from pathlib import Path

import pytest

from graft.backbones.catalogue import catalogue, find
from graft.core.records import to_value
from graft.features import compile_worker
from graft.features.compiled import described
from graft.features.forms import form_key
from tests.backbones.helpers import SMALLEST, rounding
from tests.features.samples import random_program

# The smallest of each family takes 2 to 20 seconds, ConvNeXt XLarge minutes: 1.4 GB of weights.
IN_ORDER = (*SMALLEST, *(name for name in catalogue() if name not in SMALLEST))


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", IN_ORDER)
def test_the_compiled_form_reproduces_the_network(name: str, tmp_path: Path) -> None:
    program, weights = random_program(name, find(name).min_side_pixels, tmp_path)
    folder = tmp_path / "form"
    folder.mkdir()
    job = {
        "program": to_value(program),
        **described(program, weights),
        "folder": str(folder),
        "key": form_key(program),
    }
    assert compile_worker.main(job)["largest_error"] < rounding(name)
