"""How a person names what a task is to read: `github:issue/12`, a web address, a file. Pure.

Short forms are those of the original Rover: `github:issue/N` and `github:pr/N`, `gitlab:issue/N`
and `gitlab:mr/N`, each with or without the repository in between.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from rover_mcp.domain.errors import UserFixable
from rover_mcp.domain.network_policy import HTTPS, BadHost, Host, parse_authority
from rover_mcp.domain.text import visible_line

MAX_REFERENCE: Final = 2000
"""Characters of one reference."""
MAX_SHOWN: Final = 120

_FORMS: Final = (
    "context takes github:issue/12, github:pr/34, gitlab:issue/9, gitlab:mr/7 (with OWNER/NAME/ "
    "after the colon for another repository), their web addresses, other https:// pages, "
    "and paths of files"
)
_SHORT = re.compile(r"(github|gitlab):(?:(.+)/)?(issue|pr|mr)/([1-9][0-9]{0,9})", re.ASCII)
_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,98}[A-Za-z0-9_-])?"
_GITHUB_NAME = re.compile(rf"{_PART}/{_PART}", re.ASCII)
_GITLAB_NAME = re.compile(rf"{_PART}(?:/{_PART}){{1,20}}", re.ASCII)
_GITHUB_PATH = re.compile(r"/([^/]+/[^/]+)/(issues|pull)/([1-9][0-9]{0,9})(?:/.*)?", re.ASCII)
_GITLAB_PATH = re.compile(
    r"/(.+?)/-/(issues|work_items|merge_requests)/([1-9][0-9]{0,9})(?:/.*)?", re.ASCII
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://", re.ASCII)
_SCP_LIKE = re.compile(r"(?:[^@/:]+@)?([^/:]+):(?!/)(.+)")


class Forge(StrEnum):
    """The forges whose issues and requests can be read."""

    GITHUB = "github"
    GITLAB = "gitlab"

    @property
    def home(self) -> str:
        """The host of the public service."""
        return f"{self}.com"

    @property
    def host_variable(self) -> str:
        """The variable in which `gh` and `glab` look for a host of the user's own."""
        return {"github": "GH_HOST", "gitlab": "GITLAB_HOST"}[self]


@dataclass(frozen=True)
class ForgeReference:
    """An issue, or a pull or merge request (`is_request`), of a repository on a forge."""

    forge: Forge
    host: Host
    port: int
    repository: str
    is_request: bool
    number: int

    @property
    def authority(self) -> str:
        return self.host.at(self.port).removesuffix(f":{HTTPS}")

    @property
    def address(self) -> str:
        """The web address."""
        if self.forge is Forge.GITHUB:
            part = "pull" if self.is_request else "issues"
        else:
            part = "-/merge_requests" if self.is_request else "-/issues"
        return f"https://{self.authority}/{quote(self.repository)}/{part}/{self.number}"


@dataclass(frozen=True)
class PageReference:
    """A page, or an image, on the web."""

    address: str


@dataclass(frozen=True)
class FileReference:
    """A file of the user's, relative to the working folder of the call."""

    path: str


Reference = ForgeReference | PageReference | FileReference


def parse_reference(text: str, remotes: Sequence[str], environment: Mapping[str, str]) -> Reference:
    """Read one reference.

    `remotes` are the addresses of the repository's remotes, `origin` first; they complete a short
    form without a repository. `environment` is the caller's, for GH_HOST and GITLAB_HOST.

    Raises:
        UserFixable: the text is none of the forms, or a short form lacks its repository.
    """
    text = text.strip()
    if not text or len(text) > MAX_REFERENCE:
        raise _refused(text, f"a reference has 1 to {MAX_REFERENCE} characters")
    if text.startswith(("github:", "gitlab:")):
        return _short(text, remotes, environment)
    scheme = match[1].lower() if (match := _SCHEME.match(text)) else None
    if scheme is None:
        return FileReference(text)
    if scheme == "file":
        return FileReference(unquote(text.partition("://")[2]))
    if scheme in ("https", "http"):
        return _web(text, remotes, environment)
    # `ssh`, `ftp`, `data` and others: each would need limits of its own.
    raise _refused(text, f"{scheme[:MAX_SHOWN]}:// addresses are not fetched")


def _short(text: str, remotes: Sequence[str], environment: Mapping[str, str]) -> ForgeReference:
    match = _SHORT.fullmatch(text)
    # `pr` and `mr` are taken for each other: people mix them up, and only one can be meant.
    if match is None:
        raise _refused(text, "it is not one of the short forms")
    forge, is_request = Forge(match[1]), match[3] != "issue"
    number = int(match[4])
    configured = environment.get(forge.host_variable, "")
    if match[2]:
        # `gitlab:group/name/issue/7` in a repository of a company means the company's GitLab
        # rather than gitlab.com.
        own = _remote_hosts(forge, remotes, configured)
        authority = configured or (own[0] if own else forge.home)
        repository = match[2]
    else:
        authority, repository = _from_remotes(text, forge, remotes, configured)
    return _forge_reference(text, forge, authority, repository, is_request, number)


