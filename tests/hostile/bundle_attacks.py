"""Hostile bundles, each with the code it must be refused with. All begin as a good bundle of the tiny network."""

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from graft.core.hashing import sha256_bytes
from tests.bundle.making import contents, layered_classifier, rewrite

Manifest = dict[str, Any]
Tensors = dict[str, np.ndarray]
Attack = Callable[[Path], None]
ATTACKS: dict[str, tuple[str, Attack]] = {}


def attack(code: str = "bundle_invalid") -> Callable[[Attack], Attack]:
    def keep(function: Attack) -> Attack:
        ATTACKS[function.__name__] = (code, function)
        return function

    return keep


# The layout: what follows is about bytes.


def split(path: Path) -> tuple[dict[str, Any], bytes]:
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def join(path: Path, header: dict[str, Any] | str | bytes, data: bytes, length: int | None = None) -> None:
    text = json.dumps(header) if isinstance(header, dict) else header
    text = text.encode() if isinstance(text, str) else text
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)


def layout(name: str, change: Callable[[dict[str, Any]], None], more: bytes = b"", cut: int = 0) -> None:
    def run(path: Path) -> None:
        header, data = split(path)
        change(header)
        join(path, header, data[: len(data) - cut] + more)

    ATTACKS[name] = ("bundle_invalid", run)


def entry(name: str, **fields: Any) -> None:
    layout(name, lambda header: header["head/bias"].update(fields))


def text(name: str, change: Callable[[str], str]) -> None:
    """A change of the header's JSON that no JSON writer would make."""

    def run(path: Path) -> None:
        header, data = split(path)
        join(path, change(json.dumps(header)), data)

    ATTACKS[name] = ("bundle_invalid", run)


@attack()
def empty(path: Path) -> None:
    path.write_bytes(b"")


@attack()
def seven_bytes(path: Path) -> None:
    path.write_bytes(b"\x01" * 7)


@attack()
def header_longer_than_any_file(path: Path) -> None:
    join(path, *split(path), length=(1 << 64) - 1)


@attack()
def header_longer_than_the_file(path: Path) -> None:
    join(path, *split(path), length=1 << 19)


@attack()
def header_of_100_megabytes_and_one(path: Path) -> None:
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 100_000_001) + b'{"a":')
        file.truncate(100_000_100)


@attack()
def header_shorter_than_it_is(path: Path) -> None:
    join(path, *split(path), length=100)


@attack()
def header_empty(path: Path) -> None:
    join(path, b"", split(path)[1])


@attack()
def header_not_utf8(path: Path) -> None:
    join(path, b'{"\xff\xfe": 1}', b"")


@attack()
def header_a_list(path: Path) -> None:
    join(path, b"[1, 2]", b"")


@attack()
def header_begins_with_a_blank(path: Path) -> None:
    header, data = split(path)
    join(path, " " + json.dumps(header), data)


@attack()
def header_nested_200000_deep(path: Path) -> None:
    join(path, '{"a":' * 100_000 + "[" * 100_000, b"")


@attack()
def header_of_many_tiny_lists(path: Path) -> None:
    join(path, '{"a":[' + "[]," * 340_000 + "[]]}", b"")


@attack()
def header_of_many_tiny_objects(path: Path) -> None:
    join(path, '{"a":[' + ",".join('{"":{}}' for _ in range(120_000)) + "]}", b"")


@attack()
def header_with_a_key_twice(path: Path) -> None:
    header, data = split(path)
    join(path, json.dumps(header)[:-1] + ', "head/bias": ' + json.dumps(header["head/bias"]) + "}", data)


@attack()
def header_with_metadata_twice(path: Path) -> None:
    header, data = split(path)
    join(path, json.dumps(header)[:-1] + ', "__metadata__": {}}', data)


@attack()
def a_gap_of_metadata(path: Path) -> None:
    header, data = split(path)
    header["__metadata__"] = ["graft"]
    join(path, header, data)


