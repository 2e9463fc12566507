"""What an export is, and what was seen when it was compared with the classifier that it was made from."""

from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Interval, Len

from graft.backbones.records import Geometry
from graft.bundle.records import Provenance
from graft.core.records import record

Format = Literal["onnx", "openvino", "keras", "h5", "saved-model", "litert", "folder"]
Numbers = Literal["float32", "float16", "int8"]
Form = Literal["float32", "float16", "int8", "int8-weights"]  # the last: it computes in float32, weights are in int8
Share = Annotated[float, Interval(ge=0, le=1)]


@record
class Parity:
    """An export beside the bundle, both on the same pixels; of the bundle's answers those computed in float32."""

    n_golden: Annotated[int, Ge(1)]
    golden_difference: Annotated[float, Ge(0)]  # largest, of a probability, on the golden examples
    golden_logit_difference: Annotated[float, Ge(0)]  # largest, of a centred logarithm of one
    n_photos: Annotated[int, Ge(0)]  # photos that were compared; 0: there were none
    agreement: Share | None = None  # of the photos: the same first class
    largest_difference: Annotated[float, Ge(0)] | None = None  # of a probability, on the photos
    accuracy: Share | None = None  # the bundle's on the photos, where their labels are known
    exported_accuracy: Share | None = None


@record
class InputSpec:
    """What an exported network is given. Everything after it, scaling and channel order too, is inside the network."""

    name: str = "pixels"
    dtype: Literal["uint8"] = "uint8"
    side_pixels: Annotated[int, Ge(1)]  # shape (photo, side, side, 3)
    channels: Literal["rgb"] = "rgb"
    geometry: Geometry
    resize: str = "antialiased bilinear"
    decoding: str = "EXIF orientation applied, transparency over white, colour profiles to sRGB"
    sixteen_bit_white: Annotated[int, Ge(1)]
    max_pixels: Annotated[int, Ge(1)]  # width times height, as stored; a photo beyond is refused
    min_side_pixels: Annotated[int, Ge(1)]


@record
class Export:
    """The description beside an exported network: what it is, what it reads, how good it is, under which terms."""

    SCHEMA: ClassVar[str] = "graft/export/1"
    graft_version: str
    format: Format
    numbers: Numbers
    form: Form  # what these numbers are used for
    file: str  # the network, relative to this description
    sha256: Annotated[str, Len(64, 64)]  # of that file, or of its files' names and hashes
    bundle_sha256: Annotated[str, Len(64, 64)]
    input: InputSpec
    input_sha256: Annotated[str, Len(64, 64)]  # of the record `input`: equal where photos are treated equally
    output: str = "probabilities"  # (photo, class) float32, calibrated
    classes: tuple[str, ...]
    threshold: Share | None = None  # from this probability on an answer is sure; None where nobody knows
    parity: Parity
    provenance: Provenance
    licences: tuple[tuple[str, str], ...]
