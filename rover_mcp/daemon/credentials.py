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
from rover_mcp.gateway.providers import PROVIDERS, Provider, Variable
from rover_mcp.settings import CredentialSource, Settings
from rover_mcp.store.rows import AttemptRow, TaskRow
from rover_mcp.tasks.caller import Caller

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

    def found(self, caller: Caller) -> dict[str, str | None]:
        """The name of the credential, never its value, that this caller's tasks would have for
        each provider; None: none."""
        env = self._environments.get(caller.client_id, {})
        return {name: self._name(p, env) for name, p in PROVIDERS.items()}

    def _name(self, provider: Provider, env: Mapping[str, str]) -> str | None:
        if variable := next((v for v in provider.variables if env.get(v.name)), None):
            return variable.name
        source = self._settings.credentials.get(provider.name)
        if source is None or _read(source) is None:
            return None
        kind = next(k for k in ("env", "file", "command") if getattr(source, k) is not None)
        return f"config.yaml: credentials.{provider.name}.{kind}"

    def access(
        self, provider: str, task: TaskRow, attempt: AttemptRow | None
    ) -> ProviderAccess | None:
        """The way to `provider` for a task's attempt, or None where there is no credential."""
        known = PROVIDERS.get(provider)
        clients = [c for c in (attempt.client_id if attempt else None, task.client_id) if c]
        return self._access(known, clients) if known else None

    def environment(self, task: TaskRow, attempt: AttemptRow | None) -> Mapping[str, str] | None:
        """What the client that started the attempt, or made the task, handed over."""
        clients = (attempt.client_id if attempt else None, task.client_id)
        return next((self._environments[c] for c in clients if c in self._environments), None)

    def _access(self, provider: Provider, clients: list[str]) -> ProviderAccess | None:
        for client in clients:
            env = self._environments.get(client, {})
            for variable in provider.variables:
                if credential := env.get(variable.name):
                    url = env.get(provider.url_variable) or provider.base_url
                    return _made(provider, url, variable, credential)
        source = self._settings.credentials.get(provider.name)
        if source and source.passthrough:
            url = source.base_url or provider.base_url
            return ProviderAccess(url, "", "", f"{provider.name}-own", passthrough=True)
        credential = _read(source) if source else None
        if source is None or credential is None:
            return None
        url = source.base_url or provider.base_url
        return _made(provider, url, provider.variable(credential), credential)


def _made(provider: Provider, url: str, variable: Variable, credential: str) -> ProviderAccess:
    value = variable.header_value(credential)
    digest = hashlib.sha256(value.encode()).hexdigest()[:8]
    return ProviderAccess(
        base_url=url,
        header_name=variable.header,
        header_value=value,
        account=f"{provider.name}-{digest}",
    )


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
