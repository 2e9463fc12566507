"""DenseNet 121, 169 and 201: every layer of a block reads all layers before it."""

from graft.backbones.families.measured import CUT_COUNTS, MULTIPLY_ADDS
from graft.backbones.families.preprocessings import STANDARDISED
from graft.backbones.families.publishing import KERAS_CODE, KERAS_URL, published, spaced
from graft.backbones.records import BackboneRecord

WEIGHTS_LICENCE = "BSD-3-Clause (derived from the authors' published Torch weights)"
GROWTH = 32  # channels that each layer adds
STEM_CHANNELS = 64

# depth: (layers of the four blocks, parameters, with top, top-1 accuracy, MD5 of the file without top, and with)
VARIANTS = {
    121: (
        (6, 12, 24, 16),
        7_037_504,
        8_062_504,
        0.750,
        "30ee3e1110167f948a6b9946edeeb738",
        "9d60b8095a5708f2dcce2bca79d332c7",
    ),
    169: (
        (6, 12, 32, 32),
        12_642_880,
        14_307_880,
        0.762,
        "b8c4d4c20dd625c148057b9ff1c1176b",
        "d699b8f76981ab1b30698df4c175e90b",
    ),
    201: (
        (6, 12, 48, 32),
        18_321_984,
        20_242_984,
        0.773,
        "c13680b51ded0fb44dff2d8f86ac8bb1",
        "1ceb130c1ea1b78c3bf6114dbdfd8807",
    ),
}


def _taps(layers: tuple[int, ...]) -> list[tuple[str, int]]:
    """Name and width of each tap: some sums on the way, and each block's end after normalisation and activation."""
    tapped = []
    channels = STEM_CHANNELS
    for stage, count in enumerate(layers):
        for _, layer in (place for place in spaced(layers) if place[0] == stage and place[1] < count - 1):
            tapped.append((f"conv{stage + 2}_block{layer + 1}_concat", channels + GROWTH * (layer + 1)))
        channels += GROWTH * count
        last = stage == len(layers) - 1
        tapped.append(("relu" if last else f"pool{stage + 2}_relu", channels))
        channels //= 2
    return tapped


def _record(depth: int) -> BackboneRecord:
    layers, parameters, with_top, top1, *md5 = VARIANTS[depth]
    name = f"densenet{depth}"
    stem = f"{name}_weights_tf_dim_ordering_tf_kernels"
    tapped = _taps(layers)
    return BackboneRecord(
        name=name,
        family="densenet",
        title=f"DenseNet-{depth}",
        constructor=name,
        side_pixels=224,
        preprocessing=STANDARDISED,
        parameters=parameters,
        parameters_with_top=with_top,
        width=tapped[-1][1],
        taps=tuple(layer for layer, _ in tapped),
        tap_widths=tuple(width for _, width in tapped),
        imagenet_top1=top1,
        multiply_adds=MULTIPLY_ADDS.get(name),
        cut_count=CUT_COUNTS.get(name),
        licence=f"{KERAS_CODE}; weights {WEIGHTS_LICENCE}",
        paper="Huang et al. 2016, Densely Connected Convolutional Networks, arXiv 1608.06993",
        weights=published(
            KERAS_URL + "densenet/", WEIGHTS_LICENCE, zip((f"{stem}_notop.h5", f"{stem}.h5"), md5, strict=True)
        ),
    )


RECORDS = tuple(_record(depth) for depth in VARIANTS)
