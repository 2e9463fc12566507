"""LeNet-5: the network that read the digits of cheques; its input is grey."""

from graft.backbones.families.measured import CUT_COUNTS, MULTIPLY_ADDS
from graft.backbones.families.preprocessings import GREY
from graft.backbones.records import BackboneRecord

NAME = "lenet5"

RECORDS = (
    BackboneRecord(
        name=NAME,
        family=NAME,
        title="LeNet-5",
        constructor=NAME,
        side_pixels=32,
        preprocessing=GREY,
        parameters=50_692,
        parameters_with_top=61_706,
        top_labels="",
        top_classes=10,
        width=120,
        taps=("c1", "c3", "c5"),
        tap_widths=(6, 16, 120),
        multiply_adds=MULTIPLY_ADDS.get(NAME),
        cut_count=CUT_COUNTS.get(NAME),
        licence="Apache-2.0; no weights published by Graft: train from scratch or bring a file",
        paper="LeCun, Bottou, Bengio and Haffner 1998, Gradient-Based Learning Applied to Document Recognition",
    ),
)
