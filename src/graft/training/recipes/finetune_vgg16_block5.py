"""Cats and dogs with VGG16's last block fine-tuned.

First the head on the frozen base, as in `features-vgg16-augmented`; then the last three convolutions, from
`block5_conv1` up, are unfrozen and trained with the head at a very low rate: 9,177,089 of 16,812,353 parameters, in
10 weight tensors. The order matters: a head that is still random would spoil the convolutions it pulls at.

Published: 97 %.
Measured: 98.2 % validation, 97.7 % test (96.6 to 98.5 %), with mobilenet_v2_1.0 at 150 px on cats_and_dogs_small, 30 +
10 epochs in 4 min 6 s on 2 cores; graft train by itself: 97.5 % test in 1 min 45 s. Not reproduced with VGG16, whose
weights were not at hand.

    graft train cats_and_dogs_small --backbone mobilenet_v2_1.0 --weights mobilenet_v2_1.0_224_notop.weights.h5
        --recipe finetune-vgg16-block5 --epochs 30,10

`@published` is the recipe itself: photos are divided by 255. `@corrected` uses VGG16's own preprocessing. With another
`--backbone`, its uppermost feature-map level takes the place of block 5.

Not reproduced either: `@corrected`.
"""

from dataclasses import replace
from typing import Final

from graft.backbones.freezing import Freeze
from graft.data.augmentation.presets import PRESETS
from graft.training.heads.records import Dense, Flatten, Head
from graft.training.recipes.records import Measured, Published, Recipe
from graft.training.tuning.records import Phase

FINETUNE_VGG16_BLOCK5: Final = Recipe(
    name="finetune-vgg16-block5",
    title="Cats and dogs, VGG16's block 5 fine-tuned",
    summary="The head first on frozen VGG16, then block 5 and the head together, at a very low rate.",
    lesson="Train the new head first, then unfreeze the uppermost layers and train them gently: lower layers hold "
    "general features that few photos would spoil.",
    data="cats_and_dogs_small",
    split="as given",
    photos=(2000, 1000, 1000),
    classes=2,
    backbone="vgg16",
    side_pixels=150,
    preprocessing="rescale_255",
    head=Head(layers=(Flatten(), Dense(units=256))),
    phases=(
        Phase(
            name="head",
            freeze=Freeze(kind="none"),
            epochs=30,
            steps_per_epoch=100,
            optimizer="rmsprop",
            rate=2e-5,
            warmup_epochs=0.0,
            decay="none",
        ),
        Phase(
            name="block 5",
            freeze=Freeze(kind="until", layer="block5_conv1"),
            epochs=100,
            steps_per_epoch=100,
            optimizer="rmsprop",
            rate=1e-5,
            warmup_epochs=0.0,
            decay="none",
        ),
    ),
    batch_images=20,
    augmentation=PRESETS["classic"],
    parameters=16_812_353,
    trainable_parameters=(2_097_665, 9_177_089),
    published=(Published(split="test", low=0.97, high=0.97, when="after both phases"),),
    measured=(
        Measured(
            backbone="mobilenet_v2_1.0",
            data="cats_and_dogs_small",
            side_pixels=150,
            epochs="30 + 10",
            validation=0.982,
            test=0.977,
            interval=(0.965724, 0.984626),
            seconds=246.0,
            cores=2,
            command="graft train cats_and_dogs_small --backbone mobilenet_v2_1.0 "
            "--weights mobilenet_v2_1.0_224_notop.weights.h5 --recipe finetune-vgg16-block5 --epochs 30,10",
            auto_backbone="mobilenet_v2_1.0",
            auto_test=0.975,
            auto_seconds=105.0,
        ),
    ),
    ours=("The first phase is features-vgg16-augmented with its 30 epochs.",),
)

CORRECTED: Final = replace(
    FINETUNE_VGG16_BLOCK5,
    name="finetune-vgg16-block5@corrected",
    summary="As finetune-vgg16-block5, with VGG16's own preprocessing: BGR, the means of ImageNet taken off.",
    preprocessing="backbone",
    published=(),
    measured=(),
)

RECIPES: Final = (FINETUNE_VGG16_BLOCK5, CORRECTED)
