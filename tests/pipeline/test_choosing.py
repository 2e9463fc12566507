"""What `auto` stands for, and plans that stay with their network."""

from dataclasses import replace
from pathlib import Path

import pytest

from graft.backbones.catalogue import catalogue, find
from graft.backbones.weights import WeightsFile, builtin, import_weights
from graft.core.errors import BadInput
from graft.core.progress import SilentProgress
from graft.data.records import Manifest
from graft.pipeline import choosing
from graft.pipeline.choosing import choose_backbone, data_key, pool_of, remember, remembered_ranking
from graft.pipeline.options import TrainOptions
from graft.pipeline.run import Run
from graft.pipeline.train import train
from graft.training.records import Plan
from tests.backbones.helpers import network, write_keras3
from tests.pipeline.conftest import options
from tests.report.rankings import make_ranking

SMALL = "mobilenet_0.25"


def here(monkeypatch, *names: str) -> tuple[WeightsFile, ...]:
    """Pretend that weights of these networks were imported."""
    files = tuple(WeightsFile(Path(f"{number}.safetensors"), "", f"{number:064x}") for number in range(len(names)))
    pairs = tuple((find(name), file) for name, file in zip(names, files, strict=True))
    monkeypatch.setattr(choosing, "imported", lambda cache: pairs)
    return files


def ranking_of(**sha256: str):
    """A ranking whose first network is the most accurate and the fastest, so the one it recommends."""
    ranking = make_ranking({name: (0.97 - 0.1 * number, 100.0 - number) for number, name in enumerate(sha256)})
    entries = tuple(replace(each, weights_sha256=sha256[each.backbone]) for each in ranking.entries)
    return replace(ranking, entries=entries, best=entries[0].weights_sha256, recommended=entries[0].weights_sha256)


def test_with_nothing_imported_auto_is_the_built_in_one(monkeypatch):
    here(monkeypatch)
    chosen = choose_backbone("auto", None)
    assert chosen.record.name == "sprout" and "built in" in chosen.reason and "--weights" in chosen.reason


@pytest.mark.parametrize(
    ("names", "best"),
    [
        (["mobilenet_0.25"], "mobilenet_0.25"),
        (["mobilenet_0.25", "mobilenet_1.0"], "mobilenet_1.0"),
        (["mobilenet_1.0", "mobilenet_v2_1.0"], "mobilenet_v2_1.0"),
        (["mobilenet_0.25", "mobilenet_v2_1.0"], "mobilenet_v2_1.0"),
    ],
)
def test_auto_takes_the_most_promising_network_that_is_here(names, best, monkeypatch):
    here(monkeypatch, *names)
    chosen = choose_backbone("auto", None)
    assert chosen.record.name == best
    assert f"{chosen.record.imagenet_top1:.1%} on ImageNet" in chosen.reason


def test_every_published_network_is_rated_above_the_built_in_one():
    rated = [record for record in catalogue().values() if record.imagenet_top1 is not None]
    assert len(rated) > 8
    assert all(choosing._rating(record) > choosing.BUILTIN_RATING for record in rated)


def test_of_several_sets_of_weights_the_same_one_is_taken_and_it_is_said(monkeypatch):
    first, _ = here(monkeypatch, "mobilenet_1.0", "mobilenet_1.0")
    chosen = choose_backbone("auto", None)
    assert chosen.weights == first and "of its 2 sets of weights the first by hash" in chosen.reason


def test_a_ranking_of_the_same_photos_decides(monkeypatch):
    here(monkeypatch, "mobilenet_0.25", "mobilenet_1.0")
    ranking = ranking_of(**{"mobilenet_0.25": f"{0:064x}", "mobilenet_1.0": f"{1:064x}"})
    chosen = choose_backbone("auto", None, ranking=ranking)
    assert chosen.record.name == "mobilenet_0.25" and "graft backbones rank recommends it" in chosen.reason


