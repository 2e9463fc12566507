"""A classifier from one file: load, check, predict. No Keras, TensorFlow or scikit-learn on this path."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

import numpy as np

from graft.backbones.catalogue import catalogue
from graft.backbones.weights import WeightsFile, open_weights
from graft.bundle.checks import BACKBONE, SHIFT, WHITENING
from graft.bundle.format import read_bundle, write_bundle
from graft.bundle.golden import GoldenExamples, check_answers, check_photo
from graft.bundle.records import BundleManifest, Failure, HeadSpec, HiddenSpec, Prediction, Provenance
from graft.core import machine
from graft.core.errors import BadInput
from graft.core.hashing import sha256_file
from graft.core.parallel import in_groups
from graft.data.images import load_pixels, read_bytes, resize
from graft.data.records import ImageRules
from graft.features.engines import Engine, best_precision, open_engine, run_pixels
from graft.features.preprocessing import whitening_of
from graft.features.records import Output, Precision, Program
from graft.training.linear import classify, in_float32
from graft.training.records import Classifier, Hidden

# Batch shapes that are compiled, each when it is first needed: all threads on one photo, or a batch for each thread.
# Larger batches than 4 are slower on all that was measured (bench/bench_layout.py).
SINGLE, BATCH = 1, 4
LEAST_GROUP_IMAGES = 32  # photos decoded ahead while the network works on the group before
TOP = 5
Input = Path | str | bytes | np.ndarray


def save_bundle(
    path: Path,
    *,
    program: Program,
    weights: WeightsFile,
    classifier: Classifier,
    classes: Sequence[str],
    golden: GoldenExamples,
    provenance: Provenance,
    licences: Sequence[tuple[str, str]],
    rules: ImageRules,
) -> str:
    """Write `classifier.graft` and return the SHA-256 of the file. Equal arguments give equal bytes.

    Raises `BadInput` for class names that a bundle cannot carry, `ResourceProblem` where the place cannot be written.
    """
    manifest = BundleManifest(
        classes=tuple(classes),
        backbone=program.backbone,
        weights_sha256=weights.sha256,
        side_pixels=program.side_pixels,
        preprocessing=program.preprocessing,
        precision=program.precision,
        rules=rules,
        head=_head_spec(classifier, program),
        golden=golden.golden,
        provenance=provenance,
        licences=tuple(licences),
        tensors_sha256="0" * 64,  # filled in when the tensors are hashed
    )
    own: dict[str, np.ndarray] = {
        "head/mean": classifier.mean,
        "head/scale": classifier.scale,
        "head/kernel": classifier.kernel,
        "head/bias": classifier.bias,
        **_hidden_tensors(classifier.hidden),
        "golden/photo": np.frombuffer(golden.photo, np.uint8),
        "golden/pixels": golden.pixels,
        "golden/probabilities": golden.probabilities,
    }
    if classifier.shift is not None:
        own[SHIFT] = classifier.shift
    whitening = whitening_of(program.preprocessing, weights)
    if whitening is not None:
        own |= {f"{WHITENING}{name}": array for name, array in whitening.tensors().items()}
    with open_weights(weights) as tensors:
        write_bundle(path, manifest, {**own, **{f"{BACKBONE}{name}": array for name, array in tensors.items()}})
    return sha256_file(path)


@dataclass(frozen=True, eq=False)
class Bundle:
    """A loaded classifier. `predict` answers for files, bytes and arrays; it may be called from several threads.

    Public, as `graft.load` returns it. A program that answers one photo at a time calls `warm_up` once, then
    `predict_bytes`, which raises what is wrong with a photo instead of returning it.

    `classes` are in the order of the columns of `predict_pixels`. `precision` is what the network runs in here.
    """

    path: Path
    manifest: BundleManifest
    precision: Precision
    cache: Path
    threads: int
    rules: ImageRules
    _classifier: Classifier = field(repr=False)
    _photo: bytes = field(repr=False)
    _golden_pixels: np.ndarray = field(repr=False)
    _golden_probabilities: np.ndarray = field(repr=False)
    _engines: dict[tuple[int, bool], Engine] = field(default_factory=dict, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    @classmethod
    def load(
        cls,
        path: Path | str,
        *,
        cache: Path | None = None,
        threads: int | None = None,
        check: bool = True,
        precision: Precision | None = None,
        rules: ImageRules | None = None,
    ) -> Self:
        """Read a bundle strictly and, with `check`, let it reproduce its golden examples.

        The network is compiled for this machine when that has not been done before. `precision` is by default the
        one the classifier was trained with, or float32 where this processor lacks it; `rules` are by default those of
        the training. Raises what `read_bundle`
        raises, `BadInput` for a precision the bundle has no tolerance for, and `IntegrityProblem` `golden_mismatch`.
        """
        path = Path(path).absolute()
        manifest, file = read_bundle(path)
        with file:
            own = [name for name in file.tensors if not name.startswith((BACKBONE, WHITENING))]
            arrays = {name: np.array(file.tensors[name]) for name in own}
        here = _precision_here(manifest, precision)
        bundle = cls(
            path=path,
            manifest=manifest,
            precision=here,
            cache=cache or machine.cache_directory(),
            threads=threads or machine.threads(),
            rules=rules or manifest.rules,
            _classifier=bundle_classifier(manifest, arrays, here),
            _photo=arrays["golden/photo"].tobytes(),
            _golden_pixels=arrays["golden/pixels"],
            _golden_probabilities=arrays["golden/probabilities"],
        )
        if check:
            bundle.check()
        return bundle

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels, in the order of the columns of probabilities."""
        return self.manifest.classes

    @property
    def threshold(self) -> float | None:
        """From this probability on an answer is sure, see `graft.evaluation.rejection`; None where nobody knows."""
        return self.manifest.head.threshold

    @property
    def events(self) -> tuple[str, ...]:
        """What had to be repaired while networks were opened, one sentence each."""
        return tuple(event for engine in self._engines.values() for event in engine.events)

    def sha256(self) -> str:
        """SHA-256 of the file, as `sha256sum` gives it."""
        return sha256_file(self.path)

    def check(self) -> None:
        """Reproduce the golden examples, one photo at a time; raises `IntegrityProblem` (`golden_mismatch`)."""
        check_photo(self._photo, self._golden_pixels[0], self.manifest.preprocessing.geometry)
        answers = self._run(self._engine(SINGLE), self._golden_pixels)
        check_answers(self.manifest.golden, self._golden_probabilities, answers, self.precision)

    def golden_examples(self) -> tuple[np.ndarray, np.ndarray]:
        """Pixels `(photo, side, side, 3)` uint8, and probabilities `(photo, class)` without rounding in between."""
        return self._golden_pixels, self._run(self._engine(BATCH), self._golden_pixels, rounded=False)

    def golden_photo(self) -> bytes:
        """The image file whose pixels are the first golden example."""
        return self._photo

    def warm_up(self) -> None:
        """Open the network in every batch shape now, so that no later answer waits for it."""
        for batch_images in (SINGLE, BATCH):
            self._engine(batch_images)

    def predict_pixels(self, pixels: np.ndarray, *, apart: bool = False) -> np.ndarray:
        """Probabilities `(photo, class)` float32 for `(photo, side, side, 3)` uint8 RGB, decoded as training does.

        `apart` is for programs that ask from as many threads as the bundle has: each is answered by one thread.
        """
        side = self.manifest.side_pixels
        if pixels.ndim != 4 or pixels.shape[1:] != (side, side, 3) or pixels.dtype != np.uint8:
            raise BadInput(
                f"pixels must have shape (photos, {side}, {side}, 3) and type uint8, got {pixels.shape} {pixels.dtype}"
            )
        if not len(pixels):
            return np.empty((0, len(self.classes)), np.float32)
        busy = len(pixels) >= BATCH * (1 if apart else self.threads)  # every thread gets a full batch
        return self._run(self._engine(BATCH if busy else SINGLE, apart=apart), pixels)

    def predict_bytes(self, data: bytes, *, top: int = TOP) -> Prediction:
        """The answer for one image file's content; raises `ImageRefused`."""
        return self._prediction("", self.predict_pixels(self._pixels(data)[None])[0], top)

    def predict(self, inputs: Input | Iterable[Input], *, top: int = TOP) -> list[Prediction | Failure]:
        """Answers in the order of `inputs`: paths, image files' bytes, or `(height, width, 3)` uint8 RGB arrays.

        A photo that cannot be used becomes a `Failure`; the others are not touched by it. A single input gives a list
        of one.
        """
        single = isinstance(inputs, Path | str | bytes) or (isinstance(inputs, np.ndarray) and inputs.ndim == 3)
        return list(self.predict_each([inputs] if single else inputs, top=top))  # type: ignore[list-item, arg-type]

    def predict_each(self, inputs: Iterable[Input], *, top: int = TOP) -> Iterator[Prediction | Failure]:
        """As `predict`, one by one, for any number of inputs: a few groups are in memory at a time."""
        if top < 1:
            raise BadInput(f"top must be at least 1, got {top}")
        group_size = max(LEAST_GROUP_IMAGES, BATCH * self.threads)
        for group in in_groups(inputs, self._pixels_or_failure, threads=self.threads, group_size=group_size):
            yield from self._answers(group, top)

    def close(self) -> None:
        """Give back the networks' memory; the bundle opens them again when asked."""
        with self._lock:
            while self._engines:
                self._engines.popitem()[1].close()

    def __enter__(self) -> Self:
        """Use as a context."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _engine(self, batch_images: int, *, apart: bool = False) -> Engine:
        # Larger batches, and all where there is but one thread, are each one thread's in any case.
        shape = (batch_images, apart and batch_images == SINGLE and self.threads > 1)
        with self._lock:
            if shape not in self._engines:
                program = replace(bundle_program(self.manifest), precision=self.precision, batch_images=batch_images)
                weights, threads = bundle_weights(self.path, self.manifest), self.threads
                self._engines[shape] = open_engine(program, weights, threads=threads, cache=self.cache, apart=apart)
            return self._engines[shape]

    def _run(self, engine: Engine, pixels: np.ndarray, *, rounded: bool = True) -> np.ndarray:
        return classify(self._classifier, run_pixels(engine, pixels), rounded=rounded)

    def _pixels(self, item: Input) -> np.ndarray:
        side, geometry = self.manifest.side_pixels, self.manifest.preprocessing.geometry
        if isinstance(item, np.ndarray):
            _check_array(item, self.rules)
            return item if item.shape[:2] == (side, side) else resize(item, side, geometry)
        data = item if isinstance(item, bytes) else read_bytes(Path(item), rules=self.rules)
        return load_pixels(data, side_pixels=side, geometry=geometry, rules=self.rules)

    def _pixels_or_failure(self, item: Input) -> np.ndarray | Failure:
        try:
            return self._pixels(item)
        except BadInput as error:
            return Failure(path=_name(item), code=error.code, message=str(error))

    def _answers(self, group: Sequence[tuple[Input, np.ndarray | Failure]], top: int) -> list[Prediction | Failure]:
        good = [found for _, found in group if isinstance(found, np.ndarray)]
        chances = iter(self.predict_pixels(np.stack(good)) if good else ())
        return [
            found if isinstance(found, Failure) else self._prediction(_name(item), next(chances), top)
            for item, found in group
        ]

    def _prediction(self, name: str, chances: np.ndarray, top: int) -> Prediction:
        order = np.argsort(-chances, kind="stable")[:top]
        ranked = tuple((self.classes[index], float(chances[index])) for index in order)
        sure = None if self.threshold is None else ranked[0][1] >= self.threshold
        return Prediction(path=name, label=ranked[0][0], probability=ranked[0][1], top=ranked, sure=sure)


def bundle_program(manifest: BundleManifest) -> Program:
    """What to run for a bundle: its taps at the batch shape and precision they were trained with."""
    return Program(
        backbone=manifest.backbone,
        weights_sha256=manifest.weights_sha256,
        side_pixels=manifest.side_pixels,
        preprocessing=manifest.preprocessing,
        outputs=tuple(Output(layer=tap, pooling=manifest.head.pooling) for tap in manifest.head.taps),
        precision=manifest.precision,
    )


def bundle_weights(path: Path, manifest: BundleManifest) -> WeightsFile:
    """The backbone's weights where a bundle has them, and what its photos are whitened with."""
    whitened = manifest.preprocessing.whitening_sha256
    whitening = WeightsFile(path, WHITENING, whitened) if whitened else None
    return WeightsFile(path, BACKBONE, manifest.weights_sha256, whitening=whitening)


