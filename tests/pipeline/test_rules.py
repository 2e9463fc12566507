"""Limits and the white level as settings: chosen once, followed by the plan, the bundle and everything after them."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import graft
from graft.backbones.catalogue import find
from graft.bundle.bundle import Bundle
from graft.bundle.records import BundleManifest, Failure, Prediction
from graft.cli.main import main
from graft.core.errors import BadInput, ImageRefused
from graft.core.progress import SilentProgress
from graft.core.records import from_json, to_json
from graft.data.images import check, encode_png
from graft.data.limits import check_bytes, check_size, chosen_rules
from graft.data.records import MOST_PIXELS, ImageRules, Manifest
from graft.pipeline import classify, rank, timing
from graft.pipeline.estimator import ImageClassifier
from graft.pipeline.evaluate import evaluate
from graft.pipeline.inspect import inspect
from graft.pipeline.predict import predict
from graft.pipeline.run import Made, Run
from graft.pipeline.train import TrainResult, train
from graft.training.records import Plan
from tests.hostile.image_kinds import deep_png
from tests.pipeline.conftest import options, write_photos

PROGRESS = SilentProgress()
LARGE = ImageRules(max_bytes=2_000_000, max_pixels=10_000, min_side_pixels=4, sixteen_bit_white=4_095)
CHOSEN = {"max_megabytes": 2, "max_megapixels": 0.01, "min_side": 4, "white": 4_095}


def deep_photo(label: int, number: int) -> bytes:
    """Twelve bits in sixteen: one class dark, one light, by samples that only the right white level tells apart."""
    draw = np.random.default_rng([label, number])
    return deep_png(draw.integers(1_000 + 1_500 * label, 2_400 + 1_500 * label, (64, 64, 1), dtype=np.uint16), 0)


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deep")
    for label, name in enumerate(("dark", "light")):
        (folder / name).mkdir()
        for number in range(12):
            (folder / name / f"{number:02}.png").write_bytes(deep_photo(label, number))
    (folder / "dark" / "large.png").write_bytes(encode_png(np.full((90, 120, 3), 40, np.uint8)))
    return folder


@pytest.fixture(scope="module")
def run(deep: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    return train(options(deep, tmp_path_factory.mktemp("runs") / "run", **CHOSEN), progress=PROGRESS)


def test_what_was_chosen_is_in_every_record(run: TrainResult) -> None:
    manifest = Run.open(run.run).read(Manifest)
    assert [item.code for item in manifest.quarantined] == ["too_many_pixels"]
    assert manifest.rules == Run.open(run.run).read(Plan).rules == LARGE
    with Bundle.load(run.bundle) as bundle:
        assert bundle.rules == bundle.manifest.rules == LARGE
    with Bundle.load(run.bundle, rules=ImageRules()) as bundle:
        assert bundle.rules == ImageRules()


def test_prediction_reads_as_the_training_did(run: TrainResult, tmp_path: Path) -> None:
    with Bundle.load(run.bundle) as bundle:
        answers = bundle.predict([deep_photo(label, 100) for label in (0, 1)])
        assert [answer.label for answer in answers if isinstance(answer, Prediction)] == ["dark", "light"]
        right = bundle.predict_bytes(deep_photo(1, 100)).probability
    with Bundle.load(run.bundle, rules=ImageRules()) as nearly_black:  # sabotage: as if the bundle had no rules
        wrong = nearly_black.predict_bytes(deep_photo(1, 100))
    assert abs(wrong.probability - right) > 0.01 or wrong.label != "light"


def test_prediction_may_allow_more_and_says_how(run: TrainResult, deep: Path) -> None:
    large = str(deep / "dark" / "large.png")
    (refused,) = predict(run.bundle, [large], top=1, progress=PROGRESS)
    assert isinstance(refused, Failure)
    assert refused.code == "too_many_pixels"
    assert "--max-megapixels 1" in refused.message
    (answer,) = predict(run.bundle, [large], top=1, max_megapixels=1, progress=PROGRESS)
    assert isinstance(answer, Prediction)
    assert main(["predict", str(run.run), large, "--max-megapixels", "1", "--quiet"]) == 0
    with pytest.raises(BadInput, match="less than or equal to 178000000"):
        list(predict(run.bundle, [large], top=1, max_megapixels=500, progress=PROGRESS))


def test_evaluation_of_other_data_follows_the_bundle(run: TrainResult, deep: Path) -> None:
    assert evaluate(run.run, deep, progress=PROGRESS).n_quarantined == 1
    assert evaluate(run.run, deep, max_megapixels=1, progress=PROGRESS).n_quarantined == 0


def test_a_run_that_is_followed_keeps_its_rules(run: TrainResult, deep: Path, tmp_path: Path) -> None:
    again = train(options(deep, tmp_path / "again", config=str(run.run)), progress=PROGRESS)
    assert again.bundle.read_bytes() == run.bundle.read_bytes()
    with pytest.raises(BadInput, match="must be followed, but"):
        train(options(deep, tmp_path / "other", config=str(run.run), white=1_023), progress=PROGRESS)


def test_bundles_without_rules_have_the_usual_ones(run: TrainResult) -> None:
    with Bundle.load(run.bundle) as bundle:
        value = json.loads(to_json(bundle.manifest))
    del value["rules"]
    assert from_json(BundleManifest, json.dumps(value).encode(), source="").rules == ImageRules()


def test_inspect_and_train_name_the_option_to_type(deep: Path, tmp_path: Path, capsys) -> None:
    assert main(["inspect", str(deep)]) == 0
    told = capsys.readouterr()
    assert "add --white 4095 to graft inspect and graft train" in told.out.replace("Add", "add")
    assert main(["inspect", str(deep), "--white", "4095", "--max-megapixels", "0.01"]) == 0
    told = capsys.readouterr()
    assert "--white 4095 to graft" not in told.out
    assert "too_many_pixels" in told.out
    assert f"graft train {deep} --max-megapixels 0.01 --white 4095" in told.out  # the next command keeps what was typed
    said: list[str] = []

    class Saying(SilentProgress):
        def say(self, text: str) -> None:
            said.append(text)

    train(options(deep, tmp_path / "run"), progress=Saying())
    assert any("--white 4095" in text for text in said)
    assert Run.open(tmp_path / "run").read(Made).n_reused == 0  # what another white level gave is another value


@pytest.mark.parametrize("labels", [[], ["--no-labels"]])
def test_features_follow_the_rules_and_name_the_option_to_type(
    deep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], labels: list[str]
) -> None:
    words = ["features", str(deep), "--backbone", "sprout", "--image-size", "64", "--precision", "float32", *labels]
    assert main([*words, "-o", str(tmp_path / "a.npz"), "--json"]) == 0
    told = capsys.readouterr()
    assert told.err.count("Mind: ") == 1
    assert "Add --white 4095 to graft features." in told.err
    assert json.loads(told.out)["quarantined"] == []
    typed = ["--white", "4095", "--max-megapixels", "0.01"]
    assert main([*words, *typed, "-o", str(tmp_path / "b.npz"), "--json"]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert [item["code"] for item in json.loads(told.out)["quarantined"]] == ["too_many_pixels"]
    with np.load(tmp_path / "a.npz") as dark, np.load(tmp_path / "b.npz") as right:
        places = [dark["paths"].tolist().index(path) for path in right["paths"]]
        assert np.abs(dark["features"][places] - right["features"]).max() > 0.1
        assert json.loads(right["about"].item())["sixteen_bit_white"] == 4_095
    again = [*words, "--max-megapixels", "0.01", "-o", str(tmp_path / "b.npz")]
    assert main(again) == 2  # read otherwise, the features are others: the file is left alone
    assert "hold the same features" in capsys.readouterr().err


def test_classify_follows_the_rules_and_names_the_option_to_type(
    deep: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The network is replaced by one that answers the brightness of what it is given."""
    weights = SimpleNamespace(sha256="0" * 64, top=SimpleNamespace(sha256="1" * 64))
    monkeypatch.setattr(classify, "resolve_with_top", lambda *_: (find("mobilenet_v2_1.0"), weights))

    def brightness(_: object, pixels: np.ndarray) -> np.ndarray:
        chances = np.zeros((len(pixels), 1_000), np.float32)
        chances[:, 0] = pixels.mean(axis=(1, 2, 3)) / 255
        return chances

    monkeypatch.setattr(classify._Network, "_probabilities", brightness)
    photos = [str(deep / "light"), str(deep / "dark" / "large.png")]
    assert main(["classify", *photos, "--json", "--top", "1"]) == 0
    told = capsys.readouterr()
    assert told.err.count("Mind: 12 photos") == 0 and told.err.count("Mind: All 12 photos") == 1
    assert "Add --white 4095 to graft classify." in told.err
    dark = [json.loads(line)["top"][0]["probability"] for line in told.out.splitlines()]
    assert main(["classify", *photos, "--json", "--top", "1", "--white", "4095", "--max-megapixels", "0.01"]) == 2
    told = capsys.readouterr()
    assert "Mind" not in told.err
    *answers, refused = map(json.loads, told.out.splitlines())
    assert refused["error"]["code"] == "too_many_pixels"
    right = [answer["top"][0]["probability"] for answer in answers]
    assert max(dark[:12]) < 0.1 < 0.5 < min(right)


