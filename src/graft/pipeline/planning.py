"""Options resolved against data and machine, once, into the plan that training follows."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, Literal, get_args

from graft.backbones.catalogue import find
from graft.backbones.freezing import resolve
from graft.backbones.initial import initial_weights
from graft.backbones.layers import layer_table
from graft.backbones.records import BackboneRecord, Preprocessing
from graft.backbones.weights import WeightsFile
from graft.core import machine
from graft.core.errors import BadInput
from graft.core.records import from_json, record_hash
from graft.core.version import __version__
from graft.data.records import Manifest
from graft.evaluation.ranking import Ranking
from graft.features.engines import EngineKind, best_precision
from graft.features.records import Output, Precision, Program
from graft.pipeline.asking import asked_tuning, check_followed
from graft.pipeline.choosing import Chosen, choose_backbone, remembered_ranking, side_pixels
from graft.pipeline.normalizing import Normalize
from graft.pipeline.options import TrainOptions
from graft.pipeline.recipes.reference import on_network, sized
from graft.pipeline.run import shortened
from graft.training.heads.records import Head
from graft.training.heads.shapes import head_layers, units_of
from graft.training.recipes.catalogue import find as find_recipe
from graft.training.recipes.records import OWN_RECIPES, PreprocessingName
from graft.training.records import Plan
from graft.training.tuning.records import Tuning

WORDS: Final = ("until", "last", "level")  # ways to say what is frozen that depend on the network


@dataclass(frozen=True)
class Resolved:
    """The plan, and the network and weights it speaks of."""

    plan: Plan
    record: BackboneRecord
    weights: WeightsFile


def resolve_plan(
    options: TrainOptions, manifest: Manifest, given: Plan | None = None, *, normalize: Normalize | None = None
) -> Resolved:
    """Decide everything that was left open, and say why. With a `given` plan, the result must equal that one.

    `normalize` adds to the preprocessing what is fitted on the photos.
    """
    ranking = remembered_ranking(manifest, options.image_size) if options.backbone == "auto" else None
    chosen = _chosen(options, given, ranking)
    options = sized(options, chosen.record)
    plan = make_plan(options, manifest, chosen, threads=given.threads if given else machine.threads())
    weights = chosen.weights
    if normalize is not None:
        plan, weights = _normalized(options, plan, weights, normalize)
    if given:
        check_followed(options, given)
        # The bundle quotes the hash of its plan: told in other words it would be another one.
        told = replace(plan, recipe=given.recipe, recipe_reason=given.recipe_reason)
        plan = replace(told, tuning=given.tuning, schedules=given.schedules)
        _check_same(plan, given, options.config or "")
    else:
        tuning, reason = asked_tuning(options, manifest)
        if tuning is not None and options.recipe not in OWN_RECIPES:
            tuning = on_network(tuning, find_recipe(options.recipe), chosen.record, plan.side_pixels)
        plan = replace(plan, recipe=options.recipe, recipe_reason=reason, tuning=tuning)
    if plan.tuning is not None:
        _check_network(plan.tuning, chosen.record, plan, len(manifest.classes))
    return Resolved(plan, chosen.record, weights)


def _normalized(
    options: TrainOptions, plan: Plan, weights: WeightsFile, normalize: Normalize
) -> tuple[Plan, WeightsFile]:
    """The plan and weights with what is fitted; whitening blows up differences that bfloat16 does not keep."""
    fitted, whitening = normalize(plan.preprocessing, plan.side_pixels)
    if whitening is not None and options.precision == "bfloat16":
        raise BadInput("Whitened photos need --precision float32, got bfloat16.", hint="Leave --precision out.")
    in_float32 = replace(plan, precision="float32") if whitening is not None else plan
    return replace(in_float32, preprocessing=fitted), replace(weights, whitening=whitening)


def _chosen(options: TrainOptions, given: Plan | None, ranking: Ranking | None) -> Chosen:
    """The network with its weights: those of a file, remembered ones, or random ones."""
    followed = given is not None and given.random_weights and options.weights is None
    if options.weights == "random" or followed:
        record = find(options.backbone)
        side = side_pixels(sized(options, record).image_size, record)
        drawn = initial_weights(record, side, options.seed, machine.cache_directory())
        return Chosen(record, drawn, "its weights are random, as asked: it is trained from nothing", random=True)
    try:
        return choose_backbone(options.backbone, options.weights, given=given, ranking=ranking)
    except BadInput as problem:
        if problem.code != "weights_missing" or options.recipe in OWN_RECIPES:
            raise
        hint = f"{problem.hint} Or run the recipe on another network with --backbone NAME."
        raise BadInput(problem.message, hint=hint, code=problem.code) from None


def _check_network(tuning: Tuning, record: BackboneRecord, plan: Plan, classes: int) -> None:
    """Refuse what this network cannot follow before anything is written: `BadInput`."""
    freezes = [freeze for freeze in (tuning.freeze, *(phase.freeze for phase in tuning.phases)) if freeze.kind in WORDS]
    if not freezes and not isinstance(tuning.head, Head):
        return
    table = layer_table(record, plan.side_pixels, machine.cache_directory())
    for freeze in freezes:
        resolve(table, freeze)
    if isinstance(tuning.head, Head):
        units = units_of(classes, binary_units=plan.binary_units)
        head_layers(tuning.head, table.without_top()[-1].shape, units)


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
        random_weights=chosen.random,
        side_pixels=side_pixels(options.image_size, record),
        preprocessing=preprocessing(options.preprocessing, record),
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
        "recipe": plan.recipe if plan.recipe not in OWN_RECIPES else options.recipe,
        "preprocessing": _preprocessing_name(plan),
        "normalize": normalization.normalization.words if (normalization := plan.preprocessing.normalization) else None,
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


def preprocessing(name: PreprocessingName, record: BackboneRecord) -> Preprocessing:
    """What is done to pixels before the network: its own, or what a recipe has instead; the geometry stays its own."""
    if name == "backbone":
        return record.preprocessing
    scale, own = 1.0 if name == "none" else 1 / 255, record.preprocessing
    order: Literal["rgb", "grey"] = "grey" if own.channel_order == "grey" else "rgb"
    return Preprocessing(channel_order=order, scale=(scale,) * 3, geometry=own.geometry)


def _preprocessing_name(plan: Plan) -> PreprocessingName:
    """By which name the plan's preprocessing is asked for; of two that are the same the network's own."""
    record, taken = find(plan.backbone), replace(plan.preprocessing, normalization=None)
    names = get_args(PreprocessingName)
    return next((name for name in names if preprocessing(name, record) == taken), names[0])


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
