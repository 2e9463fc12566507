"""No image file, however broken or hostile, leads anywhere but to pixels or to a coded refusal."""

import json
import os
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageFile
import PIL.PngImagePlugin
import pytest

from graft.core.errors import ImageRefused
from graft.data import images
from graft.data.containers import read_container
from graft.data.records import MOST_PIXELS, ImageRules
from tests.hostile.image_child import forget_peak
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
    many_passes,
    picture,
    png,
    saved,
    tiff,
)

RULES = ImageRules()
VARIANTS = 3
ROOT = Path(__file__).resolve().parents[2]
KEPT = Path(__file__).parent / "images"
# So that memory which an image has given back is not kept for the next one, whose growth would not be seen.
PLAIN_MALLOC = {"MALLOC_MMAP_THRESHOLD_": "131072"}


def child_environment() -> dict[str, str]:
    paths = [str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


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


def costs(folder: Path, files: list[bytes], *options: str) -> list[dict[str, Any]]:
    """What a watched child says of each file: outcome, seconds of the processor and memory beyond what it held.

    One child for all where it can begin a new high-water mark for each file; elsewhere a fresh one for each, in which
    no earlier file has raised the mark.
    """
    groups = [files] if forget_peak() else [[data] for data in files]
    found = []
    for group_number, group in enumerate(groups):
        inside = folder / f"{group_number:02}"
        inside.mkdir(parents=True)
        for number, data in enumerate(group):
            (inside / f"{number:02}").write_bytes(data)
        command = [sys.executable, "-m", "tests.hostile.image_child", str(inside), *options]
        done = subprocess.run(
            command, cwd=ROOT, env=child_environment() | PLAIN_MALLOC, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        found += [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(files)
    return found


def assert_cheap(cost: dict[str, Any]) -> None:
    """The gate: 0.1 s and 50 MB."""
    assert cost["seconds"] < 0.1
    assert cost["growth_bytes"] < 50_000_000


@pytest.fixture(scope="module")
def bombs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    files = [kind.make(np.random.default_rng(0)) for kind in BOMBS]
    found = costs(tmp_path_factory.mktemp("bombs"), files)
    return dict(zip([kind.name for kind in BOMBS], found, strict=True))


@pytest.mark.parametrize("kind", BOMBS, ids=lambda kind: kind.name)
def test_a_bomb_costs_no_time_and_no_memory(kind: Kind, bombs: dict[str, dict[str, Any]]) -> None:
    """Refused, or with up to 1,000 frames, of which one is read, accepted."""
    seen = bombs[kind.name]
    print(f"{kind.name}: {seen['seconds'] * 1000:.1f} ms, {seen['growth_bytes'] / 1e6:.1f} MB more")
    assert (seen["code"], tuple(seen["flags"])) == (kind.code, kind.flags)
    assert_cheap(seen)


def test_sabotage_memory_that_a_reader_takes_is_seen_each_time(tmp_path: Path) -> None:
    """An image of 20 megapixels is no bomb, but needs what a bomb must not; read again, it needs it again."""
    large = saved(PIL.Image.new("RGB", (5_000, 4_000)), "PNG")
    for seen in costs(tmp_path, [large, large]):
        assert (seen["code"], seen["growth_bytes"] > 50_000_000) == ("", True)
        with pytest.raises(AssertionError):
            assert_cheap(seen)


def test_sabotage_a_reader_that_decodes_before_it_looks_is_too_slow(tmp_path: Path) -> None:
    """A JPEG of 1,000 passes takes about a second to decode: it is refused in time because nothing decodes it."""
    passes = many_passes(1_000)(np.random.default_rng(0))
    (looked,) = costs(tmp_path / "looked", [passes])
    (decoded,) = costs(tmp_path / "decoded", [passes], "--careless")
    assert_cheap(looked)
    assert decoded["seconds"] > 0.1
    with pytest.raises(AssertionError):
        assert_cheap(decoded)


@pytest.mark.parametrize("passes", [30, 31])
def test_as_many_passes_as_any_writer_makes_are_read(passes: int) -> None:
    small = many_passes(passes, side_pixels=64)(np.random.default_rng(0))
    assert outcome(small)[0] == ("" if passes == 30 else "too_many_pixels")


def test_a_tiff_cannot_smuggle_passes_in() -> None:
    inner = many_passes(60, side_pixels=64)(np.random.default_rng(0))
    data = tiff(inner, 64, 64, bits=(8, 8, 8), photometric=6, compression=7)
    assert outcome(data)[0] == "too_many_pixels"


def test_our_limit_is_the_one_that_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow's own limit, which a host program may change, warns first and refuses at its double."""
    data = png(np.random.default_rng(0))
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", WIDTH * HEIGHT - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert outcome(data)[0] == ""
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", WIDTH * HEIGHT // 2 - 1)
    assert outcome(data)[0] == "too_many_pixels"
    monkeypatch.undo()
    assert MOST_PIXELS <= 2 * PIL.Image.MAX_IMAGE_PIXELS  # so that what we allow, Pillow never refuses


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


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("heic", "HEIC photo. Export it as JPEG"),
        ("avif", "AVIF image. Convert it to JPEG"),
        ("eps", "PostScript"),
        ("psd", "Photoshop"),
        ("icon", "icon file"),
        ("pdf", "PDF document"),
    ],
)
def test_a_refusal_names_the_kind_and_what_to_do(kind: str, words: str) -> None:
    (chosen,) = (each for each in BAD if each.name == kind)
    with pytest.raises(ImageRefused, match=words):
        images.check(chosen.make(np.random.default_rng(0)), rules=RULES)


def noisy_files() -> dict[str, bytes]:
    """Files about which Pillow or a library below it has something to say."""
    random = np.random.default_rng(0)
    animated = next(kind for kind in GOOD if kind.name == "animated png").make(random)
    packed = saved(picture(random), "TIFF", compression="tiff_adobe_deflate")
    exif = b"Exif\0\0II*\0\x08\0\0\0\x05\0" + b"\x12\x01\x03\0\xff\xff\xff\x0f" + bytes(20)
    return {
        "cut exif": jpeg(random, exif=exif),
        "apng without frames": animated.replace(b"acTL\x00\x00\x00\x03", b"acTL\x00\x00\x00\x00"),
        "damaged deflate in tiff": packed[:40] + bytes(20) + packed[60:],
        "lzw in tiff": flipped(saved(picture(random), "TIFF", compression="tiff_lzw"), 200),
    }


def test_what_decoders_say_never_reaches_the_terminal(tmp_path: Path) -> None:
    for number, data in enumerate(noisy_files().values()):
        (tmp_path / f"{number:02}").write_bytes(data)
    command = [sys.executable, "-W", "always", "-m", "tests.hostile.image_child", str(tmp_path)]
    quiet = subprocess.run(command, cwd=ROOT, env=child_environment(), capture_output=True, text=True, check=True)
    assert quiet.stderr == ""
    loud = subprocess.run(
        [*command, "--loud"], cwd=ROOT, env=child_environment(), capture_output=True, text=True, check=True
    )
    assert "UserWarning" in loud.stderr  # sabotage: without the silencing there is something to hear
    if sys.platform == "linux":
        assert "ZIPDecode" in loud.stderr
    assert [_verdict(line) for line in loud.stdout.splitlines()] == [
        _verdict(line) for line in quiet.stdout.splitlines()
    ]


def _verdict(line: str) -> tuple[str, list[str]]:
    value = json.loads(line)
    return value["code"], value["flags"]


def test_verdicts_do_not_depend_on_what_the_host_does_with_warnings() -> None:
    for data in noisy_files().values():
        usual = outcome(data)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert outcome(data) == usual


def test_too_many_bytes_is_said_before_decoding(opened: list[tuple[str, ...] | None]) -> None:
    data = jpeg(np.random.default_rng(0))
    with pytest.raises(ImageRefused) as caught:
        images.check(data, rules=ImageRules(max_bytes=len(data) - 1))
    assert caught.value.code == "too_many_bytes"
    assert opened == []
    images.check(data, rules=ImageRules(max_bytes=len(data)))


@pytest.mark.parametrize("path", sorted(KEPT.glob("*.bin")), ids=lambda path: path.stem)
def test_what_once_gave_trouble_is_accepted_or_refused(path: Path) -> None:
    data = path.read_bytes()
    assert outcome(data)[0] == pixels_code(data)


def fuzz(folder: Path, rounds: range) -> dict[str, Any]:
    """Mutations `rounds` read by a watched child; what it died on is left as `current` in `folder`."""
    command = [sys.executable, "-m", "tests.hostile.fuzz_child", str(folder), str(rounds.start), str(rounds.stop)]
    done = subprocess.run(command, cwd=ROOT, env=child_environment(), capture_output=True, text=True, timeout=1_100)
    assert done.returncode == 0, (done.returncode, done.stderr[-2_000:])
    assert done.stderr == ""
    value: dict[str, Any] = json.loads(done.stdout)
    return value


def judge(folder: Path, rounds: range) -> dict[str, Any]:
    seen = fuzz(folder, rounds)
    assert seen["disagreements"] == []
    assert sum(seen["codes"].values()) == len(rounds)
    assert set(seen["codes"]) <= {"", *(kind.code for kind in (*BAD, *BOMBS))}
    assert len(seen["codes"]) >= 5
    return seen


def test_mutations_are_accepted_or_refused_with_a_code(tmp_path: Path) -> None:
    judge(tmp_path, range(400))


def test_the_fuzz_would_notice_a_crash(tmp_path: Path) -> None:
    """Sabotage: a child that ends by a signal is seen, and the file it died on is at hand."""
    with pytest.raises(AssertionError):
        fuzz(tmp_path, range(-1, 5))
    assert (tmp_path / "current").read_bytes()


@pytest.mark.slow
@pytest.mark.timeout(2_400)
def test_many_mutations_are_accepted_or_refused_with_a_code(tmp_path: Path) -> None:
    for start in range(0, 20_000, 5_000):
        seen = judge(tmp_path, range(start, start + 5_000))
        print(seen)
        assert seen["most_seconds"] < 2  # of the processor: other programs do not count
        assert seen["peak_bytes"] < 600_000_000
