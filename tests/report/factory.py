"""Report data as a real run would leave it: records made by the real functions from simulated answers."""

import hashlib
import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw

from graft.backbones.freezing import Freeze
from graft.core.records import record_hash, to_value
from graft.data.augmentation.records import Augmentation
from graft.data.inspection.summary import inspect_manifest
from graft.data.records import ImageFacts, Manifest, Photo, Quarantined
from graft.evaluation.comparison import compare
from graft.evaluation.intervals import wilson
from graft.evaluation.metrics import evaluate
from graft.report.data import Answered, InspectionData, Pictures, ReportData, Viewed
from graft.training.records import Choice, Depth, ProbeSummary
from graft.training.tuning.records import Epoch, Phase, Schedule, Tuning, TuningSummary

Picture = Callable[[int, int], bytes]  # (class, number) -> JPEG
LAYERS = ("conv1_relu", *(f"conv_pw_{i}_relu" for i in range(1, 14)))
WIDTHS = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)


def drawn(label: int, number: int) -> bytes:
    """A small picture: a disc on a ground, coloured by class."""
    rng = np.random.default_rng([label, number])
    ground = tuple(int(x) for x in rng.integers(150, 235, 3))
    image = Image.new("RGB", (96, 96), ground)
    x, y, r = rng.integers(30, 66), rng.integers(30, 66), rng.integers(12, 28)
    hue = int(label * 47 % 255)
    ink = Image.new("HSV", (1, 1), (hue, 170, 150)).convert("RGB").getpixel((0, 0))
    ImageDraw.Draw(image).ellipse((x - r, y - r, x + r, y + r), fill=ink)
    return jpeg(image)


def jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def make_manifest(
    classes: tuple[str, ...],
    per_class: int,
    *,
    quarantined: int = 3,
    duplicates: int = 2,
    skew: float = 0.1,
    test: bool = True,
) -> Manifest:
    """Classes of about `per_class` photos, split 70/15/15; the first `duplicates` classes hold a file twice."""
    photos = []
    for label, name in enumerate(classes):
        n = max(8, round(per_class * (1 + skew * np.sin(3 * label + 1))))
        for i in range(n):
            split = "test" if test and i % 20 in (3, 9, 15) else "validation" if i % 20 in (5, 11, 17) else "train"
            same = label < duplicates and i == 1
            sha256 = hashlib.sha256(f"{label} {0 if same else i}".encode()).hexdigest()
            facts = ImageFacts(format="JPEG", width=100, height=100, mode="RGB", bytes=4000 + i)
            photos.append(
                Photo(
                    path=f"{name}/IMG_{label:02}{i:04}.JPG",
                    label=label,
                    split=split,
                    sha256=sha256,
                    group=sha256,
                    facts=facts,
                )
            )
    codes = ("truncated", "not_an_image", "too_small")
    reasons = (
        "the image ends before it should",
        "the file is no image",
        "the shorter side must have at least 8 pixels, got 1",
    )
    left_out = tuple(
        Quarantined(path=f"{classes[i % len(classes)]}/broken_{i}.jpg", code=codes[i % 3], reason=reasons[i % 3])
        for i in range(quarantined)
    )
    return Manifest(
        classes=classes,
        photos=tuple(sorted(photos, key=lambda photo: photo.path)),
        quarantined=left_out,
        split_origin="made" if test else "given",
        split_fractions=(0.7, 0.15, 0.15) if test else (0.85, 0.15, 0.0),
        seed=0,
    )


