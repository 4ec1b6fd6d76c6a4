"""Who the user is when a commit is made in their name, and whether and how they sign it.

Names, addresses and switches may come from the repository's configuration, because they are only
data. Programs only come from the user's own configuration.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent_runner.printable import only_printable
from rover_mcp.domain.errors import UserFixable
from rover_mcp.git.repository_view import RepositoryView
from rover_mcp.git.user_config import own_entries

_OF_SIGNERS = ("HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "GNUPGHOME", "GPG_TTY")
_SOCKET = "SSH_AUTH_SOCK"
_TRUE = ("true", "yes", "on", "1")


@dataclass(frozen=True)
class Committer:
    """What git needs to commit in the user's name: variables, settings for `-c`, and whether it
    signs the commit."""

    environment: Mapping[str, str]
    settings: Sequence[str]
    signs: bool


def committer(view: RepositoryView, environ: Mapping[str, str]) -> Committer:
    """The user, by the variables of git that the calling program has (`environ`), and by the
    configuration of the repository and their own. For signers the daemon's variables count for
    what `environ` lacks.

    Raises:
        UserFixable: nothing says who the user is ("no_identity").
    """
    own = dict(own_entries(r"^(user|author|committer|commit|gpg)\.", view.conditions))

    def value(key: str) -> str:
        return next(reversed(view.config.get(key, ())), "") or own.get(key, "")

    people = {
        variable: environ.get(variable) or value(f"{role}.{part}") or value(f"user.{part}")
        for role in ("author", "committer")
        for part in ("name", "email")
        for variable in (f"GIT_{role}_{part}".upper(),)
    }
    if not all(people.values()):
        raise UserFixable(
            "git has no name and address to commit with: user.name or user.email is not set",
            hint='run: git config --global user.name "Your Name", and git config --global '
            "user.email you@example.com",
            code="no_identity",
        )
    if value("commit.gpgsign").lower() not in _TRUE:
        return Committer(people, (), signs=False)
    programs = [f"{key}={text}" for key, text in own.items() if key.startswith("gpg.")]
    chosen = [f"{key}={value(key)}" for key in ("gpg.format", "user.signingkey") if value(key)]
    return Committer(people | signer_environment(environ), (*programs, *chosen), signs=True)


def reflog_person(view: RepositoryView) -> str:
    """Who the user is and what time it is, as a reflog has them. A user without a name has none
    there either: nothing is refused for the sake of a reflog."""
    own = dict(own_entries(r"^user\.(name|email)$", view.conditions))

    def value(key: str) -> str:
        text = next(reversed(view.config.get(key, ())), "") or own.get(key, "")
        return re.sub("[<>]", "", only_printable(text, ""))

    zone = time.strftime("%z")
    return f"{value('user.name') or 'rover'} <{value('user.email')}> {int(time.time())} {zone}"


def signer_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables by which gpg and ssh find the user's keys."""
    # The caller's terminal and agent socket count before the daemon's: the daemon may run since an
    # earlier login, whose sockets are gone. HOME stays the daemon's, which owns the keys' folder.
    daemon = {name: os.environ[name] for name in (*_OF_SIGNERS, _SOCKET) if name in os.environ}
    return daemon | {n: environ[n] for n in (*_OF_SIGNERS, _SOCKET) if n in environ and n != "HOME"}
