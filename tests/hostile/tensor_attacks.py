"""Hostile files of tensors, each with the words of its refusal.

Run as a program (`python -m tests.hostile.tensor_attacks FOLDER`) it writes and opens all of them and prints, as JSON,
the processor seconds each refusal took and the growth of the process's peak memory in bytes.
"""

import json
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path

GOOD = '{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
EMPTY = ",".join(f'"t{number}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}' for number in range(150_000))


def packed(header: str | bytes, data: bytes = bytes(8), *, length: int | None = None) -> bytes:
    """A file with this header, whatever it says."""
    raw = header.encode("utf-8", "surrogatepass") if isinstance(header, str) else header
    return (len(raw) if length is None else length).to_bytes(8, "little") + raw + data


def one(dtype: str = '"F32"', shape: str = "[2]", offsets: str = "[0,8]", data: bytes = bytes(8)) -> bytes:
    """A file of one tensor whose entry has these fields, as JSON text."""
    return packed(f'{{"x":{{"dtype":{dtype},"shape":{shape},"data_offsets":{offsets}}}}}', data)


def two(first: str, second: str, data: bytes = bytes(16)) -> bytes:
    """A file of two U8 tensors with these offsets."""
    sizes = [json.loads(each) for each in (first, second)]
    entries = [
        f'"{name}":{{"dtype":"U8","shape":[{end - begin}],"data_offsets":[{begin},{end}]}}'
        for name, (begin, end) in zip("xy", sizes, strict=True)
    ]
    return packed("{" + ",".join(entries) + "}", data)


