"""Run by tests as a process of its own: a service whose settings stand in the first argument, as JSON.

The second argument names the worker's module: the real one, or one of tests that can be told to fail.
"""

import json
import sys

from graft.core.records import from_json
from graft.serving.records import Settings
from graft.serving.server import serve


def main() -> None:
    settings = from_json(Settings, sys.argv[1].encode(), source="the settings")
    command = (sys.executable, "-m", sys.argv[2])
    serve(settings, lambda address: print(json.dumps({"address": address}), flush=True), command)


if __name__ == "__main__":
    main()
