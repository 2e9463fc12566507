"""Options resolved against data and machine, once, into the plan that training follows."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from graft.backbones.freezing import Freeze, resolve
from graft.backbones.layers import layer_table
from graft.backbones.records import BackboneRecord
from graft.backbones.weights import WeightsFile
from graft.core import machine
from graft.core.errors import BadInput
from graft.core.records import from_json, record_hash
from graft.core.version import __version__
from graft.data.records import Manifest
from graft.features.engines import EngineKind, best_precision
from graft.features.records import Output, Precision, Program
from graft.pipeline.asking import asked_tuning, check_followed
from graft.pipeline.choosing import Chosen, choose_backbone, remembered_ranking
from graft.pipeline.options import TrainOptions
from graft.pipeline.run import shortened
from graft.training.records import Plan


@dataclass(frozen=True)
class Resolved:
    """The plan, and the network and weights it speaks of."""

    plan: Plan
    record: BackboneRecord
    weights: WeightsFile


def resolve_plan(options: TrainOptions, manifest: Manifest, given: Plan | None = None) -> Resolved:
    """Decide everything that was left open, and say why. With a `given` plan, the result must equal that one."""
    ranking = remembered_ranking(manifest, options.image_size) if options.backbone == "auto" else None
    chosen = choose_backbone(options.backbone, options.weights, given=given, ranking=ranking)
    plan = make_plan(options, manifest, chosen, threads=given.threads if given else machine.threads())
    if given:
        check_followed(options, given)
        # The bundle quotes the hash of its plan: told in other words it would be another one.
        told = replace(plan, recipe=given.recipe, recipe_reason=given.recipe_reason)
        plan = replace(told, tuning=given.tuning, schedule=given.schedule)
        _check_same(plan, given, options.config or "")
    else:
        tuning, reason = asked_tuning(options, manifest)
        plan = replace(plan, recipe=options.recipe, recipe_reason=reason, tuning=tuning)
    if plan.tuning is not None:
        _check_freezing(plan.tuning.freeze, chosen.record, plan)
    return Resolved(plan, chosen.record, chosen.weights)


def _check_freezing(freeze: Freeze, record: BackboneRecord, plan: Plan) -> None:
    """Refuse words about freezing that this network cannot follow before anything is written: `BadInput`."""
    if freeze.kind not in ("auto", "all", "none"):
        resolve(layer_table(record, plan.side_pixels, machine.cache_directory()), freeze)


def make_plan(options: TrainOptions, manifest: Manifest, chosen: Chosen, *, threads: int) -> Plan:
    """The plan of a linear probe on this network."""
    record = chosen.record
    return Plan(
        graft_version=__version__,
        recipe="probe",
        recipe_reason="as asked",
        manifest_hash=record_hash(manifest),
        split_fractions=manifest.split_fractions,
        backbone=record.name,
        backbone_reason=chosen.reason,
        weights_sha256=chosen.weights.sha256,
        side_pixels=side_pixels(options.image_size, record),
        preprocessing=record.preprocessing,
        precision=precision(options.precision, options.engine),
        engine=options.engine,
        taps=record.taps,
        widths=record.tap_widths,
        refit=_may_refit(manifest),
        binary_units=1 if options.binary_head == "sigmoid" else 2,
        seed=options.seed,
        threads=threads,
        rules=manifest.rules,
        duplicates=manifest.duplicates,
    )


def follow(options: TrainOptions, plan: Plan) -> TrainOptions:
    """The options that lead to `plan`: what was left at its default is taken from it."""
    chosen: dict[str, Any] = {
        "backbone": plan.backbone,
        "image_size": plan.side_pixels,
        "seed": plan.seed,
        "precision": plan.precision,
        "engine": plan.engine,
        "binary_head": "sigmoid" if plan.binary_units == 1 else "softmax",
        "duplicates": plan.duplicates,
    }
    defaults = TrainOptions(data=options.data)
    left_open = {name: chosen[name] for name in chosen if getattr(options, name) == getattr(defaults, name)}
    return replace(options, **left_open)


def read_plan(path: Path) -> Plan:
    """A stored plan, named by its file or by its run's folder; `BadInput` not_found where there is none."""
    path = path / "plan.json" if path.is_dir() else path
    try:
        return from_json(Plan, path.read_bytes(), source=str(path))
    except OSError as error:
        raise BadInput(
            f"--config must be a readable plan.json, got {path}: {error.strerror}.", code="not_found"
        ) from None


def program_of(plan: Plan, weights_sha256: str = "") -> Program:
    """What the engine runs for this plan: all its taps, averaged; of other weights of the network where given."""
    return Program(
        backbone=plan.backbone,
        weights_sha256=weights_sha256 or plan.weights_sha256,
        side_pixels=plan.side_pixels,
        preprocessing=plan.preprocessing,
        outputs=tuple(Output(layer=layer) for layer in plan.taps),
        precision=plan.precision,
    )


def side_pixels(wanted: int | None, record: BackboneRecord) -> int:
    """The side photos are brought to: the one asked for, or the backbone's own; too small a one is refused."""
    if wanted is not None and wanted < record.min_side_pixels:
        raise BadInput(f"The image size must be at least {record.min_side_pixels} for {record.title}, got {wanted}.")
    return wanted or record.side_pixels


def precision(wanted: Literal["auto", "bfloat16", "float32"], engine: EngineKind) -> Precision:
    """The precision asked for, or the fastest that the engine has on this processor."""
    if wanted != "auto":
        return wanted
    return best_precision() if engine == "openvino" else "float32"


def _may_refit(manifest: Manifest) -> bool:
    """Validation photos join the last fit only where Graft made the splits, and a test split is there to measure it."""
    return manifest.split_origin == "made" and any(photo.split == "test" for photo in manifest.photos)


def _check_same(plan: Plan, given: Plan, path: str) -> None:
    for field in fields(Plan):
        wanted, found = getattr(given, field.name), getattr(plan, field.name)
        if field.name in ("graft_version", "recipe_reason") or wanted == found:
            continue
        raise BadInput(
            f"{path} must be followed, but {field.name} is {shortened(wanted)} there and {shortened(found)} here.",
            hint="Give the same data, weights and options as for that run, or leave --config out.",
        )
