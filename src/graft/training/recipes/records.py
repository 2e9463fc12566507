"""A reference recipe as data: a system that lectures and tutorials teach, exactly, with what came of it."""

from typing import Annotated, ClassVar, Final, Literal

from annotated_types import Ge, Interval, Len

from graft.core.records import record
from graft.data.augmentation.records import Augmentation
from graft.training.heads.records import Head
from graft.training.tuning.records import Phase

Share = Annotated[float, Interval(ge=0, le=1)]
PreprocessingName = Literal["backbone", "none", "rescale_255"]
Count = Annotated[int, Ge(1)]
OWN_RECIPES: Final = ("auto", "probe", "finetune")  # ways to train that refer to no published system


@record
class Published:
    """A result as its authors give it; `low` and `high` are equal where they give one number."""

    split: Literal["validation", "test"]
    low: Share
    high: Share
    when: str = ""  # after how many epochs, in which variant
    of_this: bool = True  # False: of a longer or another training than the recipe's


@record
class Measured:
    """A result that Graft reached, with the command to reach it again; test accuracy with its 95 % interval."""

    backbone: str
    data: str
    side_pixels: int
    epochs: str  # of each phase: "30 + 10"
    validation: Share | None
    test: Share | None
    interval: tuple[Share, Share] | None
    seconds: float
    cores: Count  # of the processor
    command: str
    auto_backbone: str | None  # of `graft train --recipe auto` on the same data; from scratch there is none to share
    auto_test: Share | None
    auto_seconds: float | None


@record
class Recipe:
    """One reference system: network, head, preprocessing, augmentation and phases, and the figures that fix it."""

    SCHEMA: ClassVar[str] = "graft/recipe/1"
    name: str  # "features-vgg16", or with a variant "santa-vgg19@intended"
    title: str
    summary: str  # one sentence: what it is
    lesson: str  # one sentence: what it teaches
    data: str  # of `graft data fetch`
    split: str  # what `--split` is told, or "as given" where the data come in split folders
    photos: tuple[Count, Count, Count]  # training, validation and test photos, as published
    classes: Annotated[int, Ge(2)]  # of the data
    backbone: str
    weights: Literal["imagenet", "random"] = "imagenet"
    side_pixels: Annotated[int, Ge(8)]
    preprocessing: PreprocessingName = "backbone"  # of `backbone`; another has its own
    head: Head
    phases: Annotated[tuple[Phase, ...], Len(1)]
    batch_images: Annotated[int, Ge(1)]
    augmentation: Augmentation = Augmentation()
    augments: Literal["train", "all"] = "train"  # all: validation and test photos too, as published
    parameters: int  # of the whole network
    trainable_parameters: tuple[int, ...]  # in each phase
    published: tuple[Published, ...]
    measured: tuple[Measured, ...] = ()  # empty: not reproduced
    ours: tuple[str, ...] = ()  # what the source leaves open and Graft decided, or where it departs, one sentence each


@record
class Way:
    """One of the ways to reuse a pretrained network, as a command."""

    SCHEMA: ClassVar[str] = "graft/way/1"
    name: str
    title: str
    summary: str
    lesson: str
    command: str
    words: tuple[str, ...]  # the command's name, and what must stand at its end
    published: str = ""  # the lecture's example, where there is one
    recipe: str = ""  # the reference recipe that shows it; "": none is needed
