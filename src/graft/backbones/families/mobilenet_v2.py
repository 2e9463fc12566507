"""MobileNetV2: inverted residual blocks with linear bottlenecks, in six widths (alpha)."""

from graft.backbones.families.measured import CUT_COUNTS, MULTIPLY_ADDS
from graft.backbones.families.preprocessings import SYMMETRIC
from graft.backbones.records import BackboneRecord, WeightsSource

BASE_URL = "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/"
LICENCE = "Apache-2.0 (code of Keras and weights published by Google)"

# alpha: (parameters, parameters with top, top-1 accuracy: Keras states that of width 1 on its own validation, the
# others come with the checkpoints that its files were made from)
VARIANTS = {
    0.35: (410_208, 1_691_208, 0.603),
    0.5: (706_224, 1_987_224, 0.654),
    0.75: (1_382_064, 2_663_064, 0.698),
    1.0: (2_257_984, 3_538_984, 0.713),
    1.3: (3_766_048, 5_431_048, 0.744),
    1.4: (4_363_712, 6_156_712, 0.750),
}

# Channels at the end of blocks 0..16, for alpha 1, and of the last convolution.
CHANNELS = (16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320)
LAST_CHANNELS = 1280
# A stage's first block changes the width or the resolution, so it has no addition: it ends with its projection.
STAGE_STARTS = (1, 3, 6, 10, 13, 16)


def rounded_channels(channels: float) -> int:
    """The multiple of eight next to `channels`, never more than a tenth below it."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


def _tap(block: int) -> str:
    if block == 0:
        return "expanded_conv_project_BN"
    return f"block_{block}_project_BN" if block in STAGE_STARTS else f"block_{block}_add"


def _record(alpha: float) -> BackboneRecord:
    parameters, with_top, top1 = VARIANTS[alpha]
    last = rounded_channels(LAST_CHANNELS * alpha) if alpha > 1 else LAST_CHANNELS
    name = f"mobilenet_v2_{alpha}"
    stem = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{alpha}_224"
    files = (f"{stem}_no_top.h5", f"{stem}.h5")
    return BackboneRecord(
        name=name,
        family="mobilenet_v2",
        title=f"MobileNetV2 {alpha}",
        constructor="mobilenet_v2",
        options=(("alpha", alpha),),
        side_pixels=224,
        preprocessing=SYMMETRIC,
        parameters=parameters,
        parameters_with_top=with_top,
        width=last,
        taps=(*(_tap(block) for block in range(17)), "out_relu"),
        tap_widths=(*(rounded_channels(int(channels * alpha)) for channels in CHANNELS), last),
        imagenet_top1=top1,
        multiply_adds=MULTIPLY_ADDS.get(name),
        cut_count=CUT_COUNTS.get(name),
        licence=LICENCE,
        paper="Sandler et al. 2018, MobileNetV2, arXiv 1801.04381",
        # The publisher states no hash for these files.
        weights=tuple(WeightsSource(url=BASE_URL + file, file=file, licence="Apache-2.0") for file in files),
    )


RECORDS = tuple(_record(alpha) for alpha in VARIANTS)
