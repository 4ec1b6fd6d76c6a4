"""`rover/shell`, a method outside of MCP: for a person at a terminal, and not a tool, since an
assistant has tools of its own to run commands."""

from __future__ import annotations

from typing import Any

import anyio.to_thread
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, METHOD_NOT_FOUND, RequestParams
from pydantic import Field

from rover_mcp.domain.errors import RoverError
from rover_mcp.server.tool_call import Services
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.shell import ShellRequest

METHOD = "rover/shell"


class ShellParams(RequestParams):
    """Without `argv` it is a login shell."""

    task: str = ""
    repo_path: str | None = None
    argv: list[str] = Field(default_factory=list[str], max_length=1000)
    terminal: bool = True
    term: str = Field("xterm-256color", pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")
    rows: int = Field(24, ge=1, le=10_000)
    columns: int = Field(80, ge=1, le=10_000)


async def shell(services: Services, caller: Caller, params: ShellParams) -> dict[str, Any]:
    """Start the sandbox; where to connect to it."""
    if caller.user is not None:
        raise MCPError(METHOD_NOT_FOUND, "only the user of this machine can open a shell")
    try:
        return await anyio.to_thread.run_sync(_shell, services, caller, params)
    except RoverError as error:
        data = {"code": error.code, "hint": error.hint}
        raise MCPError(INVALID_PARAMS, error.message, data) from error


def _shell(services: Services, caller: Caller, params: ShellParams) -> dict[str, Any]:
    task = services.tasks.finder.find(caller, params.task, params.repo_path)
    size = {"rows": params.rows, "columns": params.columns}
    request = ShellRequest(params.argv, params.terminal, params.term, **size)
    opened = services.shell(caller, task, request)
    snapshot = opened.place.snapshot
    return {
        "task": task.id,
        "number": task.number,
        "socket": opened.place.socket,
        "snapshot": f"s{snapshot.sequence}" if snapshot else None,
        "message": opened.text,
        "warnings": list(opened.place.warnings),
    }
