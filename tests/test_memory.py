import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_peak_memory_grows_with_use() -> None:
    code = (
        "from tests.memory import peak_memory_bytes as peak\n"
        "before = peak(); kept = bytearray(64 << 20); kept[::4096] = b'x' * len(kept[::4096]); print(before, peak())"
    )
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    before, after = map(int, ended.stdout.split())
    assert 1 << 20 < before < 1 << 29
    assert 60 << 20 < after - before < 200 << 20
