"""What a user may choose for a training: the one record behind the command line, Python and plan files."""

from typing import Annotated, Literal

from annotated_types import Ge, Interval

from graft.core.records import record


@record
class TrainOptions:
    """Choices as they were typed; `planning` resolves them against data and machine into a `Plan`."""

    data: str  # a folder of class folders, with or without split folders, or a CSV table
    output: str | None = None  # the run's folder; None: named after the data, with the next free number
    recipe: Literal["auto", "probe"] = "auto"
    backbone: str = "auto"
    weights: str | None = None
    image_size: Annotated[int, Interval(ge=8, le=2048)] | None = None  # pixels of a side; None: the backbone's own
    seed: Annotated[int, Ge(0)] = 0
    split: str = "70/15/15"
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    engine: Literal["openvino", "keras"] = "openvino"
    on_bad: Literal["quarantine", "fail"] = "quarantine"
    binary_head: Literal["sigmoid", "softmax"] = "sigmoid"  # for two classes: one unit or two, the same probabilities
    split_from: str | None = None  # an earlier run whose photos keep their splits
    config: str | None = None  # a plan.json to follow
    command: str = ""  # what was typed, for the report
