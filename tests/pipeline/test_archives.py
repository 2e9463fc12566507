"""DATA as a zip or tar, along the whole path: a run from an archive is the run from its folder."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from graft.cli.main import main
from graft.core import machine
from graft.core.errors import BadInput
from graft.core.hashing import sha256_file
from graft.core.progress import SilentProgress
from graft.pipeline.evaluate import evaluate
from graft.pipeline.report import rebuild_report
from graft.pipeline.run import Made, Run
from graft.pipeline.train import TrainResult, train
from tests.pipeline.conftest import options

PROGRESS = SilentProgress()


@pytest.fixture(scope="module")
def archive(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "photos.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for each in sorted(photos.rglob("*")):
            packed.write(each, "photos/" + each.relative_to(photos).as_posix())
    return path


@pytest.fixture(scope="module")
def trained(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    return train(options(archive, tmp_path_factory.mktemp("runs") / "run"), progress=PROGRESS)


def test_the_run_is_that_of_the_folder(trained: TrainResult, finished: TrainResult, archive: Path) -> None:
    assert sha256_file(trained.bundle) == sha256_file(finished.bundle)
    for name in ("manifest.json", "plan.json", "evaluation.json"):
        assert (trained.run / name).read_bytes() == (finished.run / name).read_bytes()
    made = Run.open(trained.run).read(Made)
    assert (Path(made.data), made.archive_sha256) == (archive, sha256_file(archive))


def test_the_default_run_is_named_after_the_archive(archive, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(archive, "pictures.zip")
    words = ["--backbone", "sprout", "--image-size", "64", "--precision", "float32", "--quiet"]
    assert main(["train", "pictures.zip", *words]) == 0
    assert (tmp_path / "pictures-run" / "classifier.graft").is_file()
    page = (tmp_path / "pictures-run" / "report.html").read_text(encoding="utf-8")
    assert "pictures" in page and "archives" not in page


@pytest.mark.parametrize("names", [[], ["notes.txt"], ["top/notes.txt"]])
def test_an_archive_without_photos_is_called_by_its_name(names, tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "holiday.zip", "w") as packed:
        for name in names:
            packed.writestr(name, "text")
    assert main(["inspect", str(tmp_path / "holiday.zip")]) == 2
    told = capsys.readouterr().err
    assert "one folder a class, got none in 'holiday.zip'." in told or "must hold photos, got none." in told
    assert "'archive'" not in told and "'top'" not in told


@pytest.mark.parametrize("limit", [[], ["--max-megabytes", "0.001"]])
@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_photos_in_an_archive_are_not_predicted_but_told_how(kind, limit, photos, trained, tmp_path, capsys):
    packed = shutil.make_archive(str(tmp_path / "photos"), kind, photos)
    main(["predict", str(trained.run), packed, "--json", *limit])
    (told,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert told["error"]["code"] == "not_an_image" and "Convert" not in told["error"]["message"]
    assert "got an archive. Unpack it and give the folder" in told["error"]["message"]


def test_inspect_takes_an_archive(archive, photos, capsys):
    told = []
    for data in (archive, photos):
        assert main(["inspect", str(data), "--json"]) == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]


def test_the_runs_own_photos_are_unpacked_again_when_the_cache_was_cleared(trained, finished):
    expected = evaluate(finished.run, None, progress=PROGRESS)
    assert evaluate(trained.run, None, progress=PROGRESS) == expected
    shutil.rmtree(machine.cache_directory() / "archives")
    assert evaluate(trained.run, None, progress=PROGRESS) == expected
    assert rebuild_report(trained.run, progress=PROGRESS).page.is_file()


def test_an_archive_that_went_or_changed_is_told(trained, archive):
    kept = archive.read_bytes()
    shutil.rmtree(machine.cache_directory() / "archives", ignore_errors=True)
    try:
        archive.unlink()
        with pytest.raises(BadInput, match="but it is not there"):
            evaluate(trained.run, None, progress=PROGRESS)
        with zipfile.ZipFile(archive, "w") as other:
            other.writestr("checks/1.png", b"x")
        with pytest.raises(BadInput, match="but it holds something else now"):
            evaluate(trained.run, None, progress=PROGRESS)
    finally:
        archive.write_bytes(kept)


def test_another_archive_is_measured(trained, finished, archive, photos):
    from_archive = evaluate(finished.run, archive, progress=PROGRESS)
    assert from_archive == evaluate(finished.run, photos, progress=PROGRESS)
    assert from_archive.n == 60


def test_a_refused_archive_begins_no_run(tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as packed:
        packed.writestr("../evil.png", b"x")
    with pytest.raises(BadInput) as caught:
        train(options(tmp_path / "photos.zip", tmp_path / "run"), progress=PROGRESS)
    assert caught.value.code == "archive_unsafe" and not (tmp_path / "run").exists()
