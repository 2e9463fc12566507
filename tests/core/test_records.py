"""Records: checked when made, stored as one JSON text, read back strictly."""

import json
from typing import Annotated, Any, ClassVar

import pytest
from annotated_types import Ge

from graft.core.errors import BadInput, IntegrityProblem
from graft.core.records import (
    construct,
    from_json,
    from_sealed_json,
    record,
    record_hash,
    strict_json,
    to_json,
    to_sealed_json,
    to_value,
)


@record
class Part:
    """A part of the example."""

    name: str
    weight: float = 1.0


@record
class Example:
    """A stored record."""

    SCHEMA: ClassVar[str] = "graft/example/2"
    count: Annotated[int, Ge(0)]
    parts: tuple[Part, ...] = ()


GOOD = Example(count=3, parts=(Part(name="ä"), Part(name="b", weight=0.1)))


def changed(**fields: Any) -> bytes:
    return json.dumps({**json.loads(to_json(GOOD)), **fields}).encode()


def test_a_record_comes_back_equal() -> None:
    assert from_json(Example, to_json(GOOD), source="it") == GOOD
    assert to_json(from_json(Example, to_json(GOOD), source="it")) == to_json(GOOD)
    assert to_value(GOOD)["schema"] == "graft/example/2"
    assert "schema" not in to_value(Part(name="x"))
    assert from_json(Part, to_json(Part(name="x")), source="it") == Part(name="x")


def test_stored_form_and_hash_depend_on_content_only() -> None:
    again = Example(parts=(Part(weight=1.0, name="ä"), Part(name="b", weight=0.1)), count=3)
    assert to_json(again) == to_json(GOOD)
    assert record_hash(again) == record_hash(GOOD)
    assert record_hash(Example(count=4, parts=GOOD.parts)) != record_hash(GOOD)
    assert to_json(GOOD).endswith(b"\n")
    assert "ä".encode() in to_json(GOOD)


def test_records_do_not_change() -> None:
    with pytest.raises(AttributeError):
        GOOD.count = 4  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"count": -1}, "'count' is not valid: input should be greater than or equal to 0. Got -1."),
        ({"count": "3"}, "'count' is not valid: input should be a valid integer. Got '3'."),
        ({"count": True}, "'count' is not valid"),
        ({}, "'count' is not valid"),
        ({"count": 1, "cuont": 2}, "'cuont' is not valid"),
        ({"count": 1, "parts": (1,)}, "'parts.0' is not valid"),
    ],
)
def test_what_a_user_gets_wrong_is_one_sentence(values: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput) as caught:
        construct(Example, **values)
    assert caught.value.message.startswith(says)
    assert "\n" not in caught.value.message
    assert construct(Example, count=1) == Example(count=1)


def test_a_huge_wrong_value_is_not_written_out() -> None:
    with pytest.raises(BadInput) as caught:
        construct(Example, count=["x" * 1000] * 100_000)
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "valid JSON"),
        (b"{", "valid JSON"),
        (b'{"a":1,"a":2}', "same key twice"),
        (b"[NaN]", "NaN is not allowed"),
        (b"[-Infinity]", "Infinity is not allowed"),
        (b"[1e999]", "too large"),
        (b"[" + b"9" * 5000 + b"]", "valid JSON"),
        (b"[" * 200_000, "valid JSON"),
        (b'"\xff"', "valid JSON"),
        ('{"a":1}'.encode("utf-16"), "valid JSON"),
        (b'\xef\xbb\xbf{"a":1}', "valid JSON"),
    ],
)
def test_json_that_came_from_elsewhere_is_read_strictly(data: bytes, says: str) -> None:
    with pytest.raises(IntegrityProblem, match=says) as caught:
        strict_json(data, source="it")
    assert caught.value.code == "record_invalid"
    assert caught.value.message.startswith("it: ")
    assert len(caught.value.message) < 300


def test_json_size_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graft.core.records.MAX_JSON_BYTES", 10)
    assert strict_json(b"[1,2,3,45]", source="it") == [1, 2, 3, 45]
    with pytest.raises(IntegrityProblem, match="at most 10 bytes"):
        strict_json(b"[1,2,3,456]", source="it")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (changed(schema="graft/example/3"), "future_schema"),
        (changed(schema="graft/example/1"), "record_invalid"),
        (changed(schema="graft/other/2"), "record_invalid"),
        (changed(schema=None), "record_invalid"),
        (changed(schema="graft/example/²"), "record_invalid"),
        (changed(schema="graft/example/" + "9" * 5000), "record_invalid"),
        (changed(count=-1), "record_invalid"),
        (changed(count=1.0), "record_invalid"),
        (changed(unknown=1), "record_invalid"),
        (changed(parts=[{"name": "\ud800"}]), "record_invalid"),
        (b"[]", "record_invalid"),
        (b"1", "record_invalid"),
    ],
)
def test_a_stored_record_must_keep_its_schema(data: bytes, code: str) -> None:
    with pytest.raises(IntegrityProblem) as caught:
        from_json(Example, data, source="RUN/example.json")
    assert caught.value.code == code
    assert "RUN/example.json" in caught.value.message
    assert bool(caught.value.hint) == (code == "future_schema")


def test_of_a_sealed_record_no_byte_can_change_unseen() -> None:
    sealed = to_sealed_json(GOOD)
    assert from_sealed_json(Example, sealed, source="it") == GOOD
    assert json.loads(sealed)["schema"] == Example.SCHEMA  # people and other programs can read it
    for place in range(len(sealed)):
        for other in (sealed[place] ^ 1, sealed[place] ^ 0x20, 0x20):
            flipped = sealed[:place] + bytes([other]) + sealed[place + 1 :]
            if flipped != sealed:
                with pytest.raises(IntegrityProblem):
                    from_sealed_json(Example, flipped, source="it")
    for damaged in (b"", sealed[:-1], sealed[1:], sealed + b"\n", to_json(GOOD)):
        with pytest.raises(IntegrityProblem) as caught:
            from_sealed_json(Example, damaged, source="it")
        assert caught.value.code == "hash_mismatch"
