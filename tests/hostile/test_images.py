"""No image file, however broken or hostile, leads anywhere but to pixels or to a coded refusal."""

import subprocess
import sys
import time
import warnings
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageFile
import PIL.PngImagePlugin
import pytest

from graft.core.errors import ImageRefused
from graft.data import images
from graft.data.containers import read_container
from graft.data.records import ImageRules
from tests.hostile.image_kinds import (
    BAD,
    BOMBS,
    GOOD,
    HEIGHT,
    WIDTH,
    Kind,
    flipped,
    jpeg,
    late_sum_png,
    picture,
    png,
    raw_png,
)

RULES = ImageRules()
VARIANTS = 3
ROOT = Path(__file__).resolve().parents[2]


def outcome(data: bytes, name: str = "") -> tuple[str, tuple[str, ...]]:
    try:
        return "", images.check(data, rules=RULES, name=name).flags
    except ImageRefused as refusal:
        return refusal.code, ()


def pixels_code(data: bytes) -> str:
    try:
        images.load_pixels(data, side_pixels=24, geometry="squash", rules=RULES)
    except ImageRefused as refusal:
        return refusal.code
    return ""


NEVER_DECODED = [kind for kind in BAD if kind.code in ("format_not_allowed", "not_an_image")]


@pytest.mark.parametrize("kind", [*GOOD, *BAD], ids=lambda kind: kind.name)
def test_every_kind_has_its_promised_outcome(kind: Kind) -> None:
    for seed in range(VARIANTS):
        data = kind.make(np.random.default_rng(seed))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert outcome(data, kind.file) == (kind.code, kind.flags)
            assert pixels_code(data) == kind.code  # the scan and everything after it agree


@pytest.mark.parametrize("kind", GOOD, ids=lambda kind: kind.name)
def test_accepted_images_have_the_size_and_pixels_they_claim(kind: Kind) -> None:
    data = kind.make(np.random.default_rng(0))
    facts = images.check(data, rules=RULES)
    rgb = images.decode(data, rules=RULES)
    assert (facts.width, facts.height, facts.bytes) == (WIDTH, HEIGHT, len(data))
    assert rgb.shape == (HEIGHT, WIDTH, 3)
    assert rgb.dtype == np.uint8


@pytest.mark.parametrize("kind", BOMBS, ids=lambda kind: kind.name)
def test_bombs_are_refused_at_once(kind: Kind) -> None:
    data = kind.make(np.random.default_rng(0))
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert outcome(data)[0] == kind.code
    assert time.perf_counter() - began < 0.1 * 5  # promised: 0.1 s; this machine may be busy


@pytest.mark.skipif(sys.platform == "win32", reason="counts memory as Unix does")
def test_bombs_take_no_memory() -> None:
    program = """
import resource, numpy as np
from tests.hostile.image_kinds import BOMBS, jpeg
from tests.hostile.test_images import outcome
files = [kind.make(np.random.default_rng(0)) for kind in BOMBS if "text" not in kind.name]
outcome(jpeg(np.random.default_rng(0)))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for data in files:
    outcome(data)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    kibibytes = int(found.stdout) / (1024 if sys.platform == "darwin" else 1)
    assert kibibytes < 50_000


def test_a_pillow_warning_about_bombs_is_a_refusal() -> None:
    large = ImageRules(max_pixels=2_000_000_000)
    with pytest.raises(ImageRefused) as caught:
        images.check(raw_png(20_000, 20_000, 1, 0, bytes(40)), rules=large)
    assert caught.value.code == "too_many_pixels"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...] | None]:
    """The formats that each call of Pillow's open was allowed."""
    calls: list[tuple[str, ...] | None] = []
    real = PIL.Image.open

    def spy(*args, formats=None, **options):
        calls.append(formats)
        return real(*args, formats=formats, **options)

    monkeypatch.setattr(PIL.Image, "open", spy)
    return calls


