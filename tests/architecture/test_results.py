"""The results that are kept belong to benchmarks that exist, and none is left to be filled in."""

import re

from tests.architecture.sources import ROOT

RESULTS = (ROOT / "bench" / "RESULTS.md").read_text(encoding="utf-8")


def test_each_benchmark_has_its_latest_results():
    named = set(re.findall(r"^## .*`python bench/(bench_\w+\.py)`$", RESULTS, re.MULTILINE))
    assert named == {path.name for path in (ROOT / "bench").glob("bench_*.py")}


def test_each_section_holds_a_table():
    for section in RESULTS.split("\n## ")[1:]:
        assert re.search(r"^\|---", section, re.MULTILINE), section.splitlines()[0]
        assert not re.search(r"^[A-Z]+$", section, re.MULTILINE), section.splitlines()[0]
