"""Lets the agent's own program on this host renew a login that expires while its owner is away.

Renewing is the program's business: a renewal token is good for one use, and the program keeps the
new one where its owner's next session finds it. It runs as its owner would run it, on the user's
own configuration, with nothing of a task; no model is called, and what it prints is not kept.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from rover_mcp.daemon import host_logins
from rover_mcp.domain.utc_time import utc_minute
from rover_mcp.gateway.providers import PROVIDERS

log = logging.getLogger("rover.credentials")

AHEAD: Final = MappingProxyType({"claude": 240.0, "codex": 6 * 3600.0})
"""Seconds before its end at which a login is renewed: claude renews in the last five minutes, and
not before. A program that renews at any time is run early enough to warn a person if it fails."""
LIMIT: Final = 60.0
"""The seconds that a program may take."""
FIRST: Final = 120.0
MOST: Final = 3600.0
"""Seconds until the next try after one that failed; doubling from the first to the most."""
MAX_LINE: Final = 100_000
MAX_LINES: Final = 200

NamedLogins = Callable[[], Iterable[tuple[str, Mapping[str, str]]]]
"""The logins that config.yaml names: whose they are, and the environment of their program."""
Renew = Callable[[str, str, Mapping[str, str]], None]
"""Have a program, at a path, renew its login. Raises OSError."""

_OF_A_TASK: Final = frozenset(
    name
    for provider in PROVIDERS.values()
    for name in (provider.url_variable, *(variable.name for variable in provider.variables))
)


@dataclass
class _FailedRenewals:
    """Those of one login that failed, one after the other, and when the next may be."""

    count: int = 0
    next_at: float = 0.0
    expires: float | None = None
    """the end of the login that was not renewed: one that its owner has made since has another"""
    why: str = ""


class LoginRenewals:
    """`wanted` says whether a task may need them. Safe to use from many threads."""

    def __init__(
        self,
        logins: NamedLogins,
        wanted: Callable[[], bool],
        renew: Renew | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._logins = logins
        self._wanted = wanted
        self._renew = renew or have_renewed
        self._now = now
        self._tries: dict[Path, _FailedRenewals] = {}
        self._lock = threading.Lock()

    def renew_in_a_thread(self) -> None:
        """Run `renew_due` in a thread, so that the caller does not wait for a program."""
        is_due = not self._lock.locked() and any(self._is_due(*known) for known in self._logins())
        if is_due and self._wanted():
            threading.Thread(target=self.renew_due, name="rover-renewals", daemon=True).start()

    def renew_due(self) -> None:
        """Renew every login that expires now, or has expired, while a task may need it."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            for kind, environ in self._logins():
                if self._is_due(kind, environ) and self._wanted():
                    self._try(kind, environ)
        finally:
            self._lock.release()

    def obstacle(self, kind: str, environ: Mapping[str, str]) -> str | None:
        """Why a person has to renew a login, as far as that can be known in advance; None: its
        program will do that."""
        place, login = host_logins.LOGINS[kind].place(environ), host_logins.kept(kind, environ)
        if place is None or login is None or login.expires is None:
            return None
        if login.renewable_until == 0:
            return f"{place} holds no token to renew it with"
        if login.renewable_until is not None and login.renewable_until <= login.expires:
            return f"it can be renewed until {utc_minute(login.renewable_until)} only"
        if program_of(kind, environ) is None:
            return f"there is no {kind} on the PATH of Rover's daemon"
        tries = self._tried(place, login.expires)
        return f"{kind} was run for it and did not renew it: {tries.why}" if tries.count else None

    def _is_due(self, kind: str, environ: Mapping[str, str]) -> bool:
        place, login = host_logins.LOGINS[kind].place(environ), host_logins.kept(kind, environ)
        if place is None or login is None or login.expires is None or login.renewable_until == 0:
            return False
        soon = login.expires - self._now() <= AHEAD[kind]
        return soon and self._tried(place, login.expires).next_at <= self._now()

    def _tried(self, place: Path, expires: float | None) -> _FailedRenewals:
        """The tries to renew the login that is there now."""
        tries = self._tries.get(place)
        return tries if tries is not None and tries.expires == expires else _FailedRenewals()

    def _try(self, kind: str, environ: Mapping[str, str]) -> None:
        program, place = program_of(kind, environ), host_logins.LOGINS[kind].place(environ)
        old = host_logins.expiry(kind, environ)
        if program is None or place is None or old is None:
            return
        why = "it left the login as it was"
        try:
            self._renew(kind, program, environ)
        except OSError as error:
            why = str(error.strerror or error)
        expires, now = host_logins.expiry(kind, environ), self._now()
        if expires is not None and expires > max(old, now):
            # Half of its time is waited for, so that one that is valid for minutes only is not
            # renewed without end.
            self._tries[place] = _FailedRenewals(next_at=(now + expires) / 2, expires=expires)
            log.info("%s has renewed its login", kind)
            return
        before = self._tried(place, expires)
        wait = min(MOST, FIRST * 2**before.count)
        self._tries[place] = _FailedRenewals(before.count + 1, now + wait, expires, why)
        log.warning("%s did not renew its login: %s; the next try is in %.0f s", kind, why, wait)


