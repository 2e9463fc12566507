"""Backbones ranked on generated photos: the built-in one and a MobileNet with random weights."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graft.backbones.weights import import_weights, imported
from graft.core.errors import BadInput, IntegrityProblem
from graft.core.progress import SilentProgress
from graft.core.records import from_json, to_json
from graft.evaluation.ranking import Ranking
from graft.pipeline import rank as module
from graft.pipeline import rank_report, timing
from graft.pipeline.options import TrainOptions
from graft.pipeline.places import RANKING, check_place
from graft.pipeline.rank import rank
from graft.pipeline.run import Made, Run
from graft.pipeline.train import train
from tests.backbones.helpers import network, write_keras3
from tests.pipeline.conftest import draw_photo, write_photos

SMALL = "mobilenet_0.25"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache of this module's own, with the weights of a MobileNet imported: other tests see none of it."""
    folder = tmp_path_factory.mktemp("rank") / "cache"
    before = os.environ["GRAFT_CACHE"]
    os.environ["GRAFT_CACHE"] = str(folder)
    import_weights(write_keras3(folder.parent / "small.weights.h5", network(SMALL)), (SMALL,), folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "PASS_SECONDS", 1e-9)  # one pass, one round: no test asks how fast
        patch.setattr(timing, "ROUNDS", 1)
        yield folder
    os.environ["GRAFT_CACHE"] = before


@pytest.fixture(scope="module")
def data(cache):
    return write_photos(cache.parent / "photos", per_class=20)


