"""EfficientNet-B0: inverted residual blocks with squeeze and excitation."""

from graft.backbones.families.preprocessings import UNCHANGED
from graft.backbones.records import BackboneRecord, WeightsSource

BASE_URL = "https://storage.googleapis.com/keras-applications/"
REPEATS = (1, 2, 2, 3, 3, 4, 1)  # blocks in each of the seven stages
CHANNELS = (16, 24, 40, 80, 112, 192, 320)
LAST_CHANNELS = 1280
PLACES = [(stage, repeat) for stage, count in enumerate(REPEATS) for repeat in range(count)]


def block_name(stage: int, repeat: int) -> str:
    """The published name of a block, `block1a` to `block7a`; both numbers count from 0."""
    return f"block{stage + 1}{'abcd'[repeat]}"


def _tap(stage: int, repeat: int) -> str:
    # The first block of a stage changes the width, so it has no addition and ends with its projection.
    return f"{block_name(stage, repeat)}_{'add' if repeat else 'project_bn'}"


RECORDS = (
    BackboneRecord(
        name="efficientnet_b0",
        family="efficientnet_b0",
        title="EfficientNet-B0",
        constructor="efficientnet_b0",
        side_pixels=224,
        preprocessing=UNCHANGED,
        parameters=4_049_571,
        parameters_with_top=5_330_571,
        width=LAST_CHANNELS,
        taps=(*(_tap(stage, repeat) for stage, repeat in PLACES), "top_activation"),
        tap_widths=(*(CHANNELS[stage] for stage, _ in PLACES), LAST_CHANNELS),
        licence="Apache-2.0 (code of Keras and weights published by Google)",
        paper="Tan and Le 2019, EfficientNet, arXiv 1905.11946",
        weights=(
            WeightsSource(
                url=BASE_URL + "efficientnetb0_notop.h5",
                file="efficientnetb0_notop.h5",
                md5="50bc09e76180e00e4465e1a485ddc09d",
                licence="Apache-2.0",
            ),
            WeightsSource(
                url=BASE_URL + "efficientnetb0.h5",
                file="efficientnetb0.h5",
                md5="902e53a9f72be733fc0bcb005b3ebbac",
                licence="Apache-2.0",
            ),
        ),
    ),
)
