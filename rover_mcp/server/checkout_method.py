"""`rover/checkout`, a method outside of MCP: for the command line and not a tool, since what is
checked out is for a person to look at and to open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio.to_thread
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, METHOD_NOT_FOUND, RequestParams
from pydantic import Field

from rover_mcp.domain.errors import RoverError
from rover_mcp.server.tool_call import Services
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.checkout import CheckoutRequest
from rover_mcp.tasks.operation_log import hand_off_files

METHOD = "rover/checkout"


class CheckoutParams(RequestParams):
    """Without `confirm` it only says what would happen. `into` is an absolute path."""

    task: str = ""
    repo_path: str | None = None
    into: str | None = Field(None, max_length=4096)
    here: bool = False
    accept: list[str] = Field(default_factory=list[str], max_length=1000)
    confirm: bool = False


async def checkout(services: Services, caller: Caller, params: CheckoutParams) -> dict[str, Any]:
    """What would happen, or has happened."""
    if caller.user is not None:
        raise MCPError(METHOD_NOT_FOUND, "only the user of this machine can check out a branch")
    try:
        return await anyio.to_thread.run_sync(_checkout, services, caller, params)
    except RoverError as error:
        data = {"code": error.code, "hint": error.hint}
        raise MCPError(INVALID_PARAMS, error.message, data) from error


def _checkout(services: Services, caller: Caller, params: CheckoutParams) -> dict[str, Any]:
    task = services.tasks.finder.find(caller, params.task, params.repo_path, changes=True)
    into = Path(params.into) if params.into else None
    request = CheckoutRequest(into, params.here, params.accept)
    use_case = services.checkout
    done = (use_case if params.confirm else use_case.preview)(caller, task, request)
    return {
        "task": task.id,
        "number": task.number,
        "branch": done.plan.branch,
        "folder": done.plan.folder,
        "checked_out": done.done,
        "message": done.text,
        "hand_off": [path for path, _ in hand_off_files(done.plan.files)],
    }
