"""What flatters or limits a score: scored photos it learned from, labels at odds, classes without scored photos."""

from collections.abc import Sequence
from typing import Final

from graft.data.depth import depth_note
from graft.data.inspection.shortcuts import Shortcut
from graft.data.records import Manifest
from graft.evaluation.records import Evaluation
from graft.report import words

LEARNED_FROM: Final = {"validation": ("train",), "test": ("train", "validation")}
MOST_NAMES: Final = 3
MOST_LINES: Final = 3


def seen_photos(manifest: Manifest, scored: str) -> int:
    """How many photos of the scored split have the bytes of one that it learned from, or look the same."""
    learned = LEARNED_FROM.get(scored, ())
    known = {photo.sha256 for photo in manifest.photos if photo.split in learned}
    split_of = {photo.path: photo.split for photo in manifest.photos} if manifest.near_duplicates else {}
    alike = {
        path
        for paths in manifest.near_duplicates
        if any(split_of.get(path) in learned for path in paths)
        for path in paths
    }
    return sum(photo.split == scored and (photo.sha256 in known or photo.path in alike) for photo in manifest.photos)


def conflicts(manifest: Manifest) -> int:
    """How many different photos carry more than one label."""
    labels: dict[str, set[int]] = {}
    for photo in manifest.photos:
        labels.setdefault(photo.sha256, set()).add(photo.label)
    return sum(len(found) > 1 for found in labels.values())


def unscored(evaluation: Evaluation) -> tuple[str, ...]:
    """The classes of which no photo was scored."""
    return tuple(item.name for item in evaluation.per_class if not item.support)


def seen_sentence(manifest: Manifest, evaluation: Evaluation) -> str:
    """Says that the score is flattered; empty where no scored photo is among those it learned from."""
    seen = seen_photos(manifest, evaluation.split)
    if not seen:
        return ""
    of = f"{words.count(seen)} of these {words.counted(evaluation.n, 'photo')} {'is' if seen == 1 else 'are'}"
    return f"{of} also among those it learned from: expect new photos to do worse."


def lines(manifest: Manifest, evaluation: Evaluation, shortcuts: Sequence[Shortcut] = ()) -> tuple[str, ...]:
    """What to mind about a score, at most three lines, the gravest first."""
    note = depth_note(manifest)
    found = [str(note) if note else "", seen_sentence(manifest, evaluation)]
    doubtful = conflicts(manifest)
    if doubtful:
        found.append(f"{words.counted(doubtful, 'photo lies', 'photos lie')} in two classes: one label is wrong.")
    if shortcuts:
        kinds = words.listed(list(dict.fromkeys(item.property.replace("_", " ") for item in shortcuts))[:MOST_NAMES])
        told = words.counted(len(shortcuts), "property of the files gives", "properties of the files give")
        found.append(f"{told} classes away ({kinds}): see the report.")
    names = unscored(evaluation)
    if names:
        some = words.listed([f"“{words.shortened(name, 20)}”" for name in names[:MOST_NAMES]])
        more = f" and {words.count(len(names) - MOST_NAMES)} more" if len(names) > MOST_NAMES else ""
        found.append(f"No photo was scored of {some}{more}.")
    return tuple(filter(None, found))[:MOST_LINES]
