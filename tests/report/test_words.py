import pytest

from graft.evaluation.records import Score
from graft.report import words


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.974, "97.4"), (1.0, "100.0"), (0.0, "0.0"), (0.9997, "99.97"), (0.0002, "0.02"), (0.99999, "99.999")],
)
def test_percentages_never_round_to_certainty(share: float, text: str) -> None:
    assert words.percent_number(share) == text


def test_a_score_with_its_interval() -> None:
    item = Score(value=0.974, low=0.9501, high=0.9871, method="wilson")
    assert words.score(item) == "97.4\u00a0% (95.0 to 98.7)"
    assert words.outward(item) == "95–99"
    assert words.outward(Score(value=0.9, low=0.9, high=0.9, method="wilson")) == "90–90"


@pytest.mark.parametrize(
    ("difference", "text"),
    [(0.051, "+5.1 points"), (-0.003, "−0.3 points"), (0.0, "0.0 points"), (-0.0001, "0.0 points")],
)
def test_differences_carry_their_sign(difference: float, text: str) -> None:
    assert words.points(difference) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (1.0, "every time"), (0.0, "never"), (0.9, "about 9 times in 10"), (0.912, "about 9 times in 10"),
        (0.1, "about once in 10"), (0.97, "97 times in 100"), (0.75, "75 times in 100"), (0.01, "once in 100"),
        (0.998, "998 times in 1,000"), (0.9999, "999 times in 1,000"), (0.0001, "less than once in 100"),
    ],
)  # fmt: skip
def test_shares_in_plain_words(share: float, text: str) -> None:
    assert words.out_of(share) == text


def test_sizes_durations_counts() -> None:
    assert [words.byte_size(n) for n in (812, 5_214_000, 213_214_512, 4_100_000_000)] == [
        "812\u00a0bytes", "5.2\u00a0MB", "213\u00a0MB", "4.1\u00a0GB",
    ]  # fmt: skip
    assert [words.duration(s) for s in (0.42, 3.31, 12.2, 200, 3840)] == [
        "0.42 s",
        "3.3 s",
        "12 s",
        "3 min 20 s",
        "1 h 4 min",
    ]
    assert [words.rough_duration(s) for s in (59, 90, 570, 2394, 5400, 7300, 130_000, 400_000)] == [
        "under a minute",
        *("about 2 min", "about 10 min", "about 40 min", "about 90 min"),
        *("about 2 h", "about 36 h", "about 5 days"),
    ]
    assert words.counted(1, "photo") == "1 photo"
    assert words.counted(2062, "photo") == "2,062 photos"
    assert words.counted(2, "class", "classes") == "2 classes"
    assert words.listed(["a"]) == "a"
    assert words.listed(["a", "b", "c"]) == "a, b and c"
    assert words.listed([]) == ""


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("2026-11-22T10:17:03+00:00", "22 November 2026, 10:17 UTC"),
        ("2026-11-22T10:17:03+09:00", "22 November 2026, 10:17 UTC+0900"),
        ("2026-11-22T10:17:03", "22 November 2026, 10:17"),
        ("yesterday\n", "yesterday\ufffd"),
    ],
)
def test_dates(given: str, text: str) -> None:
    assert words.date(given) == text


def test_shortening_keeps_both_ends() -> None:
    assert words.shortened("a" * 30, 30) == "a" * 30
    short = words.shortened("begin" + "x" * 100 + "end.jpg", 20)
    assert len(short) == 20
    assert short.startswith("begin")
    assert short.endswith("nd.jpg")


def test_only_signs_that_mislead_are_replaced() -> None:
    assert words.plain("a\x07b\u202ec\ud800d\ne") == "a\ufffdb\ufffdc\ufffdd\ufffde"
    for honest in ("नमस्ते", "👩\u200d🔬", "می\u200cخواهم", "Ørsted – “x”"):
        assert words.plain(honest) == honest
