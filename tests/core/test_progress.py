"""Progress: bars for a person, silence for a program."""

import io
import re
import subprocess
import sys
import threading
import time

import pytest
from rich.console import Console

from graft.core import progress
from graft.core.progress import Progress, SilentProgress, TerminalProgress, make_progress, summary


def terminal() -> tuple[TerminalProgress, io.StringIO]:
    written = io.StringIO()
    return TerminalProgress(Console(file=written, force_terminal=True, width=120, highlight=False)), written


def plain(written: io.StringIO) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.getvalue())


def use(watched: Progress) -> None:
    watched.say("beginning")
    with watched.stage("Reading photos", 1500, "photos") as stage:
        stage.advance()
        stage.note("a [note]")
        stage.advance(1499)
        with watched.stage("Within", None, "steps") as inner:
            inner.advance(3)


def test_silence_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    use(SilentProgress())
    assert capfd.readouterr() == ("", "")


def test_bars_tell_count_rate_and_unit() -> None:
    watched, written = terminal()
    with watched.stage("Reading [photos]", 1500, "photos") as stage:
        stage.advance(10)
        time.sleep(0.05)
        stage.advance(1490)
        stage.note("from a [slow] disk")
        time.sleep(0.25)
    text = plain(written)
    assert "Reading [photos]" in text
    assert "1,500/1,500" in text
    assert re.search(r"[\d,.]+ photos/s", text)
    assert "from a [slow] disk" in text


def test_stages_nest_and_end() -> None:
    watched, written = terminal()
    use(watched)
    use(watched)
    assert plain(written).count("beginning") == 2
    assert watched._bars is None


def test_only_long_stages_leave_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    watched, written = terminal()
    use(watched)
    assert "Reading photos:" not in plain(written)
    monkeypatch.setattr(progress, "WORTH_A_LINE_SECONDS", 0.0)
    use(watched)
    assert re.search(r"Reading photos: 1,500 photos in \d+\.\d s \([\d,]+ photos/s\)", plain(written))


def test_a_stage_that_fails_leaves_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "WORTH_A_LINE_SECONDS", 0.0)
    watched, written = terminal()
    with pytest.raises(ValueError, match="no"), watched.stage("Reading", 5, "photos"):
        raise ValueError("no")
    assert "Reading:" not in plain(written)
    assert watched._bars is None


def test_threads_may_advance() -> None:
    watched, written = terminal()
    with watched.stage("Counting", 4000, "steps") as stage:
        threads = [threading.Thread(target=lambda: [stage.advance() for _ in range(1000)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        time.sleep(0.25)
    assert "4,000/4,000" in plain(written)


def test_summary() -> None:
    assert summary("Reading", 1712, "photos", 8.1) == "Reading: 1,712 photos in 8.1 s (211 photos/s)"
    assert summary("Fitting", 3, "strengths", 2.0) == "Fitting: 3 strengths in 2.0 s (1.5 strengths/s)"
    assert summary("Waiting", 0, "photos", 2.0) == "Waiting: 2.0 s"


def test_bars_only_where_a_person_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, quiet, kind in (
        (Terminal(), False, TerminalProgress),
        (Terminal(), True, SilentProgress),
        (io.StringIO(), False, SilentProgress),
        (None, False, SilentProgress),
    ):
        monkeypatch.setattr(sys, "stderr", stream)
        assert type(make_progress(quiet=quiet)) is kind


def test_light_modules_stay_light() -> None:
    code = (
        "import sys, graft.core.progress as p, graft.core.files, graft.core.machine, graft.core.child\n"
        "p.make_progress(quiet=True); print(*sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert not {"rich", "numpy", "pydantic", "platformdirs", "keras", "PIL"} & set(ended.stdout.split())
