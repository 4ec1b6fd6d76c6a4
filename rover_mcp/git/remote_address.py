"""Where a remote of the user's repository is, read as data: git is never shown the repository's own
configuration, which can name programs for a remote."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from rover_mcp.domain.errors import NotFound, UserFixable
from rover_mcp.domain.text import visible_line
from rover_mcp.git.repository_view import Config, RepositoryView

SCHEMES = ("https", "http", "ssh", "git", "file")
ALLOWED = ":".join(SCHEMES)
"""GIT_ALLOW_PROTOCOL of a git that talks with a remote."""
_REMOTE_KEY = re.compile(r"remote\.(.+)\.(?:push)?url", re.DOTALL)
_REWRITE_KEY = re.compile(r"url\.(.+)\.(push)?insteadof", re.DOTALL)
# `ext::sh -c ...` would be a program. An address of IPv6 has its colons in brackets.
_HELPER = re.compile(r"[A-Za-z0-9+.-]*::")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MOST = 2000
_REMOTES_NAMED = 10

Entries = Sequence[tuple[str, str]]
"""Keys and values of the user's own configuration, in the order of its files."""


@dataclass(frozen=True)
class RemoteAddress:
    """`url` is what git is given, without what may be a secret; `user` and `password` stood in it.
    `folder` is set where the remote is a repository of this machine."""

    name: str
    url: str
    user: str | None = None
    password: str | None = None
    folder: Path | None = None

    @property
    def scheme(self) -> str:
        return self.url.partition("://")[0] if "://" in self.url else "ssh"

    @property
    def authority(self) -> str:
        """Host and port as a URL has them; empty where it is not a URL."""
        return urlsplit(self.url).netloc if "://" in self.url else ""


def remote_names(config: Config) -> list[str]:
    """The names of the remotes that have an address, that of `origin` first."""
    names = {match[1] for key in config if (match := _REMOTE_KEY.fullmatch(key))}
    return sorted(names, key=lambda name: (name != "origin", name))


def choose_remote(config: Config, own: Entries, branches: Iterable[str | None]) -> str:
    """The remote that a push goes to where none is named, by git's own rules: the push remote of
    the first of `branches` that has one, remote.pushDefault, the upstream's, `origin`, the only
    one.

    Raises:
        UserFixable: there is none ("no_remote"), or which one is meant is not clear
            ("several_remotes").
    """
    names = remote_names(config)
    defaults = [*(value for key, value in own if key == "remote.pushdefault")]
    defaults += config.get("remote.pushdefault", ())
    local = [name for name in branches if name]
    wanted = [last(config, f"branch.{name}.pushremote") for name in local]
    wanted += [*reversed(defaults)]
    wanted += [*(last(config, f"branch.{name}.remote") for name in local), "origin"]
    for name in wanted:
        if name in names:
            return name
    if len(names) == 1:
        return names[0]
    if not names:
        raise UserFixable(
            "the repository has no remote to push to",
            hint="add one: git remote add origin <address>",
            code="no_remote",
        )
    raise UserFixable(
        f"the repository has several remotes: {_some(names)}",
        hint="name one of them as remote",
        code="several_remotes",
    )


def address_of(view: RepositoryView, name: str, own: Entries) -> RemoteAddress:
    """Where pushes to a remote go.

    Raises:
        NotFound: the repository does not have that remote ("unknown_remote").
        UserFixable: its address is not one that Rover pushes to ("odd_remote").
    """
    names = remote_names(view.config)
    if name not in names:
        known = _some(names) or "none"
        raise NotFound(
            f"the repository does not have the remote {visible_line(name)[:100]!r}",
            hint=f"its remotes: {known}",
            code="unknown_remote",
        )
    pushed = view.config.get(f"remote.{name}.pushurl", ())
    urls = pushed or view.config.get(f"remote.{name}.url", ())
    if len(urls) != 1:
        raise _odd(name, "it has several addresses")
    url = rewritten(urls[0], own, explicit=bool(pushed))
    if len(url) > _MOST or _CONTROL.search(url) or url.startswith("-") or not url:
        raise _odd(name, "its address is malformed")
    if _HELPER.match(url):
        raise _odd(name, "its address names a program (a remote helper)")
    base = view.place.top or view.place.common
    if "://" not in url:
        return _without_scheme(name, url, base)
    try:
        return _with_scheme(name, url)
    except ValueError:
        raise _odd(name, "its address is malformed") from None


def rewritten(url: str, own: Entries, *, explicit: bool) -> str:
    """The address as `url.<base>.insteadOf` and pushInsteadOf of the user's own configuration have
    it; the longest beginning counts. `explicit`: it is a pushurl, which only insteadOf rewrites."""
    best: dict[bool, tuple[int, str]] = {}
    for key, beginning in own:
        match = _REWRITE_KEY.fullmatch(key)
        if match is None or not url.startswith(beginning):
            continue
        for_push = match[2] is not None
        if len(beginning) > best.get(for_push, (-1, ""))[0]:
            best[for_push] = len(beginning), match[1] + url[len(beginning) :]
    if not explicit and True in best:
        return best[True][1]
    return best[False][1] if False in best else url


def last(config: Config, key: str) -> str:
    """The value that counts of a key, in its own case; empty where it is not set."""
    return next(reversed(config.get(key, ())), "")


def _without_scheme(name: str, url: str, base: Path) -> RemoteAddress:
    # As git tells them apart: host:path, unless a slash comes before the colon.
    if ":" in url.partition("/")[0]:
        return RemoteAddress(name, url)
    folder = (base / url).resolve()
    return RemoteAddress(name, str(folder), folder=folder)


def _with_scheme(name: str, url: str) -> RemoteAddress:
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise _odd(name, f"Rover does not push over {parts.scheme[:20]}")
    if parts.scheme == "file":
        folder = Path(unquote(parts.path)).resolve()
        return RemoteAddress(name, str(folder), folder=folder)
    if parts.scheme not in ("http", "https") or not (parts.username or parts.password):
        return RemoteAddress(name, url)
    # A token can stand in either place. Git would hand it on in an argument list.
    host = parts.netloc.rpartition("@")[2]
    return RemoteAddress(
        name,
        urlunsplit(parts._replace(netloc=host)),
        unquote(parts.username or "") or None,
        unquote(parts.password) if parts.password else None,
    )


def _odd(name: str, why: str) -> UserFixable:
    return UserFixable(
        f"Rover cannot push to the remote {visible_line(name)[:100]}: {why}",
        hint="push the branch with git, then call push_task again, which records it; or name "
        "another remote",
        code="odd_remote",
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(visible_line(name)[:100] for name in names[:_REMOTES_NAMED])
