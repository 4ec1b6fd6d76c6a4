"""Decides how a provider is reached with a credential, and what its account is called."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeGuard

from rover_mcp.config.settings import CredentialSource
from rover_mcp.daemon import host_logins
from rover_mcp.daemon.credential_sources import StoredKeySource
from rover_mcp.daemon.environments import Environment
from rover_mcp.daemon.redaction import SECRETS
from rover_mcp.gateway.grant import ProviderAccess
from rover_mcp.gateway.providers import PROVIDERS, Provider, Variable
from rover_mcp.store.records import TaskRow


def is_the_providers(access: ProviderAccess | None, provider: Provider | None) -> bool:
    """Whether this credential is for the provider's own API."""
    if access is None or provider is None:
        return False
    own = (host_logins.LOGINS[access.login].base_url if access.login else None) or provider.base_url
    return access.base_url.rstrip("/") == own


def is_named_account(label: str) -> bool:
    """Whether an account has the name that its user gave it: PROVIDER:NAME."""
    return ":" in label


def environ_of(source: CredentialSource) -> Mapping[str, str]:
    """The environment in which a source's program finds its login."""
    if source.login is None or source.folder is None:
        return os.environ
    return {**os.environ, host_logins.LOGINS[source.login].variable: source.folder}


def first_set(provider: Provider, environments: Iterable[Environment]) -> str | None:
    """The name of the first variable that holds a credential."""
    names = [variable.name for variable in provider.variables]
    return next((name for env in environments for name in names if env.get(name)), None)


def from_environment(provider: Provider, env: Environment) -> Iterator[ProviderAccess]:
    url = env.get(provider.url_variable) or provider.base_url
    for variable in provider.variables:
        if credential := env.get(variable.name):
            origin = f"{provider.name}, key from {variable.name}"
            yield access_with(provider, url, variable, credential, origin)


def for_one_only(kind: str | None, agent: str, provider: Provider) -> str:
    return (
        f"the login of {kind}, which config.yaml names for {provider.name}, serves {kind} alone: "
        f"set {provider.variables[0].name} for {agent}"
    )


def origin_of(provider: Provider, key: str, source: CredentialSource) -> str:
    """The name for people of an account whose source has no name."""
    if isinstance(source, StoredKeySource):
        return f"{provider.name}, key of rover login"
    kind = next(k for k in ("env", "file", "command") if getattr(source, k) is not None)
    return f"{provider.name}, key from credentials.{key}.{kind} in config.yaml"


def access_with(
    provider: Provider, url: str, variable: Variable, credential: str, origin: str
) -> ProviderAccess:
    value = variable.header_value(credential)
    SECRETS.add(credential)
    return ProviderAccess(
        base_url=url,
        header_name=variable.header,
        header_value=value,
        account=account_label(provider, value),
        origin=origin,
    )


def account_label(provider: Provider, header_value: str) -> str:
    return f"{provider.name}-{hashlib.sha256(header_value.encode()).hexdigest()[:8]}"


def lacks_credential(provider: str, task: TaskRow) -> str:
    """The message for a task that has no credential for its provider."""
    lacks = f"no credential for {provider}"
    if task.refused_keys:
        lacks = f"{provider} refused the credential, and there is no other one"
    unused = host_logins.unused(task.agent, os.environ)
    lacks = f"{lacks} ({unused})" if unused else lacks
    return (
        f"{lacks}: run `rover login {provider}`, connect a client that has "
        f"{PROVIDERS[provider].variables[0].name} in its environment, or name a source under "
        f"credentials.{provider} in config.yaml"
    )


def is_path(file: str | None) -> TypeGuard[str]:
    """Whether a path can be made absolute: `~name` cannot if there is no such user."""
    try:
        return file is not None and bool(Path(file).expanduser())
    except RuntimeError:
        return False
