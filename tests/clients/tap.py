"""Starts a server of MCP over stdio and writes down what goes through it.

    python tap.py LOG COMMAND [ARGUMENT...]

stands in a client's configuration in the place of the command. Each line of LOG is
`{"from": "client" | "server", "frame": {...}}`, written before the frame is passed on. It ends when
the server does, and hands signals on to it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO


def main() -> int:
    log_path, *command = sys.argv[1:]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    assert server.stdin is not None
    assert server.stdout is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda given, _: server.send_signal(given))
    with Path(log_path).open("ab", buffering=0) as log:
        reader = threading.Thread(
            target=pump, args=("client", sys.stdin.buffer, server.stdin, log), daemon=True
        )
        reader.start()
        pump("server", server.stdout, os.fdopen(1, "wb", buffering=0, closefd=False), log)
    return server.wait()


def pump(name: str, source: Iterable[bytes], sink: IO[bytes], log: IO[bytes]) -> None:
    """Pass lines on until there are no more, or nobody takes them."""
    with suppress(BrokenPipeError):
        for line in source:
            frame = {"from": name, "frame": json.loads(line)}
            log.write(json.dumps(frame).encode() + b"\n")
            sink.write(line)
    if name == "client":
        sink.close()


if __name__ == "__main__":
    sys.exit(main())
