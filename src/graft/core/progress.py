"""What long work tells its user: stages with a bar on a terminal, silence elsewhere."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import rich.console
    import rich.progress

WORTH_A_LINE_SECONDS = 1.0


class Stage(Protocol):
    """One counted piece of work that is under way."""

    def advance(self, n: int = 1) -> None:
        """Count `n` more units as done. Safe from any thread."""

    def note(self, text: str) -> None:
        """Show a short remark beside the bar, in place of the last one."""


class Progress(Protocol):
    """Where a pipeline says what it does."""

    def stage(self, name: str, total: int | None, unit: str) -> AbstractContextManager[Stage]:
        """Begin a stage of `total` units (None where unknown); it ends with the context."""

    def say(self, text: str) -> None:
        """Tell one sentence."""


class SilentStage:
    """A stage that nobody watches."""

    def advance(self, n: int = 1) -> None:
        """Count nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""


class SilentProgress:
    """Progress for programs, tests and pipes: tells nothing."""

    def stage(self, name: str, total: int | None, unit: str) -> AbstractContextManager[Stage]:
        """A stage that shows nothing."""
        return contextlib.nullcontext(SilentStage())

    def say(self, text: str) -> None:
        """Tell nothing."""


class TerminalStage:
    """A stage shown as a bar."""

    def __init__(self, advance: Callable[[int], None], note: Callable[[str], None]) -> None:
        self._advance = advance
        self._note = note

    def advance(self, n: int = 1) -> None:
        """Move the bar by `n` units."""
        self._advance(n)

    def note(self, text: str) -> None:
        """Show `text` beside the bar."""
        self._note(text)


class TerminalProgress:
    """Bars on standard error: count and total, rate with its unit, time left.

    Stages may be nested; a finished stage that took a second or more leaves one line behind.
    """

    def __init__(self, console: "rich.console.Console | None" = None) -> None:
        from rich.console import Console

        self._console = console or Console(stderr=True, highlight=False)
        self._bars: rich.progress.Progress | None = None

    @contextlib.contextmanager
    def stage(self, name: str, total: int | None, unit: str) -> Iterator[Stage]:
        """Show a bar until the context ends."""
        outermost = self._bars is None
        bars = self._bars = self._bars or _make_bars(self._console)
        if outermost:
            bars.start()
        task = bars.add_task(name, total=total, unit=unit, note="")
        began = time.monotonic()
        stage = TerminalStage(lambda n: bars.advance(task, n), lambda text: bars.update(task, note=text))
        finished = False
        try:
            yield stage
            finished = True
        finally:
            done = bars.tasks[bars.task_ids.index(task)].completed
            bars.remove_task(task)
            if outermost:
                bars.stop()
                self._bars = None
            seconds = time.monotonic() - began
            if finished and seconds >= WORTH_A_LINE_SECONDS:
                self.say(summary(name, int(done), unit, seconds))

    def say(self, text: str) -> None:
        """Write a line above the bars."""
        self._console.print(text, markup=False, soft_wrap=True)


def summary(name: str, done: int, unit: str, seconds: float) -> str:
    """The line a finished stage leaves: `Reading photos: 1,712 photos in 8.1 s (211 photos/s)`."""
    if not done:
        return f"{name}: {seconds:.1f} s"
    return f"{name}: {done:,} {unit} in {seconds:.1f} s ({_rate(done / seconds)} {unit}/s)"


def make_progress(*, quiet: bool) -> Progress:
    """Bars where a person watches: silent when asked to be or when standard error is no terminal."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        return SilentProgress()
    return TerminalProgress()


def _rate(per_second: float) -> str:
    return f"{per_second:,.0f}" if per_second >= 10 else f"{per_second:.2g}"


def _make_bars(console: "rich.console.Console") -> "rich.progress.Progress":
    """The row of columns; count and rate are own columns because rich's know no unit."""
    from rich.progress import BarColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars
    from rich.text import Text

    class Column(ProgressColumn):
        def __init__(self, text: Callable[[Any], str], style: str) -> None:
            super().__init__()
            self._text, self._style = text, style

        def render(self, task: Task) -> Text:
            return Text(self._text(task), style=self._style)

    return Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        Column(_count_text, "progress.download"),
        Column(_rate_text, "progress.data.speed"),
        TimeRemainingColumn(compact=True),
        Column(lambda task: str(task.fields["note"]), "dim"),
        console=console,
        transient=True,
    )


def _count_text(task: Any) -> str:
    total = "" if task.total is None else f"/{int(task.total):,}"
    return f"{int(task.completed):,}{total}"


def _rate_text(task: Any) -> str:
    return f"{_rate(task.speed)} {task.fields['unit']}/s" if task.speed else ""