def attacks() -> Mapping[str, tuple[bytes, str]]:
    """Name -> (file, what the refusal must say)."""
    return {
        "empty file": (b"", "must begin with 8 bytes"),
        "seven bytes": (bytes(7), "must begin with 8 bytes"),
        "no header": (bytes(8), "header must begin with"),
        "length past the end": (packed(GOOD, length=1000), "header must lie within the file"),
        "length one too much": (packed(GOOD, b"", length=len(GOOD) + 1), "header must lie within the file"),
        "length 2^63": (packed(GOOD, length=1 << 63), "header must have at most"),
        "length 2^64-1": (packed(GOOD, length=(1 << 64) - 1), "header must have at most"),
        "length 100 MB + 1": (packed(GOOD, length=100_000_001), "header must have at most"),
        "header over 16 MiB": (packed(GOOD + " " * (16 << 20)), "header must have at most"),
        "length too short": (packed(GOOD, length=10), "valid JSON"),
        "no object": (packed("[]"), "header must begin with"),
        "leading space": (packed(" " + GOOD), "header must begin with"),
        "byte order mark": (packed("\ufeff" + GOOD), "header must begin with"),
        "UTF-16": (packed(GOOD.encode("utf-16-le")), "valid JSON"),
        "broken UTF-8": (packed(b'{"\xff":1}'), "valid JSON"),
        "zero padding": (packed(GOOD + "\0\0"), "valid JSON"),
        "two documents": (packed(GOOD + GOOD), "valid JSON"),
        "cut JSON": (packed(GOOD[:-1]), "valid JSON"),
        "deep arrays": (packed('{"x":' + "[" * 200_000), "valid JSON"),
        "deep objects": (packed('{"x":' * 200_000), "valid JSON"),
        "wide array": (packed('{"x":[' + "1," * 7_000_000 + "1]}"), "commas"),
        "wide array of arrays": (packed('{"x":[' + "[]," * 39_000 + "[]]}"), "must have exactly"),
        "39,000 objects": (packed("{" + ",".join(f'"t{n}":{{}}' for n in range(39_000)) + "}"), "must have exactly"),
        "39,000 metadata": (packed('{"__metadata__":{' + ",".join(f'"{n}":1' for n in range(39_000)) + "}}"), "text"),
        "150,000 tensors": (packed("{" + EMPTY + "}"), "commas"),
        "9,500 tensors": (packed("{" + "},".join(EMPTY.split("},")[:9_500]) + "}}"), "must fill the 8 bytes"),
        "commas in an endless text": (packed('{"x":"' + '\\"' * 4_000_000 + "," * 200_000), "valid JSON"),
        "commas among texts": (packed("{" + '"",' * 4_000_000), "commas"),
        "texts without commas": (packed("{" + '""' * 4_000_000 + "," * 200_000), "commas"),
        "long name": (packed('{"' + "n" * (8 << 20) + '":1}'), "must have exactly"),
        "twice the same tensor": (packed(GOOD[:-1] + "," + GOOD[1:]), "same key twice"),
        "twice the same field": (packed(GOOD.replace('"dtype"', '"shape":[2],"dtype"')), "same key twice"),
        "twice the metadata": (packed('{"__metadata__":{},"__metadata__":{}}'), "same key twice"),
        "NaN": (one(shape="[NaN]"), "NaN is not allowed"),
        "Infinity": (one(shape="[-Infinity]"), "Infinity is not allowed"),
        "1e999": (one(shape="[1e999]"), "too large"),
        "integer of 5,000 digits": (one(shape=f"[{'9' * 5000}]"), "valid JSON"),
        "integer of 4,000 digits": (one(shape=f"[{'9' * 4000}]"), "elements"),
        "offsets of 4,000 digits": (one(offsets=f"[0,{'9' * 4000}]"), "must have 8 bytes"),
        "metadata a list": (packed('{"__metadata__":[]}', b""), "must map text to text"),
        "metadata null": (packed('{"__metadata__":null}', b""), "must map text to text"),
        "metadata of numbers": (packed('{"__metadata__":{"a":1}}', b""), "must map text to text"),
        "metadata nested": (packed('{"__metadata__":{"a":{}}}', b""), "must map text to text"),
        "entry a number": (packed('{"x":1}'), "must have exactly"),
        "entry null": (packed('{"x":null}'), "must have exactly"),
        "name empty": (packed(GOOD.replace('"x"', '""')), "must have exactly"),
        "field missing": (packed('{"x":{"dtype":"F32","shape":[2]}}'), "must have exactly"),
        "field unknown": (packed(GOOD.replace('"dtype"', '"class_name":"os.system","dtype"')), "must have exactly"),
        "dtype unknown": (one(dtype='"F31"'), "dtype of 'x' must be one of"),
        "dtype a number": (one(dtype="32"), "dtype of 'x' must be one of"),
        "dtype a list": (one(dtype="[]"), "dtype of 'x' must be one of"),
        "dtype of NumPy": (one(dtype='"<f4"'), "dtype of 'x' must be one of"),
        "dtype an object": (one(dtype='"O"'), "dtype of 'x' must be one of"),
        "dtype lies, wider": (one(dtype='"F64"'), "must have 16 bytes, got 8"),
        "dtype lies, narrower": (one(dtype='"F16"'), "must have 4 bytes, got 8"),
        "shape negative": (one(shape="[-2]"), "whole numbers from 0"),
        "shape twice negative": (one(shape="[-1,-2]"), "whole numbers from 0"),
        "shape fractional": (one(shape="[2.0]"), "whole numbers from 0"),
        "shape true": (one(shape="[true,2]"), "whole numbers from 0"),
        "shape text": (one(shape='"2"'), "whole numbers from 0"),
        "shape of 9": (one(shape="[2,1,1,1,1,1,1,1,1]"), "whole numbers from 0"),
        "shape of 39,000": (one(shape="[" + "1," * 39_000 + "2]"), "whole numbers from 0"),
        "product overflows to 2": (one(shape=f"[{(1 << 63) + 1},2]"), "elements"),
        "product overflows to 0": (one(shape=f"[{1 << 32},{1 << 32}]", offsets="[0,0]", data=b""), "elements"),
        "overflow beside a zero": (one(shape=f"[0,{1 << 60}]", offsets="[0,0]", data=b""), "elements"),
        "offsets backwards": (one(offsets="[8,0]"), "begin and end"),
        "offsets negative": (one(offsets="[-8,0]"), "begin and end"),
        "offsets of one": (one(offsets="[8]"), "begin and end"),
        "offsets of three": (one(offsets="[0,4,8]"), "begin and end"),
        "offsets fractional": (one(offsets="[0.0,8.0]"), "begin and end"),
        "offsets true": (one(dtype='"U8"', shape="[1]", offsets="[0,true]", data=b"1"), "begin and end"),
        "past the end": (one(data=bytes(7)), "must fill the 7 bytes"),
        "trailing byte": (one(data=bytes(9)), "must fill the 9 bytes"),
        "trailing zip": (one(data=bytes(8) + b"PK\x03\x04"), "must fill the 12 bytes"),
        "only trailing": (packed("{}", b"x"), "must fill the 1 bytes"),
        "hole before": (one(offsets="[8,16]", data=bytes(16)), "leaves a hole"),
        "hole between": (two("[0,7]", "[8,16]"), "leaves a hole"),
        "overlap": (two("[0,9]", "[8,16]"), "overlaps"),
        "same bytes twice": (two("[0,16]", "[0,16]"), "overlaps"),
        "one within the other": (two("[0,16]", "[4,8]"), "overlaps"),
        "empty within": (two("[0,16]", "[4,4]"), "overlaps"),
        "true that is 2": (one(dtype='"BOOL"', shape="[8]", data=b"\0\1\2\0\0\0\0\0"), "true and false only"),
    }


def main(folder: Path) -> None:
    from graft.core.errors import IntegrityProblem
    from graft.core.tensors import read_tensors
    from tests.memory import peak_memory_bytes

    path = folder / "attack"
    path.write_bytes(packed(GOOD))
    read_tensors(path).close()
    made = attacks()
    names = list(made)
    for number, name in enumerate(names):
        (folder / str(number)).write_bytes(made[name][0])
    del made
    seconds = {}
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak that making the files had
    before = peak_memory_bytes()
    for number, name in enumerate(names):
        for _ in range(2):  # the better of two: other programs on the machine are not the matter
            began = time.process_time()
            try:
                read_tensors(folder / str(number))
            except IntegrityProblem:
                seconds[name] = min(seconds.get(name, math.inf), time.process_time() - began)
    print(json.dumps({"seconds": seconds, "bytes": peak_memory_bytes() - before}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
