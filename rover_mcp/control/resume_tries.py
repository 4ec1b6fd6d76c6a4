"""How often a task is resumed because its obstacle is gone."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from agent_runner.models import PauseReason
from rover_mcp.config.settings import RetrySettings
from rover_mcp.control.decide import backoff

OVER: Final = 2
"""After this many times the longest wait an obstacle counts as a new one."""


class ResumeTries:
    """Counts resumes by task: if an obstacle comes back at once, the waits between resumes grow."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._last: dict[str, tuple[int, float]] = {}

    def take(self, task_id: str, retry: RetrySettings) -> bool:
        """Whether a task may be resumed now. If so, the resume is counted."""
        times, at = self._last.get(task_id, (0, float("-inf")))
        passed = self._now() - at
        if passed > OVER * retry.transient_most:
            times = 0
        elif passed < backoff(PauseReason.INTERRUPTED, times - 1, retry, 0).total_seconds():
            return False
        self._last[task_id] = times + 1, self._now()
        return True
