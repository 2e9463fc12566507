"""MobileNet: depthwise separable convolutions, in four widths (alpha)."""

from graft.backbones.families.measured import CUT_COUNTS, MULTIPLY_ADDS
from graft.backbones.families.preprocessings import SYMMETRIC
from graft.backbones.records import BackboneRecord, WeightsSource

BASE_URL = "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet/"
LICENCE = "Apache-2.0 (code of Keras and weights published by Google)"

# alpha: (parameters, parameters with top, how the published file writes alpha, top-1 accuracy: Keras states that of the
# widest only; the others are the paper's)
VARIANTS = {
    0.25: (218_544, 475_544, "2_5", 0.506),
    0.5: (829_536, 1_342_536, "5_0", 0.637),
    0.75: (1_832_976, 2_601_976, "7_5", 0.684),
    1.0: (3_228_864, 4_253_864, "1_0", 0.704),
}

# Channels at the end of each of the thirteen blocks, for alpha 1.
CHANNELS = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)


def _record(alpha: float) -> BackboneRecord:
    parameters, with_top, text, top1 = VARIANTS[alpha]
    widths = tuple(int(channels * alpha) for channels in CHANNELS)
    name = f"mobilenet_{alpha}"
    files = (f"mobilenet_{text}_224_tf_no_top.h5", f"mobilenet_{text}_224_tf.h5")
    return BackboneRecord(
        name=name,
        family="mobilenet",
        title=f"MobileNet {alpha}",
        constructor="mobilenet",
        options=(("alpha", alpha),),
        side_pixels=224,
        preprocessing=SYMMETRIC,
        parameters=parameters,
        parameters_with_top=with_top,
        width=widths[-1],
        taps=tuple(f"conv_pw_{block}_relu" for block in range(1, 14)),
        tap_widths=widths,
        imagenet_top1=top1,
        multiply_adds=MULTIPLY_ADDS.get(name),
        cut_count=CUT_COUNTS.get(name),
        licence=LICENCE,
        paper="Howard et al. 2017, MobileNets, arXiv 1704.04861",
        # The publisher states no hash for these files.
        weights=tuple(WeightsSource(url=BASE_URL + file, file=file, licence="Apache-2.0") for file in files),
    )


RECORDS = tuple(_record(alpha) for alpha in VARIANTS)
