"""What training reads: the rows asked for in the order asked for, whoever prepares them and when."""

import threading
import time
from contextlib import closing
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest

from graft.backbones.records import Preprocessing
from graft.core.errors import BadInput, IntegrityProblem
from graft.data import stream
from graft.data.augmentation.normalization import fit, parse_normalization
from graft.data.augmentation.presets import PRESETS
from graft.data.augmentation.views import make_view
from graft.data.images import load_pixels
from graft.data.records import ImageRules
from graft.features.preprocessing import network_input
from graft.features.sources import PixelSource, StoredSource, prefetch
from tests.features.samples import write_photos

RULES = ImageRules()
SIDE = 16
CLASSIC = PRESETS["classic"]
PREPROCESSING = Preprocessing(channel_order="bgr", scale=(0.5, 1.0, 2.0), offset=(-1.0, 0.0, 1.0))


def rows(*numbers):
    return np.array(numbers, np.int64)


def graft_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith(("graft-views", "graft-prefetch"))]


def numbered(*shape, dtype=np.float32):
    """An array of which each number is another one (below 256, so that bfloat16 keeps them)."""
    return (np.arange(np.prod(shape)) % 251).reshape(shape).astype(dtype)


@pytest.fixture
def stored():
    return StoredSource(
        (numbered(3, 5, 2, 2, 4, dtype=ml_dtypes.bfloat16), numbered(3, 5, 7)),
        (numbered(3, 5, 2, dtype=np.float16), numbered(3, 5, 3, dtype=np.float16)),
    )


def test_stored_rows_come_as_asked_for(stored):
    assert (stored.n_views, stored.n_photos) == (3, 5)
    assert stored.shapes == ((2, 2, 4), (7,), (5,))
    activation, plain, vector = stored.read(rows(4, 0, 4), rows(2, 1, 0))
    assert (activation.dtype, plain.dtype, vector.dtype) == (ml_dtypes.bfloat16, np.float32, np.float32)
    for row, (photo, view) in enumerate([(4, 2), (0, 1), (4, 0)]):
        assert np.array_equal(activation[row], numbered(3, 5, 2, 2, 4, dtype=ml_dtypes.bfloat16)[view, photo])
        assert np.array_equal(plain[row], numbered(3, 5, 7)[view, photo])
        assert np.array_equal(vector[row, :2], numbered(3, 5, 2)[view, photo])
        assert np.array_equal(vector[row, 2:], numbered(3, 5, 3)[view, photo])


def test_what_is_read_is_the_reader_s_own(tmp_path):
    values = np.memmap(tmp_path / "values", np.float32, "w+", shape=(1, 4, 3))
    values[...] = 7
    (read,) = StoredSource((values,)).read(rows(1, 2), rows(0, 0))
    read[...] = 0
    assert not isinstance(read, np.memmap) and (values == 7).all()


def test_vectors_alone_and_activations_alone():
    assert StoredSource((), (numbered(1, 4, 2), numbered(1, 4, 3))).read(rows(3), rows(0))[0].shape == (1, 5)
    assert StoredSource((numbered(1, 4, 2),)).shapes == ((2,),)


@pytest.mark.parametrize(
    ("photos", "views"),
    [((5,), (0,)), ((-1,), (0,)), ((0,), (3,)), ((0,), (-1,)), ((0, 1), (0,)), (((0,),), ((0,),))],
)
def test_rows_that_are_not_there_are_refused(stored, photos, views):
    with pytest.raises(BadInput, match=r"'photos' must be numbers from 0 to 4 and 'views' 0 to 2"):
        stored.read(np.array(photos), np.array(views))


@pytest.mark.parametrize(
    ("values", "vectors"), [((), ()), (((2, 3, 4), (2, 4, 4)), ()), (((2, 3, 4),), ((3, 3, 4),)), ((), ((2, 3, 4, 4),))]
)
def test_arrays_that_do_not_agree_are_refused(values, vectors):
    with pytest.raises(BadInput, match="must agree"):
        StoredSource([np.zeros(shape) for shape in values], [np.zeros(shape) for shape in vectors])


def test_no_rows_at_all(stored):
    assert [array.shape for array in stored.read(rows(), rows())] == [(0, 2, 2, 4), (0, 7), (0, 5)]


@pytest.fixture
def photos(tmp_path):
    return write_photos(tmp_path / "photos", 6, height=20, width=30)


@pytest.fixture
def source_of(tmp_path):
    """Makes sources of pixels and closes them."""
    made = []

    def make(photos, **changes):
        given = {"preprocessing": PREPROCESSING, "augmentation": CLASSIC, "seed": 5, "workers": 2, **changes}
        made.append(PixelSource(tmp_path / "photos", photos, side_pixels=SIDE, rules=RULES, **given))
        return made[-1]

    yield make
    for source in made:
        source.close()
    assert graft_threads() == []


