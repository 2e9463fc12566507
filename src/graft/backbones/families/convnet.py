"""convnet: four convolutions and poolings, made to be trained from nothing; also with each way of normalising."""

from collections.abc import Mapping
from types import MappingProxyType

from graft.backbones.families.measured import CUT_COUNTS, MULTIPLY_ADDS
from graft.backbones.families.preprocessings import SCALED_TO_ONE
from graft.backbones.records import BackboneRecord

FAMILY = "convnet"
CHANNELS = (32, 64, 128, 128)
PARAMETERS = 240_832
LICENCE = "Apache-2.0; no weights published by Graft: train from scratch or bring a file"
PAPER = "none: the small network of introductory courses"

# norm: (in the title, where it was published, numbers that it tracks beside the two it learns, for each channel)
NORMS: Mapping[str, tuple[str, str, int]] = MappingProxyType(
    {
        "batch": (
            "batch normalisation",
            "Ioffe and Szegedy 2015, Batch Normalization, arXiv 1502.03167",
            2,
        ),
        "batch_renorm": (
            "batch renormalisation",
            "Ioffe 2017, Batch Renormalization, arXiv 1702.03275",
            5,
        ),
        "layer": (
            "layer normalisation",
            "Ba, Kiros and Hinton 2016, Layer Normalization, arXiv 1607.06450",
            0,
        ),
        "group": (
            "group normalisation",
            "Wu and He 2018, Group Normalization, arXiv 1803.08494",
            0,
        ),
        "instance": (
            "instance normalisation",
            "Ulyanov, Vedaldi and Lempitsky 2016, Instance Normalization, arXiv 1607.08022",
            0,
        ),
        "weight": (
            "weight normalisation",
            "Salimans and Kingma 2016, Weight Normalization, arXiv 1602.07868",
            0,
        ),
    }
)


def _record(norm: str) -> BackboneRecord:
    """The record with one of `NORMS`, or with "none"."""
    name = FAMILY if norm == "none" else f"{FAMILY}_{norm}"
    described, paper, tracked = NORMS.get(norm, ("", PAPER, 0))
    # The normalised ones have no biases, but two learned numbers for each channel: scale and shift.
    more = sum(CHANNELS) * (1 + tracked) if described else 0
    tap = "conv{}" if norm == "none" else "relu{}"
    return BackboneRecord(
        name=name,
        family=FAMILY,
        title=f"ConvNet with {described}" if described else "ConvNet",
        constructor=FAMILY,
        options=(("norm", norm),),
        side_pixels=150,
        min_side_pixels=46,
        preprocessing=SCALED_TO_ONE,
        parameters=PARAMETERS + more,
        top_labels="",
        width=CHANNELS[-1],
        taps=tuple(tap.format(number) for number in range(1, len(CHANNELS) + 1)),
        tap_widths=CHANNELS,
        output="pool4",
        multiply_adds=MULTIPLY_ADDS.get(name),
        cut_count=CUT_COUNTS.get(name),
        licence=LICENCE,
        paper=paper,
    )


RECORDS = tuple(_record(norm) for norm in ("none", *NORMS))
