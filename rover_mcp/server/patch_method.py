"""`rover/patch`, a method outside of MCP: a task's complete patch, byte for byte, for the command
line.

It is sent in pieces, as progress, so that no message grows with the patch.
"""

from __future__ import annotations

import hashlib
import tempfile
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Any

import anyio.to_thread
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, METHOD_NOT_FOUND, RequestParams
from pydantic import Field

from rover_mcp.domain.errors import RoverError
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.service import TaskService

METHOD = "rover/patch"
PIECE_BYTES = 128 * 1024


class PatchParams(RequestParams):
    task: str = ""
    repo_path: str | None = None
    paths: list[str] = Field(default_factory=list[str], max_length=100)


# One message with a large patch would hold up everything else on the connection.
async def patch(
    tasks: TaskService,
    caller: Caller,
    params: PatchParams,
    progress: Callable[[int, str], Awaitable[None]],
) -> dict[str, Any]:
    """Send the patch and return its size and digest."""
    if caller.user is not None:
        raise MCPError(METHOD_NOT_FOUND, "complete patches are for the command line")
    with tempfile.TemporaryFile() as file:

        def write() -> None:
            task = tasks.finder.find(caller, params.task, params.repo_path)
            tasks.write_patch(task, params.paths, file)
            file.seek(0)

        try:
            await anyio.to_thread.run_sync(write)
        except RoverError as error:
            data = {"code": error.code, "hint": error.hint}
            raise MCPError(INVALID_PARAMS, error.message, data) from error
        digest, size = hashlib.sha256(), 0
        while piece := await anyio.to_thread.run_sync(file.read, PIECE_BYTES):
            digest.update(piece)
            size += len(piece)
            await progress(size, b64encode(piece).decode())
    return {"bytes": size, "sha256": digest.hexdigest()}
