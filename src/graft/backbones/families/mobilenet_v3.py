"""MobileNetV3, small and large: blocks found by search; the minimalistic ones without gates and hard swish."""

from dataclasses import dataclass

from graft.backbones.families.measured import CUT_COUNTS, MULTIPLY_ADDS
from graft.backbones.families.mobilenet_v2 import rounded_channels
from graft.backbones.families.preprocessings import UNCHANGED
from graft.backbones.families.publishing import KERAS_LICENCE, KERAS_URL, PUBLISHED_BY_GOOGLE, published
from graft.backbones.records import BackboneRecord

# Channels at the end of each block for alpha 1, and the blocks that end with an addition.
CHANNELS = {
    "small": (16, 24, 24, 40, 40, 40, 48, 48, 96, 96, 96),
    "large": (16, 24, 24, 40, 40, 40, 80, 80, 80, 80, 112, 112, 160, 160, 160),
}
SUMS = {"small": (2, 4, 5, 7, 9, 10), "large": (0, 2, 4, 5, 7, 8, 9, 11, 13, 14)}
LAST_EXPANSION = 6  # of the convolution after the last block


@dataclass(frozen=True)
class Variant:
    """One of the six, and what is published of it."""

    size: str
    alpha: float
    minimalistic: bool
    parameters: int
    parameters_with_top: int
    imagenet_top1: float
    md5: tuple[str, str]  # of the files without top, and with

    @property
    def kind(self) -> str:
        """`small` or `small_minimalistic`."""
        return f"{self.size}_minimalistic" if self.minimalistic else self.size


VARIANTS = (
    Variant(
        "small", 0.75, False, 583_160, 2_051_552, 0.654,
        ("ebdb5cc8e0b497cd13a7c275d475c819", "cb65d4e5be93758266aa0a7f2c6708b7"),
    ),
    Variant(
        "small", 1.0, False, 939_120, 2_554_968, 0.681,
        ("d3e8ec802a04aa4fc771ee12a9a9b836", "8768d4c2e7dee89b9d02b2d03d65d862"),
    ),
    Variant(
        "small", 1.0, True, 441_000, 2_056_848, 0.619,
        ("cde8136e733e811080d9fcd8a252f7e4", "99cd97fb2fcdad2bf028eb838de69e37"),
    ),
    Variant(
        "large", 0.75, False, 1_808_736, 4_012_616, 0.733,
        ("40af19a13ebea4e2ee0c676887f69a2e", "765b44a33ad4005b3ac83185abf1d0eb"),
    ),
    Variant(
        "large", 1.0, False, 2_996_352, 5_507_432, 0.756,
        ("07fb09a5933dd0c8eaafa16978110389", "59e551e166be033d707958cf9e29a6a7"),
    ),
    Variant(
        "large", 1.0, True, 1_437_608, 3_948_688, 0.723,
        ("ec5221f64a2f6d1ef965a614bdae7973", "675e7b876c45c57e9e63e6d90a36599c"),
    ),
)  # fmt: skip


def _tap(block: int, size: str) -> str:
    prefix = f"expanded_conv_{block}" if block else "expanded_conv"
    return f"{prefix}_{'add' if block in SUMS[size] else 'project_bn'}"


def _record(variant: Variant) -> BackboneRecord:
    widths = tuple(rounded_channels(channels * variant.alpha) for channels in CHANNELS[variant.size])
    last = rounded_channels(widths[-1] * LAST_EXPANSION)
    name = f"mobilenet_v3_{variant.kind}_{variant.alpha}"
    stem = f"weights_mobilenet_v3_{variant.kind}_224_{variant.alpha}_float"
    return BackboneRecord(
        name=name,
        family="mobilenet_v3",
        title=f"MobileNetV3 {variant.kind.replace('_', ' ')} {variant.alpha}",
        constructor=f"mobilenet_v3_{variant.size}",
        options=(("alpha", variant.alpha), ("minimalistic", variant.minimalistic)),
        side_pixels=224,
        preprocessing=UNCHANGED,
        parameters=variant.parameters,
        parameters_with_top=variant.parameters_with_top,
        width=last,
        taps=(*(_tap(block, variant.size) for block in range(len(widths))), "conv_1_activation"),
        tap_widths=(*widths, last),
        imagenet_top1=variant.imagenet_top1,
        multiply_adds=MULTIPLY_ADDS.get(name),
        cut_count=CUT_COUNTS.get(name),
        licence=PUBLISHED_BY_GOOGLE,
        paper="Howard et al. 2019, Searching for MobileNetV3, arXiv 1905.02244",
        weights=published(
            KERAS_URL + "mobilenet_v3/",
            KERAS_LICENCE,
            zip((f"{stem}_no_top_v2.h5", f"{stem}.h5"), variant.md5, strict=True),
        ),
    )


RECORDS = tuple(_record(variant) for variant in VARIANTS)
