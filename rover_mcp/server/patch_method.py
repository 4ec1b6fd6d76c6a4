"""`rover/patch`, a method outside of MCP: a task's complete patch, byte for byte, for the command
line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import IO, Any

from mcp.shared.exceptions import MCPError
from mcp_types import METHOD_NOT_FOUND, RequestParams
from pydantic import Field

from rover_mcp.server.sent_pieces import send_pieces
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.service import TaskService

METHOD = "rover/patch"


class PatchParams(RequestParams):
    task: str = ""
    repo_path: str | None = None
    paths: list[str] = Field(default_factory=list[str], max_length=100)


async def patch(
    tasks: TaskService,
    caller: Caller,
    params: PatchParams,
    progress: Callable[[int, str], Awaitable[None]],
) -> dict[str, Any]:
    """Send the patch in pieces and return its size and digest."""
    if caller.user is not None:
        raise MCPError(METHOD_NOT_FOUND, "complete patches are for the command line")

    def write(file: IO[bytes]) -> None:
        task = tasks.finder.find(caller, params.task, params.repo_path)
        tasks.write_patch(task, params.paths, file)

    return await send_pieces(write, progress)
