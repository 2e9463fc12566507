"""Fetching weights: from the pinned address into the cache, or nothing at all."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from graft.backbones import fetching
from graft.backbones.catalogue import catalogue, find
from graft.backbones.fetching import fetch, holds_top, pinned_url, published_source
from graft.backbones.networks import build
from graft.backbones.reading.conversion import convert
from graft.backbones.records import BackboneRecord
from graft.backbones.weights import imported
from graft.cli.main import main
from graft.core import download as downloads
from graft.core.errors import BadInput, IntegrityProblem, ResourceProblem
from graft.core.progress import SilentProgress
from tests.backbones.helpers import network, randomise, write_keras3
from tests.core.serving import Publisher, publishing

NAME = "mobilenet_0.25"
PROGRESS = SilentProgress()


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graft.backbones.weights.run_child", lambda _, job, **__: convert(job))
    monkeypatch.setattr(downloads, "PAUSE_SECONDS", 0.0)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("GRAFT_OFFLINE", raising=False)


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_keras3(tmp_path_factory.mktemp("w") / "w.weights.h5", network(NAME)).read_bytes()


@pytest.fixture
def publisher(content: bytes, monkeypatch: pytest.MonkeyPatch) -> Any:
    with publishing(Publisher(content)) as each:
        monkeypatch.setattr(fetching, "pinned_url", lambda source: each.url)
        yield each


def record(**hashes: str) -> BackboneRecord:
    """The network's record, with the hashes the publisher is made to state."""
    found = find(NAME)
    return replace(found, weights=tuple(replace(source, **hashes) for source in found.weights))


def kept(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock")


def test_weights_arrive_in_the_cache_and_the_raw_file_goes(publisher: Publisher, tmp_path: Path) -> None:
    publisher.cuts = [100_000]
    fetched = fetch(record(md5=publisher.md5), top=False, cache=tmp_path, progress=PROGRESS)
    assert fetched.checked == "md5" and fetched.source is not None and "no_top" in fetched.source.file
    assert [known.name for known, _ in imported(tmp_path)] == [NAME]
    assert kept(tmp_path) == [fetched.weights.path.name]
    asked = len(publisher.asked)
    again = fetch(record(), top=False, cache=tmp_path, progress=PROGRESS)
    assert again.source is None and again.weights == fetched.weights and len(publisher.asked) == asked
    assert fetch(record(), top=False, cache=tmp_path, progress=PROGRESS, again=True).checked == ""
    assert len(publisher.asked) == asked + 1


def test_the_top_is_fetched_beside_weights_that_are_here(publisher: Publisher, tmp_path: Path) -> None:
    fetch(record(), top=False, cache=tmp_path, progress=PROGRESS)
    whole = build(find(NAME), side_pixels=32, include_top=True)
    randomise(whole)
    publisher.content = write_keras3(tmp_path / "whole.weights.h5", whole).read_bytes()
    fetched = fetch(record(), top=True, cache=tmp_path, progress=PROGRESS)
    assert fetched.source is not None and holds_top(fetched.source) and fetched.weights.top is not None


@pytest.mark.parametrize("vice", ["hash", "page", "other network", "no top"])
def test_what_is_refused_leaves_the_cache_as_it_was(publisher: Publisher, tmp_path: Path, vice: str) -> None:
    hashes, top = {}, False
    if vice == "hash":
        hashes = {"md5": "0" * 32}
    elif vice == "page":
        publisher.content = b"<html>Sign in</html>"
    elif vice == "other network":
        publisher.content = write_keras3(tmp_path / "o.weights.h5", network("mobilenet_v2_0.35")).read_bytes()
    else:
        top = True
    cache = tmp_path / "cache"
    with pytest.raises(IntegrityProblem) as caught:
        fetch(record(**hashes), top=top, cache=cache, progress=PROGRESS)
    assert caught.value.code in ("hash_mismatch", "download_refused")
    assert imported(cache) == () or vice == "no top"  # sound weights without the top that was asked for may stay
    assert kept(cache) == [] or vice == "no top"


def test_a_failed_connection_says_which_file_to_bring(publisher: Publisher, tmp_path: Path) -> None:
    publisher.status = 503
    with pytest.raises(ResourceProblem) as caught:
        fetch(record(), top=False, cache=tmp_path, progress=PROGRESS)
    assert f"graft train DATA --backbone {NAME} --weights FILE" in caught.value.hint
    with pytest.raises(ResourceProblem) as caught:
        fetch(record(), top=True, cache=tmp_path, progress=PROGRESS)
    assert f"graft classify PHOTO --backbone {NAME} --weights FILE" in caught.value.hint


def test_offline_is_kept_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    monkeypatch.setenv("GRAFT_OFFLINE", "1")
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path))
    assert main(["backbones", "fetch", NAME, "--json"]) == 3
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["code"] == "no_download"
    assert find(NAME).weights[0].url in err


