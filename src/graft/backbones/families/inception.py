"""Inception v3, Inception-ResNet v2 and Xception: branches of several filter sizes, or separable convolutions."""

from graft.backbones.families.measured import CUT_COUNTS, MULTIPLY_ADDS
from graft.backbones.families.preprocessings import SYMMETRIC
from graft.backbones.families.publishing import KERAS_LICENCE, KERAS_URL, PUBLISHED_BY_GOOGLE, published
from graft.backbones.records import BackboneRecord, WeightsSource

V3_TAPS = tuple((f"mixed{number}", width) for number, width in enumerate((256, 288, 288, *[768] * 5, 1280, 2048, 2048)))
# The first, every fifth and the last block of each kind.
RESNET_V2_TAPS = (
    ("mixed_5b", 320),
    *((f"block35_{block}_ac", 320) for block in (1, 5, 10)),
    ("mixed_6a", 1088),
    *((f"block17_{block}_ac", 1088) for block in (1, 5, 10, 15, 20)),
    ("mixed_7a", 2080),
    *((f"block8_{block}_ac", 2080) for block in (1, 5, 9)),
    ("conv_7b_ac", 1536),
)
XCEPTION_TAPS = (
    ("block1_conv2_act", 64),
    ("block2_add", 128),
    ("block3_add", 256),
    *((f"block{block}_add", 728) for block in range(4, 13)),
    ("block13_add", 1024),
    ("block14_sepconv1_act", 1536),
    ("block14_sepconv2_act", 2048),
)


def _weights(name: str, without_top: str, with_top: str) -> tuple[WeightsSource, ...]:
    stem = f"{name}_weights_tf_dim_ordering_tf_kernels"
    files = ((f"{stem}_notop.h5", without_top), (f"{stem}.h5", with_top))
    return published(f"{KERAS_URL}{name}/", KERAS_LICENCE, files)


RECORDS = (
    BackboneRecord(
        name="inception_v3",
        family="inception_v3",
        title="Inception v3",
        constructor="inception_v3",
        side_pixels=299,
        min_side_pixels=75,
        preprocessing=SYMMETRIC,
        parameters=21_802_784,
        parameters_with_top=23_851_784,
        width=2048,
        taps=tuple(layer for layer, _ in V3_TAPS),
        tap_widths=tuple(width for _, width in V3_TAPS),
        imagenet_top1=0.779,
        multiply_adds=MULTIPLY_ADDS.get("inception_v3"),
        cut_count=CUT_COUNTS.get("inception_v3"),
        licence=PUBLISHED_BY_GOOGLE,
        paper="Szegedy et al. 2015, Rethinking the Inception Architecture for Computer Vision, arXiv 1512.00567",
        weights=_weights("inception_v3", "bcbd6486424b2319ff4ef7d526e38f63", "9a0d58056eeedaa3f26cb7ebd46da564"),
    ),
    BackboneRecord(
        name="inception_resnet_v2",
        family="inception_resnet_v2",
        title="Inception-ResNet v2",
        constructor="inception_resnet_v2",
        side_pixels=299,
        min_side_pixels=75,
        preprocessing=SYMMETRIC,
        parameters=54_336_736,
        parameters_with_top=55_873_736,
        width=1536,
        taps=tuple(layer for layer, _ in RESNET_V2_TAPS),
        tap_widths=tuple(width for _, width in RESNET_V2_TAPS),
        imagenet_top1=0.803,
        multiply_adds=MULTIPLY_ADDS.get("inception_resnet_v2"),
        cut_count=CUT_COUNTS.get("inception_resnet_v2"),
        licence=PUBLISHED_BY_GOOGLE,
        paper="Szegedy et al. 2016, Inception-v4, Inception-ResNet and the Impact of Residual Connections, "
        "arXiv 1602.07261",
        weights=_weights("inception_resnet_v2", "d19885ff4a710c122648d3b5c3b684e4", "e693bd0210a403b3192acc6073ad2e96"),
    ),
    BackboneRecord(
        name="xception",
        family="xception",
        title="Xception",
        constructor="xception",
        side_pixels=299,
        min_side_pixels=71,
        preprocessing=SYMMETRIC,
        parameters=20_861_480,
        parameters_with_top=22_910_480,
        width=2048,
        taps=tuple(layer for layer, _ in XCEPTION_TAPS),
        tap_widths=tuple(width for _, width in XCEPTION_TAPS),
        imagenet_top1=0.790,
        multiply_adds=MULTIPLY_ADDS.get("xception"),
        cut_count=CUT_COUNTS.get("xception"),
        licence=PUBLISHED_BY_GOOGLE,
        paper="Chollet 2016, Xception: Deep Learning with Depthwise Separable Convolutions, arXiv 1610.02357",
        weights=_weights("xception", "b0042744bf5b25fce3cb969f33bebb97", "0a58e3b7378bc2990ea3b43d5981f1f6"),
    ),
)
