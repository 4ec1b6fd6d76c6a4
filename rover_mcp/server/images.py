"""`rover/images`, a method of our own: for the command line, and no tool, so that no model pays for
it with its context."""

from __future__ import annotations

import time
from typing import Any, Literal

import anyio.to_thread
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, RequestParams

from rover_mcp.errors import RoverError
from rover_mcp.tasks.images import Images

METHOD = "rover/images"


class ImagesParams(RequestParams):
    """`prune` tells what it would remove, and removes it where `confirm` is set."""

    action: Literal["list", "prune"] = "list"
    confirm: bool = False


async def images(service: Images, params: ImagesParams) -> dict[str, Any]:
    """The images listed, or pruned."""

    def work() -> list[dict[str, Any]]:
        if params.action == "list":
            return service.list()
        return service.prune(time.time(), dry_run=not params.confirm)

    try:
        return {"images": await anyio.to_thread.run_sync(work)}
    except RoverError as error:
        raise MCPError(INVALID_PARAMS, error.message) from error
