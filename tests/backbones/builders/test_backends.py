"""The networks with layers of their own, or built here, give the same numbers on every backend of Keras."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.backbones.helpers import relative_difference

NETWORKS = {"googlenet": 35, "se_resnet50": 35, "vit_b16": 224}
ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import sys
import keras, numpy
from tests.backbones.helpers import images, new_network
name, side, path = sys.argv[1:]
model = new_network(name, int(side))
numpy.save(path, keras.ops.convert_to_numpy(model(images(model, 1), training=False)))
"""


def _computed(name: str, backend: str, folder: Path) -> np.ndarray:
    path = folder / f"{name}-{backend}.npy"
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"}
    command = [sys.executable, "-c", PROGRAM, name, str(NETWORKS[name]), str(path)]
    subprocess.run(command, check=True, env=environment, capture_output=True, timeout=300)
    return np.asarray(np.load(path))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_backend_gives_the_same_numbers(name: str, tmp_path: Path) -> None:
    expected = _computed(name, "openvino", tmp_path)
    backends = [each for each in ("tensorflow", "jax", "torch") if importlib.util.find_spec(each)]
    for backend in backends:
        assert relative_difference(_computed(name, backend, tmp_path), expected) < 1e-5, backend
