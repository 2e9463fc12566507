"""AlexNet in one tower: the network that began the field's turn to deep convolutions, as it is published for Torch."""

from graft.backbones.families.measured import CUT_COUNTS, MULTIPLY_ADDS
from graft.backbones.families.preprocessings import STANDARDISED
from graft.backbones.records import BackboneRecord

NAME = "alexnet"

RECORDS = (
    BackboneRecord(
        name=NAME,
        family=NAME,
        title="AlexNet",
        constructor=NAME,
        side_pixels=224,
        min_side_pixels=63,
        preprocessing=STANDARDISED,
        parameters=2_469_696,
        parameters_with_top=61_100_840,
        width=256,
        taps=("conv1", "conv2", "conv3", "conv4", "conv5"),
        tap_widths=(64, 192, 384, 256, 256),
        output="pool5",
        multiply_adds=MULTIPLY_ADDS.get(NAME),
        cut_count=CUT_COUNTS.get(NAME),
        licence="Apache-2.0; no weights published by Graft: train from scratch or bring a file",
        paper="Krizhevsky 2014, One weird trick for parallelizing convolutional neural networks, arXiv 1404.5997",
    ),
)
