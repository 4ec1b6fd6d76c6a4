"""Which credential a task's model calls use, found at the moment of use. Never stored.

First what the client that started the attempt handed over, or the one that made the task; then
what config.yaml names; then what any other client of the same user handed over, so that a task
whose daemon was restarted finds the key again that only clients have.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeGuard

from rover_mcp.daemon import logins
from rover_mcp.daemon.environments import Environment, Environments
from rover_mcp.daemon.key_commands import KeyCommands
from rover_mcp.daemon.redaction import SECRETS
from rover_mcp.daemon.sources import Sources
from rover_mcp.errors import EnvironmentFault
from rover_mcp.gateway.models import ProviderAccess
from rover_mcp.gateway.providers import PROVIDERS, Provider, Variable
from rover_mcp.settings import CredentialSource, Settings
from rover_mcp.store.rows import AttemptRow, TaskRow
from rover_mcp.tasks.caller import Caller


class Credentials:
    """Finds them anew at each use. Of clients it knows what they brought since it was made;
    `on_news` is called when one brought something new."""

    def __init__(
        self,
        settings: Settings,
        now: Callable[[], float] = time.time,
        commands: KeyCommands | None = None,
    ) -> None:
        self._configured = Sources(settings)
        self._now = now
        self._commands = commands or KeyCommands()
        self._clients = Environments()
        self.on_news: Callable[[], object] = lambda: None

    def remember(self, caller: Caller) -> bool:
        """A client connected. Whether it brought what no client of its user had brought before."""
        for provider in PROVIDERS.values():
            SECRETS.add(*(caller.env.get(variable.name) for variable in provider.variables))
        is_new = self._clients.remember(caller)
        if is_new:
            self.on_news()
        return is_new

    def files(self) -> list[Path]:
        """The files that credentials come from; a change of one may bring one that was missing."""
        sources = self._configured.sources()
        kept = [Path(s.file).expanduser() for s in sources.values() if _is_found(s.file)]
        kinds = [source.login for source in sources.values() if source.login]
        places = (logins.LOG_INS[kind].place(os.environ) for kind in kinds)
        return [self._configured.file, *kept, *(place for place in places if place)]

    def found(self, caller: Caller) -> dict[str, str | None]:
        """The name of the credential, never its value, that this caller's tasks would have for
        each provider; None: none."""
        return {name: self._name(p, caller) for name, p in PROVIDERS.items()}

    def is_named(self, provider: str | None, caller: Caller) -> bool:
        """Whether there is a variable or a source for this caller's tasks; none is asked."""
        if provider is None or provider in self._configured.sources():
            return provider is not None
        environments = [*self._clients.of(caller.client_id), *self._clients.of_user(caller.user)]
        names = [variable.name for variable in PROVIDERS[provider].variables]
        return any(env.get(name) for env in environments for name in names)

    def _name(self, provider: Provider, caller: Caller) -> str | None:
        own = self._clients.of(caller.client_id)
        if variable := _first_set(provider, own):
            return variable
        source = self._configured.sources().get(provider.name)
        if source and (name := self._name_of_source(provider.name, source)):
            return name
        variable = _first_set(provider, self._clients.of_user(caller.user))
        return f"{variable} of another client" if variable else None

    def _name_of_source(self, provider: str, source: CredentialSource) -> str | None:
        if source.login:
            there = logins.is_there(source.login, os.environ, self._now())
            return f"log-in of {source.login}, held by the gateway" if there else None
        if source.passthrough:
            return f"config.yaml: credentials.{provider}.passthrough"
        if self._read(source) is None:
            return None
        kind = next(k for k in ("env", "file", "command") if getattr(source, k) is not None)
        return f"config.yaml: credentials.{provider}.{kind}"

    def sign_in(
        self, agent: str, provider: str, found: str | None, caller: Caller
    ) -> tuple[str | None, str | None]:
        """How an agent signs in at its provider, given what `found` names for it; or None, and
        the one thing that mends it."""
        known, source = PROVIDERS[provider], self._configured.sources().get(provider)
        own = _first_set(known, self._clients.of(caller.client_id))
        kind = source.login if source and not own else None
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
        if found is None:
            return None
        refused = frozenset(task.refused_keys or ())
        offers = self._offers(found, task, attempt, of_call=of_call)
        return next((access for access in offers if access.digest not in refused), None)

    def missing(self, provider: str, task: TaskRow) -> str:
        """What to say where a task has no credential for a provider that there is."""
        lacks = f"no credential for {provider}"
        if task.refused_keys:
            lacks = f"{provider} refused the credential, and there is no other one"
        return (
            f"{lacks}: connect a client that has {PROVIDERS[provider].variables[0].name} in its "
            f"environment, or name a source under credentials.{provider} in config.yaml"
        )

    def environment(self, task: TaskRow, attempt: AttemptRow | None) -> Environment | None:
        """What the client that started the attempt, or made the task, handed over; else what the
        last client of the same user did."""
        own = self._clients.of(attempt.client_id if attempt else None, task.client_id)
        return next(iter([*own, *self._clients.of_user(task.owner)]), None)

    def _offers(
        self, provider: Provider, task: TaskRow, attempt: AttemptRow | None, *, of_call: bool
    ) -> Iterator[ProviderAccess]:
        """Every credential that there is for a task, the first choice first.

        Raises:
            EnvironmentFault: after the last one, where config.yaml names a log-in that cannot be
                used.
        """
        own = self._clients.of(attempt.client_id if attempt else None, task.client_id)
        for env in own:
            yield from _from_environment(provider, env)
        fault: EnvironmentFault | None = None
        source = self._configured.sources().get(provider.name)
        try:
            access = self._of_source(provider, source, of_call=of_call) if source else None
        except EnvironmentFault as raised:
            access, fault = None, raised
        if access is not None:
            yield access
        others = (_from_environment(provider, e) for e in self._clients.of_user(task.owner))
        found = [access for accesses in others for access in accesses]
        # The account that the task has used so far, before any other one.
        yield from sorted(found, key=lambda access: access.account != task.account)
        if fault is not None:
            raise fault

    def _of_source(
        self, provider: Provider, source: CredentialSource, *, of_call: bool
    ) -> ProviderAccess | None:
        url = source.base_url or provider.base_url
        if source.passthrough:
            return ProviderAccess(url, "", "", f"{provider.name}-own", passthrough=True)
        if source.login:
            return self._held(provider, source, source.login)
        credential = self._read(source, of_call=of_call)
        if credential is None:
            return None
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


def _first_set(provider: Provider, environments: Iterable[Environment]) -> str | None:
    """The name of the first variable that holds a credential."""
    names = [variable.name for variable in provider.variables]
    return next((name for env in environments for name in names if env.get(name)), None)


def _from_environment(provider: Provider, env: Environment) -> Iterator[ProviderAccess]:
    url = env.get(provider.url_variable) or provider.base_url
    for variable in provider.variables:
        if credential := env.get(variable.name):
            yield _made(provider, url, variable, credential)


def _is_found(file: str | None) -> TypeGuard[str]:
    """Whether a path can be made absolute: there may be no such user's home."""
    try:
        return file is not None and bool(Path(file).expanduser())
    except RuntimeError:
        return False


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