text("number_of_4000_digits", lambda t: t.replace('"shape": [3]', '"shape": [' + "9" * 4000 + "]", 1))
text("number_of_5000_digits", lambda t: t.replace('"shape": [3]', '"shape": [' + "9" * 5000 + "]", 1))
text("shape_nan", lambda t: t.replace('"shape": [3]', '"shape": [NaN]', 1))
text("shape_infinite", lambda t: t.replace('"shape": [3]', '"shape": [1e999]', 1))
text("shape_infinity_word", lambda t: t.replace('"shape": [3]', '"shape": [-Infinity]', 1))
text("header_cut", lambda t: t[: len(t) // 2])
entry("shape_product_overflows", shape=[1 << 32, 1 << 32, 1 << 32])
entry("shape_product_wraps_to_the_size", shape=[(1 << 64) // 4 + 3])
entry("shape_negative", shape=[-3])
entry("shape_two_negatives", shape=[-1, -3])
entry("shape_float", shape=[3.0])
entry("shape_bool", shape=[True, 3])
entry("shape_text", shape="3")
entry("shape_none", shape=None)
entry("shape_too_small", shape=[2])
entry("shape_of_100000_sides", shape=[1] * 100_000)
entry("dtype_lie", dtype="F16")
entry("dtype_object", dtype="O")
entry("dtype_pickle", dtype="pickle")
entry("dtype_number", dtype=4)
entry("offsets_reversed", data_offsets=[12, 0])
entry("offsets_negative", data_offsets=[-12, 0])
entry("offsets_three", data_offsets=[0, 12, 24])
entry("offsets_beyond_the_file", data_offsets=[1 << 40, (1 << 40) + 12])
entry("offsets_on_another_tensor", data_offsets=[0, 12])
entry("an_unknown_field", code="os.system")
layout("a_missing_field", lambda header: header["head/bias"].pop("dtype"))
layout("a_hole", lambda header: header.pop("head/bias"))
layout("metadata_number", lambda header: header["__metadata__"].update(graft=1))
layout("trailing_bytes", lambda header: None, more=b"PK\x03\x04 and so on")
layout("data_cut", lambda header: None, cut=1)
layout("all_data_cut", lambda header: None, cut=1 << 40)


@attack()
def a_symbolic_link(path: Path) -> None:
    target = path.with_suffix(".real")
    path.rename(target)
    path.symlink_to(target)


@attack("bad_input")
def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@attack()
def a_named_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@attack("not_found")
def nothing(path: Path) -> None:
    path.unlink()


# The manifest: valid tensor files whose description lies. Hashes fit, so that the rule itself must refuse.


def manifest(name: str, code: str, change: Callable[[Manifest, Tensors], None]) -> None:
    def run(path: Path) -> None:
        description, tensors = contents(path)
        change(description, tensors)
        rewrite(path, description, tensors)

    ATTACKS[name] = (code, run)


def manifest_text(name: str, code: str, change: Callable[[str], str]) -> None:
    def run(path: Path) -> None:
        description, tensors = contents(path)
        rewrite(path, change(json.dumps(description)), tensors)

    ATTACKS[name] = (code, run)


def metadata(name: str, code: str, change: Callable[[dict[str, str]], None]) -> None:
    def run(path: Path) -> None:
        header, data = split(path)
        change(header["__metadata__"])
        join(path, header, data)

    ATTACKS[name] = (code, run)


def classes(name: str, wrong: list[Any], code: str = "bundle_invalid") -> None:
    manifest(f"classes_{name}", code, lambda m, t: m.update(classes=wrong))


def head(name: str, code: str = "record_invalid", **fields: Any) -> None:
    manifest(name, code, lambda m, t: m["head"].update(fields))


metadata("no_metadata", "bundle_invalid", lambda m: m.clear())
metadata("no_manifest_hash", "bundle_invalid", lambda m: m.__delitem__("graft_sha256"))
metadata("more_metadata", "bundle_invalid", lambda m: m.update(loader="os.system"))
metadata("metadata_of_another_tool", "bundle_invalid", lambda m: (m.clear(), m.update(format="pt")))
metadata("manifest_hash_of_another", "hash_mismatch", lambda m: m.update(graft_sha256=sha256_bytes(b"")))
metadata("class_renamed", "hash_mismatch", lambda m: m.update(graft=m["graft"].replace("green", "grass")))
metadata("manifest_half_a_surrogate", "bundle_invalid", lambda m: m.update(graft="\ud800"))
manifest_text("manifest_empty", "record_invalid", lambda t: "")
manifest_text("manifest_a_list", "record_invalid", lambda t: "[]")
manifest_text("manifest_cut", "record_invalid", lambda t: t[:-10])
manifest_text("manifest_nested_200000_deep", "record_invalid", lambda t: "[" * 200_000)
manifest_text("manifest_of_many_tiny_lists", "bundle_invalid", lambda t: "[" + "[]," * 340_000 + "[]]")
manifest_text("manifest_with_a_key_twice", "record_invalid", lambda t: t[:-1] + ', "backbone": "vgg16"}')
manifest_text("temperature_nan", "record_invalid", lambda t: t.replace('"temperature": 1.0', '"temperature": NaN'))
manifest_text("temperature_1e999", "record_invalid", lambda t: t.replace('"temperature": 1.0', '"temperature": 1e999'))
manifest_text("side_of_4000_digits", "record_invalid", lambda t: t.replace('pixels": 32', 'pixels": ' + "3" * 4000))
manifest("an_unknown_key", "record_invalid", lambda m, t: m.update(module="os"))
manifest("an_unknown_key_inside", "record_invalid", lambda m, t: m["head"].update(config={"class_name": "Lambda"}))
manifest("a_missing_key", "record_invalid", lambda m, t: m.pop("licences"))
manifest("a_future_schema", "future_schema", lambda m, t: m.update(schema="graft/bundle/2", news=1))
manifest("another_schema", "record_invalid", lambda m, t: m.update(schema="graft/manifest/1"))
manifest("no_schema", "record_invalid", lambda m, t: m.pop("schema"))
head("temperature_zero", temperature=0.0)
head("temperature_negative", temperature=-1.0)
head("temperature_text", temperature="1.0")
head("an_unknown_head", kind="keras")
head("no_taps", taps=[])
head("taps_unknown", "bundle_invalid", taps=["middle", "os.system"])
head("taps_reversed", "bundle_invalid", taps=["high", "middle"])
head("taps_twice", "bundle_invalid", taps=["high", "high"])
head("taps_wider_than_the_head", "bundle_invalid", taps=["low", "middle", "high"])
classes("shorter", ["red", "green"])
classes("longer", ["red", "green", "blue", "white"])
classes("one", ["red"], "record_invalid")
classes("twice", ["red", "red", "blue"])
classes("markup", ["red", "<script>alert(1)</script>", "blue"])
classes("line_end", ["red", "gr\neen", "blue"])
classes("empty_name", ["red", "", "blue"])
classes("right_to_left", ["red", "gr\u202een", "blue"])
classes("same_after_normalisation", ["\u00e9", "e\u0301", "blue"])
classes("numbers", [1, 2, 3], "record_invalid")
classes("a_megabyte", ["r" * 900_000, "green", "blue"])
manifest("backbone_unknown", "bundle_invalid", lambda m, t: m.update(backbone="resnet_9000"))
manifest("backbone_a_dotted_path", "bundle_invalid", lambda m, t: m.update(backbone="os.system"))
manifest("backbone_a_file", "bundle_invalid", lambda m, t: m.update(backbone="../../etc/passwd"))
manifest("backbone_another", "bundle_invalid", lambda m, t: m.update(backbone="mobilenet_1.0"))
manifest("side_of_a_million", "record_invalid", lambda m, t: m.update(side_pixels=1_000_000))
manifest("side_below_the_network", "record_invalid", lambda m, t: m.update(side_pixels=1))
manifest("side_other_than_the_examples", "bundle_invalid", lambda m, t: m.update(side_pixels=64))
manifest("precision_unknown", "record_invalid", lambda m, t: m.update(precision="float8"))
manifest("channel_order_unknown", "record_invalid", lambda m, t: m["preprocessing"].update(channel_order="eval"))
manifest("no_tolerance", "bundle_invalid", lambda m, t: m["golden"].update(tolerance={}))
manifest("a_million_examples", "record_invalid", lambda m, t: m["golden"].update(count=1_000_000))
manifest("no_examples", "record_invalid", lambda m, t: m["golden"].update(count=0))
manifest("more_examples_than_there_are", "bundle_invalid", lambda m, t: m["golden"].update(count=5))


# The tensors.


def tensors(name: str, change: Callable[[Tensors], None], code: str = "bundle_invalid") -> None:
    manifest(name, code, lambda m, t: change(t))


def flipped(name: str) -> None:
    def run(path: Path) -> None:
        description, arrays = contents(path)
        arrays[name].reshape(-1).view(np.uint8)[-1] ^= 1
        rewrite(path, description, arrays, rehash=False)

    ATTACKS[f"bit_flipped_in_{name.replace('/', '_')}"] = ("hash_mismatch", run)


def poisoned(name: str, value: float) -> None:
    def change(arrays: Tensors) -> None:
        arrays[name].reshape(-1)[0] = value

    tensors(f"{value}_in_{name.replace('/', '_')}", change, "weights_not_finite")


for one in ("head/kernel", "head/mean", "backbone/stem/kernel", "backbone/top/kernel", "golden/pixels", "golden/photo"):
    flipped(one)
for one in ("head/kernel", "head/scale", "backbone/stem/kernel", "backbone/top/kernel", "golden/probabilities"):
    poisoned(one, float("nan"))
    poisoned(one, float("inf"))
tensors("head_missing", lambda t: t.pop("head/bias"))
tensors("head_wider", lambda t: t.update({"head/kernel": np.zeros((7, 3), np.float32)}))
tensors("head_turned", lambda t: t.update({"head/kernel": t["head/kernel"].T.copy()}))
tensors("head_of_doubles", lambda t: t.update({"head/mean": t["head/mean"].astype(np.float64)}))
tensors("head_of_one_unit", lambda t: t.update({"head/kernel": np.zeros((6, 1), np.float32)}))
tensors("head_of_a_million", lambda t: t.update({"head/kernel": np.zeros((1_000_000, 3), np.float32)}))
tensors("a_stranger_in_the_head", lambda t: t.update({"head/code": np.zeros(3, np.uint8)}))
tensors("a_shift_in_float32", lambda t: t.update({"head/shift": np.zeros(6, np.float32)}))
tensors("a_stranger", lambda t: t.update({"optimizer/state": np.zeros(3, np.float32)}))
tensors("a_path_as_name", lambda t: t.update({"../../etc/passwd": np.zeros(3, np.float32)}))
tensors("a_path_as_weight", lambda t: t.update({"backbone/../../x/kernel": np.zeros(3, np.float32)}))
tensors("a_line_end_in_a_name", lambda t: t.update({"backbone/stem/ker\nnel": np.zeros(3, np.float32)}))
tensors("weights_missing", lambda t: t.pop("backbone/stem/bias"))
tensors("weights_more", lambda t: t.update({"backbone/stem/more": np.zeros(1, np.float32)}))
tensors("weights_hidden_as_empty", lambda t: t.update({"backbone/x": np.zeros(0, np.float32)}))
tensors("weights_of_integers", lambda t: t.update({"backbone/stem/bias": np.zeros(4, np.int64)}))
tensors("weights_of_booleans", lambda t: t.update({"backbone/stem/bias": np.zeros(4, bool)}))
tensors("photo_empty", lambda t: t.update({"golden/photo": np.zeros(0, np.uint8)}))
tensors("photo_of_two_megabytes", lambda t: t.update({"golden/photo": np.zeros(2 << 20, np.uint8)}))
tensors("photo_missing", lambda t: t.pop("golden/photo"))
tensors("examples_of_floats", lambda t: t.update({"golden/pixels": t["golden/pixels"].astype(np.float32)}))
tensors("examples_that_are_no_probabilities", lambda t: t.update({"golden/probabilities": np.ones((4, 3), np.float32)}))


# A head with layers of its own.


def layers(name: str, change: Callable[[Manifest, Tensors], None], code: str = "bundle_invalid") -> None:
    """The good bundle with layers on the whole of its last map, then `change`."""

    def run(path: Path) -> None:
        description, arrays = contents(path)
        with_layers(description, arrays)
        change(description, arrays)
        rewrite(path, description, arrays)

    ATTACKS[f"layers_{name}"] = (code, run)


def with_layers(description: Manifest, arrays: Tensors) -> None:
    """What a training with such a head writes: see `LAYERED`, which is accepted."""
    head = layered_classifier()
    description["head"] |= {"taps": ["high"], "pooling": "none", "positions": [2, 2]}
    description["head"]["hidden"] = [{"units": len(each.bias), "activation": each.activation} for each in head.hidden]
    arrays |= {"head/mean": head.mean, "head/scale": head.scale, "head/kernel": head.kernel, "head/bias": head.bias}
    for number, each in enumerate(head.hidden):
        arrays |= {f"head/hidden_{number}/kernel": each.kernel, f"head/hidden_{number}/bias": each.bias}


def wide(units: int) -> dict[str, Any]:
    return {"units": units, "activation": "relu"}


def rows_of_one(description: Manifest, arrays: Tensors) -> None:
    """Seventeen layers of one unit, all that belongs to them included."""
    description["head"]["hidden"] = [wide(1)] * 17
    for number in range(17):
        arrays[f"head/hidden_{number}/kernel"] = np.zeros((1 if number else 12, 1), np.float32)
        arrays[f"head/hidden_{number}/bias"] = np.zeros(1, np.float32)
    arrays["head/kernel"] = np.zeros((1, 3), np.float32)


FIRST, SECOND = "head/hidden_0/kernel", "head/hidden_1/kernel"
layers("of_another_layer", lambda m, t: m["head"].update(taps=["middle"]))
layers("of_two_layers", lambda m, t: m["head"].update(taps=["middle", "high"]))
layers("of_the_averages_of_another_layer", lambda m, t: m["head"].update(pooling="avg", positions=[1, 1], taps=["low"]))
layers("of_an_unknown_pooling", lambda m, t: m["head"].update(pooling="eval"), "record_invalid")
layers("positions_of_the_averages", lambda m, t: m["head"].update(pooling="avg"))
layers("positions_more", lambda m, t: m["head"].update(positions=[3, 2]))
layers("positions_fewer", lambda m, t: m["head"].update(positions=[2, 1]))
layers("positions_huge", lambda m, t: m["head"].update(positions=[2048, 2048]))
layers("positions_too_many", lambda m, t: m["head"].update(positions=[4, 4096]), "record_invalid")
layers("positions_none", lambda m, t: m["head"].update(positions=[0, 0]), "record_invalid")
layers("positions_negative", lambda m, t: m["head"].update(positions=[-2, -2]), "record_invalid")
layers("positions_of_one_number", lambda m, t: m["head"].update(positions=[4]), "record_invalid")
layers("maxima_of_a_map", lambda m, t: m["head"].update(pooling="max", positions=[1, 1]))
layers("kernel_missing", lambda m, t: t.pop(SECOND))
layers("bias_missing", lambda m, t: t.pop("head/hidden_1/bias"))
layers("one_too_few_told", lambda m, t: m["head"]["hidden"].pop())
layers("one_too_many_told", lambda m, t: m["head"]["hidden"].append(wide(4)))
layers("none_told", lambda m, t: m["head"].update(hidden=[]))
layers("kernel_surplus", lambda m, t: t.update({"head/hidden_2/kernel": np.zeros((4, 4), np.float32)}))
layers("a_stranger_beside_them", lambda m, t: t.update({"head/hidden_0/code": np.zeros(5, np.float32)}))
layers("numbered_with_a_sign", lambda m, t: t.update({"head/hidden_-1/kernel": t.pop(FIRST)}))
layers("kernel_turned", lambda m, t: t.update({FIRST: t[FIRST].T.copy()}))
layers("kernel_wider", lambda m, t: t.update({SECOND: np.zeros((5, 5), np.float32)}))
layers("kernel_flat", lambda m, t: t.update({SECOND: t[SECOND].reshape(-1)}))
layers("kernel_of_doubles", lambda m, t: t.update({SECOND: t[SECOND].astype(np.float64)}))
layers("bias_longer", lambda m, t: t.update({"head/hidden_0/bias": np.zeros(6, np.float32)}))
layers("last_kernel_for_the_features", lambda m, t: t.update({"head/kernel": np.zeros((12, 3), np.float32)}))
layers("kernels_exchanged", lambda m, t: t.update({FIRST: t[SECOND], SECOND: t[FIRST]}))
layers("seventeen", rows_of_one, "record_invalid")
layers("twenty_thousand_told", lambda m, t: m["head"].update(hidden=[wide(1)] * 20_000), "record_invalid")
layers("units_huge", lambda m, t: m["head"]["hidden"][0].update(units=65_536))
layers("units_too_many", lambda m, t: m["head"]["hidden"][0].update(units=65_537), "record_invalid")
layers("units_of_4000_digits", lambda m, t: m["head"]["hidden"][0].update(units=10**3999), "record_invalid")
layers("units_none", lambda m, t: m["head"]["hidden"][0].update(units=0), "record_invalid")
layers("units_true", lambda m, t: m["head"]["hidden"][0].update(units=True), "record_invalid")
layers("activation_a_function", lambda m, t: m["head"]["hidden"][0].update(activation="os.system"), "record_invalid")
layers("a_key_of_keras", lambda m, t: m["head"]["hidden"][0].update(class_name="Lambda"), "record_invalid")
for one in (FIRST, "head/hidden_1/bias"):
    for value in (float("nan"), float("inf")):
        layers(
            f"{value}_in_{one.replace('/', '_')}",
            lambda m, t, one=one, value=value: t[one].reshape(-1).__setitem__(0, value),  # type: ignore[misc]
            "weights_not_finite",
        )
