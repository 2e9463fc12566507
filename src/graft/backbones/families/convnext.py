"""ConvNeXt: a plain convolutional network with the habits of transformers; pixels are scaled inside the network."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from graft.backbones.families.measured import CUT_COUNTS, MULTIPLY_ADDS
from graft.backbones.families.preprocessings import UNCHANGED
from graft.backbones.families.publishing import KERAS_CODE, KERAS_URL, published, spaced
from graft.backbones.records import BackboneRecord

WEIGHTS_LICENCE = "MIT (derived from the weights published by Meta)"


@dataclass(frozen=True)
class Variant:
    """One of the five, and what is published of it."""

    depths: tuple[int, int, int, int]  # blocks of the four stages
    channels: tuple[int, int, int, int]
    parameters: int
    parameters_with_top: int
    imagenet_top1: float
    sha256: tuple[str, str]  # of the files without top, and with


VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        "convnext_tiny": Variant(
            (3, 3, 9, 3), (96, 192, 384, 768), 27_820_128, 28_589_128, 0.813,
            (
                "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
                "8ae6e78ce2933352b1ef4008e6dd2f17bc40771563877d156bc6426c7cf503ff",
            ),
        ),
        "convnext_small": Variant(
            (3, 3, 27, 3), (96, 192, 384, 768), 49_454_688, 50_223_688, 0.823,
            (
                "6fc8009faa2f00c1c1dfce59feea9b0745eb260a7dd11bee65c8e20843da6eab",
                "ce1277d8f1ee5a0ef0e171469089c18f5233860ceaf9b168049cb9263fd7483c",
            ),
        ),
        "convnext_base": Variant(
            (3, 3, 27, 3), (128, 256, 512, 1024), 87_566_464, 88_591_464, 0.853,
            (
                "40a20c5548a5e9202f69735ecc06c990e6b7c9d2de39f0361e27baeb24cb7c45",
                "52cbb006d3dadd03f6e095a8ca1aca47aecdd75acb4bc74bce1f5c695d0086e6",
            ),
        ),
        "convnext_large": Variant(
            (3, 3, 27, 3), (192, 384, 768, 1536), 196_230_336, 197_767_336, 0.863,
            (
                "96f02b6f0753d4f543261bc9d09bed650f24dd6bc02ddde3066135b63d23a1cd",
                "070c5ed9ed289581e477741d3b34beffa920db8cf590899d6d2c67fba2a198a6",
            ),
        ),
        "convnext_xlarge": Variant(
            (3, 3, 27, 3), (256, 512, 1024, 2048), 348_147_968, 350_196_968, 0.867,
            (
                "de3f8a54174130e0cecdc71583354753d557fcf1f4487331558e2a16ba0cfe05",
                "c1f5ccab661354fc3a79a10fa99af82f0fbf10ec65cb894a3ae0815f17a889ee",
            ),
        ),
    }
)  # fmt: skip


def block_name(name: str, stage: int, block: int) -> str:
    """The published name of a block, without its layers' suffixes; both numbers count from 0."""
    return f"{name}_stage_{stage}_block_{block}"


def last_normalisation(name: str) -> str:
    """The layer that normalises the last feature map, or with the top its mean."""
    return f"{name}_head_layernorm"


def _record(name: str, variant: Variant) -> BackboneRecord:
    tapped = spaced(variant.depths)
    return BackboneRecord(
        name=name,
        family="convnext",
        title=f"ConvNeXt-{name.rpartition('_')[2].capitalize().replace('Xl', 'XL')}",
        constructor=name,
        side_pixels=224,
        preprocessing=UNCHANGED,
        parameters=variant.parameters,
        parameters_with_top=variant.parameters_with_top,
        top_output=f"{name}_head_dense",
        width=variant.channels[-1],
        taps=(*(f"{block_name(name, stage, block)}_add" for stage, block in tapped), last_normalisation(name)),
        tap_widths=(*(variant.channels[stage] for stage, _ in tapped), variant.channels[-1]),
        imagenet_top1=variant.imagenet_top1,
        multiply_adds=MULTIPLY_ADDS.get(name),
        cut_count=CUT_COUNTS.get(name),
        licence=f"{KERAS_CODE}; weights {WEIGHTS_LICENCE}",
        paper="Liu et al. 2022, A ConvNet for the 2020s, arXiv 2201.03545",
        weights=published(
            KERAS_URL + "convnext/",
            WEIGHTS_LICENCE,
            zip((f"{name}_notop.h5", f"{name}.h5"), variant.sha256, strict=True),
        ),
    )


RECORDS = tuple(_record(name, variant) for name, variant in VARIANTS.items())
