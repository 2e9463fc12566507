"""ResNet-50: bottleneck blocks with identity connections."""

from graft.backbones.families.preprocessings import CAFFE
from graft.backbones.records import BackboneRecord, WeightsSource

BASE_URL = "https://storage.googleapis.com/tensorflow/keras-applications/resnet/"
WEIGHTS_LICENCE = "MIT (derived from the authors' published Caffe weights)"
BLOCKS = (3, 4, 6, 3)  # of the stages conv2 to conv5
CHANNELS = (256, 512, 1024, 2048)
PLACES = [(stage, block) for stage, count in enumerate(BLOCKS) for block in range(1, count + 1)]
STEM = "resnet50_weights_tf_dim_ordering_tf_kernels"

RECORDS = (
    BackboneRecord(
        name="resnet50",
        family="resnet50",
        title="ResNet-50",
        constructor="resnet50",
        side_pixels=224,
        preprocessing=CAFFE,
        parameters=23_587_712,
        parameters_with_top=25_636_712,
        width=CHANNELS[-1],
        taps=tuple(f"conv{stage + 2}_block{block}_out" for stage, block in PLACES),
        tap_widths=tuple(CHANNELS[stage] for stage, _ in PLACES),
        licence=f"Apache-2.0 (code of Keras); weights {WEIGHTS_LICENCE}",
        paper="He et al. 2015, Deep Residual Learning for Image Recognition, arXiv 1512.03385",
        weights=(
            WeightsSource(
                url=f"{BASE_URL}{STEM}_notop.h5",
                file=f"{STEM}_notop.h5",
                md5="4d473c1dd8becc155b73f8504c6f6626",
                licence=WEIGHTS_LICENCE,
            ),
            WeightsSource(
                url=f"{BASE_URL}{STEM}.h5",
                file=f"{STEM}.h5",
                md5="2cb95161c43110f7111970584f804107",
                licence=WEIGHTS_LICENCE,
            ),
        ),
    ),
)
