"""The quicker gradient is the gradient. In a process of its own: Keras takes one backend for each."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
WORDS = """
import keras, numpy, tensorflow
from graft.training.tuning.convolution import quicken

def gradients(size, quick, **options):
    layer = keras.layers.Conv2D(6, size, dtype="mixed_bfloat16", **({"padding": "same"} | options))
    images = keras.random.normal((3, 7, 5, 4), seed=1)
    layer.build(images.shape)
    layer.kernel.assign(keras.random.normal(layer.kernel.shape, seed=2))
    if quick:
        quicken(layer)
    with tensorflow.GradientTape() as tape:
        tape.watch(images)
        maps = tensorflow.cast(layer(images), "float32")
        loss = tensorflow.reduce_sum(maps * keras.random.normal(maps.shape, seed=3))
    found = tape.gradient(loss, [images, layer.kernel.value])
    return layer, [maps.numpy(), *(each.numpy() for each in found)]

for size in ((3, 3), (5, 3), (1, 3)):
    layer, quick = gradients(size, True)
    assert "convolution_op" in vars(layer)
    for ours, theirs in zip(quick, gradients(size, False)[1], strict=True):
        assert numpy.abs(ours - theirs).max() <= 2**-7 * numpy.abs(theirs).max(), size

for size, options in (
    (1, {}), (2, {}), (3, {"strides": 2}), (3, {"padding": "valid"}), (3, {"dilation_rate": 2}), (3, {"groups": 2})
):
    layer = keras.layers.Conv2D(6, size, dtype="mixed_bfloat16", **({"padding": "same"} | options))
    quicken(layer)
    assert "convolution_op" not in vars(layer), (size, options)
for layer in (keras.layers.Conv2D(6, 3, padding="same"), keras.layers.DepthwiseConv2D(3, dtype="mixed_bfloat16")):
    quicken(layer)
    assert "convolution_op" not in vars(layer), layer.name
"""


@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="tensorflow is not installed")
def test_the_gradients_are_those_of_the_library():
    environment = os.environ | {
        "KERAS_BACKEND": "tensorflow",
        "PYTHONPATH": str(ROOT / "src"),
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = subprocess.run([sys.executable, "-c", WORDS], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
