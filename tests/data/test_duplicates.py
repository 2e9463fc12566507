"""Near duplicates: planted copies are found, photos that only resemble one another are not, and groups stay small."""

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from graft.core.progress import SilentProgress, SilentStage
from graft.data.duplicates import search as duplicates
from graft.data.duplicates.search import BANDS, CLOSE_DISTANCE, Groups, NearPair, find_near, limit, tighten
from graft.data.images import decode
from graft.data.scan import Scan
from tests.data.folders import RULES
from tests.data.look_alikes import (
    COPIES,
    cropped,
    look_alike_paths,
    natural,
    on_one_wall,
    resized,
    scanned_with_fingerprints,
    stored,
    write,
)

ORIGINALS = 25
LEAST_FOUND = 0.95
MOST_FALSE = 0.001


def plant(folder: Path, originals: list[Image.Image]) -> Path:
    """A folder `a` of originals, and a folder of their copies for each kind of copy."""
    files = {}
    for number, image in enumerate(originals):
        draw = np.random.default_rng(number)
        files[f"a/{number:03}.jpg"] = stored(image, "JPEG", 90)
        files |= {f"{kind}/{number:03}": copy(image, draw) for kind, copy in COPIES.items()}
    return write(folder, files)


def judge(folder: Path) -> tuple[dict[str, float], int]:
    """The share of copies that are found, by kind, and the number of false pairs among all photos."""
    scan = scanned_with_fingerprints(folder)
    numbers = sorted(path.stem for path in (folder / "a").iterdir())
    found = {}
    for kind in COPIES:  # one at a time: other copies would lead from one to the other
        rows = [row for row, item in enumerate(scan.good) if item.entry.label in ("a", kind)]
        pairs = look_alike_paths(
            replace(scan, good=tuple(scan.good[row] for row in rows), fingerprints=scan.fingerprints[rows])
        )
        found[kind] = sum(tuple(sorted((f"{kind}/{number}", f"a/{number}.jpg"))) in pairs for number in numbers)
    false = sum(Path(one).stem != Path(other).stem for one, other in look_alike_paths(scan))
    return {kind: count / len(numbers) for kind, count in found.items()}, false


def false_share(scan: Scan) -> float:
    """Reported pairs of all pairs of photos among which no photo is a copy."""
    return len(look_alike_paths(scan)) / (len(scan.good) * (len(scan.good) - 1) / 2)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plant(tmp_path_factory.mktemp("planted"), [natural(number) for number in range(ORIGINALS)])


@pytest.fixture(scope="module")
def wall(tmp_path_factory: pytest.TempPathFactory) -> Scan:
    """150 photos on one background: 11,175 pairs."""
    folder = tmp_path_factory.mktemp("wall")
    files = {f"{'ab'[number % 2]}/{number}.png": stored(on_one_wall(number)) for number in range(150)}
    return scanned_with_fingerprints(write(folder, files))


@pytest.fixture(scope="module")
def hands(shared: Path) -> Scan:
    """2,062 photos of hands on a few walls: 2.1 million pairs."""
    return scanned_with_fingerprints(shared / "data" / "sign_digits")


def test_planted_copies_are_found(planted: Path) -> None:
    found, false = judge(planted)
    assert min(found.values()) >= LEAST_FOUND, found
    assert false == 0


def test_planted_copies_of_real_photos_are_found(shared: Path, tmp_path: Path) -> None:
    paths = sorted((shared / "data" / "cats_and_dogs_small" / "test" / "cats").iterdir())[:40]
    found, false = judge(plant(tmp_path, [Image.fromarray(decode(path.read_bytes(), rules=RULES)) for path in paths]))
    assert np.mean(list(found.values())) >= 0.98, found
    assert min(found.values()) >= LEAST_FOUND, found
    assert false == 0


