"""Messages between front and worker survive the way, and a broken way is noticed."""

import asyncio
import io

import pytest

from graft.serving.frames import Message, encode, read_message, receive_message

MESSAGES = [
    Message({}),
    Message({"a": [1, None, "ä"]}, [b""]),
    Message({"kinds": ["file"] * 3}, [b"x", b"", b"y" * 70_000]),
]


def received(data: bytes) -> Message:
    async def receive() -> Message:
        stream = asyncio.StreamReader()
        stream.feed_data(data)
        stream.feed_eof()
        return await receive_message(stream)

    return asyncio.run(receive())


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_arrives_as_it_was(message):
    data = b"".join(encode(message))
    for found in (read_message(io.BytesIO(data)), received(data)):
        assert (dict(found.header), list(found.parts)) == (dict(message.header), list(message.parts))


def test_messages_follow_each_other():
    stream = io.BytesIO(b"".join(piece for message in MESSAGES for piece in encode(message)))
    assert [list(read_message(stream).parts) for _ in MESSAGES] == [list(each.parts) for each in MESSAGES]
    assert read_message(stream) is None


def test_a_message_that_is_cut_is_none():
    data = b"".join(encode(Message({"a": 1}, [b"bc", b"d"])))
    for length in range(len(data)):
        assert read_message(io.BytesIO(data[:length])) is None
        with pytest.raises(EOFError):
            received(data[:length])
