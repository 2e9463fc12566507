"""How much memory a process has had at most: what the tests of limits measure, in the process itself."""

import sys
from pathlib import Path


def peak_memory_bytes() -> int:
    """The largest resident memory this process has had."""
    if sys.platform == "linux":
        # Unlike getrusage, this does not begin with what the parent process had.
        for line in Path("/proc/self/status").read_text("ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
