"""Say what is on photos: one line of JSON for each. Needs onnxruntime, Pillow, NumPy and the files beside this one."""

import argparse
import json
import sys

import onnxruntime
from prepare import EXPORT, GIVEN, HERE, load

CLASSES, THRESHOLD = EXPORT["classes"], EXPORT["threshold"]


def main() -> int:
    """For each photo one line: the likeliest class and the probability of each, or what is wrong with it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", nargs="+", metavar="PHOTO")
    photos, failed = parser.parse_args().photos, 0
    network = onnxruntime.InferenceSession(str(HERE / EXPORT["file"]), providers=["CPUExecutionProvider"])
    for path in photos:
        try:
            chances = network.run(None, {GIVEN["name"]: load(path)[None]})[0][0].tolist()
            every = dict(zip(CLASSES, chances, strict=True))
            label = max(CLASSES, key=every.__getitem__)
            sure = None if THRESHOLD is None else every[label] >= THRESHOLD
            answer = {"label": label, "probability": every[label], "sure": sure, "all": every}
        except Exception as error:  # noqa: BLE001 (whatever is wrong with one photo, the others are answered)
            answer, failed = {"error": f"{type(error).__name__}: {error}"}, 1
        print(json.dumps({"photo": path, **answer}))
    return failed


if __name__ == "__main__":
    sys.exit(main())
