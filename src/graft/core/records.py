"""Records: frozen, validated dataclasses that travel as canonical JSON with a schema name."""

import json
import re
import reprlib
from typing import Any, NoReturn, TypeVar, cast, dataclass_transform

import pydantic
from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass as pydantic_dataclass

from graft.core.errors import BadInput, GraftError, IntegrityProblem
from graft.core.hashing import sha256_bytes
from graft.core.version import UPDATE

RecordType = TypeVar("RecordType")
MAX_JSON_BYTES = 256 << 20
_END = b"\n}\n"  # of every stored form
_SEAL = b',\n "~sha256": "%s"\n}\n'


@dataclass_transform(frozen_default=True, kw_only_default=True)
def record(cls: type[RecordType]) -> type[RecordType]:
    """Make `cls` a frozen keyword-only dataclass, checked when constructed; unknown keys are errors.

    A class that is stored by itself names its format in a class variable `SCHEMA`, as `graft/manifest/1`.
    """
    config = pydantic.ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    made: Any = pydantic_dataclass(frozen=True, kw_only=True, config=config)(cls)
    return cast(type[RecordType], made)


def told_apart_by(name: str) -> Any:
    """Annotation of a union of records: which one a stored value is stands in its field `name`."""
    return pydantic.Discriminator(name)


def construct(cls: type[RecordType], **values: Any) -> RecordType:
    """Build a record from what a user gave; a wrong value becomes one sentence (`BadInput`)."""
    try:
        return cls(**values)
    except pydantic.ValidationError as error:
        raise BadInput(_sentence(error)) from None


def to_value(item: Any) -> Any:
    """The record as plain JSON values, with its schema name first where it has one."""
    value = TypeAdapter(type(item)).dump_python(item, mode="json")
    schema = getattr(item, "SCHEMA", None)
    return {"schema": schema, **value} if schema else value


def to_json(item: Any) -> bytes:
    """The record's stored form: sorted keys, one space of indentation, a final newline."""
    text = json.dumps(to_value(item), sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def to_sealed_json(item: Any) -> bytes:
    """The stored form with the SHA-256 of it as last member: still JSON, and no byte of it can change unseen."""
    content = to_json(item)
    return content[: -len(_END)] + _SEAL % sha256_bytes(content).encode()


def from_sealed_json(cls: type[RecordType], data: bytes, *, source: str) -> RecordType:
    """Read a record that `to_sealed_json` wrote; another byte anywhere raises `IntegrityProblem` hash_mismatch."""
    n_seal = len(_SEAL % bytes(64))
    content = data[:-n_seal] + _END
    if data[-n_seal:] != _SEAL % sha256_bytes(content).encode():
        raise IntegrityProblem(f"{source} must match the hash at its end, but does not.", code="hash_mismatch")
    return from_json(cls, content, source=source)


def record_hash(item: Any) -> str:
    """SHA-256 of the stored form: what a child record names as its parent."""
    return sha256_bytes(to_json(item))


def from_json(cls: type[RecordType], data: bytes, *, source: str) -> RecordType:
    """Read a stored record of class `cls`; anything unexpected raises `IntegrityProblem` naming `source`."""
    value = strict_json(data, source=source)
    schema = getattr(cls, "SCHEMA", None)
    if schema:
        _check_schema(value, schema, source)
        value = {key: item for key, item in value.items() if key != "schema"}
    try:
        return TypeAdapter(cls).validate_json(json.dumps(value), strict=True)
    except pydantic.ValidationError as error:
        raise IntegrityProblem(f"{source}: {_sentence(error)}", code="record_invalid") from None


def strict_json(data: bytes, *, source: str) -> Any:
    """Parse JSON that came from a file: no duplicate keys, no NaN, bounded size; depth is bounded by the parser."""
    if len(data) > MAX_JSON_BYTES:
        _refuse(source, f"JSON must have at most {MAX_JSON_BYTES} bytes, got {len(data)}")
    try:
        # Decoded here: json.loads would also take UTF-16 and UTF-32.
        return json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        _refuse(source, f"must be valid JSON: {str(error)[:200]}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("an object has the same key twice")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not allowed")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:40]} is too large")
    return value


def _check_schema(value: Any, schema: str, source: str) -> None:
    found = value.get("schema") if isinstance(value, dict) else None
    if found == schema:
        return
    name, _, version = schema.rpartition("/")
    found_name, _, found_version = str(found).rpartition("/")
    known = found_name == name and re.fullmatch("[0-9]{1,9}", found_version)
    if known and int(found_version) > int(version):
        raise IntegrityProblem(
            f"{source} must have schema {schema}, got {found}: it was written by a newer Graft.",
            hint=UPDATE,
            code="future_schema",
        )
    _refuse(source, f"schema must be {schema}, got {str(found)[:80]!r}")


def _refuse(source: str, problem: str) -> NoReturn:
    raise IntegrityProblem(f"{source}: {problem}.", code="record_invalid")


def _sentence(error: pydantic.ValidationError) -> str:
    """The first problem of a validation error as one sentence."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "value"
    given = _short(first["input"])
    if isinstance(first.get("ctx", {}).get("error"), GraftError):
        return str(first["ctx"]["error"])
    return f"'{where}' is not valid: {first['msg'][:1].lower()}{first['msg'][1:]}. Got {given}."


def _short(value: Any) -> str:
    """At most 80 characters of `repr`, without ever writing out a whole hostile value."""
    maker = reprlib.Repr()
    maker.maxstring = maker.maxother = 80
    text = maker.repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
