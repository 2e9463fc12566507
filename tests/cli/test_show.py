"""`graft show`: a classifier's file in words and as JSON, without running anything of it."""

import json
import subprocess
import sys

import pytest

from graft.cli.main import main
from tests.pipeline.conftest import finished, photos

__all__ = ["finished", "photos"]  # fixtures


def test_a_person_reads_what_it_is(finished, capsys):
    for named in (finished.run, finished.bundle):
        assert main(["show", str(named)]) == 0
        shown = capsys.readouterr().out
        assert "Tells apart    3 classes: checks, plain, stripes" in shown
        assert "Test accuracy" in shown and "photos it never saw" in shown and "95 % interval" in shown
        assert "head and labels: yours" in shown and "Apache-2.0" in shown
        assert "at 64 × 64 pixels, float32" in shown and "the network's own preprocessing" in shown


def test_a_program_reads_all_of_it(finished, capsys):
    assert main(["show", str(finished.bundle), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["classes"] == ["checks", "plain", "stripes"] and value["sha256"] and value["bytes"] > 1_000_000
    assert value["provenance"]["scored_on"] == "test"


def test_help_and_errors_call_its_argument_the_same(capsys):
    assert main(["show", "--help"]) == 0
    assert main(["show", "nowhere"]) == 2
    out, err = capsys.readouterr()
    assert "graft show RUN" in out and "BUNDLE" not in out and "RUN must be" in err


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"{}"])
def test_something_else_is_refused(tmp_path, content, capsys):
    (tmp_path / "a.graft").write_bytes(content)
    assert main(["show", str(tmp_path / "a.graft")]) in (2, 4)
    assert "Traceback" not in capsys.readouterr().err


def test_it_loads_no_engine(finished):
    code = (
        "import sys; from graft.cli.main import main; main(['show', sys.argv[1]]); "
        "print([name for name in ('keras', 'openvino', 'tensorflow', 'sklearn') if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(finished.bundle)], capture_output=True, check=True)
    assert ended.stdout.decode().splitlines()[-1] == "[]"
