"""Which backend is taken, and what is said where there is none."""

import importlib.util
import subprocess
import sys
from types import SimpleNamespace

import pytest

from graft.core.errors import BadInput
from graft.training.tuning import backend
from graft.training.tuning.backend import choose


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """Pretend that these packages are installed, and that Keras runs on `running`."""

    def pretend(*installed: str, running: str = "", gpu: bool = False):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name in installed else None)
        monkeypatch.setattr(backend, "_jax_sees_gpu", lambda: gpu)
        monkeypatch.delitem(sys.modules, "keras", raising=False)
        if running:
            keras = SimpleNamespace(backend=SimpleNamespace(backend=lambda: running))
            monkeypatch.setitem(sys.modules, "keras", keras)

    return pretend


def test_the_first_installed_one_is_taken(machine):
    machine("tensorflow", "jax", "torch")
    assert choose("auto") == "tensorflow"
    assert choose("torch") == "torch"
    machine("jax", "torch")
    assert choose("auto") == "jax"
    machine("torch")
    assert choose("auto") == "torch"


def test_jax_comes_first_where_it_sees_a_gpu(machine):
    machine("tensorflow", "jax", gpu=True)
    assert choose("auto") == "jax"
    assert choose("tensorflow") == "tensorflow"


def test_a_backend_that_runs_already_stays(machine):
    machine("tensorflow", "torch", running="torch")
    assert choose("auto") == choose("torch") == "torch"
    with pytest.raises(BadInput, match=r"tensorflow to fine-tune, but .* loaded with torch") as refused:
        choose("tensorflow")
    assert "KERAS_BACKEND=tensorflow" in refused.value.hint


def test_a_backend_that_cannot_train_is_told(machine):
    machine("tensorflow", running="openvino")
    with pytest.raises(BadInput, match="already loaded with openvino"):
        choose("auto")


@pytest.mark.parametrize(
    ("wanted", "extra"), [("auto", "finetune"), ("tensorflow", "finetune"), ("jax", "jax"), ("torch", "torch")]
)
def test_a_missing_one_is_one_sentence_with_the_line_to_type(machine, wanted, extra):
    machine()
    with pytest.raises(BadInput) as refused:
        choose(wanted)
    assert refused.value.code == "extra_missing"
    assert refused.value.hint == f"Type: pip install 'graft-vision[{extra}]'."


def test_choosing_loads_nothing():
    code = (
        "import sys; from graft.training.tuning.backend import choose; choose('auto');"
        "sys.exit(bool({'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)))"
    )
    if all(importlib.util.find_spec(name) is None for name in backend.BACKENDS):
        pytest.skip("no backend is installed")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
