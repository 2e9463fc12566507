"""GoogLeNet, which is Inception v1: modules of four branches side by side, as torchvision builds it."""

from dataclasses import dataclass

from graft.backbones.families.measured import CUT_COUNTS, MULTIPLY_ADDS
from graft.backbones.families.preprocessings import SYMMETRIC
from graft.backbones.families.publishing import published
from graft.backbones.records import BackboneRecord

NAME = "googlenet"
WEIGHTS_LICENCE = "none stated (torchvision, BSD-3-Clause, took them over from TensorFlow's models)"


@dataclass(frozen=True)
class Module:
    """One module: what its branches have to say, side by side."""

    name: str
    pointwise: int  # channels of the first branch
    squeezed: tuple[int, int]  # of the second and third before their 3x3 convolutions
    filtered: tuple[int, int]  # and after
    pooled: int  # of the fourth

    @property
    def channels(self) -> int:
        """Of the module's output."""
        return self.pointwise + sum(self.filtered) + self.pooled


# From the input up; a pooling comes before the first of each number.
MODULES = (
    Module("inception3a", 64, (96, 16), (128, 32), 32),
    Module("inception3b", 128, (128, 32), (192, 96), 64),
    Module("inception4a", 192, (96, 16), (208, 48), 64),
    Module("inception4b", 160, (112, 24), (224, 64), 64),
    Module("inception4c", 128, (128, 24), (256, 64), 64),
    Module("inception4d", 112, (144, 32), (288, 64), 64),
    Module("inception4e", 256, (160, 32), (320, 128), 128),
    Module("inception5a", 256, (160, 32), (320, 128), 128),
    Module("inception5b", 384, (192, 48), (384, 128), 128),
)
AUXILIARY = ("inception4a", "inception4d")  # a classifier of its own read each of these while the network was trained
STEM = (("conv1", 64), ("conv2", 64), ("conv3", 192))  # the convolutions below the modules


def _auxiliary_parameters(channels: int) -> int:
    """Of a classifier on a map of that many: 128 pointwise, normalised, pooled to 4x4, 1,024 units, 1,000 classes."""
    convolution = channels * 128 + 4 * 128
    return convolution + (4 * 4 * 128 + 1) * 1024 + (1024 + 1) * 1000


RECORDS = (
    BackboneRecord(
        name=NAME,
        family=NAME,
        title="GoogLeNet",
        constructor=NAME,
        side_pixels=224,
        # torchvision's weights come from TensorFlow and want pixels from -1 to 1: torchvision turns its own usual
        # standardisation into that in the network (transform_input).
        preprocessing=SYMMETRIC,
        parameters=5_614_464,
        parameters_with_top=6_639_464,
        width=MODULES[-1].channels,
        taps=("conv1_relu", "conv3_relu", *(module.name for module in MODULES)),
        tap_widths=(STEM[0][1], STEM[-1][1], *(module.channels for module in MODULES)),
        imagenet_top1=0.698,
        multiply_adds=MULTIPLY_ADDS.get(NAME),
        cut_count=CUT_COUNTS.get(NAME),
        licence=f"Apache-2.0 (code of Graft); weights {WEIGHTS_LICENCE}",
        paper="Szegedy et al. 2014, Going Deeper with Convolutions, arXiv 1409.4842",
        weights=published(
            "https://download.pytorch.org/models/",
            WEIGHTS_LICENCE,
            [("googlenet-1378be20.pth", "1378be20")],  # the digits in its name
            more_parameters=sum(_auxiliary_parameters(each.channels) for each in MODULES if each.name in AUXILIARY),
        ),
    ),
)
