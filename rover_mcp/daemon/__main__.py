"""`python -m rover_mcp.daemon [--foreground]`: started by the launcher, never by hand.

Exit 0: it ended, or another daemon serves the data folder. Exit 3: the data folder cannot be
used; one line on stderr says why and what to do. Exit 70: its event loop broke; see heartbeat.py.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import resource
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NoReturn

import anyio

from rover_mcp.config import descriptors
from rover_mcp.daemon.daemon_lock import AlreadyHeld, hold_lock, make_socket_folder
from rover_mcp.domain.errors import RoverError
from rover_mcp.launcher.handshake import ASKED, data_folder, unusable

if TYPE_CHECKING:
    from rover_mcp.config.settings import Settings
    from rover_mcp.store.store import Store

EXIT_DATA_FOLDER = 3


def main() -> int:
    """Take the lock, open the store, serve."""
    foreground = "--foreground" in sys.argv[1:]
    home = data_folder(os.environ)
    if wrong := unusable(str(home)):
        return _refuse(f"the data folder {str(home)!r} cannot be used: {wrong}")
    descriptors.raise_limit()
    # A dump of this process would hold every credential.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    try:
        lock = hold_lock(home)
    except AlreadyHeld:
        if not foreground:
            return 0
        return _refuse(f"another daemon serves {home}; leave out --foreground")
    except RoverError as error:
        return _refuse(f"{error.message}; {error.hint}")
    # What is imported stays: to look through it again and again for garbage costs a tenth.
    gc.disable()
    from rover_mcp.daemon.daemon_log import log_to_file, log_to_stream
    from rover_mcp.daemon.data_folder import open_store, secrets_of
    from rover_mcp.daemon.redaction import SECRETS

    try:
        make_socket_folder(home)
        settings, store = open_store(home)
    except RoverError as error:
        return _refuse(f"{error.message}; {error.hint}")
    except OSError as error:
        return _refuse(f"the data folder {home} cannot be used: {error}")
    SECRETS.add(*secrets_of(settings))
    if foreground:
        log_to_stream(sys.stderr, settings.log)
    else:
        log_to_file(home, settings.log)
    return _serve(settings, store, lock, foreground=foreground)


def _serve(settings: Settings, store: Store, lock: int, *, foreground: bool) -> NoReturn:
    listener = None
    if ASKED in sys.argv[1:]:
        from rover_mcp.daemon.early_answers import answer_first

        listener = answer_first(settings, store)
    from rover_mcp.daemon.daemon import Daemon

    # Everything imported so far lives as long as the process: frozen, no collection scans it.
    gc.freeze()
    gc.enable()
    daemon = Daemon(settings, store, lock, listener)
    return _run(daemon.serve_stdio if foreground else daemon.serve)


def _run(serve: Callable[[], Awaitable[None]]) -> NoReturn:
    """A daemon ends itself when it is done. Whatever else ends its loop ends the process."""
    from rover_mcp.daemon.heartbeat import end_process, end_soon

    async def bounded() -> None:
        try:
            await serve()
        finally:
            end_soon()

    try:
        anyio.run(bounded)
    except BaseException:
        logging.getLogger("rover.daemon").exception("the daemon's loop ended")
    end_process()


def _refuse(message: str) -> int:
    # Standard error is a file in the data folder: on a full disk only the exit status is heard.
    with contextlib.suppress(OSError):
        os.write(2, f"rover: {message}\n".encode())
    return EXIT_DATA_FOLDER


if __name__ == "__main__":
    sys.exit(main())
