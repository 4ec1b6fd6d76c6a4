"""The user's sign-in at a forge: a variable of the calling client's, or what `gh` and `glab` keep.

A token is looked up for one host and is sent to that host only.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from typing import Final

from rover_mcp.context.written_references import Forge, ForgeReference

_SECONDS: Final = 10
_MAX_TOKEN: Final = 1000


def forge_token(reference: ForgeReference, environment: Mapping[str, str]) -> str | None:
    """The token for the reference's host; None where the user has none. May block."""
    host = reference.authority
    names = _variables(reference.forge, host, environment)
    token = next((value for name in names if (value := environment.get(name))), None)
    # The variable first, as the forges' own programs do it.
    return token or _of_program(reference.forge, host, environment)


_USERS: Final = {Forge.GITHUB: "x-access-token", Forge.GITLAB: "oauth2"}
"""By forge: the user's name that goes with a token where git signs in."""


def git_sign_in(host: str, environment: Mapping[str, str]) -> tuple[str, str] | None:
    """The name and the token with which git can sign in at a host, where a variable holds a token
    for it."""
    for forge in Forge:
        for name in _variables(forge, host.lower(), environment):
            if token := environment.get(name):
                return _USERS[forge], token
    return None


def _variables(forge: Forge, host: str, environment: Mapping[str, str]) -> tuple[str, ...]:
    """The variables whose token is this host's, by the rules of `gh help environment` and of glab:
    GH_TOKEN is for github.com and its subdomains of ghe.com, GH_ENTERPRISE_TOKEN for the host in
    GH_HOST, GITLAB_TOKEN for the host in GITLAB_HOST, or else for gitlab.com."""
    configured = environment.get(forge.host_variable, "").lower()
    if forge is Forge.GITHUB:
        if host == forge.home or host.endswith(".ghe.com"):
            return ("GH_TOKEN", "GITHUB_TOKEN")
        is_own = host == configured
        return ("GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN") if is_own else ()
    is_own = host == (configured.removeprefix("https://").rstrip("/") or forge.home)
    return ("GITLAB_TOKEN", "GITLAB_ACCESS_TOKEN", "OAUTH_TOKEN") if is_own else ()


def _of_program(forge: Forge, host: str, environment: Mapping[str, str]) -> str | None:
    command = {
        # The programs read their own files and keyrings, whose formats and places differ by
        # version.
        Forge.GITHUB: ["gh", "auth", "token", "--hostname", host],
        Forge.GITLAB: ["glab", "config", "get", "token", "--host", host],
    }[forge]
    # Only what finds the programs and their configuration: a variable of the client's with a token
    # for another host would be printed in place of the one that is asked for.
    kept = {k: environment[k] for k in ("PATH", "HOME", "XDG_CONFIG_HOME") if k in environment}
    try:
        printed = subprocess.run(
            command, env=kept, cwd="/", stdin=subprocess.DEVNULL, capture_output=True,
            timeout=_SECONDS, check=True, text=True, encoding="utf-8", errors="replace",
        ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    # It becomes a header. A line end in it would add another header to the request.
    fits = printed.isascii() and printed.isprintable() and 0 < len(printed) <= _MAX_TOKEN
    return printed if fits and " " not in printed else None
