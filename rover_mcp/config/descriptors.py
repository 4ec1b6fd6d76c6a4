"""Limits the open files of this process, and handles a lack of them.

A daemon that holds a connection or two for each that an agent opens soon reaches the 1,024 that a
login shell sets. What it cannot have is refused to whoever asked for it, and never ends the daemon.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
from collections.abc import Callable

log = logging.getLogger("rover.descriptors")

MOST = 65536
"""No more than this is requested: some programs close every descriptor that they might have."""
OWN = 96
"""Descriptors that the daemon needs for itself: database, journals, logs, git."""
PAUSE_SECONDS = 0.2
BURST, PER_SECOND = 256, 200
"""How many connections one listener accepts at once, and then per second; others wait in the
kernel."""
_SHORTAGE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
# Linux passes on what became of a connection before it was accepted (accept(2)).
_OF_THE_CLIENT = frozenset(
    {
        errno.ECONNABORTED,
        errno.EPERM,
        errno.EPROTO,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
    }
)


_at_first, _ = resource.getrlimit(resource.RLIMIT_NOFILE)


def raise_limit() -> None:
    """Allow this process as many open files as the system permits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Containers often have no hard limit at all, and "unlimited" is a number that some programs
    # count up to when they close what they inherited.
    wanted = MOST if hard == resource.RLIM_INFINITY else min(MOST, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def lower_limit(pid: int) -> None:
    """Give a child the limit that this process was started with: the user's own programs may use
    select(), which cannot handle a descriptor above 1,023."""
    try:
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (_at_first, hard))
    except (ProcessLookupError, PermissionError):
        return  # it has ended, or became another user's


def share(wanted: int, sandboxes: int) -> int:
    """How many connections one sandbox may hold where `wanted` are requested. Each costs up to two
    descriptors, and all sandboxes together leave the daemon what it needs."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    return max(4, min(wanted, (soft - OWN) // (2 * max(1, sandboxes))))


async def accept_from(listener: socket.socket, take: Callable[[socket.socket], None]) -> None:
    """Accept until the socket is closed. `take` owns each connection. A lack of descriptors or
    memory is waited out, while the clients wait in the socket's backlog."""
    loop = asyncio.get_running_loop()
    pace, errors = AcceptPace(loop.time), AcceptErrors()
    while True:
        try:
            connection, _ = await loop.sock_accept(listener)
        except OSError as error:
            # Closing the socket is how its owner ends this loop.
            if listener.fileno() < 0:
                return
            await errors.wait(error)
            continue
        errors.accepted()
        take(connection)
        # Even without a wait the other listeners have their turn.
        await asyncio.sleep(pace.next())


class AcceptErrors:
    """Decides what to do when a connection could not be accepted."""

    def __init__(self) -> None:
        self._reported = False

    def accepted(self) -> None:
        self._reported = False

    async def wait(self, error: OSError) -> None:
        """Wait until another try may succeed.

        Raises:
            OSError: `error`, where the listening socket itself is broken.
        """
        if error.errno not in _SHORTAGE and error.errno not in _OF_THE_CLIENT:
            raise error
        if error.errno in _SHORTAGE:
            # Once per shortage: each waiting client would otherwise write a line five times a
            # second.
            if not self._reported:
                log.warning("no connection can be accepted for now: %s", error)
            self._reported = True
            await asyncio.sleep(PAUSE_SECONDS)


class AcceptPace:
    """How long one listener waits before its next connection."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._left = float(BURST)
        self._at = now()

    def next(self) -> float:
        now = self._now()
        self._left = min(float(BURST), self._left + (now - self._at) * PER_SECOND) - 1
        self._at = now
        return 0.0 if self._left >= 0 else 1 / PER_SECOND
