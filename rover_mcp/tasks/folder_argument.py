"""Reads the folder that a call names: a path or a file: address, but not an address on the web.
Pure."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from urllib.parse import unquote, urlsplit

from rover_mcp.domain.errors import UserFixable

_WEB = re.compile(r"(?:https?|ssh|git|git\+ssh|ftp)://", re.IGNORECASE)
_SCP = re.compile(r"[\w.-]+@[\w.-]+:(?!//)\S+", re.ASCII)
_ACCOUNT = re.compile(r"(?<=://)[^/@\s]*@")
SHOWN = 300
NOT_A_PATH = "not_a_path"
"""The error code for an address of another machine."""


# Clients name their roots as file: addresses, and some models pass these on as paths.
def folder_of(uri: str) -> Path | None:
    """The folder on this machine that a file: address names; None for any other address."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    path = unquote(parts.path)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        return None
    return Path(path) if path.startswith("/") and "\0" not in path else None


def as_path(text: str) -> str:
    """The path that `repo_path` means.

    Raises:
        UserFixable: it is an address on another machine, where Rover cannot work ("not_a_path");
            the hint says what to do.
    """
    plain = text.strip()
    if len(plain) > 1 and plain[0] == plain[-1] and plain[0] in "\"'`":
        plain = plain[1:-1]
    if plain.lower().startswith("file:"):
        if (folder := folder_of(plain)) is not None:
            return str(folder)
        raise UserFixable(
            f"{plain[:SHOWN]} does not name a folder on this machine",
            hint="give the folder's path as repo_path, like /home/me/project",
            code=NOT_A_PATH,
        )
    if _WEB.match(plain) or _SCP.fullmatch(plain):
        # What stands before the @ may be a token.
        address = _ACCOUNT.sub("", plain)[:SHOWN]
        raise UserFixable(
            f"{address} is a web address, and Rover works on a repository on this machine",
            hint=f"run git clone {shlex.quote(address)}, then give the clone's folder as repo_path",
            code=NOT_A_PATH,
        )
    return plain
