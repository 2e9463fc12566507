"""A ranking in words."""

from dataclasses import replace

from graft.evaluation.ranking import NotRanked
from graft.report.ranking import photos_sentence, ranking_text, recommendation, rows
from tests.report.rankings import make_ranking

THREE = {"large": (0.97, 50.0), "middle": (0.965, 200.0), "small": (0.9, 900.0)}


def test_the_table_is_sorted_and_says_what_may_be_said():
    found = rows(make_ranking(THREE, n=600))
    assert [row.name for row in found] == ["large", "middle", "small"]
    assert [row.verdict for row in found] == ["the best", "not told apart from the best", "worse by 7.0 points"]
    assert found[2].points.startswith("−7.0 (−") and found[2].points.endswith("p < 0.001")


def test_the_recommendation_names_its_risk():
    text = recommendation(make_ranking(THREE))
    assert text.startswith("Take Middle: the fastest that is shown to be within a point of the most accurate, Large (")
    assert text.endswith("points less, by the 95 % interval).")


def test_the_best_may_be_recommended_itself():
    assert recommendation(make_ranking({"a": (0.97, 50.0), "b": (0.8, 100.0)})).startswith("Take A: the most accurate")


def test_one_alone_says_how_to_get_more():
    text = ranking_text(make_ranking({"sprout": (0.9, 100.0)}))
    assert "the only backbone" in text and "graft backbones fetch NAME" in text and "--weights FILE" in text
    assert "graft backbones fetch NAME" not in ranking_text(make_ranking(THREE))


def test_two_sets_of_weights_of_one_network_are_told_apart():
    ranking = make_ranking({"net@one": (0.95, 10.0), "net@two": (0.9, 10.0)})
    assert [row.name for row in rows(ranking)] == [f"net {each.weights_sha256[:6]}" for each in ranking.entries]


def test_the_terminal_gets_plain_signs_and_all_figures():
    broken = NotRanked(
        backbone="vgg16",
        title="VGG16",
        weights_sha256="",
        code="cannot_compile",
        reason="It could not\x1b[31m.",
        hint="Try again.",
    )
    text = ranking_text(make_ranking(THREE, not_ranked=(broken,)))
    assert text.replace("\ufffd", "").isascii()  # the sign that stands for what must not reach a terminal
    assert "\x1b" not in text and "vgg16: It could not" in text
    for word in ("97.0 %", "-7.0 (-", "900", "5.2", "3,000 training and validation photos", "90 test photos"):
        assert word in text


def test_what_was_not_read_is_said():
    ranking = make_ranking(THREE)
    assert "the 90 test photos that will measure" in photos_sentence(ranking)
    without = replace(ranking, n_kept_back=0, kept_back="", n_validation=0)
    assert photos_sentence(without) == "3,000 training photos of 10 classes."
