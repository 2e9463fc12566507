"""The queue by itself, what is read from probabilities, and what tells a slow client."""

import asyncio

import pytest

from graft.serving.answers import best, prediction
from graft.serving.errors import Refusal, status_of
from graft.serving.protocol import LEAST_PROGRESS_BYTES, Watch
from graft.serving.waiting import STANDING_LENGTHS, STANDING_SHARE, Image, ImageRefusal, Queue

IMAGE = Image("file", b"x")


def test_the_queue_is_first_in_first_out_and_bounded():
    async def use() -> None:
        queue = Queue(4, most_out=2)
        first = queue.put([IMAGE] * 3)
        with pytest.raises(Refusal) as caught:
            queue.put([IMAGE] * 2)
        assert caught.value.headers() == {"retry-after": "1"}
        second = queue.put([IMAGE])
        assert await queue.take() == ({0: IMAGE, 1: IMAGE}, [])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(queue.take(), 0.01)
        with pytest.raises(Refusal):
            queue.put([IMAGE])  # what is with the worker has no answer yet
        for number in (1, 0):
            assert queue.settle(number, [float(number)])
        assert await asyncio.gather(*first[:2]) == [[0.0], [1.0]]
        assert await queue.take() == ({2: IMAGE, 3: IMAGE}, [])
        assert queue.settle(3, [3.0])
        assert await asyncio.gather(*second) == [[3.0]]
        assert (len(queue), queue.n_out) == (1, 1)

    asyncio.run(use())


def test_who_leaves_is_forgotten_and_the_worker_told():
    async def use() -> None:
        queue = Queue(4, most_out=1)
        out, waiting = queue.put([IMAGE] * 2)
        await queue.take()
        out.cancel()
        waiting.cancel()
        await asyncio.sleep(0)
        assert len(queue) == 0
        assert await queue.take() == ({}, [0])
        assert not queue.settle(0, [1.0])  # it was answered in the meantime

    asyncio.run(use())


def test_a_request_larger_than_the_queue_is_taken_when_nothing_waits():
    async def use() -> None:
        queue = Queue(2, most_out=2)
        queue.put([IMAGE] * 5)
        with pytest.raises(Refusal):
            queue.put([IMAGE])

    asyncio.run(use())


def test_a_queue_that_never_empties_is_kept_short():
    """A burst may fill it; where it stays, newcomers would only wait."""

    async def use() -> None:
        queue = Queue(16, most_out=1)
        queue.put([IMAGE] * 10)  # more than STANDING_SHARE allows

        async def settle_one() -> None:
            images, _ = await queue.take()
            queue.settle(*images, [1.0])
            await asyncio.sleep(0)

        for _ in range(STANDING_LENGTHS * 16):
            queue.put([IMAGE])
            await settle_one()
        with pytest.raises(Refusal):
            queue.put([IMAGE])
        while len(queue) >= 16 * STANDING_SHARE:
            await settle_one()
        queue.put([IMAGE])
        while len(queue):
            await settle_one()
        queue.put([IMAGE] * 8)
        queue.put([IMAGE] * 8)

    asyncio.run(use())


def test_what_waits_can_be_failed_together():
    async def use() -> None:
        queue = Queue(4, most_out=1)
        futures = queue.put([IMAGE] * 2)
        await queue.take()
        queue.fail_out(Refusal("No.", status=503))
        assert [each.done() for each in futures] == [True, False]
        queue.fail(Refusal("No.", status=503))
        assert all(isinstance(each, Refusal) for each in await asyncio.gather(*futures, return_exceptions=True))
        assert len(queue) == 0
        assert not queue.settle(0, [1.0])  # too late, and no error

    asyncio.run(use())


def test_the_likeliest_first_and_of_equal_ones_the_earlier():
    assert best([0.2, 0.4, 0.4, 0.0], 3) == [1, 2, 0]
    answer = prediction([0.25, 0.75], ("a", "b"), 2)
    assert answer == {
        "label": "b",
        "probability": 0.75,
        "top": [{"label": "b", "probability": 0.75}, {"label": "a", "probability": 0.25}],
    }
    assert prediction(ImageRefusal("corrupt", "No."), ("a",), 1) == {"error": "No.", "code": "corrupt"}


@pytest.mark.parametrize(
    ("code", "status"), [("too_many_bytes", 413), ("too_many_pixels", 413), ("corrupt", 422), ("resource", 503)]
)
def test_the_status_of_one_image(code, status):
    assert status_of(code) == status


def test_who_stands_still_is_stuck():
    watch = Watch(10.0)
    assert not watch.is_stuck(0.0, "body", 0)
    assert not watch.is_stuck(9.9, "body", LEAST_PROGRESS_BYTES - 1)
    assert watch.is_stuck(10.0, "body", LEAST_PROGRESS_BYTES - 1)
    assert not watch.is_stuck(10.0, "body", LEAST_PROGRESS_BYTES)
    assert not watch.is_stuck(19.9, "body", LEAST_PROGRESS_BYTES)
    assert not watch.is_stuck(20.0, "", 0)
    assert not watch.is_stuck(90.0, "", 0)
