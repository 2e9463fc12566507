"""One simulated report for the tests of this folder: making it takes longer than rendering it."""

import pytest

from graft.report.data import ReportData
from graft.report.page import render_html
from tests.report.factory import make_report, make_tuned_report
from tests.report.reading import Element, read


@pytest.fixture(scope="session")
def report() -> ReportData:
    return make_report()


@pytest.fixture(scope="session")
def tuned() -> ReportData:
    return make_tuned_report()


@pytest.fixture(scope="session")
def page(report: ReportData) -> Element:
    return read(render_html(report))
