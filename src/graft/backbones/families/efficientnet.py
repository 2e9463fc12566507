"""EfficientNet B0 to B7: inverted residual blocks with squeeze and excitation, wider and deeper together."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from graft.backbones.families.measured import CUT_COUNTS, MULTIPLY_ADDS
from graft.backbones.families.preprocessings import UNCHANGED
from graft.backbones.families.publishing import KERAS_LICENCE, PUBLISHED_BY_GOOGLE, published, spaced
from graft.backbones.records import BackboneRecord

BASE_URL = "https://storage.googleapis.com/keras-applications/"
REPEATS = (1, 2, 2, 3, 3, 4, 1)  # blocks in each of the seven stages of B0
CHANNELS = (16, 24, 40, 80, 112, 192, 320)
STEM_CHANNELS = 32
LAST_CHANNELS = 1280


@dataclass(frozen=True)
class Variant:
    """One of the eight: its coefficients, and what is published of it."""

    width: float
    depth: float
    dropout: float
    side_pixels: int
    parameters: int
    parameters_with_top: int
    imagenet_top1: float
    md5: tuple[str, str]  # of the files without top, and with


VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        "efficientnet_b0": Variant(
            1.0, 1.0, 0.2, 224, 4_049_571, 5_330_571, 0.771,
            ("50bc09e76180e00e4465e1a485ddc09d", "902e53a9f72be733fc0bcb005b3ebbac"),
        ),
        "efficientnet_b1": Variant(
            1.0, 1.1, 0.2, 240, 6_575_239, 7_856_239, 0.791,
            ("74c4e6b3e1f6a1eea24c589628592432", "1d254153d4ab51201f1646940f018540"),
        ),
        "efficientnet_b2": Variant(
            1.1, 1.2, 0.3, 260, 7_768_569, 9_177_569, 0.801,
            ("111f8e2ac8aa800a7a99e3239f7bfb39", "b15cce36ff4dcbd00b6dd88e7857a6ad"),
        ),
        "efficientnet_b3": Variant(
            1.2, 1.4, 0.3, 300, 10_783_535, 12_320_535, 0.816,
            ("af6d107764bb5b1abb91932881670226", "ffd1fdc53d0ce67064dc6a9c7960ede0"),
        ),
        "efficientnet_b4": Variant(
            1.4, 1.8, 0.4, 380, 17_673_823, 19_466_823, 0.829,
            ("ebc24e6d6c33eaebbd558eafbeedf1ba", "18c95ad55216b8f92d7e70b3a046e2fc"),
        ),
        "efficientnet_b5": Variant(
            1.6, 2.2, 0.4, 456, 28_513_527, 30_562_527, 0.836,
            ("38879255a25d3c92d5e44e04ae6cec6f", "ace28f2a6363774853a83a0b21b9421a"),
        ),
        "efficientnet_b6": Variant(
            1.8, 2.6, 0.5, 528, 40_960_143, 43_265_143, 0.840,
            ("9ecce42647a20130c1f39a5d4cb75743", "165f6e37dce68623721b423839de8be5"),
        ),
        "efficientnet_b7": Variant(
            2.0, 3.1, 0.5, 600, 64_097_687, 66_658_687, 0.843,
            ("cbcfe4450ddf6f3ad90b1b398090fe4a", "8c03f828fec3ef71311cd463b6759d99"),
        ),
    }
)  # fmt: skip


def scaled_channels(channels: int, variant: Variant) -> int:
    """The multiple of eight next to `channels` times the width, never more than a tenth below it."""
    scaled = channels * variant.width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * scaled else rounded + 8


def repeats(variant: Variant) -> tuple[int, ...]:
    """Blocks in each of the variant's stages."""
    return tuple(math.ceil(count * variant.depth) for count in REPEATS)


def places(variant: Variant) -> list[tuple[int, int]]:
    """Stage and repeat of every block, both from 0."""
    return [(stage, repeat) for stage, count in enumerate(repeats(variant)) for repeat in range(count)]


def block_name(stage: int, repeat: int) -> str:
    """The published name of a block, `block1a` to `block7m`; both numbers count from 0."""
    return f"block{stage + 1}{chr(ord('a') + repeat)}"


def _tap(stage: int, repeat: int) -> str:
    # The first block of a stage changes the width, so it has no addition and ends with its projection.
    return f"{block_name(stage, repeat)}_{'add' if repeat else 'project_bn'}"


def _record(name: str, variant: Variant) -> BackboneRecord:
    tapped = spaced(repeats(variant))
    width = scaled_channels(LAST_CHANNELS, variant)
    stem = name.replace("_", "")
    return BackboneRecord(
        name=name,
        family="efficientnet",
        title=f"EfficientNet-{name[-2:].upper()}",
        constructor=name,
        side_pixels=variant.side_pixels,
        preprocessing=UNCHANGED,
        parameters=variant.parameters,
        parameters_with_top=variant.parameters_with_top,
        width=width,
        taps=(*(_tap(stage, repeat) for stage, repeat in tapped), "top_activation"),
        tap_widths=(*(scaled_channels(CHANNELS[stage], variant) for stage, _ in tapped), width),
        imagenet_top1=variant.imagenet_top1,
        multiply_adds=MULTIPLY_ADDS.get(name),
        cut_count=CUT_COUNTS.get(name),
        licence=PUBLISHED_BY_GOOGLE,
        paper="Tan and Le 2019, EfficientNet, arXiv 1905.11946",
        weights=published(BASE_URL, KERAS_LICENCE, zip((f"{stem}_notop.h5", f"{stem}.h5"), variant.md5, strict=True)),
    )


RECORDS = tuple(_record(name, variant) for name, variant in VARIANTS.items())
