"""Which network reads the photos, with which weights, and why: also where the user left it open."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from graft.backbones.catalogue import BUILTIN, candidates, catalogue
from graft.backbones.networks import check_input_side
from graft.backbones.records import BackboneRecord
from graft.backbones.weights import WeightsFile, builtin, imported, resolve
from graft.core import machine
from graft.core.errors import GraftError
from graft.core.files import make_directory, mark_used, write_atomic
from graft.core.hashing import sha256_json
from graft.core.records import from_sealed_json, to_sealed_json, to_value
from graft.data.records import Manifest, Photo
from graft.evaluation.ranking import Ranking
from graft.training.records import Plan

# How `auto` rates networks without looking at the user's photos: by published ImageNet top-1. On real photos the order
# of near ones changes from one data set to the next (bench/RESULTS.md): `graft backbones rank` is for that.
# The built-in network, which was not trained on ImageNet, stands below MobileNet 0.25 (50.6 %), the weakest published
# one: it was never shown to be better, and 4 points worse on photos of cats and dogs.
BUILTIN_RATING = 0.5
Here = tuple[BackboneRecord, WeightsFile]


@dataclass(frozen=True)
class Chosen:
    """The network, its weights, and the reason in words that may follow its name and a colon."""

    record: BackboneRecord
    weights: WeightsFile
    reason: str
    random: bool = False  # whether the weights were drawn, to train from nothing


def choose_backbone(
    asked: str, weights: str | None, *, given: Plan | None = None, ranking: Ranking | None = None
) -> Chosen:
    """The network and weights for what was typed. A `given` plan is followed whatever else is on this machine.

    Raises: what `graft.backbones.weights.resolve` raises.
    """
    cache = machine.cache_directory()
    followed = _with_weights(given.weights_sha256, cache) if given and weights is None else None
    if given and followed and followed[0].name in candidates(asked):
        return Chosen(*followed, given.backbone_reason)
    if asked == "auto" and weights is None:
        return _best_here(cache, ranking)
    record, file = resolve(asked, Path(weights) if weights else None, cache)
    if given:
        return Chosen(record, file, given.backbone_reason)
    if weights:
        return Chosen(record, file, f"its weights were given as a file: {Path(weights).name}")
    if record.name == BUILTIN:
        return Chosen(record, file, f"asked for as {asked}")
    return Chosen(record, file, "its weights were given to Graft before and remembered")


def side_pixels(wanted: int | None, record: BackboneRecord) -> int:
    """The side photos are brought to: the one asked for, or the backbone's own; one it cannot have is refused."""
    side = wanted or record.side_pixels
    check_input_side(record, side)
    return side


def all_here(cache: Path) -> tuple[Here, ...]:
    """Every network whose weights are on this machine: the imported ones in the catalogue's order."""
    return tuple(pair for pair in imported(cache) if pair[0].name != BUILTIN)


def pool_of(manifest: Manifest) -> list[Photo]:
    """The photos that a choice may read: neither their labels nor their pixels measure the classifier later.

    Where there is no test split the validation photos do that, so they are kept back then.
    """
    tested = any(photo.split == "test" for photo in manifest.photos)
    kept_back = "test" if tested else "validation"
    return [photo for photo in manifest.photos if photo.split != kept_back]


def data_key(manifest: Manifest, image_size: int | None) -> str:
    """Names what a ranking read: the photos that a choice may read, with their classes, and how they are read."""
    photos = sorted([photo.sha256, manifest.classes[photo.label]] for photo in pool_of(manifest))
    return sha256_json({"photos": photos, "image_size": image_size, "rules": to_value(manifest.rules)})


def remember(ranking: Ranking) -> None:
    """Keep a ranking for the trainings on the same photos."""
    path = _ranking_path(ranking.data_key)
    make_directory(path.parent)
    write_atomic(path, to_sealed_json(ranking), writer="ranking")


def remembered_ranking(manifest: Manifest, image_size: int | None) -> Ranking | None:
    """The last ranking of these photos on this machine; None where there is none that can be read."""
    key = data_key(manifest, image_size)
    path = _ranking_path(key)
    try:
        ranking = from_sealed_json(Ranking, path.read_bytes(), source=str(path))
    except (OSError, GraftError):
        return None  # a cache: what is damaged or of another version is as good as absent
    mark_used(path)
    return ranking if ranking.data_key == key else None


def _ranking_path(key: str) -> Path:
    return machine.cache_directory() / "rankings" / f"{key}.json"


def _best_here(cache: Path, ranking: Ranking | None) -> Chosen:
    """What `auto` stands for: the recommendation of a ranking of these photos, else the best by reputation."""
    here = all_here(cache)
    own = (catalogue()[BUILTIN], builtin(BUILTIN, cache))
    if ranking and (measured := _recommended(ranking, (own, *here))):
        return measured
    record, weights = max((own, *here), key=lambda pair: _rating(pair[0]))  # of equals the first of the catalogue
    if record.name != BUILTIN:
        return Chosen(record, weights, _reputation(record, here))
    if here:
        return Chosen(*own, "it is built in, and nothing is known that speaks for another one here")
    return Chosen(*own, "it is built in; with --weights FILE a larger network can be used")


def _rating(record: BackboneRecord) -> float:
    """What is expected of a network's features: its ImageNet accuracy."""
    if record.name == BUILTIN:
        return BUILTIN_RATING
    return record.imagenet_top1 or 0.0


def _recommended(ranking: Ranking, here: Sequence[Here]) -> Chosen | None:
    """The ranking's recommendation, if its weights are still here."""
    entry = ranking.entry(ranking.recommended)
    reason = f"graft backbones rank recommends it for these photos ({entry.accuracy.value:.1%} right out of fold)"
    return next((Chosen(*pair, reason) for pair in here if pair[1].sha256 == entry.weights_sha256), None)


def _reputation(record: BackboneRecord, here: Sequence[Here]) -> str:
    """Why this network, and which of its weights where there are several sets."""
    sets = sum(other.name == record.name for other, _ in here)
    which = f"; of its {sets} sets of weights the first by hash" if sets > 1 else ""
    return f"of the networks whose weights are here the most promising ({record.imagenet_top1:.1%} on ImageNet){which}"


def _with_weights(sha256: str, cache: Path) -> Here | None:
    pairs = ((catalogue()[BUILTIN], builtin(BUILTIN, cache)), *all_here(cache))
    return next((pair for pair in pairs if pair[1].sha256 == sha256), None)