def test_sabotage_equal_bytes_alone_find_no_copies(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def equal_ones(hashed: np.ndarray, **_: object) -> tuple[np.ndarray, np.ndarray]:
        return np.empty(0, np.int64), np.empty(0, np.int64)  # the contents are all different

    monkeypatch.setattr(duplicates, "candidates", equal_ones)
    found, _ = judge(planted)
    assert max(found.values()) < LEAST_FOUND


def test_different_things_on_one_wall_are_different(wall: Scan) -> None:
    assert false_share(wall) <= MOST_FALSE


def test_real_hands_on_real_walls_are_different(hands: Scan) -> None:
    assert false_share(hands) <= MOST_FALSE


def without_pixel_check(first: np.ndarray, second: np.ndarray, small: np.ndarray) -> np.ndarray:
    return np.zeros(len(first))


def test_sabotage_without_the_pixel_check_the_wall_is_one(wall: Scan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "distances", without_pixel_check)
    assert false_share(wall) > MOST_FALSE


def test_sabotage_without_the_pixel_check_hands_are_one(hands: Scan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "distances", without_pixel_check)
    assert false_share(hands) > MOST_FALSE


def test_mirrored_recoloured_and_flat_pictures_are_not_the_same(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    image = natural(1)
    red, green, blue = image.split()
    files = {
        "a/photo.png": stored(image),
        "a/mirrored.png": stored(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
        "a/recoloured.png": stored(Image.merge("RGB", (blue, green, red))),
    }
    for number in range(20):
        flat = np.full((40, 60, 3), 5 * number + 60) + draw.integers(-2, 3, (40, 60, 3))
        files[f"b/{number}.png"] = stored(Image.fromarray(flat.astype(np.uint8)))
    assert look_alike_paths(scanned_with_fingerprints(write(tmp_path, files))) == set()


def test_a_recoloured_part_tells_two_pictures_apart(tmp_path: Path) -> None:
    gray = np.asarray(natural(3).convert("L"))
    files = {}
    for name, (blue, red) in {"plain": (128, 128), "red": (110, 170), "blue": (170, 110)}.items():
        picture = np.stack([gray, np.full_like(gray, 128), np.full_like(gray, 128)], axis=-1)
        picture[30:80, 50:100, 1:] = blue, red
        files[f"{name}/one.png"] = stored(Image.fromarray(picture, "YCbCr").convert("RGB"))
    scan = scanned_with_fingerprints(write(tmp_path, files), least_photos=1)
    assert look_alike_paths(scan) == set()


def test_order_names_and_workers_change_nothing(planted: Path, tmp_path: Path) -> None:
    expected = find_near(scanned_with_fingerprints(planted), workers=1, progress=SilentProgress())
    for number, path in enumerate(sorted(planted.rglob("*.*"), reverse=True)):
        place = tmp_path / "xy"[number % 2] / f"{number * 7919 % 1000:03}{path.suffix}"
        place.parent.mkdir(exist_ok=True)
        shutil.copy(path, place)
    for path in planted.rglob("*"):
        if path.is_file() and not path.suffix:
            shutil.copy(path, tmp_path / "x" / f"{path.parent.name}{path.name}")
    turned = find_near(scanned_with_fingerprints(tmp_path), workers=5, progress=SilentProgress())
    assert turned == expected
    assert len(expected) > ORIGINALS


def test_progress_counts_every_photo_and_pair(planted: Path) -> None:
    counted: dict[str, int] = Counter()

    class Progress(SilentProgress):
        def stage(self, name: str, total: int | None, unit: str):
            from contextlib import nullcontext

            counted[unit] -= total or 0

            class Stage(SilentStage):
                def advance(self, n: int = 1) -> None:
                    counted[unit] += n

            return nullcontext(Stage())

    scan = scanned_with_fingerprints(planted)
    find_near(scan, workers=2, progress=Progress())
    assert counted == {"photos": 0, "pairs": 0}


def test_nothing_and_one_photo_have_no_duplicates(tmp_path: Path) -> None:
    one = write(tmp_path / "one", {"a/1.png": stored(natural(1)), "b/2.png": stored(natural(1))})
    assert look_alike_paths(scanned_with_fingerprints(one, least_photos=0)) == set()
    hashed = np.zeros((0, 36), np.float32)
    assert [len(rows) for rows in duplicates.candidates(hashed, workers=2, advance=lambda n: None)] == [0, 0]


def test_of_many_alike_a_photo_is_compared_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    base = draw.normal(size=36)
    far = base + 0.05 * draw.normal(size=(300, 36))
    twin = base + 0.001 * draw.normal(size=(2, 36))
    hashed = np.concatenate((far[:150], twin[:1], far[150:], twin[1:]))
    hashed = np.rint(1024 * hashed / np.linalg.norm(hashed, axis=1, keepdims=True)).astype(np.float32)
    pairs = [duplicates.candidates(hashed, workers=workers, advance=lambda n: None) for workers in (1, 3)]
    first, second = pairs[0]
    assert (150, 301) in set(zip(first.tolist(), second.tolist(), strict=True))
    assert len(first) <= duplicates.MOST_NAMED * len(hashed)
    assert all(one < other for one, other in zip(first, second, strict=True))
    monkeypatch.setattr(duplicates, "BLOCK_NUMBERS", 1_000)  # other blocks, the same pairs
    again = duplicates.candidates(hashed, workers=2, advance=lambda n: None)
    for each in (pairs[1], again):
        assert np.array_equal(np.stack(each), np.stack(pairs[0]))


def chain(number: int, distance: float) -> list[NearPair]:
    return [NearPair(f"{index:04}", f"{index + 1:04}", distance) for index in range(number)]


def sizes_of(pairs: tuple[NearPair, ...], copies: dict[str, int]) -> Counter[str]:
    groups = Groups({})
    for pair in pairs:
        groups.join(pair.first, pair.second)
    sizes: Counter[str] = Counter()
    for name, count in copies.items():
        sizes[groups.root(name)] += count
    return sizes


def test_a_series_does_not_become_one_group() -> None:
    copies = {f"{index:04}": 1 for index in range(2_000)}
    pairs = chain(500, 0.6)
    kept = tighten(pairs, copies)
    assert max(sizes_of(kept, copies).values()) == 20  # 1 % of the photos
    assert tighten(pairs[::-1], copies) == kept
    assert len(tighten(chain(500, CLOSE_DISTANCE), copies)) == 500  # the same picture 501 times is one group


def test_the_closest_of_a_series_stay_together() -> None:
    copies = {f"{index:04}": 1 for index in range(100)}
    pairs = [NearPair(pair.first, pair.second, 0.3 if index % 2 else 0.9) for index, pair in enumerate(chain(60, 1))]
    kept = tighten(pairs, copies)
    assert set(kept) >= {pair for pair in pairs if pair.distance == 0.3}
    assert max(sizes_of(kept, copies).values()) <= 10


def test_exact_copies_count_as_photos() -> None:
    copies = {f"{index:04}": 8 for index in range(10)}
    assert tighten(chain(9, 0.6), copies) == ()


names = st.integers(0, 30).map(lambda number: f"{number:02}")
near_pairs = st.lists(
    st.builds(lambda one, other, distance: NearPair(*sorted((one, other)), distance), names, names, st.floats(0, 1))
)


@given(near_pairs, st.dictionaries(names, st.integers(1, 4), min_size=1), st.randoms())
def test_groups_keep_their_limit_in_any_order(pairs: list[NearPair], extra: dict[str, int], shuffle) -> None:
    copies = {f"{number:02}": 1 for number in range(31)} | extra
    kept = tighten(pairs, copies)
    turned = list(pairs)
    shuffle.shuffle(turned)
    assert tighten(turned, copies) == kept
    close = tuple(pair for pair in pairs if pair.distance <= CLOSE_DISTANCE)
    most = max(10, *sizes_of(close, copies).values())
    assert max(sizes_of(kept, copies).values()) <= most or close
    assert set(close) <= set(kept)


def test_a_crowd_lowers_the_limit_and_copies_do_not() -> None:
    draw = np.random.default_rng(0)
    copies = draw.uniform(0.02, 0.6, 300)
    assert limit(copies, 1_000) == 1
    crowd = 1.8 - draw.gamma(2, 0.13, 20_000)  # different photos, with a tail that reaches below 1
    assert (crowd < 1).sum() > 200
    assert 0.3 < limit(crowd, 1_000) < 0.9
    assert (crowd <= limit(crowd, 1_000)).sum() <= 20
    assert limit(np.empty(0), 10) == BANDS[1] == 1


def test_a_lightly_cropped_and_resized_copy_is_found_in_both_orders(tmp_path: Path) -> None:
    draw = np.random.default_rng(5)
    for number in range(4):
        image = natural(200 + number, 300, 200)
        copy = resized(cropped(image, draw), 0.7, draw)
        folder = write(tmp_path / str(number), {"a/1.png": stored(image), "b/2.png": stored(copy)})
        assert look_alike_paths(scanned_with_fingerprints(folder, least_photos=1)) == {("a/1.png", "b/2.png")}