def options(data: Path, **changes: object) -> TrainOptions:
    values = {"data": str(data), "image_size": 64, "precision": "float32"}
    return TrainOptions(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def ranking(data):
    return rank(options(data), progress=SilentProgress())


def test_both_are_measured_on_the_same_photos(ranking):
    assert {each.backbone for each in ranking.entries} == {"sprout", SMALL}
    assert (ranking.n, ranking.n_validation, ranking.n_kept_back, ranking.kept_back) == (51, 9, 9, "test")
    best, other = ranking.entries
    assert best.against_best is None and other.against_best.n == ranking.n
    assert best.accuracy.value >= other.accuracy.value and other.accuracy.value == other.against_best.accuracy_second
    assert best.weights_sha256 == ranking.best and all(each.photos_per_second > 0 for each in ranking.entries)
    assert ranking.folds == 5 and all(len(each.taps) == 5 for each in ranking.entries)
    assert from_json(Ranking, to_json(ranking), source="here") == ranking


def test_a_second_ranking_computes_nothing_and_says_the_same(ranking, data):
    again = rank(options(data), progress=SilentProgress())
    assert {each.n_computed for each in again.entries} == {0}
    assert [each.accuracy for each in again.entries] == [each.accuracy for each in ranking.entries]
    assert again.data_key == ranking.data_key and again.manifest_hash == ranking.manifest_hash


def test_a_training_reuses_what_the_ranking_computed_and_the_other_way_round(ranking, data, tmp_path):
    result = train(options(data, output=str(tmp_path / "run"), backbone=SMALL), progress=SilentProgress())
    made = Run.open(result.run).read(Made)
    assert made.n_computed <= ranking.n_kept_back  # only test photos, which the ranking did not read
    draw_photo("plain", 777).save(data / "plain" / "more.png")
    try:
        other = train(options(data, output=str(tmp_path / "other"), backbone=SMALL), progress=SilentProgress())
        assert Run.open(other.run).read(Made).n_computed == 1
        after = rank(options(data), backbones=[SMALL], progress=SilentProgress())
        assert after.entries[0].n_computed == 0
    finally:
        (data / "plain" / "more.png").unlink()


def test_the_size_is_about_that_of_the_file(ranking, data, tmp_path):
    entry = next(each for each in ranking.entries if each.backbone == "sprout")
    result = train(options(data, output=str(tmp_path / "run"), backbone="sprout"), progress=SilentProgress())
    assert entry.classifier_bytes == pytest.approx(result.bundle.stat().st_size, rel=0.05)


def test_test_photos_are_neither_read_nor_known(ranking, data, monkeypatch):
    """Other labels for all test photos, and files that vanish once scanned: the ranking is the same."""
    asked = []
    genuine = module.extract
    monkeypatch.setattr(
        module, "extract", lambda root, photos, *a, **k: asked.extend(photos) or genuine(root, photos, *a, **k)
    )
    relabelled = module.read_data

    def read_data(*arguments, **settings):
        intake = relabelled(*arguments, **settings)
        photos = tuple(
            replace(photo, label=(photo.label + 1) % 3, path="gone.png") if photo.split == "test" else photo
            for photo in intake.manifest.photos
        )
        return replace(intake, manifest=replace(intake.manifest, photos=photos))

    monkeypatch.setattr(module, "read_data", read_data)
    again = rank(options(data), progress=SilentProgress())
    assert [each.accuracy for each in again.entries] == [each.accuracy for each in ranking.entries]
    assert asked and all(photo.split != "test" for photo in asked)


def test_sabotage_a_pool_with_test_photos_is_refused(ranking, data, monkeypatch):
    monkeypatch.setattr(module, "pool_of", lambda manifest: list(manifest.photos))
    with pytest.raises(IntegrityProblem) as caught:
        rank(options(data), progress=SilentProgress())
    assert caught.value.code == "split_leak"


def test_sabotage_a_backbone_whose_features_are_shuffled_is_shown_to_be_worse(ranking, data, monkeypatch):
    genuine = module.extract

    def shuffled(root, photos, program, *arguments, **settings):
        found = genuine(root, photos, program, *arguments, **settings)
        if program.backbone != SMALL:
            return found
        order = np.random.default_rng(0).permutation(len(photos))
        return replace(found, values={name: array[order] for name, array in found.values.items()})

    monkeypatch.setattr(module, "extract", shuffled)
    found = rank(options(data), progress=SilentProgress())
    assert found.entries[-1].backbone == SMALL and found.entries[-1].accuracy.value < 0.6
    assert found.entries[-1].against_best.verdict == "worse"
    assert found.entry(found.recommended).backbone == "sprout"


def test_validation_photos_that_will_measure_the_classifier_are_kept_back(cache, tmp_path):
    for split, per_class in (("train", 10), ("valid", 4)):
        write_photos(tmp_path / "photos" / split, per_class=per_class)
    for path in (tmp_path / "photos" / "valid").rglob("*.png"):
        draw_photo(path.parent.name, 300 + int(path.stem)).save(path)
    found = rank(options(tmp_path / "photos"), backbones=["sprout"], progress=SilentProgress())
    assert (found.n, found.n_validation, found.n_kept_back, found.kept_back) == (30, 0, 12, "validation")


def test_copies_share_a_fold(cache, tmp_path):
    data = write_photos(tmp_path / "photos", per_class=10)
    for number in range(10):
        draw_photo("plain", number).save(data / "plain" / f"copy-{number}.png")
    seen = {}
    genuine = module.cross_fit

    def watched(table, labels, rows, folds, **settings):
        seen.update(folds=folds, groups=rows.groups)
        return genuine(table, labels, rows, folds, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "cross_fit", watched)
        rank(options(data), backbones=["sprout"], progress=SilentProgress())
    shared = [set(seen["folds"][seen["groups"] == group].tolist()) for group in np.unique(seen["groups"])]
    assert len(shared) < len(seen["groups"]) and all(len(folds) == 1 for folds in shared)


def test_one_with_damaged_weights_is_listed_and_the_rest_go_on(cache, data, monkeypatch):
    ((record, weights),) = imported(cache)
    damaged = cache.parent / "damaged.safetensors"
    content = bytearray(weights.path.read_bytes())
    content[-5] ^= 1
    damaged.write_bytes(content)
    monkeypatch.setattr(module, "all_here", lambda cache: ((record, replace(weights, path=damaged)),))
    found = rank(options(data), progress=SilentProgress())
    assert [each.backbone for each in found.entries] == ["sprout"]
    assert [(each.backbone, each.code) for each in found.not_ranked] == [(SMALL, "hash_mismatch")]


def test_a_size_that_is_too_small_for_one_is_its_reason(cache, data):
    found = rank(options(data, image_size=40), progress=SilentProgress())
    assert [each.backbone for each in found.entries] == [SMALL]
    assert "must be at least 48" in found.not_ranked[0].reason


def test_where_none_can_be_measured_the_reason_is_the_error(cache, data):
    with pytest.raises(BadInput, match=r"sprout: .* at least 48"):
        rank(options(data, image_size=40), backbones=["sprout"], progress=SilentProgress())


def test_names_without_weights_are_listed_and_unknown_ones_refused(cache, data):
    found = rank(options(data), backbones=["sprout", "vgg16"], progress=SilentProgress())
    assert [(each.backbone, each.code) for each in found.not_ranked] == [("vgg16", "weights_missing")]
    with pytest.raises(BadInput, match="must be one of the catalogue's"):
        rank(options(data), backbones=["spruot"], progress=SilentProgress())


def test_a_photo_that_changes_stops_it(cache, tmp_path, monkeypatch):
    data = write_photos(tmp_path / "photos", per_class=8)
    for number, path in enumerate(sorted(data.rglob("*.png"))):
        draw_photo(path.parent.name, 900 + number).save(path)
    genuine = module.read_data

    def read_then_change(*arguments, **settings):
        intake = genuine(*arguments, **settings)
        for path in data.rglob("*.png"):
            path.write_bytes(b"other")
        return intake

    monkeypatch.setattr(module, "read_data", read_then_change)
    with pytest.raises(IntegrityProblem) as caught:
        rank(options(data), progress=SilentProgress())
    assert caught.value.code == "changed_since_scan"


def test_the_page_and_the_next_command(ranking, data, tmp_path):
    page = rank_report.write_rank_page(tmp_path / "new" / "rank.html", ranking, options(data, command="graft x"))
    assert "backbones compared" in page.read_text(encoding="utf-8")
    take = ranking.entry(ranking.recommended).backbone
    command = rank_report.train_command(ranking, options(data, seed=3))
    assert command == f"graft train {data} --backbone {take} --image-size 64 --seed 3 --precision float32"
    value = json.loads(json.dumps(rank_report.ranking_value(ranking, page, command)))
    assert value["schema"] == "graft/ranking/1" and value["next"] == command and len(value["entries"]) == 2
    before = page.read_bytes()
    assert rank_report.write_rank_page(page, ranking, options(data, command="another")).read_bytes() != before
    (tmp_path / "mine.html").write_text("<html>my own page</html>", encoding="utf-8")
    for wrong in (tmp_path / "photo.jpg", tmp_path, tmp_path / "mine.html"):
        with pytest.raises(BadInput, match="The output must be"):
            check_place(wrong, RANKING)
