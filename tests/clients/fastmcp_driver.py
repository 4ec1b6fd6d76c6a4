"""What the client of `fastmcp[tasks]` makes of Rover's tasks. Runs with a Python that has it:

    echo '{"arguments": {...}, "url": ..., "token": ...}' | python fastmcp_driver.py

Instead of `url` and `token` there may be `command`, a list, and `cwd`. `arguments` are those of
create_task, for a task that pauses once. Prints what the client saw, as one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from fastmcp import Client
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport
from fastmcp.exceptions import ToolError
from fastmcp.skills.client import SkillsClientExtension
from fastmcp_tasks import call_tool_task

PATIENCE = 600.0
"""Seconds for a task to pause or to end: a limit that only ends a hang."""


class Driver:
    """One client that is asked by the server, and goes on at once."""

    def __init__(self, told: dict[str, Any]) -> None:
        self._arguments = told["arguments"]
        self._told = told
        self._asked: list[str] = []
        self._client = Client(transport(told), elicitation_handler=self._go_on)

    async def run(self) -> dict[str, Any]:
        """All that the client can do with a task; three tasks side by side."""
        async with self._client:
            answered, cancelled, through = await asyncio.gather(
                self._answered(), self._cancelled(), self._through()
            )
            return {
                "era": self._client.session.protocol_version,
                "tools": [tool.name for tool in await self._client.list_tools()],
                "answered": answered,
                "cancelled": cancelled,
                "through": through,
                "asked": self._asked,
                "skills": await self._skills(),
            }

    async def _go_on(self, message: str, *_: object) -> dict[str, str]:
        self._asked.append(message)
        return {"choice": "now"}

    async def _answered(self) -> dict[str, Any]:
        """A handle: create, wait for the pause, answer it, take the result."""
        task = await call_tool_task(self._client, "create_task", self._arguments)
        parked = await task.wait(state="input_required", timeout=PATIENCE)
        result = await asyncio.wait_for(task.result(), PATIENCE)
        ended = await task.status()
        return {
            "created": task.create_result.status,
            "parked": parked.model_dump(mode="json"),
            "result": result.structured_content,
            "ended": ended.status,
        }

    async def _cancelled(self) -> dict[str, Any]:
        """A handle: create, wait for the pause, cancel."""
        task = await call_tool_task(self._client, "create_task", self._arguments)
        await task.wait(state="input_required", timeout=PATIENCE)
        await task.cancel()
        ended = await task.wait(timeout=PATIENCE)
        try:
            await task.result()
        except ToolError as error:
            return {"task": task.task_id, "status": ended.status, "error": str(error)}
        raise AssertionError("a cancelled task has a result")

    async def _skills(self) -> list[dict[str, Any]]:
        """The skills of the list, each fetched by itself and read, by a client that checks them."""
        async with Client(transport(self._told), extensions=[SkillsClientExtension()]) as client:
            listed = await client.list_skills()
            assert [await client.get_skill(skill.uri) for skill in listed] == listed
            read = [(await client.read_resource(skill.uri))[0].text for skill in listed]
            return [
                {**skill.model_dump(mode="json"), "text": text}
                for skill, text in zip(listed, read, strict=True)
            ]

    async def _through(self) -> dict[str, Any] | None:
        """Without a handle: the client itself polls, asks and answers until there is a result."""
        result = await self._client.call_tool("create_task", self._arguments, timeout=PATIENCE)
        return result.structured_content


def transport(told: dict[str, Any]) -> StdioTransport | StreamableHttpTransport:
    """The way to the server."""
    if "url" in told:
        return StreamableHttpTransport(told["url"], auth=told["token"])
    program, *arguments = told["command"]
    return StdioTransport(
        program, arguments, env=dict(os.environ), cwd=told["cwd"], keep_alive=False
    )


if __name__ == "__main__":
    json.dump(asyncio.run(Driver(json.load(sys.stdin)).run()), sys.stdout)
