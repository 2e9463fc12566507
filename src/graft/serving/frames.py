"""Messages between the front and its worker: a JSON header and raw parts, with their lengths in front."""

import json
import struct
from asyncio import StreamReader
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

_LENGTH = struct.Struct(">I")
_PARTS = "parts"


@dataclass(frozen=True)
class Message:
    """One message: JSON values, and bytes that travel beside them."""

    header: Mapping[str, Any]
    parts: Sequence[bytes] = ()


def encode(message: Message) -> list[bytes]:
    """The message as pieces to be written one after the other."""
    header = {**message.header, _PARTS: [len(part) for part in message.parts]}
    text = json.dumps(header, allow_nan=False).encode()
    return [_LENGTH.pack(len(text)), text, *message.parts]


def read_message(stream: BinaryIO) -> Message | None:
    """The next message; None where the stream has ended, be it in the middle of one."""
    start = stream.read(_LENGTH.size)
    if len(start) < _LENGTH.size:
        return None
    text = stream.read(_LENGTH.unpack(start)[0])
    if len(text) < _LENGTH.unpack(start)[0]:
        return None
    header = json.loads(text)
    sizes = header.pop(_PARTS)
    parts = [stream.read(size) for size in sizes]
    return Message(header, parts) if [len(part) for part in parts] == sizes else None


async def receive_message(stream: StreamReader) -> Message:
    """The next message; raises `asyncio.IncompleteReadError` where the stream ends before it does."""
    start = await stream.readexactly(_LENGTH.size)
    header = json.loads(await stream.readexactly(_LENGTH.unpack(start)[0]))
    sizes = header.pop(_PARTS)
    return Message(header, [await stream.readexactly(size) for size in sizes])