def test_a_ranking_with_a_white_level_serves_a_training_with_it(
    deep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))  # no weights of other tests
    monkeypatch.setattr(timing, "PASS_SECONDS", 1e-9)  # one pass, one round: no test asks how fast
    monkeypatch.setattr(timing, "ROUNDS", 1)
    words = ["backbones", "rank", str(deep), "--image-size", "64"]
    assert main([*words, "--backbones", "sprout", "--duplicates", "exact"]) == 0
    told = capsys.readouterr()
    assert told.err.count("Mind: ") == 1
    assert "Add --white 4095 to graft backbones rank and graft train." in told.err
    assert main([*words, "--white", "4095"]) == 0
    told = capsys.readouterr()
    assert "Mind" not in told.err
    assert f"graft train {deep} --backbone sprout --image-size 64 --white 4095" in told.out
    for white, served in ((4_095, True), (16_383, False)):
        chosen = options(deep, tmp_path / str(white), backbone="auto", white=white)
        reason = Run.open(train(chosen, progress=PROGRESS).run).read(Plan).backbone_reason
        assert ("graft backbones rank recommends it" in reason) == served


def test_a_ranking_keeps_the_splits_of_an_earlier_run(
    deep: Path, run: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Manifest | None, str]] = []

    def read(*arguments: object, **settings: Any) -> Any:
        asked.append((settings["split_from"], settings["duplicates"]))
        raise BadInput("enough", code="no_photos")

    monkeypatch.setattr(rank, "read_data", read)
    words = ["backbones", "rank", str(deep), "--split-from", str(run.run), "--duplicates", "exact"]
    assert main(words) == 2
    assert asked == [(Run.open(run.run).read(Manifest), "exact")]


