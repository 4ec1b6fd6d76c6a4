"""`rover/hooks` and `rover/images`: methods outside of MCP, only for the command line. They are not
tools, so that no model can make Rover send anything or pays for them with its context."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Literal, Protocol

import anyio
import anyio.to_thread
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, RequestParams

from rover_mcp.domain.cancellation import CancelToken
from rover_mcp.domain.errors import RoverError
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.images import BuildImage, BuildRequest, RoverImages

HOOKS = "rover/hooks"
IMAGES = "rover/images"
LINES_KEPT = 1000
"""How many lines of a build may wait to be sent; a build that prints faster loses some."""
SEND_SECONDS = 0.2


class HooksControl(Protocol):
    """Access to the user's hooks."""

    def list(self) -> list[dict[str, Any]]: ...

    async def test(self, name: str | None) -> list[dict[str, Any]]: ...

    def dead(self) -> list[dict[str, Any]]: ...

    def retry(self, delivery: str) -> None: ...

    def wake(self) -> None: ...


class HooksParams(RequestParams):
    """`name` is a hook's name, for `test` (without it: all hooks); `id` is a delivery's, for
    `retry`."""

    action: Literal["list", "test", "dead", "retry"] = "list"
    name: str | None = None
    id: str | None = None


async def hooks(desk: HooksControl, params: HooksParams) -> dict[str, Any]:
    """List, test or retry what the user's hooks send.

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
                desk.wake()
                return {"retrying": params.id}
    except RoverError as error:
        hint = f"; {error.hint}" if error.hint else ""
        raise MCPError(INVALID_PARAMS, error.message + hint) from error


class ImagesParams(RequestParams):
    """`prune` says what it would remove, and with `confirm` removes it. `build` is for the caller's
    project or for `repo_path`, and sends its lines as progress."""

    action: Literal["list", "prune", "build"] = "list"
    confirm: bool = False
    repo_path: str | None = None
    engine: str | None = None
    image: str | None = None


async def images(service: RoverImages, params: ImagesParams) -> dict[str, Any]:
    """List or prune the images."""

    def work() -> list[dict[str, Any]]:
        if params.action == "list":
            return service.list()
        return service.prune(time.time(), dry_run=not params.confirm)

    try:
        return {"images": await anyio.to_thread.run_sync(work)}
    except RoverError as error:
        raise MCPError(INVALID_PARAMS, error.message) from error


class _SentLines:
    """The lines of a build, sent on as progress. The build runs in a thread and only appends, so
    that a slow client never slows it down."""

    def __init__(self, progress: Callable[[int, str], Awaitable[None]]) -> None:
        self.waiting: deque[str] = deque(maxlen=LINES_KEPT)
        self._progress = progress
        self._sent = 0

    async def send(self) -> None:
        while self.waiting:
            self._sent += 1
            await self._progress(self._sent, self.waiting.popleft())

    async def keep_sending(self) -> None:
        while True:
            await anyio.sleep(SEND_SECONDS)
            await self.send()


async def build_image(
    service: BuildImage,
    caller: Caller,
    params: ImagesParams,
    progress: Callable[[int, str], Awaitable[None]],
) -> dict[str, Any]:
    """Build the image. If the caller disconnects or cancels its request, the build ends."""
    request = BuildRequest(params.repo_path, params.engine, params.image)
    lines, stop = _SentLines(progress), CancelToken()

    def work() -> dict[str, Any] | RoverError:
        try:
            return service(caller, request, lines.waiting.append, stop)
        except RoverError as error:
            return error

    built: dict[str, Any] | RoverError = {}
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(lines.keep_sending)
            built = await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
            group.cancel_scope.cancel()
    finally:
        stop.ask()
    await lines.send()
    if isinstance(built, RoverError):
        data = {"code": built.code, "hint": built.hint}
        raise MCPError(INVALID_PARAMS, built.message, data) from built
    return {"built": built}