def by_hand(root, photo, view, *, seed=5, augmentation=CLASSIC):
    pixels = load_pixels((root / photo.path).read_bytes(), side_pixels=SIDE, geometry="squash", rules=RULES)
    view_pixels = make_view(pixels, augmentation, sha256=photo.sha256, view=view, seed=seed)
    return network_input(view_pixels[np.newaxis], PREPROCESSING)[0]


@pytest.mark.parametrize("kept", [False, True])
def test_pixels_are_the_network_s_input_for_each_view(source_of, photos, tmp_path, kept):
    source = source_of(photos, scratch=tmp_path / "scratch" if kept else None)
    assert (source.shapes, source.n_photos, source.n_views) == (((SIDE, SIDE, 3),), 6, None)
    asked = [(3, 0), (0, 1), (5, 2**31), (3, 2), (3, 0)]
    for _ in range(2):
        (batch,) = source.read(rows(*[photo for photo, _ in asked]), rows(*[view for _, view in asked]))
        assert batch.dtype == np.float32
        for row, (photo, view) in enumerate(asked):
            assert np.array_equal(batch[row], by_hand(tmp_path / "photos", photos[photo], view))


@pytest.mark.parametrize("kept", [False, True])
def test_a_grey_network_s_input_has_one_channel(source_of, photos, tmp_path, kept):
    grey = Preprocessing(channel_order="grey", scale=(0.005,) * 3, offset=(-0.1,) * 3)
    source = source_of(photos, preprocessing=grey, scratch=tmp_path / "scratch" if kept else None)
    assert source.shapes == ((SIDE, SIDE, 1),)
    (batch,) = source.read(rows(2, 2), rows(0, 0))
    pixels = load_pixels(
        (tmp_path / "photos" / photos[2].path).read_bytes(), side_pixels=SIDE, geometry="squash", rules=RULES
    )
    assert np.array_equal(batch[1], network_input(pixels[np.newaxis], grey)[0])


@pytest.mark.parametrize("words", ["samplewise-std", "featurewise-std", "zca"])
def test_normalised_pixels_are_normalised_after_everything_else(source_of, photos, tmp_path, words):
    made = fit(parse_normalization(words), [np.stack([by_hand(tmp_path / "photos", photo, 0) for photo in photos])])
    wanted = replace(PREPROCESSING, normalization=made.fitted)
    source = source_of(photos, preprocessing=wanted, whitening=made.whitening)
    (batch,) = source.read(rows(3, 1), rows(1, 0))
    expected = made.apply(
        np.stack([by_hand(tmp_path / "photos", photos[3], 1), by_hand(tmp_path / "photos", photos[1], 0)])
    )
    assert np.array_equal(batch, expected)
    assert not np.array_equal(batch[1], by_hand(tmp_path / "photos", photos[1], 0))


def test_sabotage_another_seed_or_augmentation_gives_other_pixels(source_of, photos, tmp_path):
    expected = by_hand(tmp_path / "photos", photos[1], 1)
    for changes in ({"seed": 6}, {"augmentation": PRESETS["light"]}, {"augmentation": PRESETS["none"]}):
        assert not np.array_equal(source_of(photos, **changes).read(rows(1), rows(1))[0][0], expected)


@pytest.mark.parametrize("in_memory", [True, False])
def test_with_a_scratch_folder_each_photo_is_decoded_once(source_of, photos, tmp_path, monkeypatch, in_memory):
    decoded = []
    load = stream.load_pixels
    monkeypatch.setattr(stream, "load_pixels", lambda *args, **named: decoded.append(1) or load(*args, **named))
    if not in_memory:
        from graft.features import sources

        monkeypatch.setattr(
            sources, "spacious", lambda *args: np.memmap(tmp_path / "kept", args[2], "w+", shape=args[1])
        )
    every = np.arange(6)
    source = source_of(photos, scratch=tmp_path / "scratch")
    batches = [source.read(every, every * 0 + view)[0] for view in (0, 1, 0)]
    assert len(decoded) == 6 and np.array_equal(batches[0], batches[2])
    plain = source_of(photos)
    assert np.array_equal(plain.read(every, every * 0 + 1)[0], batches[1])
    plain.read(every, every)
    assert len(decoded) == 6 + 12


@pytest.mark.parametrize("split", ["validation", "test"])
def test_photos_that_measure_have_view_0_only(source_of, photos, split):
    source = source_of((*photos[:2], replace(photos[2], split=split)))
    assert source.n_views == 1
    assert source.read(rows(2), rows(0))[0].shape == (1, SIDE, SIDE, 3)
    with pytest.raises(BadInput, match="'views' 0 to 0"):
        source.read(rows(0), rows(1))