def test_python_can_keep_earlier_splits(deep: Path, run: TrainResult, tmp_path: Path) -> None:
    settings = {"backbone": "sprout", "image_size": 64, "quiet": True, "seed": 9, **CHOSEN}
    again = graft.train(deep, output=tmp_path / "a", split_from=run.run, duplicates="exact", **settings)
    found, earlier = Run.open(again.run).read(Manifest), Run.open(run.run).read(Manifest)
    assert [photo.split for photo in found.photos] == [photo.split for photo in earlier.photos]
    assert (found.duplicates, earlier.duplicates) == ("exact", "near")
    with pytest.raises(BadInput, match="'duplicates' is not valid"):
        graft.train(deep, output=tmp_path / "b", duplicates="some")  # type: ignore[arg-type]


def test_python_has_the_same_settings(deep: Path, tmp_path: Path) -> None:
    result = graft.train(deep, output=tmp_path / "run", backbone="sprout", image_size=64, quiet=True, **CHOSEN)
    assert Run.open(result.run).read(Manifest).rules == LARGE
    with pytest.raises(BadInput, match="'white' is not valid"):
        graft.train(deep, output=tmp_path / "bad", white=3)


def test_the_estimator_refuses_and_reads_by_its_settings(deep: Path) -> None:
    paths = sorted((deep / "dark").glob("[0-9]*.png")) + sorted((deep / "light").glob("*.png"))
    labels = [path.parent.name for path in paths]
    model = ImageClassifier("sprout", image_size=64, precision="float32", **CHOSEN).fit(paths, labels)
    assert model.score(paths, labels) == 1
    with pytest.raises(ImageRefused) as caught:
        model.predict([deep / "dark" / "large.png"])
    assert caught.value.code == "too_many_pixels"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--max-megapixels", "500"], "--max-megapixels must be a number from 0.001 to 178, got '500'."),
        (["--max-megabytes", "much"], "--max-megabytes must be a number from 0.001 to 2000, got 'much'."),
        (["--max-megapixels", "nan"], "--max-megapixels must be a number from 0.001 to 178, got 'nan'."),
        (["--white", "100"], "--white must be a whole number from 255 to 65535, got '100'."),
        (["--min-side", "0"], "--min-side must be a whole number from 1 to 2048, got '0'."),
    ],
)
def test_settings_that_cannot_be(words: list[str], problem: str, capsys) -> None:
    for command in ("train", "inspect", "features", "classify", "backbones rank"):
        assert main([*command.split(), ".", *words]) == 2
        assert problem in capsys.readouterr().err


