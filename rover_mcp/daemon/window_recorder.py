"""Records the usage windows that answers report, as far as they have changed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Final

from rover_mcp.domain.errors import RoverError
from rover_mcp.domain.event_kinds import WINDOW_WARNING
from rover_mcp.gateway.grant import ProviderAnswer
from rover_mcp.gateway.window_headers import Window, windows_of
from rover_mcp.store.store import Store
from rover_mcp.tasks.account_names import account_name
from rover_mcp.tasks.window_text import warning, window_view

log = logging.getLogger("rover.gateway")

MIN_CHANGE: Final = 0.01
"""The change of a window's share that is worth another write."""
REWRITE_SECONDS: Final = 600.0
"""Seconds after which an unchanged window is written again, so that its record is known to be
fresh."""
# A time that a provider gives in seconds from now moves by a little with each answer.
DRIFT_SECONDS: Final = 120.0
MAX_KNOWN: Final = 500
WRITE_TIMEOUT: Final = 2.0


class WindowRecorder:
    """Records windows. `answered` is called on the gateway's event loop, and returns at once."""

    def __init__(self, store: Store, name: Callable[[str], str] = account_name) -> None:
        self._name = name
        self._store = store
        self._known: dict[tuple[str, str], tuple[Window, float]] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rover-windows")
        self._lock = threading.Lock()
        self._writing: Future[None] | None = None

    def answered(self, task_id: str, answer: ProviderAnswer) -> None:
        """Note an answer of a task that has ended."""
        if answer.account is None or not answer.headers:
            return
        account, at = answer.account, answer.at.timestamp()
        news = [w for w in windows_of(answer.headers, answer.at) if self._is_news(account, w, at)]
        if news:
            with self._lock:
                self._writing = self._thread.submit(self._record, task_id, account, news, at)

    def written(self) -> None:
        """Wait until what was reported so far is in the store, but not for long."""
        with self._lock:
            writing = self._writing
        if writing is not None:
            wait([writing], WRITE_TIMEOUT)

    def _is_news(self, account: str, window: Window, at: float) -> bool:
        key = account, window.name
        known = self._known.get(key)
        if known is not None and at - known[1] < REWRITE_SECONDS and not _differs(known[0], window):
            return False
        self._known[key] = window, at
        if len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]
        return True

    def _record(self, task_id: str, account: str, windows: Sequence[Window], at: float) -> None:
        try:
            for row in self._store.windows.record(account, windows, at):
                view = {k: str(v) for k, v in window_view(row, self._name).items() if v is not None}
                payload = {"message": warning(row, self._name), **view}
                self._store.events.add(task_id, WINDOW_WARNING, payload)
        except RoverError as error:
            log.warning("the windows of %s cannot be recorded: %s", account, error)


def _differs(before: Window, now: Window) -> bool:
    if before.state is not now.state or (before.used is None) != (now.used is None):
        return True
    if abs((before.used or 0) - (now.used or 0)) >= MIN_CHANGE:
        return True
    if before.opens is None or now.opens is None:
        return before.opens is not now.opens
    return abs((before.opens - now.opens).total_seconds()) > DRIFT_SECONDS
