"""A thousand files, each seen by the scan, by the training's loading and by a bundle: all three agree on every one."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from graft.bundle.bundle import Bundle
from graft.bundle.records import Failure
from graft.core.errors import ImageRefused
from graft.core.progress import SilentProgress
from graft.data.images import load_pixels, read_bytes
from graft.data.records import ImageRules, Photo
from graft.data.stream import stream_pixels
from graft.pipeline.train import train
from tests.data.folders import scanned
from tests.hostile.corpus import RULES, TABLE, VARIANTS, files
from tests.pipeline.conftest import options, write_photos

SIDE = 64
Outcome = tuple[str, tuple[str, ...]]


@dataclass(frozen=True)
class Corpus:
    root: Path
    expected: dict[str, Outcome]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    root = tmp_path_factory.mktemp("corpus")
    expected: dict[str, Outcome] = {}
    for label in ("a", "b"):
        (root / label).mkdir()
    for index, (name, row, data) in enumerate(files()):
        path = f"{'ab'[index % 2]}/{name}"
        (root / path).write_bytes(data)
        expected[path] = (row.code, row.flags)
    return Corpus(root, expected)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A real classifier, trained under the corpus' own rules, which it carries."""
    folder = tmp_path_factory.mktemp("bundle")
    photos = write_photos(folder / "photos", 8, ("checks", "plain"))
    limit = {"max_megabytes": RULES.max_bytes / 1_000_000}
    result = train(options(photos, folder / "run", image_size=SIDE, **limit), progress=SilentProgress())
    return Bundle.load(result.bundle)


def loaded(path: Path) -> str:
    """The outcome of what a training does with a file, by code."""
    try:
        load_pixels(read_bytes(path, rules=RULES), side_pixels=SIDE, geometry="squash", rules=RULES)
    except ImageRefused as refusal:
        return refusal.code
    return ""


def test_the_table_holds_forty_kinds_in_a_thousand_files(corpus: Corpus) -> None:
    assert (len(TABLE), VARIANTS, len(corpus.expected)) == (40, 25, 1_000)
    assert len({row.name for row in TABLE}) == 40
    by_code = Counter(row.code for row in TABLE)
    refusals = "not_an_image truncated corrupt format_not_allowed too_many_pixels too_small too_many_bytes"
    assert set(by_code) == {"", *refusals.split()}


def test_scan_training_and_prediction_agree_on_every_file(corpus: Corpus, bundle: Bundle) -> None:
    assert bundle.rules == RULES  # it was never told here: it carries the rules of its training
    result = scanned(corpus.root, rules=RULES, most_bad=1.0)
    found: dict[str, Outcome] = {item.entry.path: ("", item.facts.flags) for item in result.good}
    found |= {item.path: (item.code, ()) for item in result.quarantined}
    assert found == corpus.expected

    codes = {path: code for path, (code, _) in corpus.expected.items()}
    assert {path: loaded(corpus.root / path) for path in codes} == codes
    answers = bundle.predict_each(corpus.root / path for path in codes)
    told = [answer.code if isinstance(answer, Failure) else "" for answer in answers]
    assert dict(zip(codes, told, strict=True)) == codes

    photos = [
        Photo(path=item.entry.path, label=0, split="train", sha256=item.sha256, group="", facts=item.facts)
        for item in result.good
    ]
    batches = stream_pixels(
        corpus.root, photos, side_pixels=SIDE, geometry="crop", rules=RULES, batch_images=64, workers=2
    )
    assert sum(len(pixels) for _, pixels in batches) == list(codes.values()).count("")


def test_other_rules_would_be_noticed(corpus: Corpus, bundle: Bundle) -> None:
    """Sabotage: a bundle that decodes by other rules than the scan did disagrees."""
    other = Bundle.load(bundle.path, check=False, rules=ImageRules())
    large = [corpus.root / path for path, (code, _) in corpus.expected.items() if code == "too_many_bytes"][:3]
    assert not any(isinstance(answer, Failure) for answer in other.predict_each(large))
