"""VGG16 and VGG19: plain stacks of 3x3 convolutions."""

from graft.backbones.families.measured import CUT_COUNTS, MULTIPLY_ADDS
from graft.backbones.families.preprocessings import CAFFE
from graft.backbones.records import BackboneRecord, WeightsSource

BASE_URL = "https://storage.googleapis.com/tensorflow/keras-applications/"
WEIGHTS_LICENCE = "CC BY 4.0 (Visual Geometry Group, University of Oxford)"
TOP1 = 0.713  # of both
CHANNELS = (64, 128, 256, 512, 512)  # of the five blocks

# depth: (convolutions in each block, parameters, with top, MD5 of the file without top, and with)
VARIANTS = {
    16: (
        (2, 2, 3, 3, 3),
        14_714_688,
        138_357_544,
        "6d6bbae143d832006294945121d1f1fc",
        "64373286793e3c8b2b4e3219cbf3544b",
    ),
    19: (
        (2, 2, 4, 4, 4),
        20_024_384,
        143_667_240,
        "253f8cb515780f3b799900260a226db6",
        "cbe5617147190e668d6c5d5026f83318",
    ),
}


def _weights(name: str, md5_without_top: str, md5_with_top: str) -> tuple[WeightsSource, ...]:
    stem = f"{name}_weights_tf_dim_ordering_tf_kernels"
    return tuple(
        WeightsSource(url=f"{BASE_URL}{name}/{file}", file=file, md5=md5, licence=WEIGHTS_LICENCE)
        for file, md5 in ((f"{stem}_notop.h5", md5_without_top), (f"{stem}.h5", md5_with_top))
    )


def _record(depth: int) -> BackboneRecord:
    per_block, parameters, with_top, *md5 = VARIANTS[depth]
    name = f"vgg{depth}"
    convolutions = [(block, number) for block, count in enumerate(per_block, 1) for number in range(1, count + 1)]
    return BackboneRecord(
        name=name,
        family="vgg",
        title=f"VGG{depth}",
        constructor=name,
        side_pixels=224,
        preprocessing=CAFFE,
        parameters=parameters,
        parameters_with_top=with_top,
        width=CHANNELS[-1],
        taps=tuple(f"block{block}_conv{number}" for block, number in convolutions),
        tap_widths=tuple(CHANNELS[block - 1] for block, _ in convolutions),
        output=f"block{len(CHANNELS)}_pool",
        imagenet_top1=TOP1,
        multiply_adds=MULTIPLY_ADDS.get(name),
        cut_count=CUT_COUNTS.get(name),
        licence=f"Apache-2.0 (code of Keras); weights {WEIGHTS_LICENCE}",
        paper="Simonyan and Zisserman 2014, Very Deep Convolutional Networks, arXiv 1409.1556",
        weights=_weights(name, *md5),
    )


RECORDS = tuple(_record(depth) for depth in VARIANTS)
