"""Make a run's report again."""

from pathlib import Path

from graft.core.progress import Progress
from graft.pipeline.reporting import write_report
from graft.pipeline.run import Run


def rebuild_report(run: Path, *, progress: Progress) -> Path:
    """Write the report of a finished run again, with this version's page; returns its path."""
    with progress.stage("Writing the report", None, "pages"):
        opened = Run.open(run)
        write_report(opened)
        return opened.report
