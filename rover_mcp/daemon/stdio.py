"""Serves one client in the foreground through stdin and stdout, as a byte stream."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import anyio
import anyio.to_thread
from anyio.abc import ByteStream


class StandardStreams(ByteStream):
    """The process's own stdin and stdout, taken away from everything else: a child or a library
    that prints to stdout would break the protocol, so it writes to stderr, and finds stdin
    empty."""

    def __init__(self) -> None:
        self._in = _taken(0, os.open(os.devnull, os.O_RDONLY))
        self._out = _taken(1, _stderr())

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """
        Raises:
            EndOfStream: the client left.
        """
        data = await anyio.to_thread.run_sync(os.read, self._in, max_bytes, abandon_on_cancel=True)
        if not data:
            raise anyio.EndOfStream
        return data

    async def send(self, item: bytes) -> None:
        """
        Raises:
            OSError: the client left.
        """
        await anyio.to_thread.run_sync(_write, self._out, item, abandon_on_cancel=True)

    async def send_eof(self) -> None:
        os.close(self._out)

    async def aclose(self) -> None:
        """They end with the process: a thread may still wait in one of them."""

    @property
    def extra_attributes(self) -> Mapping[Any, Any]:
        return {}


def _taken(descriptor: int, instead: int) -> int:
    """A private copy of a descriptor, in whose place children find `instead`."""
    private = os.dup(descriptor)
    os.dup2(instead, descriptor)
    os.close(instead)
    return private


def _stderr() -> int:
    try:
        return os.dup(2)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)


def _write(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
