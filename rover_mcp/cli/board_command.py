"""`rover board`: holds an address on loopback, where the daemon serves the board."""

from __future__ import annotations

import argparse
import hashlib
import secrets
import signal
import sys

from rover_mcp.cli.client import ClientError
from rover_mcp.cli.tool_commands import home_of
from rover_mcp.launcher.http_listener import CannotServe, HttpFrontend, bind

HOST = "127.0.0.1"


class BoardFrontend(HttpFrontend):
    """Holds the board's address for whichever daemon serves it. The token is in the memory of this
    process and in the terminal, and the daemon knows its digest: when this process ends it is
    worth nothing."""

    def __init__(self, home: str, port: int) -> None:
        """
        Raises:
            CannotServe: the port is taken.
        """
        self._token = secrets.token_urlsafe(32)
        digest = hashlib.sha256(self._token.encode()).hexdigest()
        super().__init__(home, bind(HOST, port), board=digest)

    def announce(self, answer: dict[str, object], *, again: bool) -> None:
        """Print the address once: it stays the same."""
        if again:
            return
        print(f"The board: {answer.get('url')}#{self._token}")
        print("Open it in a browser on this machine, and keep the address to yourself.")
        # Not opened by this command: other users could read the token among its arguments.
        print("It is served until you press Ctrl-C.", flush=True)


def board(args: argparse.Namespace) -> int:
    """Serve the board until a signal ends it.

    Raises:
        ClientError: the address cannot be used.
        DaemonUnavailable: the daemon cannot be reached.
    """
    try:
        front = BoardFrontend(home_of(args), args.port)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, front.on_signal)
        sys.stdout.flush()
        front.run()
    except CannotServe as error:
        raise ClientError(f"cannot serve the board: {error}", hint=error.hint) from error
    return 0
