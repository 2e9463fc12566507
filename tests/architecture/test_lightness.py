"""What is not loaded: help needs no library, the quick path no TensorFlow."""

import json
import subprocess
import sys

import pytest

from graft.cli.main import COMMANDS
from tests.data.folders import make_folder

HEAVY = {
    *("numpy", "scipy", "sklearn", "PIL", "keras", "tensorflow", "openvino", "h5py", "ml_dtypes"),
    *("pydantic", "annotated_types", "rich", "jinja2", "platformdirs"),
}
TELL = "import json, sys; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"


def loaded(code: str) -> set[str]:
    """The top-level modules that `code` loads in a fresh process."""
    ended = subprocess.run([sys.executable, "-c", f"{code}\n{TELL}"], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return set(json.loads(ended.stdout.splitlines()[-1]))


def test_help_loads_no_library():
    assert loaded("from graft.cli.main import main\nmain(['--help'])") & HEAVY == set()


def test_help_of_each_command_loads_no_library():
    calls = "\n".join(f"main([{name!r}, '--help'])" for name, _, _ in COMMANDS)
    assert loaded(f"from graft.cli.main import main\n{calls}") & HEAVY == set()


def test_importing_graft_loads_no_library():
    assert loaded("import graft\ngraft.GraftError, dir(graft)") & HEAVY == set()


@pytest.mark.parametrize(
    "module",
    [
        *("graft.pipeline.predict", "graft.pipeline.inspect", "graft.pipeline.augment", "graft.bundle.bundle"),
        *("graft.report.inspection_page", "graft.pipeline.public_data", "graft.pipeline.recipes.showing"),
    ],
)
def test_the_quick_path_loads_no_training_library(module):
    assert loaded(f"import {module}") & {"tensorflow", "keras", "sklearn", "jax", "torch"} == set()


def test_inspecting_photos_loads_no_training_library(tmp_path):
    """The command itself, with its page, on good photos, a copy and a broken file."""
    data = make_folder(tmp_path / "data", {"circles": 12, "squares": 12})
    (data / "circles" / "copy.png").write_bytes(next((data / "circles").iterdir()).read_bytes())
    (data / "squares" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    page = tmp_path / "page.html"
    words = ["inspect", str(data), "-o", str(page)]
    found = loaded(f"from graft.cli.main import main\nassert main({words!r}) == 0")
    assert page.is_file()
    assert "PIL" in found  # it did look at them
    assert found & {"tensorflow", "keras", "openvino", "sklearn", "jax", "torch"} == set()


@pytest.mark.parametrize("name", ["train", "load", "ImageClassifier"])
def test_public_names_load_no_training_library(name):
    assert loaded(f"import graft\ngraft.{name}") & {"tensorflow", "keras", "jax", "torch"} == set()


def test_sabotage_a_loaded_library_is_noticed():
    assert loaded("import numpy") & HEAVY == {"numpy"}
