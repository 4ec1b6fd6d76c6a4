"""The attempts that threads of this process follow, so that others can be found."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager


class FollowerCounts:
    """A count of the threads that follow each attempt. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._attempts: Counter[tuple[str, int]] = Counter()

    @contextmanager
    def attempt(self, task_id: str, attempt: int) -> Generator[None]:
        """Count the calling thread while it follows the attempt."""
        key = (task_id, attempt)
        with self._lock:
            self._attempts[key] += 1
        try:
            yield
        finally:
            with self._lock:
                self._attempts[key] -= 1
                if not self._attempts[key]:
                    del self._attempts[key]

    def has(self, task_id: str, attempt: int) -> bool:
        """Whether a thread follows the attempt."""
        with self._lock:
            return (task_id, attempt) in self._attempts