def _name(item: Input) -> str:
    return str(item) if isinstance(item, Path | str) else ""


def bundle_classifier(manifest: BundleManifest, tensors: Mapping[str, np.ndarray], precision: Precision) -> Classifier:
    """The head of a bundle for features computed in this precision, from copies of its tensors `head/…`."""
    arrays = {name: np.array(tensor) for name, tensor in tensors.items() if name.startswith("head/")}
    classifier = Classifier(
        taps=manifest.head.taps,
        mean=arrays["head/mean"],
        scale=arrays["head/scale"],
        kernel=arrays["head/kernel"],
        bias=arrays["head/bias"],
        temperature=manifest.head.temperature,
        threshold=manifest.head.threshold,
        pooling=manifest.head.pooling,
        hidden=tuple(
            Hidden(arrays[f"head/hidden_{number}/kernel"], arrays[f"head/hidden_{number}/bias"], each.activation)
            for number, each in enumerate(manifest.head.hidden)
        ),
        shift=arrays.get(SHIFT),
    )
    return in_float32(classifier) if precision == "float32" else classifier


def _head_spec(classifier: Classifier, program: Program) -> HeadSpec:
    """The head's description. A whole map is square, as the photos are; a transformer's tokens stand in a row."""
    positions = (1, 1)
    if classifier.pooling == "none":
        count = len(classifier.mean) // catalogue()[program.backbone].width
        side = math.isqrt(count)
        positions = (side, side) if side * side == count else (count, 1)
    return HeadSpec(
        taps=classifier.taps,
        pooling=classifier.pooling,
        positions=positions,
        hidden=tuple(HiddenSpec(units=len(each.bias), activation=each.activation) for each in classifier.hidden),
        temperature=classifier.temperature,
        threshold=classifier.threshold,
    )


def _hidden_tensors(hidden: Sequence[Hidden]) -> dict[str, np.ndarray]:
    kernels = {f"head/hidden_{number}/kernel": each.kernel for number, each in enumerate(hidden)}
    return kernels | {f"head/hidden_{number}/bias": each.bias for number, each in enumerate(hidden)}


def _precision_here(manifest: BundleManifest, wanted: Precision | None) -> Precision:
    if wanted is None:
        return manifest.precision if manifest.precision == "float32" or best_precision() == "bfloat16" else "float32"
    known = manifest.golden.tolerance
    if wanted not in known:
        raise BadInput(f"precision must be {' or '.join(sorted(known))} for this bundle, got {wanted}")
    return wanted


def _check_array(rgb: np.ndarray, rules: ImageRules) -> None:
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or min(rgb.shape[:2]) < rules.min_side_pixels:
        raise BadInput(
            f"an array must have shape (height, width, 3), type uint8 and sides of at least {rules.min_side_pixels}, "
            f"got {rgb.shape} {rgb.dtype}"
        )
    if rgb.shape[0] * rgb.shape[1] > rules.max_pixels:
        raise BadInput(f"an array must have at most {rules.max_pixels} pixels, got {rgb.shape}", code="too_many_pixels")