def _from_remotes(
    text: str, forge: Forge, remotes: Sequence[str], configured: str
) -> tuple[str, str]:
    parsed = [remote for address in remotes if (remote := parse_remote(address))]
    wanted = {authority for authority, _ in parsed if _is_of(forge, authority, configured)}
    for authority, repository in parsed:
        if authority in wanted:
            return authority, repository
    # A forge of the user's own has any name. One whose remote is clearly the other forge's is not
    # guessed.
    other = {Forge.GITHUB: Forge.GITLAB, Forge.GITLAB: Forge.GITHUB}[forge]
    rest = [remote for remote in parsed if not _is_of(other, remote[0], "")]
    if rest:
        return rest[0]
    raise UserFixable(
        f"{visible_line(text)} names no repository, and this one has no remote on {forge}",
        code="invalid_context",
        hint=f"name it: {forge}:OWNER/NAME/{text.partition(':')[2]}",
    )


def _remote_hosts(forge: Forge, remotes: Sequence[str], configured: str) -> list[str]:
    parsed = (parse_remote(address) for address in remotes)
    return [remote[0] for remote in parsed if remote and _is_of(forge, remote[0], configured)]


def _is_of(forge: Forge, authority: str, configured: str) -> bool:
    name = authority.rpartition(":")[0] or authority
    return authority == configured or forge in name.split(".") or name == forge.home


def parse_remote(address: str) -> tuple[str, str] | None:
    """The host, with a port that is not the usual one, and the repository's path of a remote's
    address; None where it has none, such as a folder. A port of SSH says nothing of the web's."""
    if "://" in address:
        try:
            parts = urlsplit(address)
            host, port = parts.hostname, parts.port
        except ValueError:
            return None
        path = parts.path
        # The web pages of a forge that is reached by SSH on port 2222 are not on that port.
        keep = parts.scheme in ("https", "http") and port not in (None, HTTPS)
        authority = f"{host}:{port}" if keep else (host or "")
    elif match := _SCP_LIKE.fullmatch(address):
        authority, path = match[1].lower(), match[2]
    else:
        return None
    path = path.strip("/").removesuffix(".git")
    return (authority, path) if authority and "/" in path else None


def _web(
    text: str, remotes: Sequence[str], environment: Mapping[str, str]
) -> ForgeReference | PageReference:
    try:
        parts = urlsplit(text)
        authority = parts.netloc.lower()
        named = bool(parts.hostname)
    except ValueError:
        named, authority, parts = False, "", urlsplit("")
    if not named or "@" in authority:
        raise _refused(text, "the address names no host, or has a user in it")
    if parts.scheme.lower() != "https":
        raise _refused(text, "only https:// pages are fetched")
    path = unquote(parts.path)
    # `/-/` in a path is GitLab's alone, so any host may be one. A path of GitHub's could be of any
    # site, so its hosts have to be known.
    if match := _GITLAB_PATH.fullmatch(path):
        is_request = match[2] == "merge_requests"
        return _forge_reference(text, Forge.GITLAB, authority, match[1], is_request, int(match[3]))
    known = _github_hosts(remotes, environment)
    if authority in known and (match := _GITHUB_PATH.fullmatch(path)):
        is_request = match[2] == "pull"
        return _forge_reference(text, Forge.GITHUB, authority, match[1], is_request, int(match[3]))
    return PageReference(text)


def _github_hosts(remotes: Sequence[str], environment: Mapping[str, str]) -> set[str]:
    configured = environment.get(Forge.GITHUB.host_variable, "").lower()
    own = {remote[0] for address in remotes if (remote := parse_remote(address))}
    return {Forge.GITHUB.home, *own, *([configured] if configured else [])}


def _forge_reference(
    text: str, forge: Forge, authority: str, repository: str, is_request: bool, number: int
) -> ForgeReference:
    pattern = _GITHUB_NAME if forge is Forge.GITHUB else _GITLAB_NAME
    # The name becomes part of a path of the API.
    if not pattern.fullmatch(repository) or ".." in repository:
        raise _refused(text, f"it does not name a {forge} repository")
    authority = authority.removeprefix("https://").strip("/")
    try:
        host, port = parse_authority(authority if ":" in authority else f"{authority}:{HTTPS}")
    except BadHost as error:
        raise _refused(text, str(error)) from None
    return ForgeReference(forge, host, port, repository, is_request, number)


def _refused(text: str, why: str) -> UserFixable:
    shown = visible_line(text[:MAX_SHOWN])
    return UserFixable(f"context {shown!r}: {why}", code="invalid_context", hint=_FORMS)
