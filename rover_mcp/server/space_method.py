"""`rover/space`, a method outside of MCP: for the command line and not a tool, so that no model
frees space and none pays for it with its context."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal

import anyio.to_thread
from mcp.shared.exceptions import MCPError
from mcp_types import METHOD_NOT_FOUND, RequestParams

from rover_mcp.domain.usage_window import time_of
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.free_space import FreeSpace, SpaceKind
from rover_mcp.tasks.quoted_text import printable
from rover_mcp.tasks.task_trash import TaskTrash, TrashedTask

METHOD = "rover/space"


class SpaceParams(RequestParams):
    """`trash` lists the deleted tasks that can be given back. `gc` lists what could be freed of
    these `kinds` (none: all), and with `confirm` frees it."""

    action: Literal["trash", "gc"] = "trash"
    kinds: tuple[SpaceKind, ...] = ()
    confirm: bool = False


async def space(
    trash: TaskTrash, free: FreeSpace, caller: Caller, params: SpaceParams
) -> dict[str, Any]:
    """The tasks of the trash, or what could be freed or was."""
    if caller.user is not None:
        raise MCPError(METHOD_NOT_FOUND, "space is freed by the user of this machine")
    if params.action == "trash":
        listed = await anyio.to_thread.run_sync(trash.list)
        return {"trash": [_trashed(one) for one in listed], "days": trash.keep_days}
    work = free if params.confirm else free.plan
    items = await anyio.to_thread.run_sync(work, params.kinds)
    return {"items": [asdict(item) for item in items], "freed": params.confirm}


def _trashed(one: TrashedTask) -> dict[str, Any]:
    return {
        "id": one.task.id,
        "number": one.task.number,
        "title": printable(one.task.title, 200),
        "status": str(one.task.status),
        "project": printable(one.task.project_path, 300),
        "branch": one.task.branch,
        "deleted_at": time_of(one.deleted_at).isoformat(),
        "until": time_of(one.until).isoformat(),
    }
