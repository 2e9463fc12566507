"""EfficientNetV2: fused inverted residual blocks first, plain ones later; pixels are scaled inside the network."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from graft.backbones.families.measured import CUT_COUNTS, MULTIPLY_ADDS
from graft.backbones.families.preprocessings import UNCHANGED
from graft.backbones.families.publishing import KERAS_LICENCE, KERAS_URL, PUBLISHED_BY_GOOGLE, published, spaced
from graft.backbones.records import BackboneRecord

LAST_CHANNELS = 1280


@dataclass(frozen=True)
class Plan:
    """Blocks and channels of a network's stages before they are scaled."""

    repeats: tuple[int, ...]
    stem_channels: int
    channels: tuple[int, ...]


@dataclass(frozen=True)
class Variant:
    """One of the seven: its plan, how it is scaled, and what is published of it."""

    plan: Plan
    width: float
    depth: float
    side_pixels: int
    parameters: int
    parameters_with_top: int
    imagenet_top1: float
    md5: tuple[str, str]  # of the files without top, and with


BASE = Plan((1, 2, 2, 3, 5, 8), 32, (16, 32, 48, 96, 112, 192))
SMALL = Plan((2, 4, 4, 6, 9, 15), 24, (24, 48, 64, 128, 160, 256))
MEDIUM = Plan((3, 5, 5, 7, 14, 18, 5), 24, (24, 48, 80, 160, 176, 304, 512))
LARGE = Plan((4, 7, 7, 10, 19, 25, 7), 32, (32, 64, 96, 192, 224, 384, 640))

VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        "b0": Variant(
            BASE, 1.0, 1.0, 224, 5_919_312, 7_200_312, 0.787,
            ("893217f2bb855e2983157299931e43ff", "21ecbf6da12460d5c40bb2f29ceb2188"),
        ),
        "b1": Variant(
            BASE, 1.0, 1.1, 240, 6_931_124, 8_212_124, 0.798,
            ("0e80663031ca32d657f9caa404b6ec37", "069f0534ff22adf035c89e2d9547a9dc"),
        ),
        "b2": Variant(
            BASE, 1.1, 1.2, 260, 8_769_374, 10_178_374, 0.805,
            ("1dfe2e7a5d45b6632553a8961ea609eb", "424e49f28180edbde1e94797771950a7"),
        ),
        "b3": Variant(
            BASE, 1.2, 1.4, 300, 12_930_622, 14_467_622, 0.820,
            ("f6abf7b5849ac99a89b50dd3fd532856", "1f1fc43bd98a6e4fd8fdfd551e02c7a0"),
        ),
        "s": Variant(
            SMALL, 1.0, 1.0, 384, 20_331_360, 21_612_360, 0.839,
            ("af0682fb74e8c54910f2d4393339c070", "e1d88a8495beba45748fedd0cecbe016"),
        ),
        "m": Variant(
            MEDIUM, 1.0, 1.0, 480, 53_150_388, 54_431_388, 0.853,
            ("1b8dc055df72dde80d614482840fe342", "a3bf6aa3276309f4fc6a34aa114c95cd"),
        ),
        "l": Variant(
            LARGE, 1.0, 1.0, 480, 117_746_848, 119_027_848, 0.857,
            ("b0b66b5c863aef5b46e8608fe1711615", "27e6d408b53c7ebc868fefa357689935"),
        ),
    }
)  # fmt: skip


def _scaled(channels: int, variant: Variant) -> int:
    """The multiple of eight nearest to `channels` times the width."""
    return max(8, int(channels * variant.width + 4) // 8 * 8)


def _tap(stage: int, repeat: int, variant: Variant) -> str:
    """Where a block ends: its addition, or where the width changes its last normalisation or activation."""
    name = f"block{stage + 1}{chr(ord('a') + repeat)}"
    same_width = stage == 0 and _scaled(variant.plan.stem_channels, variant) == _scaled(
        variant.plan.channels[0], variant
    )
    if repeat or same_width:
        return f"{name}_add"
    return f"{name}_project_{'bn' if stage else 'activation'}"


def _record(key: str, variant: Variant) -> BackboneRecord:
    tapped = spaced([math.ceil(count * variant.depth) for count in variant.plan.repeats])
    width = _scaled(LAST_CHANNELS, variant)
    name, file = f"efficientnet_v2_{key}", f"efficientnetv2-{key}"
    return BackboneRecord(
        name=name,
        family="efficientnet_v2",
        title=f"EfficientNetV2-{key.upper()}",
        constructor=name,
        side_pixels=variant.side_pixels,
        preprocessing=UNCHANGED,
        parameters=variant.parameters,
        parameters_with_top=variant.parameters_with_top,
        width=width,
        taps=(*(_tap(stage, repeat, variant) for stage, repeat in tapped), "top_activation"),
        tap_widths=(*(_scaled(variant.plan.channels[stage], variant) for stage, _ in tapped), width),
        imagenet_top1=variant.imagenet_top1,
        multiply_adds=MULTIPLY_ADDS.get(name),
        cut_count=CUT_COUNTS.get(name),
        licence=PUBLISHED_BY_GOOGLE,
        paper="Tan and Le 2021, EfficientNetV2, arXiv 2104.00298",
        weights=published(
            KERAS_URL + "efficientnet_v2/",
            KERAS_LICENCE,
            zip((f"{file}_notop.h5", f"{file}.h5"), variant.md5, strict=True),
        ),
    )


RECORDS = tuple(_record(key, variant) for key, variant in VARIANTS.items())
