"""Lists where credentials come from: `credentials:` of config.yaml, as the file has it now, then
the keys that `rover login` keeps.

A daemon at work is not replaced when config.yaml changes, and a task that waits for a credential
keeps it at work: what the user has just written there is what the task waits for.
"""

from __future__ import annotations

import logging
import shlex
import threading
from collections.abc import Mapping
from pathlib import Path

from rover_mcp.config.load_settings import have_changed, load_settings
from rover_mcp.config.settings import CredentialSource, Settings
from rover_mcp.config.stored_keys import INDEX, KEYRING, StoredKey, all_keys, command_of, key_file
from rover_mcp.domain.errors import RoverError

log = logging.getLogger("rover.daemon")

Stamp = tuple[int, int, int] | None


def stamp_of(path: Path) -> Stamp:
    """A value that changes when a file is written or replaced; None if it cannot be read."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return (facts.st_mtime_ns, facts.st_size, facts.st_ino)


class StoredKeySource(CredentialSource):
    """A key that `rover login` keeps."""

    place: str


class CredentialSources:
    """The sources of credentials. A config.yaml that cannot be used changes nothing. Safe to use
    from many threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        home = settings.home
        self.files = (home / "config.yaml", home / INDEX)
        self._lock = threading.Lock()
        self._configured: Mapping[str, CredentialSource] = settings.credentials
        self._found: Mapping[str, CredentialSource] = settings.credentials
        self._stamps: list[Stamp] = []

    def sources(self) -> Mapping[str, CredentialSource]:
        """The sources by account, PROVIDER or PROVIDER:NAME. Those of config.yaml come first."""
        stamps = [stamp_of(file) for file in self.files]
        with self._lock:
            if stamps != self._stamps:
                self._stamps = stamps
                self._read()
            return self._found

    def _read(self) -> None:
        home = self._settings.home
        try:
            changed = have_changed(self._settings)
            now = load_settings(home) if changed else self._settings
            self._configured = now.credentials
        except RoverError as error:
            log.warning("credentials stay as they were read before: %s", error.message)
        sources = dict(self._configured)
        for key in all_keys(home):
            sources.setdefault(key.account, _source_of(home, key))
        self._found = sources


def _source_of(home: Path, kept: StoredKey) -> StoredKeySource:
    if kept.place == KEYRING:
        command = shlex.join(command_of(home, kept))
        return StoredKeySource(command=command, base_url=kept.base_url, place=kept.place)
    path = key_file(home, kept.account)
    return StoredKeySource(file=str(path), base_url=kept.base_url, place=kept.place)
