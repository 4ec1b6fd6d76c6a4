"""`rover/hooks`, a method of our own: for the command line, and no tool, so that no model can
make Rover send anything."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import anyio.to_thread
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, RequestParams

from rover_mcp.domain.errors import RoverError

METHOD = "rover/hooks"


class HooksDesk(Protocol):
    """What the user's hooks are asked."""

    def list(self) -> list[dict[str, Any]]: ...

    async def test(self, name: str | None) -> list[dict[str, Any]]: ...

    def dead(self) -> list[dict[str, Any]]: ...

    def retry(self, delivery: str) -> None: ...

    def poke(self) -> None: ...


class HooksParams(RequestParams):
    """`name` is a hook's, for `test` (none: all); `id` a delivery's, for `retry`."""

    action: Literal["list", "test", "dead", "retry"] = "list"
    name: str | None = None
    id: str | None = None


async def hooks(desk: HooksDesk, params: HooksParams) -> dict[str, Any]:
    """
    Raises:
        MCPError: there is no such hook or delivery.
    """
    try:
        match params.action:
            case "list":
                return {"hooks": await anyio.to_thread.run_sync(desk.list)}
            case "test":
                return {"tested": await desk.test(params.name)}
            case "dead":
                return {"dead": await anyio.to_thread.run_sync(desk.dead)}
            case "retry":
                await anyio.to_thread.run_sync(desk.retry, params.id or "")
                desk.poke()
                return {"retrying": params.id}
    except RoverError as error:
        hint = f"; {error.hint}" if error.hint else ""
        raise MCPError(INVALID_PARAMS, error.message + hint) from error
