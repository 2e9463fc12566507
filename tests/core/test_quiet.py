"""Tests for `graft.core.quiet`."""

import subprocess
import sys

SCRIPT = """
import os, sys
from graft.core.quiet import without_native_remarks
with without_native_remarks():
    os.write(2, b"a library talks")
    print("python talks", file=sys.stderr)
os.write(2, b"afterwards")
try:
    with without_native_remarks():
        raise ValueError("told")
except ValueError as error:
    print(error, file=sys.stderr)
"""


def test_only_python_is_heard_while_a_library_is_loaded() -> None:
    ended = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert "a library talks" not in ended.stderr
    assert ended.stderr.split() == ["python", "talks", "afterwardstold"]


def test_without_a_standard_error_nothing_breaks() -> None:
    script = "import os, sys\nfrom graft.core.quiet import without_native_remarks\nos.close(2)\n"
    script += "with without_native_remarks():\n    print(1)\n"
    script += "sys.stderr = None\nwith without_native_remarks():\n    print(2)\n"
    ended = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=False)
    assert ended.stdout.split() == ["1", "2"]
