"""Sends what is long to the command line in pieces, as progress: one long message would hold up
everything else on the connection."""

from __future__ import annotations

import hashlib
import tempfile
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import IO, Any

import anyio.to_thread
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

from rover_mcp.domain.errors import RoverError

PIECE_BYTES = 128 * 1024


async def send_pieces(
    write: Callable[[IO[bytes]], None], progress: Callable[[int, str], Awaitable[None]]
) -> dict[str, Any]:
    """Send what `write` writes to a file, in which it runs in a thread; return the size and digest.

    Raises:
        MCPError: `write` raised a RoverError.
    """
    with tempfile.TemporaryFile() as file:
        try:
            await anyio.to_thread.run_sync(write, file)
        except RoverError as error:
            data = {"code": error.code, "hint": error.hint}
            raise MCPError(INVALID_PARAMS, error.message, data) from error
        file.seek(0)
        digest, size = hashlib.sha256(), 0
        while piece := await anyio.to_thread.run_sync(file.read, PIECE_BYTES):
            digest.update(piece)
            size += len(piece)
            await progress(size, b64encode(piece).decode())
    return {"bytes": size, "sha256": digest.hexdigest()}
