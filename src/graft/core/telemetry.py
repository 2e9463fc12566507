"""Libraries that phone home when imported are imported without their telemetry."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

REPORTER = "openvino_telemetry"


@contextmanager
def without_telemetry() -> Iterator[None]:
    """Import OpenVINO, or Keras on OpenVINO, inside this block: nothing is sent and nothing written to the home folder.

    `import openvino` reports its use to an analytics server unless the user has opted out by hand: it writes an
    identifier into the home folder and forks a process that opens a connection. While the reporting package cannot be
    imported, OpenVINO takes the inactive stand-in that it ships for installations without the package, and keeps it.
    The import is also some 50 ms faster. The package is made importable again at the end: it may serve other programs
    in this process, but OpenVINO no longer asks for it.
    """
    before = {REPORTER: sys.modules[REPORTER]} if REPORTER in sys.modules else {}
    sys.modules[REPORTER] = None  # type: ignore[assignment]  # Python's way to say: cannot be imported
    try:
        yield
    finally:
        del sys.modules[REPORTER]
        sys.modules.update(before)


def import_openvino() -> ModuleType:
    """The module `openvino`, its telemetry off. This is the only way in which Graft imports it."""
    with without_telemetry():
        import openvino
    module: ModuleType = openvino
    return module