@pytest.mark.parametrize("kind", NEVER_DECODED, ids=lambda kind: kind.name)
def test_what_is_not_allowed_never_reaches_a_decoder(kind: Kind, opened: list[tuple[str, ...] | None]) -> None:
    outcome(kind.make(np.random.default_rng(0)))
    assert opened == []


def test_only_the_decoder_of_the_content_is_tried(opened: list[tuple[str, ...] | None]) -> None:
    outcome(png(np.random.default_rng(0)), "photo.jpg")
    assert set(opened) == {("PNG",)}  # and so the spy sees what it is there to see


def test_neither_verify_nor_load_alone_would_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sabotage of each half: what it alone finds must then pass, or this test shows nothing."""
    flip = flipped(late_sum_png(picture(np.random.default_rng(0), 1)), 500)
    assert outcome(flip)[0] == "corrupt"
    with monkeypatch.context() as sabotage:
        sabotage.setattr(PIL.PngImagePlugin.PngImageFile, "verify", lambda self: None)
        assert outcome(flip)[0] == ""
    cut = jpeg(np.random.default_rng(0))[:-2]
    monkeypatch.setattr(images, "read_container", lambda data: replace(read_container(data), truncated=False))
    assert outcome(cut)[0] == "truncated"  # what the walk over the markers would have found, load() finds
    with monkeypatch.context() as sabotage:
        sabotage.setattr(PIL.ImageFile.ImageFile, "load", PIL.Image.Image.load)
        assert outcome(cut)[0] != "truncated"


def test_too_many_bytes_is_said_before_decoding(opened: list[tuple[str, ...] | None]) -> None:
    data = jpeg(np.random.default_rng(0))
    with pytest.raises(ImageRefused) as caught:
        images.check(data, rules=ImageRules(max_bytes=len(data) - 1))
    assert caught.value.code == "too_many_bytes"
    assert opened == []
    images.check(data, rules=ImageRules(max_bytes=len(data)))


def mutate(data: bytes, other: bytes, random: np.random.Generator) -> bytes:
    """One of: bytes replaced, cut, spliced with another file, header edited, a part left out or repeated."""
    changed = bytearray(data)
    way = random.integers(5)
    if way in (0, 3):
        reach = len(changed) if way == 0 else min(len(changed), 120)
        for _ in range(random.integers(1, 8)):
            changed[random.integers(reach)] = random.integers(256)
    elif way == 1:
        changed = changed[: random.integers(len(changed))]
    elif way == 2:
        changed = changed[: random.integers(len(changed))] + other[random.integers(len(other)) :]
    else:
        start, length = random.integers(len(changed)), random.integers(1, 60)
        part = changed[start : start + length] * int(random.integers(0, 4))
        changed = changed[:start] + part + changed[start + length :]
    return with_sums(bytes(changed)) if changed[:4] == b"\x89PNG" and random.random() < 0.6 else bytes(changed)


def with_sums(data: bytes) -> bytes:
    """A damaged PNG whose checksums agree with the damage, so that decoders meet it."""
    result, position = data[:8], 8
    while position + 12 <= len(data):
        end = position + 8 + int.from_bytes(data[position : position + 4], "big")
        if end + 4 > len(data):
            break
        result += data[position:end] + zlib.crc32(data[position + 4 : end]).to_bytes(4, "big")
        position = end + 4
    return result + data[position:]


def fuzz(rounds: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    seeds = [kind.make(np.random.default_rng(5)) for kind in GOOD]
    for _ in range(rounds):
        data = mutate(seeds[random.integers(len(seeds))], seeds[random.integers(len(seeds))], random)
        began = time.perf_counter()
        code = outcome(data)[0]
        assert code == pixels_code(data)
        assert time.perf_counter() - began < 4


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_mutations_are_accepted_or_refused_with_a_code() -> None:
    fuzz(600, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_many_mutations_are_accepted_or_refused_with_a_code() -> None:
    fuzz(20_000, seed=2)
