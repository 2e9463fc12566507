"""`graft backbones rank`: what it passes on and what it says."""

import json
from pathlib import Path

import pytest

from graft.cli.main import main
from graft.data.records import ImageRules
from tests.report.rankings import make_ranking

RANKING = make_ranking({"large": (0.97, 50.0), "small": (0.965, 200.0)})


@pytest.fixture
def ranked(monkeypatch):
    """Notes what each ranking was asked for."""
    from graft.pipeline import rank as module

    seen = []
    monkeypatch.setattr(
        module, "rank", lambda options, *, backbones, progress, tell: seen.append((options, backbones)) or RANKING
    )
    return seen


def test_rank_tells_the_table_and_the_next_command(ranked, capsys):
    assert main(["backbones", "rank", "my photos"]) == 0
    text = capsys.readouterr().out
    assert "against the best" in text and "Take Small" in text
    assert "Next: graft train " in text and "--backbone small" in text
    ((options, backbones),) = ranked
    assert (options.data, options.image_size, options.seed, backbones) == ("my photos", None, 0, ())


def test_rank_passes_on_what_was_typed(ranked, capsys):
    words = ["--backbones", "sprout, mobilenet", "--image-size", "96", "--seed", "2", "--split", "80/10/10"]
    words += ["--split-from", "first", "--duplicates", "exact", "--white", "4095", "--max-megapixels", "60"]
    words += ["--max-megabytes", "30", "--min-side", "4"]
    assert main(["backbones", "rank", "photos", *words]) == 0
    ((options, backbones),) = ranked
    assert backbones == ("sprout", "mobilenet")
    assert (options.image_size, options.seed, options.split) == (96, 2, "80/10/10")
    assert (options.split_from, options.duplicates) == ("first", "exact")
    assert options.rules() == ImageRules(
        max_pixels=60_000_000, max_bytes=30_000_000, min_side_pixels=4, sixteen_bit_white=4_095
    )
    assert (
        "--image-size 96 --seed 2 --split 80/10/10 --split-from first --duplicates exact --max-megapixels 60 "
        "--max-megabytes 30 --min-side 4 --white 4095" in capsys.readouterr().out
    )


def test_rank_json_is_the_whole_ranking(ranked, capsys, tmp_path):
    page = tmp_path / "rank.html"
    assert main(["backbones", "rank", "photos", "--json", "-o", str(page)]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["schema"] == "graft/ranking/1" and value["page"] == str(page) and page.is_file()
    assert [each["backbone"] for each in value["entries"]] == ["large", "small"]
    assert value["entries"][1]["against_best"]["p_value"] <= 1
    assert value["next"] == "graft train photos --backbone small"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rank"], "rank must be followed by DATA, got none."),
        (["rank", "a", "b"], "rank must be followed by DATA, got 2 names."),
        (["rank", "photos", "-o", "page.txt"], "must be an HTML file"),
        (["rank", "photos", "--image-size", "2"], "--image-size must be a whole number of at least 8"),
        (["list", "--image-size", "96"], "--image-size belongs to graft backbones rank, got list."),
        (["list", "--white", "4095"], "--white belongs to graft backbones rank, got list."),
        (["list", "--split-from", "first"], "--split-from belongs to graft backbones rank, got list."),
        (["rank", "photos", "--top"], "--top belongs to graft backbones fetch, got rank."),
    ],
)
def test_refusals(words, message, ranked, capsys):
    assert main(["backbones", *words]) == 2
    assert message in capsys.readouterr().err
    assert ranked == [] and not Path("page.txt").exists()
