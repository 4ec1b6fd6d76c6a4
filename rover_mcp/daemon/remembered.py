"""Results that are kept for as long as the daemon runs, because the next call is likely to need
them again: a preview is followed by what it showed."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")

MOST = 100


class Remembered(Generic[Key, Result]):
    """The newest results of a computation that depends on its key alone."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._results: dict[Key, Result] = {}

    def get(self, key: Key, compute: Callable[[], Result]) -> Result:
        """The result for `key`, which is computed if it is not known. An error is not kept."""
        if key in self._results:
            return self._results[key]
        result = compute()
        while len(self._results) >= self._most:
            self._results.pop(next(iter(self._results)), None)
        self._results[key] = result
        return result
