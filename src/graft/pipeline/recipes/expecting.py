"""How long a recipe takes on this machine, about: from its work and the speed of one convolution."""

import math
from dataclasses import dataclass
from typing import Final

from graft.core import machine
from graft.features.engines import best_precision
from graft.features.yardstick import multiply_adds_per_second
from graft.pipeline.tuning.layouts import DEPTHWISE
from graft.training.recipes.counting import SystemFigures
from graft.training.recipes.records import Recipe
from graft.training.tuning.records import usual_views

# Calibrated on the trainings of bench/RESULTS.md: shares of the convolution's speed that whole networks reach.
DENSE_SHARE: Final = 0.85
DEPTHWISE_SHARE: Final = 0.5  # of networks of depthwise convolutions, whose work is moving numbers
UPDATE_MULTIPLY_ADDS: Final = 800  # that take as long as the update of one trained parameter, in float32
VIEW_SECONDS: Final = 1.3e-3  # to decode a photo and change it
OWN_SECONDS: Final = 20.0  # to look at the photos, for the linear classifier, the measuring and the report


@dataclass(frozen=True)
class Speed:
    """Multiply-adds a second of a convolution in the best precision of this machine, and in float32."""

    best: float
    float32: float


def speed_here() -> Speed:
    """This machine's, timed for half a second."""
    float32 = multiply_adds_per_second("float32", machine.threads())
    best = best_precision()
    return Speed(float32 if best == "float32" else multiply_adds_per_second(best, machine.threads()), float32)


def expected_seconds(recipe: Recipe, counted: SystemFigures, speed: Speed) -> float:
    """About how long training takes, on the published number of photos.

    What is frozen is computed once for each stored view, for all phases that read the same; the rest in each step. A
    trained layer costs three times its forward pass, and each step updates every trained parameter.
    """
    n_train, n_validation, n_test = recipe.photos
    depthwise = any(layer.kind in DEPTHWISE for layer in counted.layers)
    share = DEPTHWISE_SHARE if depthwise else DENSE_SHARE
    trained_speed = share * (speed.float32 if depthwise else speed.best)
    total, stored = OWN_SECONDS + VIEW_SECONDS * (n_train + n_validation + n_test), 0.0
    for phase, work in zip(recipe.phases, counted.phases, strict=True):
        n_views = usual_views(recipe.augmentation, phase, batch_images=recipe.batch_images, n_train=n_train)
        n_images = phase.photos_an_epoch(batch_images=recipe.batch_images, n_train=n_train)
        once = 0.0
        if work.prefix_multiply_adds:
            n_stored = n_views * n_train + n_validation
            once = n_stored * (work.prefix_multiply_adds / (share * speed.best) + VIEW_SECONDS)
        forward = work.suffix_multiply_adds * (n_images + n_validation)
        backward = 2 * work.trained_multiply_adds * n_images
        steps = math.ceil(n_images / recipe.batch_images)
        updates = steps * work.trainable_parameters * UPDATE_MULTIPLY_ADDS / speed.float32
        total += max(0.0, once - stored) + phase.epochs * ((forward + backward) / trained_speed + updates)
        stored = max(stored, once)
    return total
