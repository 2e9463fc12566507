"""What is computed from which pixels, and the result."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Len

from graft.backbones.records import Preprocessing
from graft.core.records import record

Precision = Literal["bfloat16", "float32"]
Pooling = Literal["avg", "max", "none"]
BATCH_IMAGES = 4  # near the best for all on two cores (bench/bench_layout.py): 8 and more leave the cache


@record
class Output:
    """One tensor to read: a layer's output, averaged over positions (a tap), its maximum there, or whole (a cut)."""

    layer: str
    pooling: Pooling = "avg"

    @property
    def name(self) -> str:
        return f"{self.layer}:{self.pooling}"


@record
class Program:
    """A backbone with weights, at one size, and the tensors to read from it: what an engine runs.

    Two programs that are equal give the same numbers on the same machine; the record's hash is part of every cache key.
    """

    SCHEMA: ClassVar[str] = "graft/program/1"
    backbone: str
    weights_sha256: str  # of the converted tensors, without the top's
    top_sha256: str = ""  # of the top's own tensors, where the network is run with its classifier; "": without
    side_pixels: Annotated[int, Ge(1)]
    preprocessing: Preprocessing
    outputs: tuple[Output, ...]
    precision: Precision = "float32"
    batch_images: Annotated[int, Ge(1)] = BATCH_IMAGES


@record
class CompiledForm:
    """What is known about a stored compiled form. It is used only while the hashes of its two files still hold."""

    SCHEMA: ClassVar[str] = "graft/compiled/1"
    key: Annotated[str, Len(64, 64)]
    graph_sha256: Annotated[str, Len(64, 64)]
    constants_sha256: Annotated[str, Len(64, 64)]
    largest_error: Annotated[float, Ge(0)]  # against the network in Keras, relative, over all outputs
    repaired: Annotated[int, Ge(0)]  # constants that held the batch size of the conversion
    openvino: str
    keras: str
    # What it was made from, for people; "" and 0 in forms that were made before this was kept.
    backbone: str = ""
    weights_sha256: str = ""
    top_sha256: str = ""
    side_pixels: int = 0


@dataclass(frozen=True)
class Activations:
    """What a program gave for a list of photos.

    `values[name]` has shape `(photo, …)`, float16 for taps; rows follow the order asked for. Arrays may be memory
    maps: read them in slices.
    """

    program_hash: str
    values: dict[str, np.ndarray]
    computed: int  # rows computed now
    reused: int  # rows found in the store
    events: tuple[str, ...] = ()  # what the store had to repair, one sentence each


@dataclass(frozen=True)
class ViewActivations:
    """What a program gave for several views of each of a list of photos.

    `values[name]` has shape `(view, photo, …)`, in types as `Activations`, or float32 where exact values were asked
    for; view 0 is the photo unchanged. Arrays may be memory maps: read them in slices.
    """

    program_hash: str
    values: dict[str, np.ndarray]
    computed: int  # rows, one a view and photo, computed now
    reused: int  # rows found in the store
    events: tuple[str, ...] = ()  # what the store had to repair, one sentence each