def test_the_command_tells_source_terms_and_check(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path))
    assert main(["backbones", "fetch", NAME]) == 0
    text = capsys.readouterr().out
    assert "states no hash" in text and find(NAME).weights[0].url in text and f"--backbone {NAME}" in text
    assert main(["backbones", "fetch", NAME, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["downloaded"] is False


def test_a_family_names_its_members_and_what_has_no_file_is_refused(tmp_path: Path, capsys: Any) -> None:
    assert main(["backbones", "fetch", "mobilenet"]) == 2
    assert "mobilenet_0.25, mobilenet_0.5" in capsys.readouterr().err
    assert main(["backbones", "fetch", "sprout", "--top"]) == 2
    assert "got none" in capsys.readouterr().err
    assert fetch(find("sprout"), top=False, cache=tmp_path, progress=PROGRESS).source is None


def test_every_published_file_is_at_an_encrypted_address_and_tells_whether_it_has_a_top() -> None:
    for each in catalogue().values():
        if each.name == "sprout" or not each.weights:
            continue
        assert all(pinned_url(source) == source.url for source in each.weights), each.name
        assert all(Path(source.file).name == source.file for source in each.weights), each.name
        assert not holds_top(published_source(each, False)) or len(each.weights) == 1, each.name
        if each.parameters_with_top is not None:
            assert holds_top(published_source(each, True)), each.name


def _limit(monkeypatch: pytest.MonkeyPatch, cache: Path, record: BackboneRecord) -> int:
    """How many bytes a fetch of this network takes at most."""
    asked: list[int] = []

    def downloaded(wanted: Any, *_: Any, **__: Any) -> str:
        asked.append(wanted.limit_bytes)
        raise ResourceProblem("Nobody is there.", code="no_download")

    monkeypatch.setattr(fetching, "download", downloaded)
    with pytest.raises(ResourceProblem, match="Nobody"):
        fetch(record, top=False, cache=cache, progress=PROGRESS)
    return asked[0]


def test_a_file_with_classifiers_that_training_used_is_not_too_large(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    published_bytes = round(49.731 * (1 << 20))  # as torchvision states it with the weights
    googlenet = find("googlenet")
    source = googlenet.weights[0]
    numbers = (googlenet.parameters_with_top or 0) + source.more_parameters
    assert 0 < published_bytes - 4 * numbers < 100_000  # names, shapes and counters
    assert _limit(monkeypatch, tmp_path, googlenet) > published_bytes
    forgotten = replace(googlenet, weights=(replace(source, more_parameters=0),))
    assert _limit(monkeypatch, tmp_path, forgotten) < published_bytes


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch")
def test_the_classifiers_that_training_used_are_counted_rightly() -> None:
    import torch

    from tests.backbones.reading.torch_networks import GoogLeNet

    with torch.device("meta"):
        state = GoogLeNet(classes=1000).state_dict()
    auxiliary = [each.numel() for name, each in state.items() if name.startswith("aux") and each.ndim]
    assert find("googlenet").weights[0].more_parameters == sum(auxiliary)


def test_an_open_address_is_not_opened() -> None:
    with pytest.raises(IntegrityProblem, match="must begin with https"):
        pinned_url(replace(find(NAME).weights[0], url="http://example.org/a.h5"))


def test_a_network_without_a_published_top_is_refused() -> None:
    only_without = replace(find(NAME), weights=find(NAME).weights[:1])
    with pytest.raises(BadInput, match="with its own classifier must be published"):
        published_source(only_without, True)
