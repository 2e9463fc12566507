"""SE-ResNet-50: ResNet-50 whose blocks weigh their channels (squeeze and excitation)."""

from graft.backbones.families.measured import CUT_COUNTS, MULTIPLY_ADDS
from graft.backbones.families.preprocessings import STANDARDISED
from graft.backbones.families.publishing import published
from graft.backbones.records import BackboneRecord

NAME = "se_resnet50"
BLOCKS = (3, 4, 6, 3)  # of the stages conv2 to conv5
CHANNELS = (256, 512, 1024, 2048)
REVISION = "4cb9eed48ee840f525bb27706323a2181934b16f"  # of the repository of the weights
WEIGHTS_LICENCE = "Apache-2.0 (timm, seresnet50.a2_in1k)"

# Name and channels of each block, from the input up.
_PLACES = tuple(
    (f"conv{stage + 2}_block{block + 1}", CHANNELS[stage])
    for stage, count in enumerate(BLOCKS)
    for block in range(count)
)

RECORDS = (
    BackboneRecord(
        name=NAME,
        family=NAME,
        title="SE-ResNet-50",
        constructor=NAME,
        side_pixels=224,
        preprocessing=STANDARDISED,
        parameters=26_092_144,
        parameters_with_top=28_141_144,
        width=CHANNELS[-1],
        taps=tuple(f"{name}_out" for name, _ in _PLACES),
        tap_widths=tuple(channels for _, channels in _PLACES),
        multiply_adds=MULTIPLY_ADDS.get(NAME),
        cut_count=CUT_COUNTS.get(NAME),
        licence=f"Apache-2.0 (code of Graft); weights {WEIGHTS_LICENCE}",
        paper="Hu et al. 2017, Squeeze-and-Excitation Networks, arXiv 1709.01507",
        weights=published(
            f"https://huggingface.co/timm/seresnet50.a2_in1k/resolve/{REVISION}/",
            WEIGHTS_LICENCE,
            [("model.safetensors", "")],
        ),
    ),
)