@pytest.mark.parametrize(
    ("count", "hint"),
    [
        (50_000_001, "--max-megapixels 60"),
        (53_493_620, "--max-megapixels 60"),
        (60_000_000, "--max-megapixels 60"),
        (171_000_000, "--max-megapixels 178"),
        (MOST_PIXELS + 1, "allows up to 178"),
    ],
)
def test_the_hint_allows_what_was_refused(count: int, hint: str) -> None:
    with pytest.raises(ImageRefused, match=hint) as caught:
        check_size(count, 1, ImageRules(min_side_pixels=1))
    if "up to" not in hint:
        allowed = float(caught.value.hint.rstrip(".").rpartition(" ")[2])
        check_size(count, 1, chosen_rules(ImageRules(min_side_pixels=1), max_megapixels=allowed))


def test_the_hints_of_the_other_limits() -> None:
    with pytest.raises(
        ImageRefused, match=r"at most 25 megabytes, got 25\.1\. Make it smaller, or allow it: --max-megabytes 30\."
    ):
        check_bytes(25_000_001, ImageRules())
    with pytest.raises(ImageRefused, match="allow it: --min-side 5"):
        check_size(5, 90, ImageRules())


def test_inspect_shows_what_a_training_refuses(tmp_path: Path) -> None:
    write_photos(tmp_path, 4, ("checks", "plain"))
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "broken.jpg").write_bytes(b"no photo")
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "only.png").write_bytes((tmp_path / "plain" / "000.png").read_bytes() + b"\0")
    inspection = inspect(tmp_path, progress=PROGRESS)
    assert {item.name: item.train + item.validation + item.test for item in inspection.classes} == {
        "checks": 4,
        "none": 0,
        "one": 1,
        "plain": 4,
    }
    assert "'none' has none, 'one' has 1" in " ".join(inspection.notes)
    with pytest.raises(BadInput) as caught:
        train(options(tmp_path, tmp_path / "run"), progress=PROGRESS)
    assert caught.value.code in ("class_empty", "too_many_bad")


def test_inspect_survives_data_without_one_good_photo(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "broken.jpg").write_bytes(b"no photo")
    inspection = inspect(tmp_path, progress=PROGRESS)
    assert (inspection.n, len(inspection.quarantined)) == (0, 2)


def test_given_splits_without_training_photos_of_a_class_are_shown(tmp_path: Path) -> None:
    write_photos(tmp_path / "train", 4, ("checks", "plain"))
    write_photos(tmp_path / "test", 2)
    assert [item.train for item in inspect(tmp_path, progress=PROGRESS).classes] == [3, 3, 0]  # one is for validation


@pytest.mark.slow
def test_a_real_photo_above_the_limit(shared: Path) -> None:
    path = shared / "data" / "santa" / "santa" / "00000343.jpg"
    data = path.read_bytes()
    with pytest.raises(ImageRefused, match="--max-megapixels 60"):
        check(data, rules=ImageRules())
    facts = check(data, rules=chosen_rules(ImageRules(), max_megapixels=60), name=path.name)
    assert (facts.mode, facts.width * facts.height, facts.flags) == ("RGBA", 53_493_620, ("extension_mismatch",))
