"""Runs the user's credential commands, once per lifetime of a value, and keeps values in memory."""

from __future__ import annotations

import shlex
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

TIMEOUT_SECONDS: Final = 30
FAILED_SECONDS: Final = 5.0
"""The time for which a command that failed is not run again for an agent's calls."""

REFUSED_SECONDS: Final = 60.0
"""The longest time for which a value is used after a provider has refused it."""


@dataclass
class _CommandValue:
    """The value of one command. `running` is held while the command runs, so that it runs once for
    all who wait."""

    running: threading.Lock = field(default_factory=threading.Lock)
    value: str | None = field(default=None, repr=False)
    until: float = 0.0
    refused: str | None = field(default=None, repr=False)


class KeyCommands:
    """Runs commands and keeps their values, until the process ends or config.yaml is changed. Safe
    to use from many threads."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        run: Callable[[str], str | None] | None = None,
    ) -> None:
        self._clock = clock
        self._run = run or run_command
        self._lock = threading.Lock()
        self._entries: dict[str, _CommandValue] = {}

    def value(self, command: str, lifetime: float, *, of_call: bool = False) -> str | None:
        """What the command printed, within the last `lifetime` seconds; None: it failed. Only for
        an agent's call (`of_call`) a failure also counts for a while."""
        with self._lock:
            entry = self._entries.setdefault(command, _CommandValue())
        with entry.running:
            with self._lock:
                if self._clock() < entry.until and (entry.value or of_call):
                    return entry.value
            value = self._run(command)
            with self._lock:
                entry.value = value
                entry.until = self._clock() + self._lasts(entry, lifetime)
        return value

    def last(self, command: str) -> str | None:
        """What a command printed last, if it is still remembered. Runs nothing."""
        entry = self._entries.get(command)
        return entry.value if entry else None

    def _lasts(self, entry: _CommandValue, lifetime: float) -> float:
        if entry.value is None:
            return FAILED_SECONDS
        # A person may be correcting the command just now.
        return min(lifetime, REFUSED_SECONDS) if entry.value == entry.refused else lifetime

    def refused(self, fits: Callable[[str], bool]) -> None:
        """Note that a provider refused a value: the command that printed it is run again at the
        next use. If it prints the same, it is run again after a minute. Returns at once."""
        with self._lock:
            for entry in self._entries.values():
                value = entry.value
                if value is not None and value != entry.refused and fits(value):
                    entry.refused, entry.until = value, 0.0


def run_command(command: str) -> str | None:
    """Run a command without a shell; None if it gives no value."""
    try:
        done = subprocess.run(
            shlex.split(command),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            stdin=subprocess.DEVNULL,
            check=True,
        )
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        # IndexError: an empty command.
        return None
    return done.stdout.strip() or None
