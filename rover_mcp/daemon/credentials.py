"""Which credential a task's model calls use, found at the moment of use. Never stored.

First what the client that started the attempt handed over, then what config.yaml names.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from rover_mcp.daemon import logins
from rover_mcp.daemon.key_commands import KeyCommands
from rover_mcp.daemon.redaction import SECRETS
from rover_mcp.gateway.models import ProviderAccess
from rover_mcp.gateway.providers import PROVIDERS, Provider, Variable
from rover_mcp.settings import CredentialSource, Settings
from rover_mcp.store.rows import AttemptRow, TaskRow
from rover_mcp.tasks.caller import Caller


class Credentials:
    """Remembers clients' environments, in memory, by their id."""

    def __init__(
        self,
        settings: Settings,
        now: Callable[[], float] = time.time,
        commands: KeyCommands | None = None,
    ) -> None:
        self._settings = settings
        self._now = now
        self._commands = commands or KeyCommands()
        self._environments: dict[str, Mapping[str, str]] = {}
        self._distinct: dict[frozenset[tuple[str, str]], Mapping[str, str]] = {}

    def remember(self, caller: Caller) -> None:
        """A client connected. Kept while the daemon lives: its tasks outlive the connection.
        Terminals that share an environment share one copy."""
        for provider in PROVIDERS.values():
            SECRETS.add(*(caller.env.get(variable.name) for variable in provider.variables))
        same = frozenset(caller.env.items())
        self._environments[caller.client_id] = self._distinct.setdefault(same, caller.env)

    def found(self, caller: Caller) -> dict[str, str | None]:
        """The name of the credential, never its value, that this caller's tasks would have for
        each provider; None: none."""
        env = self._environments.get(caller.client_id, {})
        return {name: self._name(p, env) for name, p in PROVIDERS.items()}

    def is_named(self, provider: str | None, caller: Caller) -> bool:
        """Whether there is a variable or a source for this caller's tasks; none is asked. A task
        may go on with the variables of who made it: any client's of this machine count, here."""
        if provider is None or provider in self._settings.credentials:
            return provider is not None
        own = self._environments.get(caller.client_id, {})
        environments = [own] if caller.user else [*self._distinct.values()]
        names = [variable.name for variable in PROVIDERS[provider].variables]
        return any(env.get(name) for env in environments for name in names)

    def _name(self, provider: Provider, env: Mapping[str, str]) -> str | None:
        if variable := next((v for v in provider.variables if env.get(v.name)), None):
            return variable.name
        source = self._settings.credentials.get(provider.name)
        if source is None:
            return None
        if source.login:
            there = logins.is_there(source.login, os.environ, self._now())
            return f"log-in of {source.login}, held by the gateway" if there else None
        if source.passthrough:
            return f"config.yaml: credentials.{provider.name}.passthrough"
        if self._read(source) is None:
            return None
        kind = next(k for k in ("env", "file", "command") if getattr(source, k) is not None)
        return f"config.yaml: credentials.{provider.name}.{kind}"

    def sign_in(
        self, agent: str, provider: str, found: str | None, caller: Caller
    ) -> tuple[str | None, str | None]:
        """How an agent signs in at its provider, given what `found` names for it; or None, and
        the one thing that mends it."""
        known, source = PROVIDERS[provider], self._settings.credentials.get(provider)
        env = self._environments.get(caller.client_id, {})
        kind = (
            source.login if source and not any(env.get(v.name) for v in known.variables) else None
        )
        if kind and kind != agent:
            return None, _for_one_only(kind, agent, known)
        if found:
            return found, None
        if kind:
            return None, logins.why_not(kind, os.environ, self._now())
        if source:
            return None, f"credentials.{provider} in config.yaml gives no key now"
        if agent in logins.LOG_INS and logins.is_there(agent, os.environ, self._now()):
            line = f"credentials: {{{provider}: {{login: {agent}}}}}"
            return None, f"to use the log-in of {agent} on this machine, put in config.yaml: {line}"
        ways = f", or sign in: {logins.LOG_INS[agent].sign_in}" if agent in logins.LOG_INS else ""
        return None, f"set {known.variables[0].name}{ways}; other ways: docs/gateway.md"

    def unfit(self, provider: str, agent: str, access: ProviderAccess) -> str | None:
        """Why an agent cannot use what `access` gave, where it cannot: a program's log-in is for
        that program."""
        kind = access.log_in
        return (
            _for_one_only(kind, agent, PROVIDERS[provider]) if kind not in (None, agent) else None
        )

    def access(
        self, provider: str, task: TaskRow, attempt: AttemptRow | None, *, of_call: bool = False
    ) -> ProviderAccess | None:
        """The way to `provider` for a task's attempt, or None where there is no credential.
        `of_call`: an agent calls, so a command that has just failed is not run again.

        Raises:
            EnvironmentFault: "no_log_in": config.yaml names a log-in that is not there or expired.
        """
        found = PROVIDERS.get(provider)
        clients = [c for c in (attempt.client_id if attempt else None, task.client_id) if c]
        return self._access(found, clients, of_call=of_call) if found else None

    def environment(self, task: TaskRow, attempt: AttemptRow | None) -> Mapping[str, str] | None:
        """What the client that started the attempt, or made the task, handed over."""
        clients = (attempt.client_id if attempt else None, task.client_id)
        return next((self._environments[c] for c in clients if c in self._environments), None)

    def _access(
        self, provider: Provider, clients: list[str], *, of_call: bool
    ) -> ProviderAccess | None:
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
        if source and source.login:
            return self._held(provider, source, source.login)
        credential = self._read(source, of_call=of_call) if source else None
        if source is None or credential is None:
            return None
        url = source.base_url or provider.base_url
        return _made(provider, url, provider.variable(credential), credential)

    def refused(self, provider: str, account: str | None) -> None:
        """A provider refused the credential of an account: what a command printed is asked for
        anew at the next use. Waits for nothing."""
        served = PROVIDERS.get(provider)
        if served is None or account is None:
            return

        def fits(value: str) -> bool:
            return _label(served, served.variable(value).header_value(value)) == account

        self._commands.refused(fits)

    def _read(self, source: CredentialSource, *, of_call: bool = False) -> str | None:
        """A configured credential; None where it is not to be had now."""
        if source.command:
            return self._commands.value(source.command, source.lifetime, of_call=of_call)
        if source.env:
            return os.environ.get(source.env)
        try:
            text = Path(source.file or "").expanduser().read_text("utf-8")
        except (OSError, UnicodeDecodeError, RuntimeError):
            # RuntimeError: no such user's home.
            return None
        return text.strip() or None

    def _held(self, provider: Provider, source: CredentialSource, kind: str) -> ProviderAccess:
        found = logins.held(kind, os.environ, self._now())
        SECRETS.add(found.token)
        return ProviderAccess(
            base_url=source.base_url or logins.LOG_INS[kind].base_url or provider.base_url,
            header_name="authorization",
            header_value=f"Bearer {found.token}",
            account=logins.label(kind, found),
            beside=found.headers,
            log_in=kind,
        )


def _for_one_only(kind: str | None, agent: str, provider: Provider) -> str:
    return (
        f"the log-in of {kind}, which config.yaml names for {provider.name}, serves {kind} alone: "
        f"set {provider.variables[0].name} for {agent}"
    )


def _made(provider: Provider, url: str, variable: Variable, credential: str) -> ProviderAccess:
    value = variable.header_value(credential)
    SECRETS.add(credential)
    return ProviderAccess(
        base_url=url,
        header_name=variable.header,
        header_value=value,
        account=_label(provider, value),
    )


def _label(provider: Provider, header_value: str) -> str:
    return f"{provider.name}-{hashlib.sha256(header_value.encode()).hexdigest()[:8]}"