def program_of(kind: str, environ: Mapping[str, str]) -> str | None:
    """The user's own program."""
    return shutil.which(kind, path=environ.get("PATH"))


def have_renewed(kind: str, program: str, environ: Mapping[str, str]) -> None:
    """Run the program so that it looks at its login, which renews one that expires.

    Raises:
        OSError: it cannot be run, or took too long.
    """
    # With a key in its environment a program takes that one, and does not look at its login.
    own = {name: value for name, value in environ.items() if name not in _OF_A_TASK}
    with tempfile.TemporaryDirectory(prefix="rover-renewal-") as folder:
        # `claude auth status` renews as a side effect. No command of codex does; its app-server
        # does so on request.
        arguments = ["app-server"] if kind == "codex" else ["auth", "status"]
        channel = subprocess.PIPE if kind == "codex" else subprocess.DEVNULL
        with subprocess.Popen(
            [program, *arguments], env=own, cwd=folder, start_new_session=True,
            stdin=channel, stdout=channel, stderr=subprocess.DEVNULL,
        ) as running:  # fmt: skip
            ended = threading.Timer(LIMIT, _kill, (running,))
            ended.daemon = True
            ended.start()
            try:
                if kind == "codex":
                    _ask_codex(running)
                else:
                    running.wait()
            finally:
                late = ended.finished.is_set()
                ended.cancel()
                _kill(running)
            if late:
                raise TimeoutError(0, f"it took more than {LIMIT:.0f} s")


def _ask_codex(running: subprocess.Popen[bytes]) -> None:
    """Ask over its JSON-RPC whose login it is, with a renewed token."""
    about = {"clientInfo": {"name": "rover", "title": "Rover", "version": "1"}}
    requests: tuple[dict[str, Any], ...] = (
        {"id": 0, "method": "initialize", "params": about},
        {"method": "initialized", "params": {}},
        {"id": 1, "method": "account/read", "params": {"refreshToken": True}},
    )
    assert running.stdin is not None  # noqa: S101  # PIPE
    assert running.stdout is not None  # noqa: S101  # PIPE
    for message in requests:
        running.stdin.write(json.dumps(message).encode() + b"\n")
    running.stdin.flush()
    for _ in range(MAX_LINES):
        line = running.stdout.readline(MAX_LINE)
        if not line or _answers(line, 1):
            return


def _answers(line: bytes, number: int) -> bool:
    with suppress(ValueError, RecursionError):
        message = json.loads(line)
        return isinstance(message, dict) and message.get("id") == number  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # any JSON
    return False


def _kill(running: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(running.pid, signal.SIGKILL)
