"""Finds the credential for a task's model calls at the moment of use. None is ever stored.

First what the client that started the attempt handed over, or the one that made the task; then
what config.yaml names; then what any other client of the same user handed over, so that a task
whose daemon was restarted finds the key again that only clients have.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from rover_mcp.config.settings import CredentialSource, Settings
from rover_mcp.control.control_ports import LoginExpiry
from rover_mcp.daemon import host_logins
from rover_mcp.daemon.credential_sources import CredentialSources, StoredKeySource
from rover_mcp.daemon.environments import Environment, Environments
from rover_mcp.daemon.key_commands import KeyCommands
from rover_mcp.daemon.provider_access import (
    access_with,
    account_label,
    environ_of,
    first_set,
    for_one_only,
    from_environment,
    is_named_account,
    is_path,
    origin_of,
)
from rover_mcp.daemon.redaction import SECRETS
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.gateway.grant import ProviderAccess
from rover_mcp.gateway.providers import PROVIDERS, Provider
from rover_mcp.store.records import AttemptRow, TaskRow
from rover_mcp.tasks.account_names import account_name
from rover_mcp.tasks.caller import Caller

_MOST_ORIGINS = 1000


class Credentials:
    """Finds credentials again at each use. Of clients it knows what they brought since it was made;
    `on_news` is called when one brought something new."""

    def __init__(
        self,
        settings: Settings,
        now: Callable[[], float] = time.time,
        commands: KeyCommands | None = None,
    ) -> None:
        self._configured = CredentialSources(settings)
        self._now = now
        self._commands = commands or KeyCommands()
        self._clients = Environments()
        self._origins: dict[str, str] = {}
        self._learned: object = None
        self._lock = threading.Lock()
        self.on_news: Callable[[], object] = lambda: None
        self.obstacle: Callable[[str, Mapping[str, str]], str | None] = lambda _kind, _environ: None
        """why a program's login, in its environment, is not renewed automatically; None: it is"""

    def remember(self, caller: Caller) -> bool:
        """Note what a client brought; return whether no client of its user had brought it
        before."""
        for provider in PROVIDERS.values():
            SECRETS.add(*(caller.env.get(variable.name) for variable in provider.variables))
            for access in from_environment(provider, caller.env):
                self._know(access)
        is_new = self._clients.remember(caller)
        if is_new:
            self.on_news()
        return is_new

    def files(self) -> list[Path]:
        """The files that credentials come from; a change of one may bring one that was missing."""
        sources = self._configured.sources()
        kept = [Path(s.file).expanduser() for s in sources.values() if is_path(s.file)]
        places = (host_logins.LOGINS[kind].place(environ) for kind, environ in self.logins())
        return [*self._configured.files, *kept, *(place for place in places if place)]

    def logins(self) -> list[tuple[str, Mapping[str, str]]]:
        """Each login that config.yaml names: its agent, and the environment of its program."""
        sources = self._configured.sources().values()
        return [(s.login, environ_of(s)) for s in sources if s.login]

    def expiry(self, account: str | None) -> LoginExpiry | None:
        """When the login of this account expires, if the account is a login and that is known."""
        for key, source in self._configured.sources().items():
            if source.login is None or account is None:
                continue
            environ = environ_of(source)
            login = host_logins.kept(source.login, environ)
            if login is None or login.expires is None:
                continue
            if account == (
                key if is_named_account(key) else host_logins.label(source.login, login)
            ):
                advice = host_logins.lasting(source.login)
                obstacle = self.obstacle(source.login, environ)
                return LoginExpiry(source.login, login.expires, advice, obstacle)
        return None

    def account_name(self, label: str) -> str:
        """The name of an account for people, if its key or login was seen here."""
        if label not in self._origins:
            self._learn()
        with self._lock:
            return account_name(label, self._origins)

    def _learn(self) -> None:
        """Look into the sources that can be read without asking a program or a person."""
        sources = self._configured.sources()
        if sources is self._learned:
            return
        self._learned = sources
        for key, source in sources.items():
            provider = PROVIDERS.get(key.partition(":")[0])
            # A command may ask its user something, and must not run only to find a name for a
            # display.
            if provider is None or source.command or source.login or is_named_account(key):
                continue
            with suppress(EnvironmentFault):
                self._of_source(provider, key, source, of_call=False)

    def _know(self, access: ProviderAccess) -> ProviderAccess:
        if access.account is not None and access.origin is not None:
            with self._lock:
                # Put at the end again, so that the oldest is dropped.
                self._origins.pop(access.account, None)
                self._origins[access.account] = access.origin
                if len(self._origins) > _MOST_ORIGINS:
                    del self._origins[next(iter(self._origins))]
        return access

    def found(self, caller: Caller) -> dict[str, str | None]:
        """The name of the credential, never its value, that this caller's tasks would have for
        each provider; None: none."""
        return {name: self._name(p, caller) for name, p in PROVIDERS.items()}

    def is_named(self, provider: str | None, caller: Caller) -> bool:
        """Whether a variable or a source is named for this caller's tasks. No source is read."""
        if provider is None or self._sources_of(provider):
            return provider is not None
        environments = [*self._clients.of(caller.client_id), *self._clients.of_user(caller.user)]
        names = [variable.name for variable in PROVIDERS[provider].variables]
        return any(env.get(name) for env in environments for name in names)

    def _name(self, provider: Provider, caller: Caller) -> str | None:
        own = self._clients.of(caller.client_id)
        if variable := first_set(provider, own):
            return variable
        sources = self._sources_of(provider.name).items()
        names = [name for key, source in sources if (name := self._name_of_source(key, source))]
        if names:
            return ", ".join(names)
        variable = first_set(provider, self._clients.of_user(caller.user))
        # Named as such, because it is gone when that client is.
        return f"{variable} of another client" if variable else None

    def _sources_of(self, provider: str) -> dict[str, CredentialSource]:
        """Those of a provider by their keys, PROVIDER or PROVIDER:NAME, in their order."""
        sources = self._configured.sources().items()
        return {key: source for key, source in sources if key.partition(":")[0] == provider}

    def _name_of_source(self, key: str, source: CredentialSource) -> str | None:
        if source.login:
            whose = f" ({key})" if is_named_account(key) else ""
            environ = environ_of(source)
            until = host_logins.until(source.login, environ, self._now())
            if until is None:
                return None
            name = f"login of {source.login}{whose}, held by the gateway{until}"
            why = self.obstacle(source.login, environ) if until else None
            return f"{name} and is not renewed automatically ({why})" if why else name
        if source.passthrough:
            return f"config.yaml: credentials.{key}.passthrough"
        if self._read(source) is None:
            return None
        if isinstance(source, StoredKeySource):
            return f"rover login {key} ({source.place})"
        kind = next(k for k in ("env", "file", "command") if getattr(source, k) is not None)
        return f"config.yaml: credentials.{key}.{kind}"

    def sign_in(
        self, agent: str, provider: str, credential: str | None, caller: Caller
    ) -> tuple[str | None, str | None]:
        """How an agent signs in at its provider, given what `found` names for it; or None, and
        the one thing to do about it."""
        # One thing to do, not a list of five: people follow the first that they can.
        known, sources = PROVIDERS[provider], [*self._sources_of(provider).values()]
        fit = [source for source in sources if source.login in (None, agent)]
        source = next(iter([*fit, *sources]), None)
        own = first_set(known, self._clients.of(caller.client_id))
        kind = source.login if source and not own else None
        if kind and kind != agent:
            return None, for_one_only(kind, agent, known)
        if credential:
            return credential, None
        if kind:
            environ = environ_of(source) if source else os.environ
            return None, host_logins.why_not(kind, environ, self._now())
        if source:
            return None, f"credentials.{provider} in config.yaml gives no key now"
        if agent in host_logins.LOGINS and host_logins.is_there(agent, os.environ, self._now()):
            line = f"credentials: {{{provider}: {{login: {agent}}}}}"
            return None, f"to use the login of {agent} on this machine, put in config.yaml: {line}"
        ways = (
            f", or sign in: {host_logins.LOGINS[agent].sign_in}"
            if agent in host_logins.LOGINS
            else ""
        )
        remedy = f"set {known.variables[0].name}{ways}; other ways: docs/gateway.md"
        return None, "; ".join(filter(None, [host_logins.unused(agent, os.environ), remedy]))

    def unfit(self, provider: str, agent: str, access: ProviderAccess) -> str | None:
        """Why an agent cannot use what `access` gave; None: it can. A program's login is for that
        program alone."""
        kind = access.login
        return for_one_only(kind, agent, PROVIDERS[provider]) if kind not in (None, agent) else None

    def access(
        self,
        provider: str,
        task: TaskRow,
        attempt: AttemptRow | None,
        *,
        account: str | None = None,
        closed: Collection[str] = (),
        of_call: bool = False,
    ) -> ProviderAccess | None:
        """The way to `provider` for a task's attempt, or None if there is no credential: that
        of the `account` that was chosen, else the first whose account is not among those `closed`.
        `of_call`: an agent calls, so a command that has just failed is not run again.

        Raises:
            EnvironmentFault: "no_log_in": config.yaml names a login that is not there or expired.
        """
        chosen = account if account and is_named_account(account) else None
        first: ProviderAccess | None = None
        for access in self.accesses(provider, task, attempt, only=chosen, of_call=of_call):
            if access.account == account or (account is None and access.account not in closed):
                return access
            if account is None or not is_named_account(access.account or ""):
                first = first or access
        # The label of a key without a name is a hash of it: a key that was renewed has another one.
        return first

    def accesses(
        self,
        provider: str,
        task: TaskRow,
        attempt: AttemptRow | None,
        *,
        only: str | None = None,
        of_call: bool = False,
    ) -> Iterator[ProviderAccess]:
        """Every account that a task may use at a provider, one credential for each, the first
        choice first: what its own client brought, then what config.yaml names in its order. Other
        clients' count only if there is none of these, because no one said that they may take over.
        `only`: the key of the one source that counts.

        Raises:
            EnvironmentFault: after the last one, if config.yaml names a login that cannot be
                used.
        """
        served = PROVIDERS.get(provider)
        if served is None:
            return
        refused = frozenset(task.refused_keys or ())
        seen: set[str | None] = set()
        fault: EnvironmentFault | None = None
        for offer in self._offers(served, task, attempt, only, of_call=of_call):
            if isinstance(offer, EnvironmentFault):
                fault = fault or offer
            elif offer.digest not in refused and offer.account not in seen:
                seen.add(offer.account)
                yield offer
        if not seen and only is None:
            yield from self._of_others(served, task, refused)
        if fault is not None:
            raise fault

    def environment(self, task: TaskRow, attempt: AttemptRow | None) -> Environment | None:
        """What the client that started the attempt, or made the task, handed over; else what the
        last client of the same user did."""
        own = self._clients.of(attempt.client_id if attempt else None, task.client_id)
        return next(iter([*own, *self._clients.of_user(task.owner)]), None)

    def _offers(
        self,
        provider: Provider,
        task: TaskRow,
        attempt: AttemptRow | None,
        only: str | None,
        *,
        of_call: bool,
    ) -> Iterator[ProviderAccess | EnvironmentFault]:
        """What there is for a task by its own client and by config.yaml."""
        refused = frozenset(task.refused_keys or ())
        own = self._clients.of(attempt.client_id if attempt else None, task.client_id)
        brought = (access for env in own for access in from_environment(provider, env))
        fit = (self._by_its_name(provider, a) for a in brought if a.digest not in refused)
        if (access := next(fit, None)) is not None and only in (None, access.account):
            yield access
        for key, source in self._sources_of(provider.name).items():
            if only not in (None, key):
                continue
            try:
                access_of_source = self._of_source(provider, key, source, of_call=of_call)
            except EnvironmentFault as raised:
                yield raised
                continue
            if access_of_source is not None:
                yield access_of_source

    def _of_others(
        self, provider: Provider, task: TaskRow, refused: Collection[str]
    ) -> Iterator[ProviderAccess]:
        """What another client of the same user brought: of the account that the task has used so
        far, before any other one."""
        others = self._clients.of_user(task.owner)
        offers = [access for env in others for access in from_environment(provider, env)]
        fit = [access for access in offers if access.digest not in refused]
        yield from sorted(fit, key=lambda access: access.account != task.account)[:1]

    def _by_its_name(self, provider: Provider, access: ProviderAccess) -> ProviderAccess:
        """A client's credential by the name of the account that has the same one."""
        for key, source in self._sources_of(provider.name).items():
            if is_named_account(key) and (source.env or source.file):
                value = self._read(source)
                if value and provider.variable(value).header_value(value) == access.header_value:
                    return replace(access, account=key)
        return access

    def _of_source(
        self, provider: Provider, key: str, source: CredentialSource, *, of_call: bool
    ) -> ProviderAccess | None:
        """The account is called what config.yaml calls it, if it has a name there."""
        url = source.base_url or provider.base_url
        if source.passthrough:
            access = ProviderAccess(url, "", "", f"{provider.name}-own", passthrough=True)
        elif source.login:
            access = self._held(provider, source, source.login)
        elif (credential := self._read(source, of_call=of_call)) is not None:
            variable = provider.variable(credential)
            access = access_with(
                provider, url, variable, credential, origin_of(provider, key, source)
            )
        else:
            return None
        return replace(access, account=key) if is_named_account(key) else self._know(access)

    def refused(self, provider: str, account: str | None) -> None:
        """Note that a provider refused the credential of an account: a command that printed it is
        run again at the next use. Returns at once."""
        served = PROVIDERS.get(provider)
        if served is None or account is None:
            return

        # The account is a source's key if it has a name, and else a hash of the credential.
        named = self._configured.sources().get(account)

        def fits(value: str) -> bool:
            if named is not None and named.command:
                return value == self._commands.last(named.command)
            return account_label(served, served.variable(value).header_value(value)) == account

        self._commands.refused(fits)

    def _read(self, source: CredentialSource, *, of_call: bool = False) -> str | None:
        """Read a configured credential; None if it is not available now."""
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
        login = host_logins.held(kind, environ_of(source), self._now())
        SECRETS.add(login.token)
        return ProviderAccess(
            base_url=source.base_url or host_logins.LOGINS[kind].base_url or provider.base_url,
            header_name="authorization",
            header_value=f"Bearer {login.token}",
            account=host_logins.label(kind, login),
            beside=login.headers,
            login=kind,
            expires=login.expires,
            origin=f"{provider.name}, login of {kind}",
        )
