"""Every listed file is read, hashed and decoded once: what can be used, and what cannot and why."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from graft.core.errors import CODES, BadInput, ImageRefused, IntegrityProblem
from graft.core.files import make_directory, mark_used, sweep_stray, write_atomic
from graft.core.hashing import sha256_bytes, sha256_json
from graft.core.progress import Progress
from graft.core.records import from_sealed_json, record, to_sealed_json, to_value
from graft.data.containers import mismatch_flags
from graft.data.entries import Entry
from graft.data.fingerprints import SIDE, SUFFIX, as_array, fingerprint, read_fingerprints, write_fingerprints
from graft.data.images import check, check_and_shrink, decoder_identity, read_bytes
from graft.data.records import ImageFacts, ImageRules, Quarantined
from graft.data.sources import Source

MAX_BAD_SHARE = 0.05  # above it something is wrong with the data as a whole, and a classifier would hide it
MIN_CLASS_PHOTOS = 2
CHUNK_FILES = 16  # files handed to a thread at once: the hand-over costs as much as a small photo's header
NAMED_IN_MESSAGE = 5
MISLED = frozenset(("not_found", "outside_root"))  # codes of rows and links that lead to no photo of the data
LEFT_SECONDS = 3600.0  # no writer of a scan's memory takes nearly as long

OnBad = Literal["quarantine", "fail"]


def meaning(code: str) -> str:
    """What a code says of one file that was left out."""
    return "the file does not exist" if code == "not_found" else CODES.get(code, code)


def remedy(codes: Set[str]) -> str:
    """What to do about files that were left out for these reasons, without a full stop."""
    paths = "Correct the paths: those of a table start at its own folder, and nothing may lead out of it"
    if codes <= MISLED:
        return paths
    return f"{paths}. Repair or remove the other files" if codes & MISLED else "Repair or remove these files"


@dataclass(frozen=True)
class Scanned:
    """One good photo as found."""

    entry: Entry
    sha256: str
    facts: ImageFacts


@dataclass(frozen=True)
class Scan:
    """The outcome for every file of a source; both lists are sorted by path."""

    source: Source
    good: tuple[Scanned, ...]
    quarantined: tuple[Quarantined, ...]
    rules: ImageRules = ImageRules()
    # of each good photo, (n, 1536) uint8 (`data.fingerprints`); none where they were not asked for
    fingerprints: np.ndarray = field(default_factory=lambda: as_array([]), compare=False, repr=False)


@record
class Verdict:
    """What decoding one content showed: facts of a good image, or code and reason of a refusal."""

    facts: ImageFacts | None = None
    code: str = ""
    reason: str = ""


@record
class ScanMemory:
    """Verdicts by content hash, so that a second scan of the same data only hashes."""

    SCHEMA: ClassVar[str] = "graft/scan-memory/1"
    verdicts: dict[str, Verdict]


def scan(
    source: Source,
    *,
    rules: ImageRules,
    on_bad: OnBad,
    progress: Progress,
    workers: int,
    cache: Path | None,
    most_bad: float = MAX_BAD_SHARE,
    least_photos: int = MIN_CLASS_PHOTOS,
    fingerprints: bool = False,
) -> Scan:
    """Look at every file of `source`; the result does not depend on `workers` or `cache`.

    `fingerprints` are made from the same decoding where they are asked for.

    Raises `BadInput`: `too_many_bad` above the share `most_bad` of bad files, or where any is bad with
    `on_bad="fail"`; `class_empty` where a class keeps fewer than `least_photos` good photos.
    """
    memory_path = _memory_path(source, rules, cache)
    remembered = _read_memory(memory_path)
    shrunk_path = memory_path.with_suffix(SUFFIX) if memory_path and fingerprints else None
    shrunk = read_fingerprints(shrunk_path)
    good, bad, verdicts = [], list(source.refused), {}
    examine = _Examine(root=source.root, rules=rules, remembered=remembered, shrunk=shrunk if fingerprints else None)
    found: dict[str, bytes] = {}
    with progress.stage("Looking at photos", len(source.entries), "photos") as stage:
        for results in _in_threads(examine, source.entries, workers):
            for entry, sha256, verdict, small in results:
                if sha256:
                    verdicts[sha256] = verdict
                if small:
                    found.setdefault(sha256, small)
                if verdict.facts is None:
                    bad.append(Quarantined(path=entry.path, code=verdict.code, reason=verdict.reason, sha256=sha256))
                else:
                    flags = sorted({*verdict.facts.flags, *mismatch_flags(entry.path, verdict.facts.format)})
                    good.append(Scanned(entry, sha256, replace(verdict.facts, flags=tuple(flags))))
            stage.advance(len(results))
    if memory_path is not None and verdicts != remembered:
        make_directory(memory_path.parent)
        sweep_stray(memory_path.parent, LEFT_SECONDS)
        write_atomic(memory_path, to_sealed_json(ScanMemory(verdicts=verdicts)), writer="scan_memory")
    if shrunk_path is not None and found.keys() != shrunk.keys():
        write_fingerprints(shrunk_path, found)
    bad.sort(key=lambda item: item.path)
    _refuse_bad(bad, len(source.entries) + len(source.refused), 0.0 if on_bad == "fail" else most_bad)
    _refuse_small_classes(source, good, least_photos)
    rows = as_array([found[item.sha256] for item in good] if fingerprints else [])
    return Scan(source=source, good=tuple(good), quarantined=tuple(bad), rules=rules, fingerprints=rows)


_Result = tuple[Entry, str, Verdict, bytes]


@dataclass(frozen=True)
class _Examine:
    """What a thread does to a few files."""

    root: Path
    rules: ImageRules
    remembered: Mapping[str, Verdict]
    shrunk: Mapping[str, bytes] | None  # remembered fingerprints; None where none are wanted

    def __call__(self, entries: Sequence[Entry]) -> list[_Result]:
        return [self._one(entry) for entry in entries]

    def _one(self, entry: Entry) -> _Result:
        sha256 = ""
        try:
            data = read_bytes(self.root / entry.path, rules=self.rules, root=self.root)
            sha256 = sha256_bytes(data)
            return entry, sha256, *self._verdict(data, sha256)
        except ImageRefused as refusal:
            return entry, sha256, Verdict(code=refusal.code, reason=str(refusal)), b""

    def _verdict(self, data: bytes, sha256: str) -> tuple[Verdict, bytes]:
        """What is remembered of a content, or what decoding it shows; with its fingerprint where one is wanted."""
        known = self.remembered.get(sha256)
        if self.shrunk is None:
            return known or Verdict(facts=check(data, rules=self.rules)), b""
        small = self.shrunk.get(sha256, b"")
        if known and (small or not known.facts):
            return known, small
        facts, pixels = check_and_shrink(data, rules=self.rules, side_pixels=SIDE)
        return Verdict(facts=facts), fingerprint(pixels)


def _in_threads(examine: _Examine, entries: Sequence[Entry], workers: int) -> Iterator[list[_Result]]:
    """Results in the order of `entries`, a chunk at a time."""
    pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="graft-scan")
    try:
        starts = range(0, len(entries), CHUNK_FILES)
        yield from pool.map(examine, (entries[start : start + CHUNK_FILES] for start in starts))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _memory_path(source: Source, rules: ImageRules, cache: Path | None) -> Path | None:
    if cache is None:
        return None
    key = sha256_json({"root": str(source.root), "decoder": decoder_identity(rules), "rules": to_value(rules)})
    return cache / "scans" / f"{key[:32]}.json"


def _read_memory(path: Path | None) -> Mapping[str, Verdict]:
    """Earlier verdicts; none where there are none or where they do not read: then they are found anew and rewritten."""
    if path is None or not path.is_file():
        return {}
    try:
        found = from_sealed_json(ScanMemory, path.read_bytes(), source=str(path)).verdicts
    except (IntegrityProblem, OSError):
        return {}
    mark_used(path)
    return found


def _refuse_bad(bad: Sequence[Quarantined], total: int, most_bad: float) -> None:
    if len(bad) <= most_bad * total:
        return
    counts = ", ".join(f"{count} {code}" for code, count in Counter(item.code for item in bad).most_common())
    first = " ".join(f"{item.path!r}: {item.reason}" for item in bad[:NAMED_IN_MESSAGE])
    more = f" And {len(bad) - NAMED_IN_MESSAGE} more." if len(bad) > NAMED_IN_MESSAGE else ""
    allowed = f"at most {most_bad:.0%} may be bad" if most_bad else "none may be bad"
    raise BadInput(
        f"{len(bad)} of {total} files cannot be used ({counts}), but {allowed}. {first}{more}",
        hint=f"{remedy({item.code for item in bad})}.",
        code="too_many_bad",
    )


def _refuse_small_classes(source: Source, good: Sequence[Scanned], least: int) -> None:
    counts = Counter(item.entry.label for item in good)
    small = [f"{name!r} has {counts[name]}" for name in source.classes if counts[name] < least]
    if small:
        raise BadInput(
            f"Every class must have at least {least} good photo{'s' if least > 1 else ''}, but {', '.join(small[:5])}.",
            hint="Add photos to the class or remove its folder.",
            code="class_empty",
        )
