"""How long commands take to start, as multiples of Python's own start, measured in turns in one run."""

import statistics
import subprocess
import sys
import time

ROUNDS = 7
CALLS = {
    "python -c pass": ("-c", "pass"),
    "graft --help": ("-m", "graft", "--help"),
    "graft train --help": ("-m", "graft", "train", "--help"),
    "import graft.pipeline.predict": ("-c", "import graft.pipeline.predict"),
    "import graft.pipeline.train": ("-c", "import graft.pipeline.train"),
}


def seconds(words: tuple[str, ...]) -> float:
    """One call, from start to end."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    for words in CALLS.values():
        seconds(words)  # bytecode is written, files are in memory
    rounds = [{name: seconds(words) for name, words in CALLS.items()} for _ in range(ROUNDS)]
    base = statistics.median(each["python -c pass"] for each in rounds)
    print(f"{'start of':<32}{'seconds':>9}{'times Python':>14}")
    for name in CALLS:
        middle = statistics.median(each[name] for each in rounds)
        print(f"{name:<32}{middle:>9.3f}{middle / base:>14.1f}")


if __name__ == "__main__":
    main()
