"""What this machine offers: threads, CPU features, cache folder, library versions."""

import ctypes
import math
import os
import platform
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from graft.core.errors import BadInput
from graft.core.version import __version__

FEATURES = frozenset(
    {
        "amx_bf16",
        "amx_int8",
        "amx_tile",
        "asimd",
        "asimddp",
        "asimdhp",
        "avx",
        "avx2",
        "avx512_bf16",
        "avx512_fp16",
        "avx512_vnni",
        "avx512bw",
        "avx512dq",
        "avx512f",
        "avx512vl",
        "avx_vnni",
        "bf16",
        "f16c",
        "fma",
        "i8mm",
        "sse4_2",
        "sve",
        "sve2",
    }
)
BFLOAT16_FEATURES = frozenset({"amx_bf16", "avx512_bf16", "bf16"})
MACOS_FEATURES = {
    "hw.optional.avx1_0": "avx",
    "hw.optional.avx2_0": "avx2",
    "hw.optional.avx512f": "avx512f",
    "hw.optional.avx512bw": "avx512bw",
    "hw.optional.avx512dq": "avx512dq",
    "hw.optional.avx512vl": "avx512vl",
    "hw.optional.fma": "fma",
    "hw.optional.f16c": "f16c",
    "hw.optional.sse4_2": "sse4_2",
    "hw.optional.neon": "asimd",
    "hw.optional.arm.FEAT_FP16": "asimdhp",
    "hw.optional.arm.FEAT_DotProd": "asimddp",
    "hw.optional.arm.FEAT_BF16": "bf16",
    "hw.optional.arm.FEAT_I8MM": "i8mm",
}
# IsProcessorFeaturePresent knows no bfloat16 of x86, so Windows on x86 counts as without it.
WINDOWS_FEATURES = {19: "asimd", 38: "sse4_2", 39: "avx", 40: "avx2", 41: "avx512f", 43: "asimddp"}
DISTRIBUTIONS = {
    "numpy": ("numpy",),
    "pillow": ("pillow",),
    "keras": ("keras",),
    "openvino": ("openvino",),
    "scikit-learn": ("scikit-learn",),
    "scipy": ("scipy",),
    "ml-dtypes": ("ml-dtypes",),
    "h5py": ("h5py",),
    "tensorflow": ("tensorflow", "tensorflow-cpu"),
    "jax": ("jax",),
    "torch": ("torch",),
}


def threads() -> int:
    """How many threads to compute with: GRAFT_THREADS, else the CPUs this process may use.

    The CPUs are those of the affinity mask, further bounded by a container's quota where one is set.
    """
    given = os.environ.get("GRAFT_THREADS", "").strip()
    if given:
        if not given.isdecimal() or not 1 <= int(given[:9]) <= 4096:
            raise BadInput(
                f"GRAFT_THREADS must be a whole number from 1 to 4096, got {given[:40]!r}.",
                hint="Unset it or set it to the number of CPU cores to use.",
            )
        return int(given)
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity else (os.cpu_count() or 1)
    return max(1, min(count, _quota_cpus(Path("/sys/fs/cgroup/cpu.max"))))


def _quota_cpus(path: Path) -> int:
    """CPUs a Linux container is granted, rounded up; a large number where there is no quota."""
    try:
        quota, period = path.read_text("ascii").split()[:2]
        return math.ceil(int(quota) / int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return 1 << 20  # no such file, or "max": no quota


def cache_directory() -> Path:
    """Where Graft keeps what it can make again: GRAFT_CACHE, else the system's place for caches."""
    given = os.environ.get("GRAFT_CACHE", "").strip()
    if given:
        return Path(given).expanduser().absolute()
    import platformdirs

    return platformdirs.user_cache_path("graft", appauthor=False)


def cpu_features() -> tuple[str, ...]:
    """The instruction sets that change numbers or speed, sorted; names as Linux spells them.

    Takes under a millisecond: nothing is started and only the first processor's lines are read.
    """
    if sys.platform == "darwin":
        found: Iterable[str] = (name for key, name in MACOS_FEATURES.items() if _sysctl(key))
    elif sys.platform == "win32":
        present = ctypes.windll.kernel32.IsProcessorFeaturePresent
        found = (name for number, name in WINDOWS_FEATURES.items() if present(number))
    else:
        found = _linux_flags(Path("/proc/cpuinfo"))
    return tuple(sorted(FEATURES.intersection(found)))


def has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 natively, so that bfloat16 is the quick precision."""
    return not BFLOAT16_FEATURES.isdisjoint(cpu_features())


def versions() -> dict[str, str]:
    """Versions of Graft, Python and the libraries that shape results; what is not installed is left out.

    Read from the installed distributions' metadata: nothing is imported.
    """
    from importlib import metadata

    # The package's own number, not its metadata: a source tree may be used without installation or after a change.
    found = {"graft": __version__, "python": platform.python_version()}
    for name, distributions in DISTRIBUTIONS.items():
        for distribution in distributions:
            try:
                found[name] = metadata.version(distribution)
            except metadata.PackageNotFoundError:
                continue
            break
    return dict(sorted(found.items()))


def facts() -> dict[str, str]:
    """This machine in words, for reports."""
    return {
        "system": platform.platform(),
        "processor": platform.machine(),
        "threads": str(threads()),
        "features": " ".join(cpu_features()),
    }


def _linux_flags(path: Path) -> list[str]:
    """Words of the first `flags` (x86) or `Features` (ARM) line of /proc/cpuinfo."""
    try:
        with path.open(encoding="ascii", errors="replace") as lines:
            for line in lines:
                key, _, words = line.partition(":")
                if key.strip() in {"flags", "Features"}:
                    return words.split()
    except OSError:
        return []  # no such file on this system: no feature is known, and none is claimed
    return []


def _sysctl(name: str) -> bool:
    """Whether a macOS system value is there and not zero."""
    library: Any = ctypes.CDLL(None)
    value, size = ctypes.c_uint64(0), ctypes.c_size_t(8)
    answer = library.sysctlbyname(name.encode(), ctypes.byref(value), ctypes.byref(size), None, ctypes.c_size_t(0))
    return answer == 0 and value.value != 0
