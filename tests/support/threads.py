"""The same thing from many threads at one moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tests.support.hangs import HANG_SECONDS

T = TypeVar("T")


def together(count: int, call: Callable[[int], T]) -> list[T]:
    """`call(0)` to `call(count - 1)`, each in a thread of its own, all begun at once.

    Raises: what the first of them raised.
    """
    barrier = threading.Barrier(count, timeout=HANG_SECONDS)

    def run(index: int) -> T:
        barrier.wait()
        return call(index)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count), timeout=HANG_SECONDS))
