"""Cats and dogs with a small network trained from nothing, and nothing done about overfitting.

Four 3 x 3 convolutions without padding (32, 64, 128, 128 channels), each followed by a 2 x 2 pooling, then Dense 512
and one sigmoid unit: 3,453,121 parameters, of which 3,211,776 are in the Dense layer. 2,000 training photos.

Published: some 70 % of the validation photos and more; it overfits after 5 to 10 epochs.
Measured: 71.0 % validation, 72.7 % test (69.9 to 75.4 %), with convnet at 150 px on cats_and_dogs_small, 12 epochs in 2
min 5 s on 2 cores; graft train by itself with sprout: 92.4 % test in 2 min 1 s.

    graft train cats_and_dogs_small --recipe scratch-cnn --epochs 12

`--backbone convnet_batch` and its sisters (layer, group, instance, weight …) are the same network with a normalisation
after each convolution.
"""

from typing import Final

from graft.backbones.freezing import Freeze
from graft.training.heads.records import Dense, Flatten, Head
from graft.training.recipes.records import Measured, Published, Recipe
from graft.training.tuning.records import Phase

SCRATCH_CNN: Final = Recipe(
    name="scratch-cnn",
    title="Cats and dogs from nothing",
    summary="A small convolutional network trained from random weights on 2,000 photos.",
    lesson="Two thousand photos are few: the network learns them by heart within ten epochs.",
    data="cats_and_dogs_small",
    split="as given",
    photos=(2000, 1000, 1000),
    classes=2,
    backbone="convnet",
    weights="random",
    side_pixels=150,
    preprocessing="rescale_255",
    head=Head(layers=(Flatten(), Dense(units=512))),
    phases=(
        Phase(
            name="whole network",
            freeze=Freeze(kind="all"),
            batch_normalization="trained",  # where another backbone has one
            epochs=30,
            steps_per_epoch=100,
            optimizer="rmsprop",
            rate=1e-4,
            warmup_epochs=0.0,
            decay="none",
        ),
    ),
    batch_images=20,
    parameters=3_453_121,
    trainable_parameters=(3_453_121,),
    ours=(
        "With a normalisation after each convolution: --backbone convnet_batch, convnet_batch_renorm, convnet_layer, "
        "convnet_group, convnet_instance or convnet_weight.",
    ),
    published=(Published(split="validation", low=0.70, high=0.70, when="or some more; overfits after 5 to 10 epochs"),),
    measured=(
        Measured(
            backbone="convnet",
            data="cats_and_dogs_small",
            side_pixels=150,
            epochs="12",
            validation=0.71,
            test=0.727,
            interval=(0.698559, 0.753704),
            seconds=125.0,
            cores=2,
            command="graft train cats_and_dogs_small --recipe scratch-cnn --epochs 12",
            auto_backbone="sprout",
            auto_test=0.924,
            auto_seconds=121.0,
        ),
    ),
)

RECIPES: Final = (SCRATCH_CNN,)
