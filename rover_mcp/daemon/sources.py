"""`credentials:` of config.yaml, as the file has it now.

A daemon at work is not replaced when config.yaml changes, and a task that waits for a credential
keeps it at work: what the user has just written there is what the task waits for.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from pathlib import Path

from rover_mcp.errors import RoverError
from rover_mcp.settings import CredentialSource, Settings, have_changed, load_settings

log = logging.getLogger("rover.daemon")

Stamp = tuple[int, int, int] | None


def stamp_of(path: Path) -> Stamp:
    """What changes when a file is written or replaced; None where it cannot be looked at."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)


class Sources:
    """Safe to use from many threads. A file that cannot be used changes nothing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.file = settings.home / "config.yaml"
        self._lock = threading.Lock()
        self._found: Mapping[str, CredentialSource] = settings.credentials
        self._stamp: Stamp | str = "never looked"

    def sources(self) -> Mapping[str, CredentialSource]:
        """By provider."""
        stamp = stamp_of(self.file)
        with self._lock:
            if stamp != self._stamp:
                self._stamp = stamp
                self._read()
            return self._found

    def _read(self) -> None:
        if not have_changed(self._settings):
            self._found = self._settings.credentials
            return
        try:
            self._found = load_settings(self._settings.home).credentials
        except RoverError as error:
            log.warning("credentials stay as they were read before: %s", error.message)
