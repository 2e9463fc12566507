"""Work on many inputs by threads, in groups and in order: bounded memory for any number of them."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Done = TypeVar("Done")


def in_groups(
    items: Iterable[Item], work: Callable[[Item], Done], *, threads: int, group_size: int
) -> Iterator[list[tuple[Item, Done]]]:
    """Each item with what `work` made of it, in order, in groups; one group is worked on while the caller has another.

    `items` may be endless: two groups are taken from it at a time. What `work` raises is raised here.
    """
    waiting: deque[list[tuple[Item, Future[Done]]]] = deque()
    source = iter(items)
    with ThreadPoolExecutor(threads) as pool:
        while group := list(itertools.islice(source, group_size)):
            waiting.append([(item, pool.submit(work, item)) for item in group])
            if len(waiting) > 1:
                yield [(item, future.result()) for item, future in waiting.popleft()]
        while waiting:
            yield [(item, future.result()) for item, future in waiting.popleft()]