def make_answers(labels: np.ndarray, k: int, *, skill: float, seed: int, sharp: float = 1.0) -> np.ndarray:
    """Probabilities `(photo, class)`: neighbouring classes are mixed up most; `sharp` above 1 makes them too sure."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1, (len(labels), k))
    logits[np.arange(len(labels)), labels] += skill * rng.gamma(3.0, 1 / 3, len(labels))
    twin = np.where(labels % 2 == 0, labels + 1, labels - 1) % k
    logits[np.arange(len(labels)), twin] += 0.25 * min(skill, 12) * rng.random(len(labels))
    logits *= sharp
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def make_probe(n: int, level: float) -> ProbeSummary:
    curve = (0.47, 0.5, 0.62, 0.71, 0.79, 0.83, 0.89, 0.91, 0.93, 0.945, 0.955, 0.95, 0.935, 0.925)
    profile = tuple(
        Depth(layer=layer, width=width, accuracy=wilson(round(n * level * share), n))
        for layer, width, share in zip(LAYERS, WIDTHS, curve, strict=True)
    )
    tuned = {"last": LAYERS[-1], "shrinkage": 0.1, "strength": 0.1}
    chosen = Choice(first=LAYERS[6], width=3584, accuracy=0.971 * level, log_loss=0.11, **tuned)
    last = Choice(first=LAYERS[-1], width=1024, accuracy=0.925 * level, log_loss=0.26, **tuned)
    return ProbeSummary(
        chosen_on="out-of-fold",
        n_chosen_on=n,
        n_compared_on=n,
        depth_profile=profile,
        choices=(chosen, last),
        chosen=chosen,
        last_layer=last,
        taps=LAYERS[6:],
        class_weighted=False,
        temperature=0.9,
        refitted=True,
        validation_accuracy=wilson(300, 310),
    )


def make_epochs(head: int = 2, upper: int = 10, *, validation: bool = True) -> tuple[Epoch, ...]:
    """Epochs that rise quickly and level out: of the head alone first, then of the upper layers too."""
    rows = []
    for number in range(1, head + upper + 1):
        left = float(np.exp(-number / (head + upper) * 3.5))
        rows.append(
            Epoch(
                number=number,
                phase="head" if number <= head else "upper layers",
                step=number * 40,
                rate=1e-3 * (1 - (number - 1) / (head + upper)),
                loss=0.52 + 0.9 * left + 0.02 * (number % 3),
                accuracy=1 - 0.24 * left - 0.004 * (number % 2),
                validation_loss=0.03 + 0.12 * left + (0.004 if number == head + upper else 0.0) if validation else None,
                validation_accuracy=1 - round(309 * (0.004 + 0.05 * left)) / 309 if validation else None,
            )
        )
    return tuple(rows)


def make_schedule(**changes: object) -> Schedule:
    """What was decided for the upper half of a MobileNet; `changes` replace fields of it."""
    values: dict[str, object] = {
        "cut": ("conv_pw_6_relu",),
        "trained": tuple(f"conv_{kind}_{i}" for i in range(7, 14) for kind in ("dw", "pw")),
        "n_trained_parameters": 2_663_424,
        "n_frozen_parameters": 565_440,
        "views": 8,
        "store_bytes": 757_334_016,
        "batch_images": 32,
        "precision": "float32",
        "phase": Phase(name="upper layers", freeze=Freeze(kind="auto"), epochs=10, layer_decay=0.9),
        "reason": "12 epochs of 8 views from the cut at conv_pw_6_relu fit into 5 minutes and 757 MB of disk",
    }
    return Schedule(**(values | changes))


def make_head_schedule() -> Schedule:
    """The phase before: the classifier alone."""
    phase = Phase(name="head", freeze=Freeze(kind="none"), epochs=2)
    return make_schedule(phase=phase, trained=(), n_trained_parameters=0, reason="2 epochs for the new classifier")


def make_tuning(*, lost: int = 1, won: int = 9, n: int = 309, **changes: object) -> TuningSummary:
    """A fine-tuning that was right on `won` photos the probe missed and missed `lost` of its; `changes` as above."""
    right = np.arange(n) % 34 != 7
    second = right.copy()
    second[np.flatnonzero(right)[:lost]] = False
    second[: 34 * won][~right[: 34 * won]] = True
    labels = np.zeros(n, np.int64)
    epochs = make_epochs()
    values: dict[str, object] = {
        "epochs": epochs,
        "best_epoch": 11,
        "finished": True,
        "stopped_early": False,
        "frozen_sha256": "0123456789abcdef" * 4,
        "comparison": compare(labels, (~right).astype(np.int64), (~second).astype(np.int64)),
        "probe_validation_loss": 0.112,
        "tuned_validation_loss": 0.031,
        "kept": "finetune",
        "reason": "its log loss on the validation photos is lower",
    }
    return TuningSummary(**(values | changes))


def make_asked(**changes: object) -> Tuning:
    """Fine-tuning as asked for within five minutes; `changes` replace fields of it."""
    augmentation = Augmentation(rotation_degrees=20.0, brightness=(0.8, 1.2))
    return Tuning(**({"augmentation": augmentation, "time_budget_seconds": 300.0} | changes))


def make_tuned_report(tuning: TuningSummary | None = None, **changes: object) -> ReportData:
    """A whole report of a fine-tuned classifier."""
    data = make_report(**{"skill": 14.0, **changes})
    plan = data.plan | {
        "recipe": "auto",
        "recipe_reason": "the linear probe first, then fine-tuning, and the better of both is kept",
        "tuning": to_value(make_asked()),
        "schedules": [to_value(make_head_schedule()), to_value(make_schedule())],
    }
    labels = np.zeros(data.evaluation.n, np.int64)
    first, second = labels.copy(), labels.copy()
    first[:9], second[:2] = 1, 1
    made = tuning or make_tuning(comparison_on_test=compare(labels, first, second))
    return replace(data, plan=plan, tuning=made, views=make_views(data.manifest))


def make_views(manifest: Manifest, photos: int = 4, views: int = 6) -> tuple[Viewed, ...]:
    """Some training photos, each with pictures that stand for its views."""
    train = [photo for photo in manifest.photos if photo.split == "train"][:photos]
    return tuple(
        Viewed(
            photo.path,
            manifest.classes[photo.label],
            tuple((drawn(photo.label, 100 + view), f"+{view}°, mirrored" if view else "") for view in range(views)),
        )
        for photo in train
    )


def make_pictures(manifest: Manifest, n_samples: int, picture: Picture = drawn) -> Pictures:
    """A contact sheet of the first photos of each class, and pictures of all copies."""
    by_class: dict[str, list[str]] = {name: [] for name in manifest.classes}
    thumbnails = {}
    alike = {path for group in inspect_manifest(manifest).duplicates for path in group.paths}
    for number, photo in enumerate(manifest.photos):
        paths = by_class[manifest.classes[photo.label]]
        if len(paths) < n_samples:
            paths.append(photo.path)
        if photo.path in alike or photo.path in paths:
            thumbnails[photo.path] = picture(photo.label, number)
    return Pictures(thumbnails, {name: tuple(paths) for name, paths in by_class.items() if paths})


def make_inspection(
    manifest: Manifest, *, name: str = "photos", n_samples: int = 8, **changes: object
) -> InspectionData:
    """A whole inspection page of a manifest; `changes` replace fields of it."""
    values: dict[str, object] = {
        "name": name,
        "created": "2026-11-22T10:17:03+00:00",
        "command": f"graft inspect {name} -o inspect.html",
        "manifest": manifest,
        "inspection": inspect_manifest(manifest),
        "pictures": make_pictures(manifest, n_samples),
    }
    return InspectionData(**(values | changes))


def make_report(
    classes: tuple[str, ...] = tuple("0123456789"),
    *,
    name: str = "sign_digits",
    per_class: int = 206,
    split: str = "test",
    skill: float = 9.0,
    sharp: float = 1.0,
    picture: Picture = drawn,
    n_samples: int = 8,
    n_mistakes: int = 24,
    quarantined: int = 3,
    skew: float = 0.1,
    **changes: object,
) -> ReportData:
    """A whole report of a simulated classifier; `changes` replace fields of it."""
    manifest = make_manifest(classes, per_class, quarantined=quarantined, skew=skew, test=split == "test")
    scored = [photo for photo in manifest.photos if photo.split == split]
    labels = np.array([photo.label for photo in scored])
    answers = make_answers(labels, len(classes), skill=skill, seed=1, sharp=sharp)
    weaker = make_answers(labels, len(classes), skill=skill * 0.7, seed=2)
    evaluation = evaluate(
        answers, labels, classes, manifest_hash=record_hash(manifest), bundle_hash="b" * 64, split=split, seed=0
    )
    predicted = answers.argmax(axis=1)
    right = np.flatnonzero(predicted == labels)
    wrong = sorted(np.flatnonzero(predicted != labels), key=lambda row: -answers[row].max())

    def answered(row: int) -> Answered:
        thumbnail = picture(int(labels[row]), 40 + int(row) % 100)
        said = classes[predicted[row]]
        return Answered(scored[row].path, classes[labels[row]], said, float(answers[row].max()), thumbnail)

    values: dict[str, object] = {
        "name": name,
        "created": "2026-11-22T10:17:03+00:00",
        "command": f"graft train {name} -o runs/{name} --backbone mobilenet --weights mobilenet_1_0_128_tf_no_top.h5",
        "manifest": manifest,
        "inspection": inspect_manifest(manifest),
        "plan": {
            "recipe": "probe",
            "recipe_reason": "the quick way, as asked for",
            "backbone": "mobilenet_1.0",
            "backbone_reason": "named on the command line",
            "side_pixels": 128,
            "precision": "bfloat16",
            "seed": 0,
            "preprocessing": {"channel_order": "rgb", "geometry": "squash"},
            "taps": list(LAYERS),
            "refit": True,
            "strengths": [0.001, 0.01, 0.1, 1.0],
        },
        "probe": make_probe(len(manifest.photos) // 2, evaluation.accuracy.value / 0.97),
        "evaluation": evaluation,
        "comparison_with_last_layer": to_value(compare(labels, weaker.argmax(axis=1), predicted)),
        "mistakes": tuple(map(answered, wrong[:n_mistakes])),
        "answers": tuple(map(answered, [*wrong[:2], *right[:: max(1, len(right) // 25)]][:25])),
        "pictures": make_pictures(manifest, n_samples, picture),
        "seconds": {"Scan": 1.84, "Compile": 6.2, "Read photos": 11.6, "Fit": 3.31, "Score": 0.42, "Report": 0.18},
        "versions": {
            "graft": "0.1.0",
            "python": "3.11.7",
            "numpy": "2.4.6",
            "pillow": "13.0.0",
            "keras": "3.15.1",
            "openvino": "2026.4.1",
            "scikit-learn": "1.9.1",
        },
        "machine": {
            "system": "Linux 6.1 x86_64",
            "threads": "2",
            "cpu features": "avx2, avx512f, amx_bf16",
            "peak memory": "812 MB",
        },
        "bundle_name": "classifier.graft",
        "bundle_bytes": 13_214_512,
        "licences": (
            ("Graft", "Apache-2.0"),
            ("MobileNet weights (ImageNet)", "Apache-2.0; ImageNet has terms of its own"),
        ),
        "next_commands": (
            (f"graft predict runs/{name} new_photos/", "Classify new photos"),
            (f"graft serve runs/{name}", "Serve it on this machine"),
            (f"graft train {name} -o runs/{name}-2 --recipe finetune", "See whether fine-tuning does better"),
        ),
    }
    return ReportData(**(values | changes))
