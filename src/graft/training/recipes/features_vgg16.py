"""Cats and dogs from stored features of VGG16: fast feature extraction.

VGG16 is run once over each photo; its last map (4, 4, 512) is stored on disk as 8,192 features, and a classifier of
Dense 256, dropout and one sigmoid unit is trained on them: 2,097,665 parameters, in seconds an epoch. Fast because
the network is never run again, and for the same reason without augmentation.

Published: about 90 % of the validation photos; it overfits almost from the start.
Measured: 97.4 % validation, 97.7 % test (96.6 to 98.5 %), with mobilenet_v2_1.0 at 150 px on cats_and_dogs_small, 30
epochs in 2 min 10 s on 2 cores; graft train by itself: 97.5 % test in 1 min 44 s. Not reproduced with VGG16, whose
weights were not at hand.

    graft train cats_and_dogs_small --backbone mobilenet_v2_1.0 --weights mobilenet_v2_1.0_224_notop.weights.h5
        --recipe features-vgg16 --epochs 30

`@published` is the recipe itself: photos are divided by 255, which is not what VGG16 was trained on. `@corrected`
uses VGG16's own preprocessing.

Not reproduced either: `@corrected`.
"""

from dataclasses import replace
from typing import Final

from graft.backbones.freezing import Freeze
from graft.training.heads.records import Dense, Dropout, Flatten, Head
from graft.training.recipes.records import Measured, Published, Recipe
from graft.training.tuning.records import Phase

FEATURES_VGG16: Final = Recipe(
    name="features-vgg16",
    title="Cats and dogs from VGG16's stored features",
    summary="A small classifier trained on features that VGG16 gave once for each photo.",
    lesson="The convolutional base of a pretrained network is a feature extractor: run it once, train on what it gave.",
    data="cats_and_dogs_small",
    split="as given",
    photos=(2000, 1000, 1000),
    classes=2,
    backbone="vgg16",
    side_pixels=150,
    preprocessing="rescale_255",
    head=Head(layers=(Flatten(), Dense(units=256), Dropout(rate=0.5))),
    phases=(
        Phase(
            name="head",
            freeze=Freeze(kind="none"),
            epochs=30,
            optimizer="rmsprop",
            rate=2e-5,
            warmup_epochs=0.0,
            decay="none",
        ),
    ),
    batch_images=20,
    parameters=16_812_353,
    trainable_parameters=(2_097_665,),
    published=(Published(split="validation", low=0.90, high=0.90, when="overfits almost from the start"),),
    measured=(
        Measured(
            backbone="mobilenet_v2_1.0",
            data="cats_and_dogs_small",
            side_pixels=150,
            epochs="30",
            validation=0.974,
            test=0.977,
            interval=(0.965724, 0.984626),
            seconds=130.0,
            cores=2,
            command="graft train cats_and_dogs_small --backbone mobilenet_v2_1.0 "
            "--weights mobilenet_v2_1.0_224_notop.weights.h5 --recipe features-vgg16 --epochs 30",
            auto_backbone="mobilenet_v2_1.0",
            auto_test=0.975,
            auto_seconds=104.0,
        ),
    ),
    ours=("The whole network is counted, VGG16 with the classifier; the classifier alone has 2,097,665 parameters.",),
)

CORRECTED: Final = replace(
    FEATURES_VGG16,
    name="features-vgg16@corrected",
    summary="As features-vgg16, with VGG16's own preprocessing: BGR, the means of ImageNet taken off.",
    preprocessing="backbone",
    published=(),
    measured=(),
)

RECIPES: Final = (FEATURES_VGG16, CORRECTED)
