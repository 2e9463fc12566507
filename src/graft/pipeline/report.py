"""Make a run's report again, and its figures."""

from dataclasses import dataclass
from pathlib import Path

from graft.core.progress import Progress
from graft.pipeline.figures import check_folder, write_figures
from graft.pipeline.reporting import report_data, write_report
from graft.pipeline.run import Run


@dataclass(frozen=True)
class Rebuilt:
    """What was written: the page, and the figures that were asked for."""

    page: Path
    figures: tuple[Path, ...] = ()


def rebuild_report(run: Path, *, plots: Path | None = None, progress: Progress) -> Rebuilt:
    """Write the report of a finished run again, with this version's page; with `plots` its figures there too."""
    if plots is not None:
        check_folder(plots)
    with progress.stage("Writing the report", None, "pages"):
        opened = Run.open(run)
        write_report(opened)
    return Rebuilt(opened.report, write_figures(report_data(opened), plots, progress) if plots is not None else ())
