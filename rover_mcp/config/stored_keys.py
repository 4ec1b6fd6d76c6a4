"""Keys that `rover login` keeps: in the system's keyring, else in a file of mode 0600 in the data
folder. `logins.json` in the data folder says which there are and where, and holds no key.

The keyring is asked by a program of its own, as the user's own commands are: it may wait for
somebody who unlocks it, and what it imports costs more than all of the command line. A key goes to
and from that program through pipes alone.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from rover_mcp.config.private_files import locked, unwritable, write_private
from rover_mcp.domain.errors import EnvironmentFault, NotFound, UserFixable

INDEX: Final = "logins.json"
WHAT: Final = "keys"
FOLDER: Final = "keys"
KEYRING: Final = "keyring"
FILE: Final = "file"
MAX_KEY: Final = 8192
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_ADDRESS = re.compile(r"https?://[!-~]+")
_UNLOCK_SECONDS: Final = 120


@dataclass(frozen=True)
class StoredKey:
    """Where the key of an account is, and since when. `account`: PROVIDER or PROVIDER:NAME."""

    account: str
    place: str
    since: float
    base_url: str | None = None


def account_of(provider: str, name: str | None, providers: Sequence[str]) -> str:
    """What an account is called.

    Raises:
        UserFixable: there is no such provider, or the name is not one.
    """
    if provider not in providers:
        raise UserFixable(
            f"unknown provider {provider[:80]!r}",
            hint=f"one of {', '.join(providers)}",
            code="unknown_provider",
        )
    if name is not None and not _NAME.fullmatch(name):
        raise UserFixable(
            f"{name[:80]!r} is not a name for an account",
            hint="up to 40 letters, digits, '.', '_' and '-', beginning with a letter or digit",
            code="invalid_name",
        )
    return provider if name is None else f"{provider}:{name}"


def all_keys(home: Path) -> list[StoredKey]:
    """All that are kept, in the order in which their accounts were added. None where nothing can be
    read."""
    try:
        index: Any = json.loads((home / INDEX).read_text("utf-8"))
        return [
            StoredKey(str(k["account"]), str(k["place"]), float(k["since"]), k["base_url"])
            for k in index["keys"]
        ]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []


# The keyring is tried first; a file of mode 0600 is what machines without a desktop have.
def keep(home: Path, account: str, key: str, base_url: str | None = None) -> StoredKey:
    """Keep a key, in place of the one that was kept for the account.

    Raises:
        UserFixable: it cannot be a key, or the address is not one.
        EnvironmentFault: it cannot be written.
    """
    if not key or len(key) > MAX_KEY or not all("!" <= c <= "~" for c in key):
        raise UserFixable(
            "this is not a key", hint="give the key alone, on one line", code="no_key"
        )
    if base_url is not None and not _ADDRESS.fullmatch(base_url):
        raise UserFixable(f"{base_url[:80]!r} is not an address", hint="as in https://example.com")
    with locked(home, INDEX, WHAT):
        in_keyring = _ask("set", _entry(home, account), key) is not None
        place = KEYRING if in_keyring else FILE
        new_key = StoredKey(account, place, round(time.time(), 3), base_url)
        path = key_file(home, account)
        try:
            if in_keyring:
                path.unlink(missing_ok=True)
            else:
                path.parent.mkdir(mode=0o700, exist_ok=True)
                write_private(path, key)
            # A key that is renewed keeps its place: accounts take over in this order.
            kept = {k.account: k for k in all_keys(home)} | {account: new_key}
            _write_index(home, list(kept.values()))
        except OSError as error:
            raise unwritable(WHAT, home, error) from error
    return new_key


def forget(home: Path, account: str) -> None:
    """Remove the key of an account from where it is kept.

    Raises:
        NotFound: none is kept.
        EnvironmentFault: it cannot be removed.
    """
    with locked(home, INDEX, WHAT):
        key = next((k for k in all_keys(home) if k.account == account), None)
        if key is None:
            raise NotFound(f"no key is kept for {account}", hint="see `rover login --list`")
        if key.place == KEYRING and _ask("delete", _entry(home, account)) is None:
            raise EnvironmentFault(
                f"the keyring did not remove the key of {account}",
                hint="unlock it, and call this again",
                code="keyring",
            )
        try:
            key_file(home, account).unlink(missing_ok=True)
            _write_index(home, [k for k in all_keys(home) if k.account != account])
        except OSError as error:
            raise unwritable(WHAT, home, error) from error


def key_file(home: Path, account: str) -> Path:
    """Where a key is that is in no keyring."""
    return home / FOLDER / account


def command_of(home: Path, kept: StoredKey) -> list[str]:
    """The command that prints a key out of the keyring. Another one after each `rover login`, so
    that what an earlier one printed is not taken for it."""
    return [*_program(), "get", _entry(home, kept.account), str(kept.since)]


def _program() -> list[str]:
    # Without the working folder in the path of modules: it may be anybody's repository.
    return [sys.executable, "-P", "-m", "rover_mcp.config.keyring_program"]


def _entry(home: Path, account: str) -> str:
    """The keyring is the user's, for all data folders."""
    return f"{account} in {home.resolve()}"


def _ask(action: str, entry: str, key: str = "") -> str | None:
    """What the keyring's program answers; None where there is no keyring that can be used."""
    try:
        done = subprocess.run(
            [*_program(), action, entry],
            input=key,
            capture_output=True,
            text=True,
            timeout=_UNLOCK_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def _write_index(home: Path, keys: Sequence[StoredKey]) -> None:
    write_private(home / INDEX, json.dumps({"keys": [asdict(k) for k in keys]}, indent=1))