def test_a_ranking_whose_recommendation_is_gone_does_not(monkeypatch):
    here(monkeypatch, "mobilenet_1.0")
    chosen = choose_backbone("auto", None, ranking=ranking_of(**{"mobilenet_0.25": "f" * 64}))
    assert chosen.record.name == "mobilenet_1.0"


def test_a_name_is_a_name_whatever_a_ranking_says(monkeypatch):
    here(monkeypatch, "mobilenet_1.0")
    ranking = ranking_of(**{"mobilenet_1.0": f"{0:064x}"})
    assert choose_backbone("sprout", None, ranking=ranking).record.name == "sprout"


def test_rankings_are_remembered_by_the_photos_that_they_read(finished, monkeypatch, tmp_path):
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path))
    manifest = Run.open(finished.run).read(Manifest)
    assert remembered_ranking(manifest, None) is None
    ranking = make_ranking({"sprout": (0.9, 10.0)}, data_key=data_key(manifest, None))
    remember(ranking)
    assert remembered_ranking(manifest, None) == ranking
    assert remembered_ranking(manifest, 96) is None  # at another size another one may be best
    moved = replace(manifest.photos[0], split="test" if manifest.photos[0].split != "test" else "train")
    other = replace(manifest, photos=(moved, *manifest.photos[1:]))
    assert remembered_ranking(other, None) is None  # photos it read would measure the classifier there
    (file,) = (tmp_path / "rankings").iterdir()
    for damaged in (file.read_bytes().replace(b"Sprout", b"Sproud"), b"{}"):
        file.write_bytes(damaged)
        assert remembered_ranking(manifest, None) is None


def test_photos_that_measure_the_classifier_are_no_part_of_the_pool(finished):
    manifest = Run.open(finished.run).read(Manifest)
    assert {photo.split for photo in pool_of(manifest)} == {"train", "validation"}
    photos = tuple(photo for photo in manifest.photos if photo.split != "test")
    assert {photo.split for photo in pool_of(replace(manifest, photos=photos))} == {"train"}


def test_a_plan_stays_with_its_weights_when_others_come(photos, monkeypatch, tmp_path):
    """The first run chose by itself; later two sets of weights for another network are imported."""
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    first = train(options(photos, tmp_path / "first", backbone="auto"), progress=SilentProgress())
    assert Run.open(first.run).read(Plan).backbone == "sprout"
    file = write_keras3(tmp_path / "small.weights.h5", network(SMALL))
    import_weights(file, (SMALL,), tmp_path / "cache")
    assert choose_backbone("auto", None).record.name == SMALL
    bare = TrainOptions(data=str(photos), output=str(tmp_path / "again"), config=str(first.run))
    again = train(bare, progress=SilentProgress())
    assert Run.open(again.run).read(Plan) == Run.open(first.run).read(Plan)
    with pytest.raises(BadInput, match="backbone is sprout there"):
        train(
            TrainOptions(data=str(photos), output=str(tmp_path / "other"), config=str(first.run), backbone=SMALL),
            progress=SilentProgress(),
        )


def test_a_plan_finds_its_own_among_several_sets_of_weights(monkeypatch, finished):
    _, second = here(monkeypatch, "mobilenet_1.0", "mobilenet_1.0")
    plan = replace(Run.open(finished.run).read(Plan), backbone="mobilenet_1.0", weights_sha256=second.sha256)
    assert choose_backbone("mobilenet_1.0", None, given=plan).weights == second
    with pytest.raises(BadInput, match="must be one set"):
        monkeypatch.setattr("graft.backbones.weights.imported", choosing.imported)
        choose_backbone("mobilenet_1.0", None)


def test_the_built_in_weights_are_found_by_a_plan(finished):
    plan = Run.open(finished.run).read(Plan)
    assert choose_backbone("sprout", None, given=plan).weights.sha256 == builtin("sprout", Path()).sha256


def test_the_report_says_why(finished):
    assert "asked for as sprout" in finished.report.read_text(encoding="utf-8")
    assert finished.summary["backbone_reason"] == "asked for as sprout"
