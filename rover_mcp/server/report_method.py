"""`rover/report`, a method outside of MCP: all that a task's report says, redacted, as JSON for the
command line, which makes a page of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import IO, Any

from mcp.shared.exceptions import MCPError
from mcp_types import METHOD_NOT_FOUND, RequestParams

from rover_mcp.report.gather_report import GatherReport
from rover_mcp.server.sent_pieces import send_pieces
from rover_mcp.tasks.caller import Caller

METHOD = "rover/report"


class ReportParams(RequestParams):
    task: str = ""
    repo_path: str | None = None


async def report(
    gather: GatherReport,
    caller: Caller,
    params: ReportParams,
    progress: Callable[[int, str], Awaitable[None]],
) -> dict[str, Any]:
    """Send the report in pieces and return its size and digest."""
    if caller.user is not None:
        raise MCPError(METHOD_NOT_FOUND, "reports are for the command line")

    def write(file: IO[bytes]) -> None:
        task = gather.tasks.finder.find(caller, params.task, params.repo_path)
        file.write(gather(task).model_dump_json().encode())

    return await send_pieces(write, progress)
