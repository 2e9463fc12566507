"""Reads bundles in a fresh process, watched: prints what each was refused with, how long it took and the memory."""

import json
import sys
import time
from pathlib import Path
from typing import Any

from graft.bundle.format import read_bundle
from graft.core.errors import GraftError
from tests.bundle.making import install_tiny
from tests.memory import peak_memory_bytes

FORBIDDEN = (
    *("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.", "socket.", "ctypes."),
    *("exec", "compile", "import", "marshal.", "pickle."),
    *("shutil.", "os.remove", "os.rename", "os.mkdir", "os.truncate"),
)


def main(good: Path, folder: Path) -> dict[str, Any]:
    seen: list[str] = []
    read_bundle(good)[1].close()  # what is imported and compiled once is not the attack's cost

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(FORBIDDEN):
            seen.append(f"{event} {arguments[:1]!r}")
        if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
            seen.append(f"{event} {arguments!r}")

    before, results = peak_memory_bytes(), {}
    sys.addaudithook(watch)
    for path in sorted(folder.glob("*.graft")):
        started, used = time.perf_counter(), time.process_time()
        try:
            read_bundle(path)[1].close()
            code, message = "accepted", ""
        except GraftError as error:
            code, message = error.code, str(error)
        except Exception as error:  # noqa: BLE001 - an uncoded error is what this test looks for
            code, message = f"uncoded {type(error).__name__}", str(error)
        # Where others use the processor too, the clock tells about them: then the processor's time counts.
        seconds = min(time.perf_counter() - started, time.process_time() - used)
        results[path.stem] = {"code": code, "message": message, "seconds": seconds}
    return {"results": results, "memory_bytes": peak_memory_bytes() - before, "events": seen}


if __name__ == "__main__":
    install_tiny(setattr)
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]))))
