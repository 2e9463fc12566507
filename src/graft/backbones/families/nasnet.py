"""NASNet-A, mobile and large: cells found by search, each of which reads the two cells before it."""

from dataclasses import dataclass

from graft.backbones.families.measured import CUT_COUNTS, MULTIPLY_ADDS
from graft.backbones.families.preprocessings import SYMMETRIC
from graft.backbones.families.publishing import KERAS_LICENCE, KERAS_URL, PUBLISHED_BY_GOOGLE, published
from graft.backbones.records import BackboneRecord


@dataclass(frozen=True)
class Variant:
    """One of the two, and what is published of it."""

    name: str
    cells: int  # normal cells in each of the three stages
    filters: int  # of a cell's branches in the first stage
    side_pixels: int
    parameters: int
    parameters_with_top: int
    imagenet_top1: float
    md5: tuple[str, str]  # of the files without top, and with


VARIANTS = (
    Variant(
        "mobile", 4, 44, 224, 4_269_716, 5_326_716, 0.744,
        ("1ed92395b5b598bdda52abe5c0dbfd63", "020fb642bf7360b370c678b08e0adf61"),
    ),
    Variant(
        "large", 6, 168, 331, 84_916_818, 88_949_818, 0.825,
        ("d81d89dc07e6e56530c4e77faddd61b5", "11577c9a518f0070763c2b964a382f17"),
    ),
)  # fmt: skip


def _taps(variant: Variant) -> list[tuple[str, int]]:
    """Name and width of each tap: the ends of the cells, six branches side by side (four where a cell halves)."""
    tapped = [("reduction_concat_stem_1", variant.filters), ("reduction_concat_stem_2", 2 * variant.filters)]
    for stage in range(3):
        filters = variant.filters << stage
        first = stage * variant.cells + bool(stage)  # the reducing cells before it take one number in all
        if stage:
            tapped.append((f"reduction_concat_reduce_{stage * variant.cells}", 4 * filters))
        tapped += [(f"normal_concat_{first + cell}", 6 * filters) for cell in range(variant.cells)]
    return [*tapped, ("out_relu", 24 * variant.filters)]


def _record(variant: Variant) -> BackboneRecord:
    tapped = _taps(variant)
    name = f"nasnet_{variant.name}"
    files = (f"NASNet-{variant.name}-no-top.h5", f"NASNet-{variant.name}.h5")
    return BackboneRecord(
        name=name,
        family="nasnet",
        title=f"NASNet-{variant.name.capitalize()}",
        constructor=name,
        side_pixels=variant.side_pixels,
        preprocessing=SYMMETRIC,
        parameters=variant.parameters,
        parameters_with_top=variant.parameters_with_top,
        width=tapped[-1][1],
        taps=tuple(layer for layer, _ in tapped),
        tap_widths=tuple(width for _, width in tapped),
        imagenet_top1=variant.imagenet_top1,
        multiply_adds=MULTIPLY_ADDS.get(name),
        cut_tensors=2,
        cut_count=CUT_COUNTS.get(name),
        licence=PUBLISHED_BY_GOOGLE,
        paper="Zoph et al. 2017, Learning Transferable Architectures for Scalable Image Recognition, arXiv 1707.07012",
        weights=published(KERAS_URL + "nasnet/", KERAS_LICENCE, zip(files, variant.md5, strict=True)),
    )


RECORDS = tuple(_record(variant) for variant in VARIANTS)