def test_sabotage_what_makes_views_refuses_them_too(source_of, photos, monkeypatch):
    monkeypatch.setattr(PixelSource, "n_views", None)
    with pytest.raises(IntegrityProblem, match="validation") as caught:
        source_of((replace(photos[0], split="validation"),)).read(rows(0), rows(1))
    assert caught.value.code == "split_leak"


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("kept", [False, True])
def test_judged_augmented_photos_that_measure_are_seen_as_view_1(source_of, photos, tmp_path, split, kept):
    """And never otherwise: the photo itself is none of the views, and there is no second one."""
    judged = tuple(replace(photo, split=split) for photo in photos)
    source = source_of(judged, judged_augmented=True, scratch=tmp_path / "scratch" if kept else None)
    assert source.n_views == 1
    (batch,) = source.read(np.arange(6), np.zeros(6, int))
    for row, photo in enumerate(photos):
        assert np.array_equal(batch[row], by_hand(tmp_path / "photos", photo, 1))
        assert not np.array_equal(batch[row], by_hand(tmp_path / "photos", photo, 0))
    with pytest.raises(BadInput, match="'views' 0 to 0"):
        source.read(rows(0), rows(1))


def test_training_photos_among_judged_augmented_ones_begin_at_view_1_too(source_of, photos, tmp_path):
    source = source_of(photos, judged_augmented=True)
    assert source.n_views is None
    (batch,) = source.read(rows(2, 2, 2), rows(0, 1, 5))
    for row, view in enumerate((1, 2, 6)):
        assert np.array_equal(batch[row], by_hand(tmp_path / "photos", photos[2], view))


def test_sabotage_not_told_so_the_source_gives_the_photo_itself(source_of, photos, tmp_path):
    source = source_of((replace(photos[0], split="test"),))
    assert np.array_equal(source.read(rows(0), rows(0))[0][0], by_hand(tmp_path / "photos", photos[0], 0))


def test_a_photo_that_changed_is_named_and_the_others_can_still_be_read(source_of, photos, tmp_path):
    source = source_of(photos)
    (tmp_path / "photos" / photos[1].path).write_bytes(b"another")
    with pytest.raises(IntegrityProblem, match="photo001") as caught:
        source.read(np.arange(6), np.zeros(6, int))
    assert caught.value.code == "changed_since_scan"
    assert source.read(rows(0), rows(0))[0].shape == (1, SIDE, SIDE, 3)


class Counting:
    """A source of one number a row, which tells who read what."""

    shapes, n_photos, n_views = ((1,),), 100, 1

    def __init__(self, fails_at=None):
        self.read_first, self.threads, self.fails_at = [], set(), fails_at

    def read(self, photos, views):
        self.threads.add(threading.current_thread())
        self.read_first.append(int(photos[0]))
        if photos[0] == self.fails_at:
            raise IntegrityProblem("The photo must be there, got nothing.")
        return ((photos + views)[:, np.newaxis],)

    def close(self):
        pass


def batches(count):
    for number in range(count):
        yield np.arange(number, number + 3), np.zeros(3, np.int64)


def settled(source):
    """What has been read once nothing more is."""
    before = -1
    while before != len(source.read_first):
        before = len(source.read_first)
        time.sleep(0.05)
    return source.read_first


def test_batches_come_in_order_and_are_read_by_one_other_thread():
    source = Counting()
    found = [array[:, 0].tolist() for (array,) in prefetch(source, batches(20))]
    assert found == [[number, number + 1, number + 2] for number in range(20)]
    assert len(source.threads) == 1 and threading.current_thread() not in source.threads
    assert graft_threads() == []


@pytest.mark.parametrize("ahead", [1, 2, 5])
def test_reading_ahead_is_bounded_and_ends_with_the_reader(ahead):
    source = Counting()
    asked = []
    with closing(prefetch(source, (asked.append(1) or pair for pair in batches(50)), ahead=ahead)) as flow:
        next(flow)
        next(flow)
        assert settled(source) == list(range(ahead + 1)) and len(asked) == ahead + 1
    assert len(source.read_first) == ahead + 1 and graft_threads() == []


def test_an_exception_comes_at_its_batch_s_turn():
    flow = prefetch(Counting(fails_at=3), batches(10))
    assert [int(next(flow)[0][0, 0]) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(IntegrityProblem):
        next(flow)
    assert graft_threads() == []


def test_an_exception_of_the_consumer_ends_the_reading():
    with pytest.raises(KeyError), closing(prefetch(Counting(), batches(10))) as flow:
        for _ in flow:
            raise KeyError
    assert graft_threads() == []


def test_nothing_to_read():
    assert list(prefetch(Counting(), [])) == []


def test_pixels_read_ahead_are_those_read_at_once(source_of, photos):
    source = source_of(photos)
    pairs = [(rows(number % 6, (number + 2) % 6), rows(number, 0)) for number in range(8)]
    for (ahead,), (photo, view) in zip(prefetch(source, pairs), pairs, strict=True):
        assert np.array_equal(ahead, source.read(photo, view)[0])
