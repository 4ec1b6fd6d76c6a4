"""A keyring that the real `keyring` finds by PYTHON_KEYRING_BACKEND: one file, named by FILE_RING."""

from __future__ import annotations

import json
import os
from pathlib import Path

from keyring.backend import KeyringBackend


class FileKeyring(KeyringBackend):
    priority = 1

    def _all(self) -> dict[str, str]:
        path = Path(os.environ["FILE_RING"])
        return json.loads(path.read_text()) if path.exists() else {}

    def _write(self, found: dict[str, str]) -> None:
        Path(os.environ["FILE_RING"]).write_text(json.dumps(found))

    def get_password(self, service: str, username: str) -> str | None:
        return self._all().get(f"{service}/{username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        self._write({**self._all(), f"{service}/{username}": password})

    def delete_password(self, service: str, username: str) -> None:
        found = self._all()
        del found[f"{service}/{username}"]
        self._write(found)


class LockedKeyring(FileKeyring):
    """One that nobody unlocks; what it raises quotes what it was given."""

    def set_password(self, service: str, username: str, password: str) -> None:
        raise RuntimeError(f"locked: {password}")
