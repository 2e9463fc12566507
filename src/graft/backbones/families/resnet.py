"""ResNet 50, 101 and 152, and their second version: bottleneck blocks with identity connections."""

from dataclasses import dataclass

from graft.backbones.families.measured import CUT_COUNTS, MULTIPLY_ADDS
from graft.backbones.families.preprocessings import CAFFE, SYMMETRIC
from graft.backbones.families.publishing import KERAS_CODE, KERAS_LICENCE, KERAS_URL, published, spaced
from graft.backbones.records import BackboneRecord

AUTHORS_LICENCE = "MIT (derived from the authors' published Caffe weights)"
BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}  # of the stages conv2 to conv5
CHANNELS = (256, 512, 1024, 2048)


@dataclass(frozen=True)
class Variant:
    """One of the six, and what is published of it."""

    depth: int
    version: int
    parameters: int
    parameters_with_top: int
    imagenet_top1: float
    md5: tuple[str, str]  # of the files without top, and with


VARIANTS = (
    Variant(
        50, 1, 23_587_712, 25_636_712, 0.749,
        ("4d473c1dd8becc155b73f8504c6f6626", "2cb95161c43110f7111970584f804107"),
    ),
    Variant(
        101, 1, 42_658_176, 44_707_176, 0.764,
        ("88cf7a10940856eca736dc7b7e228a21", "f1aeb4b969a6efcfb50fad2f0c20cfc5"),
    ),
    Variant(
        152, 1, 58_370_944, 60_419_944, 0.766,
        ("ee4c566cf9a93f14d82f913c2dc6dd0c", "100835be76be38e30d865e96f2aaae62"),
    ),
    Variant(
        50, 2, 23_564_800, 25_613_800, 0.760,
        ("fac2f116257151a9d068a22e544a4917", "3ef43a0b657b3be2300d5770ece849e0"),
    ),
    Variant(
        101, 2, 42_626_560, 44_675_560, 0.772,
        ("c0ed64b8031c3730f411d2eb4eea35b5", "6343647c601c52e1368623803854d971"),
    ),
    Variant(
        152, 2, 58_331_648, 60_380_648, 0.780,
        ("ed17cf2e0169df9d443503ef94b23b33", "a49b44d1979771252814e80f8ec446f9"),
    ),
)  # fmt: skip


def _record(variant: Variant) -> BackboneRecord:
    second = variant.version == 2
    suffix, capital = ("_v2", "V2") if second else ("", "")
    name = f"resnet{variant.depth}{suffix}"
    stem = f"resnet{variant.depth}{suffix.replace('_', '')}_weights_tf_dim_ordering_tf_kernels"
    tapped = spaced(BLOCKS[variant.depth])
    taps = [f"conv{stage + 2}_block{block + 1}_out" for stage, block in tapped]
    widths = [CHANNELS[stage] for stage, _ in tapped]
    licence = KERAS_LICENCE if second else AUTHORS_LICENCE
    return BackboneRecord(
        name=name,
        family=f"resnet{suffix}",
        title=f"ResNet-{variant.depth}{capital}",
        constructor=name,
        side_pixels=224,
        preprocessing=SYMMETRIC if second else CAFFE,
        parameters=variant.parameters,
        parameters_with_top=variant.parameters_with_top,
        width=CHANNELS[-1],
        # The second version's blocks end with their sum: its normalisation and activation come last of all.
        taps=(*taps, "post_relu") if second else tuple(taps),
        tap_widths=(*widths, CHANNELS[-1]) if second else tuple(widths),
        imagenet_top1=variant.imagenet_top1,
        multiply_adds=MULTIPLY_ADDS.get(name),
        cut_count=CUT_COUNTS.get(name),
        licence=f"{KERAS_CODE}; weights {licence}",
        paper="He et al. 2016, Identity Mappings in Deep Residual Networks, arXiv 1603.05027"
        if second
        else "He et al. 2015, Deep Residual Learning for Image Recognition, arXiv 1512.03385",
        weights=published(
            KERAS_URL + "resnet/", licence, zip((f"{stem}_notop.h5", f"{stem}.h5"), variant.md5, strict=True)
        ),
    )


RECORDS = tuple(_record(variant) for variant in VARIANTS)
