"""Forms are read alike however their bytes are cut into chunks."""

import random

import pytest

from graft.serving.errors import Refusal
from graft.serving.multipart import Multipart
from tests.serving.running import BOUNDARY, form

TYPE = f"multipart/form-data; boundary={BOUNDARY.decode()}"
FILES = (b"one", b"", b"\r\n--graft-boundar", b"\r\n" * 20 + b"--", bytes(range(256)))
BODY = form(*FILES)


def reader(content_type: str = TYPE, **changes: int) -> Multipart:
    limits = {"most_bytes": 1000, "most_files": 8, "most_parts": 10, **changes}
    return Multipart(content_type, field_name="image", **limits)


def files(chunks: list[bytes], **changes: int) -> list[bytes]:
    form = reader(**changes)
    for chunk in chunks:
        form.feed(chunk)
    return form.files()


def test_every_cut_into_two():
    for place in range(len(BODY)):
        assert files([BODY[:place], BODY[place:]]) == list(FILES), place


def test_byte_by_byte():
    assert files([bytes([byte]) for byte in BODY]) == list(FILES)


@pytest.mark.parametrize("seed", range(20))
def test_any_cut(seed):
    draw = random.Random(seed)
    places = sorted(draw.randrange(len(BODY)) for _ in range(8))
    assert files([BODY[a:b] for a, b in zip([0, *places], [*places, len(BODY)], strict=True)]) == list(FILES)


def test_any_end_that_is_cut_off_is_refused():
    for length in range(len(BODY) - 2):  # the last line's end may be left out
        with pytest.raises(Refusal):
            files([BODY[:length]])
    assert files([BODY[:-2]]) == list(FILES)


@pytest.mark.parametrize("more", [b"x", b"\r\n", b"\r\nx", b"--", b"\r\n" * 1000])
@pytest.mark.parametrize("chunks", [1, 2])
def test_nothing_may_follow(more, chunks):
    with pytest.raises(Refusal):
        files([BODY + more] if chunks == 1 else [BODY, more])


@pytest.mark.parametrize("before", [b"x", b"\r\n", b"\n", b"-", b"--x\r\n"])
def test_nothing_may_stand_before(before):
    with pytest.raises(Refusal):
        files([before + BODY])


def test_a_file_is_kept_to_one_byte_above_its_limit():
    assert [len(each) for each in files([form(b"x" * 50, b"y" * 9)], most_bytes=10)] == [11, 9]


@pytest.mark.parametrize(
    ("changes", "code"), [({"most_files": 4}, "too_many_images"), ({"most_parts": 4}, "too_many_images")]
)
def test_too_many(changes, code):
    with pytest.raises(Refusal) as caught:
        files([BODY], **changes)
    assert (caught.value.status, caught.value.code) == (413, code)


def test_other_fields_are_left_out():
    mixed = form(b"top", name="other", filename=None)[: -len(BOUNDARY) - 6] + form(b"file")
    assert files([mixed]) == [b"file"]


def test_a_photo_in_another_field_is_told_where_it_belongs():
    with pytest.raises(Refusal, match="Images must be sent in the field 'image', got more than") as caught:
        files([form(b"x" * 70_000, name="file")])
    assert (caught.value.status, caught.value.code) == (413, "too_many_bytes")


def test_refusals_are_utf8_as_all_answers_are():
    assert (
        Refusal("image/… or nothing").body() == b'{"error": "image/\xe2\x80\xa6 or nothing", "code": "request_invalid"}'
    )


@pytest.mark.parametrize(
    "content_type",
    ["", "multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=x", TYPE + "x" * 70],
)
def test_a_boundary_that_is_none(content_type):
    with pytest.raises(Refusal):
        reader(content_type)


def test_a_quoted_boundary_is_one():
    form = reader(f'multipart/form-data; charset=utf-8; boundary="{BOUNDARY.decode()}"')
    form.feed(BODY)
    assert form.files() == list(FILES)
