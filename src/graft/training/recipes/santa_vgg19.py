"""Santa or no Santa: tiny photos, VGG19 frozen.

542 training photos of 64 x 64 pixels. VGG19 without its classifier (20,024,384 parameters, frozen) gives (2, 2, 512);
Flatten, Dense 132 and one sigmoid unit on top: 20,294,985 parameters, 270,601 of them trained.

Published: 89.4 % of the 180 test photos.
Measured: 96.5 % validation, 97.2 % test (93.7 to 98.8 %), with mobilenet_v2_1.0 at 64 px on santa, 30 epochs in 30 s on
2 cores; graft train by itself: 98.9 % test in 45 s. Not reproduced with VGG19, whose weights were not at hand.

    graft train santa --backbone mobilenet_v2_1.0 --weights mobilenet_v2_1.0_224_notop.weights.h5 --split
        540/200/180 --recipe santa-vgg19 --epochs 30

`@published` is the recipe itself: photos are divided by 255. `@corrected` uses VGG19's own preprocessing. `@intended`
frees block 5, which the author meant to do but the code does not: 9,709,833 parameters are trained.

The tutorial shows that one sigmoid unit equals two softmax units whose weights differ by its own. Graft offers both
(`--binary-head`), and a test converts one trained head into the other.

Not reproduced either: `@corrected` and `@intended`.
"""

from dataclasses import replace
from typing import Final

from graft.backbones.freezing import Freeze
from graft.data.augmentation.presets import PRESETS
from graft.training.heads.records import Dense, Flatten, Head
from graft.training.recipes.records import Measured, Published, Recipe
from graft.training.tuning.records import Phase

SANTA_VGG19: Final = Recipe(
    name="santa-vgg19",
    title="Santa or not, VGG19 frozen",
    summary="VGG19 frozen below a small classifier, on 64-pixel photos of two classes.",
    lesson="Even photos of 64 pixels carry enough for a pretrained base; one sigmoid unit equals two softmax units.",
    data="santa",
    split="542/200/180",
    photos=(542, 200, 180),
    classes=2,
    backbone="vgg19",
    side_pixels=64,
    preprocessing="rescale_255",
    head=Head(layers=(Flatten(), Dense(units=132))),
    phases=(
        Phase(
            name="head",
            freeze=Freeze(kind="none"),
            epochs=10,
            optimizer="rmsprop",
            rate=2e-5,
            warmup_epochs=0.0,
            decay="none",
        ),
    ),
    batch_images=20,
    augmentation=PRESETS["classic"],
    parameters=20_294_985,
    trainable_parameters=(270_601,),
    published=(Published(split="test", low=0.894, high=0.894, when="10 epochs"),),
    measured=(
        Measured(
            backbone="mobilenet_v2_1.0",
            data="santa",
            side_pixels=64,
            epochs="30",
            validation=0.965,
            test=0.972222,
            interval=(0.936632, 0.988078),
            seconds=30.0,
            cores=2,
            command="graft train santa --backbone mobilenet_v2_1.0 "
            "--weights mobilenet_v2_1.0_224_notop.weights.h5 --split 540/200/180 --recipe santa-vgg19 --epochs 30",
            auto_backbone="mobilenet_v2_1.0",
            auto_test=0.988889,
            auto_seconds=45.0,
        ),
    ),
    ours=("An epoch is taken to be once over the training photos.",),
)

CORRECTED: Final = replace(
    SANTA_VGG19,
    name="santa-vgg19@corrected",
    summary="As santa-vgg19, with VGG19's own preprocessing: BGR, the means of ImageNet taken off.",
    preprocessing="backbone",
    published=(),
    measured=(),
)

INTENDED: Final = replace(
    SANTA_VGG19,
    name="santa-vgg19@intended",
    title="Santa or not, VGG19's block 5 trained",
    summary="As santa-vgg19, with VGG19's block 5 trained too, as the author meant it.",
    phases=(replace(SANTA_VGG19.phases[0], name="block 5", freeze=Freeze(kind="until", layer="block5_conv1")),),
    trainable_parameters=(9_709_833,),
    published=(),
    measured=(),
)

RECIPES: Final = (SANTA_VGG19, CORRECTED, INTENDED)
