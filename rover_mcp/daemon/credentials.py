"""Which credential a task's model calls use, found at the moment of use. Never stored.

First what the client that started the attempt handed over, then what config.yaml names.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rover_mcp.gateway.models import ProviderAccess
from rover_mcp.settings import CredentialSource, Settings
from rover_mcp.store.rows import AttemptRow, TaskRow
from rover_mcp.tasks.caller import Caller

ANTHROPIC_URL: Final = "https://api.anthropic.com"
COMMAND_TIMEOUT_SECONDS: Final = 30


class Credentials:
    """Remembers clients' environments, in memory, by their id."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._environments: dict[str, Mapping[str, str]] = {}
        self._distinct: dict[frozenset[tuple[str, str]], Mapping[str, str]] = {}

    def remember(self, caller: Caller) -> None:
        """A client connected. Kept while the daemon lives: its tasks outlive the connection.
        Terminals that share an environment share one copy."""
        same = frozenset(caller.env.items())
        self._environments[caller.client_id] = self._distinct.setdefault(same, caller.env)

    def providers(self, caller: Caller) -> dict[str, bool]:
        """Which providers' credentials this caller's tasks would have."""
        return {"anthropic": self._anthropic([caller.client_id]) is not None}

    def access(
        self, provider: str, task: TaskRow, attempt: AttemptRow | None
    ) -> ProviderAccess | None:
        """The way to `provider` for a task's attempt, or None where there is no credential."""
        if provider != "anthropic":
            return None
        clients = [c for c in (attempt.client_id if attempt else None, task.client_id) if c]
        return self._anthropic(clients)

    def _anthropic(self, clients: list[str]) -> ProviderAccess | None:
        for client in clients:
            env = self._environments.get(client, {})
            url = env.get("ANTHROPIC_BASE_URL") or ANTHROPIC_URL
            if key := env.get("ANTHROPIC_API_KEY"):
                return _access(url, "x-api-key", key)
            if token := env.get("ANTHROPIC_AUTH_TOKEN"):
                return _access(url, "authorization", f"Bearer {token}")
        source = self._settings.credentials.get("anthropic")
        key = _read(source) if source else None
        return _access(ANTHROPIC_URL, "x-api-key", key) if key else None


def _access(url: str, header: str, value: str) -> ProviderAccess:
    digest = hashlib.sha256(value.encode()).hexdigest()[:8]
    account = f"anthropic-{digest}"
    return ProviderAccess(base_url=url, header_name=header, header_value=value, account=account)


def _read(source: CredentialSource) -> str | None:
    """A configured credential; None where it is not to be had now."""
    if source.env:
        return os.environ.get(source.env)
    try:
        if source.file:
            return Path(source.file).expanduser().read_text("utf-8").strip() or None
        if source.command:
            done = subprocess.run(
                shlex.split(source.command),
                capture_output=True,
                text=True,
                timeout=COMMAND_TIMEOUT_SECONDS,
                stdin=subprocess.DEVNULL,
                check=True,
            )
            return done.stdout.strip() or None
    except (OSError, subprocess.SubprocessError, ValueError, RuntimeError, IndexError):
        # RuntimeError: no such user's home; IndexError: an empty command.
        return None
    return None
