"""Bearer tokens for `rover-mcp --http`.

A token is shown once, when it is created. What is stored is its SHA-256, which is enough for 256
random bits, in a file of mode 0600 in the data folder.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rover_mcp.config.http import NAME, HttpSettings, HttpToken
from rover_mcp.config.private_files import locked, unwritable, write_private
from rover_mcp.domain.errors import EnvironmentFault, NotFound, UserFixable

FILE = "http-tokens.json"
MIN_LENGTH = 32
"""The least number of characters of a token from elsewhere: a short one could be guessed."""
PREFIX = "rover_"


@dataclass(frozen=True)
class Grant:
    """What a token permits: `name` is the user. `digest` is the token's SHA-256 in hexadecimal
    digits."""

    name: str
    scopes: tuple[str, ...]
    digest: str
    created_at: float | None = None


def digest_of(token: str) -> str:
    """What is stored of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_token(home: Path, name: str, scopes: Sequence[str]) -> str:
    """Create a token, store its digest, and return the token, which cannot be recovered later.

    Raises:
        UserFixable: the name is invalid.
        EnvironmentFault: the file cannot be read or written.
    """
    if not NAME.fullmatch(name):
        raise UserFixable(
            f"{name[:80]!r} is not a valid user name",
            hint="up to 32 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit",
            code="invalid_name",
        )
    token = PREFIX + secrets.token_urlsafe(32)
    with locked(home, FILE, "tokens"):
        grants = stored_grants(home)
        grant = Grant(name, tuple(scopes), digest_of(token), round(time.time(), 3))
        _write(home, [*grants, grant])
    return token


def revoke(home: Path, name: str) -> int:
    """Remove the tokens that `new_token` created for a user; how many there were.

    Raises:
        NotFound: there are none.
        EnvironmentFault: the file cannot be read or written.
    """
    with locked(home, FILE, "tokens"):
        grants = stored_grants(home)
        left = [g for g in grants if g.name != name]
        if len(left) == len(grants):
            raise NotFound(f"there is no token of {name[:80]!r}", hint="see `rover token list`")
        _write(home, left)
    return len(grants) - len(left)


def stored_grants(home: Path) -> list[Grant]:
    """The grants in the data folder's file, the oldest first.

    Raises:
        EnvironmentFault: it cannot be read, or is damaged.
    """
    path = home / FILE
    try:
        stored: Any = json.loads(path.read_text("utf-8"))
        return [
            Grant(str(t["name"]), tuple(map(str, t["scopes"])), str(t["digest"]), t["created_at"])
            for t in stored["tokens"]
        ]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EnvironmentFault(
            # Only the type: the message of a parser quotes the line, with the digests in it.
            f"{path} cannot be read: {type(error).__name__}",
            hint="restore it, or remove it and make new tokens with `rover token new`",
        ) from error


def configured_grants(settings: HttpSettings, environ: Mapping[str, str]) -> list[Grant]:
    """The grants in config.yaml.

    Raises:
        EnvironmentFault: a file or variable does not exist, or its token is too short.
    """
    return [Grant(t.name, t.scopes, _digest(t, environ)) for t in settings.tokens]


def _digest(token: HttpToken, environ: Mapping[str, str]) -> str:
    if token.sha256 is not None:
        return token.sha256
    where = token.token_file or token.token_env or ""
    try:
        if token.token_file is not None:
            value = Path(token.token_file).expanduser().read_text("utf-8").strip()
        else:
            value = environ.get(where, "")
    except (OSError, ValueError, RuntimeError) as error:
        raise EnvironmentFault(
            f"the token of {token.name} cannot be read from {where}",
            hint="correct http.tokens in config.yaml",
        ) from error
    if len(value) < MIN_LENGTH:
        raise EnvironmentFault(
            f"the token of {token.name} in {where} has fewer than {MIN_LENGTH} characters",
            hint="`rover token new` makes one that cannot be guessed",
        )
    return digest_of(value)


class Tokens:
    """The tokens that are valid now. One that is added to the data folder's file, or removed from
    it, counts at the next check."""

    def __init__(self, home: Path, configured: Sequence[Grant]) -> None:
        self._path = home / FILE
        self._home = home
        self._configured = tuple(configured)
        self._state: object = None
        self._grants: tuple[Grant, ...] = ()

    def grants(self) -> tuple[Grant, ...]:
        """All grants. A file that is damaged has none."""
        try:
            facts = self._path.stat()
            # Asked at every request, so the file is read again only when it has been replaced.
            state: object = (facts.st_ino, facts.st_mtime_ns, facts.st_size)
        except OSError:
            state = ()
        if state != self._state:
            try:
                stored = stored_grants(self._home)
            except EnvironmentFault:
                # A damaged file must not let anybody in; the tokens in config.yaml still count.
                stored = []
            self._grants = (*self._configured, *stored)
            self._state = state
        return self._grants

    def find(self, token: str) -> Grant | None:
        """Find whose token it is. All digests are compared in constant time, so that the time of an
        answer reveals nothing about other tokens."""
        digest, match = digest_of(token), None
        for grant in self.grants():
            # Without a break, so that the time of an answer does not depend on which token matches.
            if hmac.compare_digest(grant.digest, digest):
                match = match or grant
        return match

    # Asked for each frame of a stream, so that revoking a token ends what it opened.
    def hold(self, digest: str) -> bool:
        """Whether the token with this digest is still valid."""
        return any(grant.digest == digest for grant in self.grants())


def _write(home: Path, grants: Sequence[Grant]) -> None:
    text = json.dumps({"tokens": [asdict(g) for g in grants]}, indent=1)
    try:
        write_private(home / FILE, text)
    except OSError as error:
        raise unwritable("tokens", home, error) from error
