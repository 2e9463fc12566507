"""An image classifier that keeps scikit-learn's conventions: photos as paths or arrays in, classes out."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from graft.backbones.weights import WeightsFile
from graft.core import machine
from graft.core.errors import BadInput, ImageRefused
from graft.core.hashing import sha256_bytes
from graft.core.progress import SilentProgress
from graft.core.records import construct
from graft.core.version import __version__
from graft.data.images import check, read_bytes, resize
from graft.data.records import ImageRules, Photo
from graft.data.splits import assign
from graft.features.engines import open_engine, run_pixels
from graft.features.extraction import extract
from graft.features.records import Program
from graft.pipeline.choosing import choose_backbone, side_pixels
from graft.pipeline.options import TrainOptions
from graft.pipeline.planning import precision, program_of
from graft.pipeline.workspace import feature_store, scratch_folder, working
from graft.training.linear import classify
from graft.training.probe import Rows, train_probe
from graft.training.records import Plan
from graft.training.taps import TapTable

VALIDATION_SHARE = 0.15


@dataclass(frozen=True)
class _Network:
    """The backbone of a fitted classifier. Only names and paths, so that it can be copied to other processes."""

    weights: WeightsFile
    program: Program
    rules: ImageRules


class ImageClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Classify photos by a linear head on a pretrained backbone's multi-depth features.

    Input: n paths (str or Path) in anything that can be iterated, or `(n, height, width, 3)` uint8 RGB in [0, 255].

    Parameters:
        backbone: a name of the catalogue; "auto" takes the most promising one whose weights are on this machine.
        weights: the backbone's weights as a file; None for what is built in or was imported before.
        image_size: side in pixels that photos are brought to; None for the backbone's own.
        precision: "auto", "bfloat16" or "float32".
        seed: for the validation photos on which the strength is chosen, and for folds.
        max_megapixels, max_megabytes, min_side: a file beyond is refused; None for 50, 25 and 8 pixels.
        white: the sample of 16-bit files that is white; None for 65535; 4095 for data of 12 bits.

    Learned: `classes_`, `classifier_` (a `Classifier`), `summary_` (a `ProbeSummary`).
    """

    def __init__(
        self,
        backbone: str = "auto",
        weights: str | Path | None = None,
        image_size: int | None = None,
        precision: Literal["auto", "bfloat16", "float32"] = "auto",
        seed: int = 0,
        max_megapixels: float | None = None,
        max_megabytes: float | None = None,
        min_side: int | None = None,
        white: int | None = None,
    ) -> None:
        self.backbone = backbone
        self.weights = weights
        self.image_size = image_size
        self.precision = precision
        self.seed = seed
        self.max_megapixels = max_megapixels
        self.max_megabytes = max_megabytes
        self.min_side = min_side
        self.white = white

    def fit(self, X: Any, y: Any) -> Self:  # scikit-learn's names
        """Fit on photos and one class for each; raises `BadInput` for what cannot be used, naming the photo."""
        options = self._options()
        photos = _as_photos(X, options.rules())
        classes, labels = _labels(y)
        if len(photos) != len(labels):
            raise BadInput(f"X and y must have the same length, got {len(photos)} and {len(labels)}.")
        network, plan = self._plan(options, photos, labels)
        with working(), scratch_folder() as scratch:
            values = _features(photos, network, scratch)
            table = TapTable(values, plan.taps)
            result = train_probe(
                table,
                labels,
                _rows(photos, labels, options.seed),
                classes=len(classes),
                plan=plan,
                progress=SilentProgress(),
            )
        self.classes_ = classes
        self.classifier_ = result.classifier
        self.summary_ = result.summary
        self.network_ = network
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Calibrated probabilities `(n, class)`, columns as `classes_`."""
        check_is_fitted(self)
        photos = _as_photos(X, self.network_.rules)
        with working(), scratch_folder() as scratch:
            values = _features(photos, self.network_, scratch)
            return classify(self.classifier_, values)

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest class of each photo."""
        likeliest = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[likeliest])

    def __sklearn_tags__(self) -> Any:
        """Photos are neither a table nor allowed to be missing."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.no_validation = True
        return tags

    def _options(self) -> TrainOptions:
        """The parameters, checked as those of a training are."""
        weights = str(self.weights) if isinstance(self.weights, Path) else self.weights
        return construct(
            TrainOptions,
            data="",
            backbone=self.backbone,
            weights=weights,
            image_size=self.image_size,
            precision=self.precision,
            seed=self.seed,
            max_megapixels=self.max_megapixels,
            max_megabytes=self.max_megabytes,
            min_side=self.min_side,
            white=self.white,
        )

    def _plan(self, options: TrainOptions, photos: "_Photos", labels: np.ndarray) -> tuple[_Network, Plan]:
        chosen = choose_backbone(options.backbone, options.weights)
        record, weights = chosen.record, chosen.weights
        plan = Plan(
            graft_version=__version__,
            recipe="probe",
            recipe_reason="ImageClassifier",
            manifest_hash=sha256_bytes("".join(photos.ids()).encode() + labels.tobytes()),
            split_fractions=(1 - VALIDATION_SHARE, VALIDATION_SHARE, 0.0),
            backbone=record.name,
            backbone_reason=chosen.reason,
            weights_sha256=weights.sha256,
            side_pixels=side_pixels(options.image_size, record),
            preprocessing=record.preprocessing,
            precision=precision(options.precision, "openvino"),
            engine="openvino",
            taps=record.taps,
            widths=record.tap_widths,
            refit=True,
            seed=options.seed,
            threads=machine.threads(),
            rules=options.rules(),
        )
        return _Network(weights, program_of(plan), plan.rules), plan


@dataclass(frozen=True)
class _Photos:
    """Photos as given: files, described for the extraction, or pixels."""

    files: tuple[Photo, ...] = ()
    pixels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.files) if self.pixels is None else len(self.pixels)

    def ids(self) -> list[str]:
        """A content hash for each photo."""
        if self.pixels is None:
            return [photo.sha256 for photo in self.files]
        return [sha256_bytes(np.ascontiguousarray(image).tobytes()) for image in self.pixels]


def _as_photos(photos: Any, rules: ImageRules) -> _Photos:
    given = _listed(photos)
    if len(given) == 0:
        raise BadInput("X must hold at least one photo, got none.", code="no_photos")
    if isinstance(given[0], str | Path):
        return _Photos(files=tuple(_describe(photo, rules) for photo in given))
    try:
        pixels = np.asarray(given)
    except ValueError:
        raise BadInput(
            "X must be paths, or one array (photo, height, width, 3) of type uint8, got photos of several shapes.",
            hint="Bring the photos to one size, or give their paths.",
        ) from None
    if pixels.ndim != 4 or pixels.shape[3] != 3 or pixels.dtype != np.uint8:
        raise BadInput(
            "X must be paths, or an array (photo, height, width, 3) of type uint8, "
            f"got {pixels.dtype} of shape {pixels.shape}."
        )
    return _Photos(pixels=pixels)


def _listed(photos: Any) -> Any:
    """An array as it is, anything else as a list: what is indexed by labels has no first element of the name 0."""
    single = isinstance(photos, str | bytes | Path) or getattr(photos, "shape", None) == ()
    if single or not hasattr(photos, "__iter__"):
        raise BadInput(
            f"X must be a sequence of photos, got one {type(photos).__name__}.",
            hint="Put a single photo in a list: [photo].",
        )
    return photos if isinstance(photos, np.ndarray) else list(photos)


def _describe(given: Any, rules: ImageRules) -> Photo:
    if not isinstance(given, str | Path):
        raise BadInput(f"X must be paths throughout, got a {type(given).__name__} among them.")
    path = Path(given)
    try:
        data = read_bytes(path, rules=rules)
        facts = check(data, rules=rules, name=path.name)
    except ImageRefused as error:
        raise ImageRefused(f"{path}: {error.message}", hint=error.hint, code=error.code) from error
    digest = sha256_bytes(data)
    return Photo(path=path.absolute().as_posix(), label=0, split="train", sha256=digest, group=digest, facts=facts)


def _labels(y: Any) -> tuple[np.ndarray, np.ndarray]:
    check_classification_targets(y)
    classes, labels = np.unique(np.asarray(y), return_inverse=True)
    if len(classes) < 2:
        raise BadInput(f"y must have at least two classes, got {len(classes)}.")
    return classes, labels


def _rows(photos: _Photos, labels: np.ndarray, seed: int) -> Rows:
    fractions = (1 - VALIDATION_SHARE, VALIDATION_SHARE, 0.0)
    splits = np.array(assign(labels.tolist(), photos.ids(), fractions, seed=seed))
    return Rows(np.flatnonzero(splits == "train"), np.flatnonzero(splits == "validation"))


def _features(photos: _Photos, network: _Network, scratch: Path) -> Mapping[str, np.ndarray]:
    """Taps of the photos: files through the store, arrays directly. Values `(photo, channel)`."""
    cache, threads = machine.cache_directory(), machine.threads()
    program = network.program
    if photos.pixels is not None:
        side, geometry = program.side_pixels, program.preprocessing.geometry
        with open_engine(program, network.weights, threads=threads, cache=cache) as engine:
            blocks = (photos.pixels[at : at + 256] for at in range(0, len(photos), 256))
            parts = [run_pixels(engine, np.stack([resize(rgb, side, geometry) for rgb in block])) for block in blocks]
        return {name: np.concatenate([part[name] for part in parts]).astype(np.float16) for name in parts[0]}
    return extract(
        Path(Path(photos.files[0].path).anchor),
        photos.files,
        program,
        network.weights,
        store=feature_store(),
        scratch=scratch,
        cache=cache,
        rules=network.rules,
        workers=threads,
        threads=threads,
        progress=SilentProgress(),
    ).values
