"""`rover/forget`, a method outside of MCP. It is for the command line and not a tool, so that no
model can delete a project."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import anyio.to_thread
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, METHOD_NOT_FOUND, RequestParams

from rover_mcp.domain.errors import RoverError
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.forget import ForgetProject

METHOD = "rover/forget"


class ForgetParams(RequestParams):
    """Without `confirm` the method only says what would be removed. `seen` has the ids of the tasks
    that a person was shown; if there is another one by now, nothing is removed."""

    repo_path: str | None = None
    confirm: bool = False
    seen: list[str] | None = None


async def forget(service: ForgetProject, caller: Caller, params: ForgetParams) -> dict[str, Any]:
    """What would be removed, or what was removed."""
    if caller.user is not None:
        raise MCPError(METHOD_NOT_FOUND, "only the user of this machine can forget a project")
    try:
        return await anyio.to_thread.run_sync(_forget, service, caller, params)
    except RoverError as error:
        data = {"code": error.code, "hint": error.hint}
        raise MCPError(INVALID_PARAMS, error.message, data) from error


def _forget(service: ForgetProject, caller: Caller, params: ForgetParams) -> dict[str, Any]:
    folder = caller.folder(params.repo_path)
    plan = service(folder, params.seen) if params.confirm else service.plan(folder)
    return {**asdict(plan), "forgotten": params.confirm}
