"""The commands that a report ends with can be typed as they stand."""

import shlex
import sys
from pathlib import Path

import pytest

from graft.pipeline.reporting import next_commands
from graft.pipeline.run import Run


@pytest.mark.parametrize("name", ["photos-run", "my photos-run", "it's; rm -r $HOME"])
@pytest.mark.skipif(sys.platform == "win32", reason="shlex splits as POSIX shells do")
def test_a_path_is_one_word(name):
    for command, _ in next_commands(Run(Path(name))):
        assert shlex.split(command)[2:-1] == [name]


def test_windows_quotes_in_its_own_way(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    assert next_commands(Run(Path("my photos-run")))[0][0] == 'graft predict "my photos-run" PHOTO…'
    assert next_commands(Run(Path("photos-run")))[0][0] == "graft predict photos-run PHOTO…"
