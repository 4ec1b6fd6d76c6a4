from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from agent_runner.models import PauseReason, StepStatus, Usage
from rover_mcp.cli import tool_commands
from rover_mcp.cli.client import McpClient
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.tasks.view_models import NextAction, PauseView, StepView, TaskView

Json = dict[str, Any]
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def task_json(**changes: Any) -> Json:
    """A task as the server gives it: made by the real model."""
    task_id = "a" * 32
    view = TaskView(
        id=task_id,
        number=7,
        repo_path="/repo",
        title="Make it so",
        status=TaskStatus.PAUSED,
        phase="paused: credits",
        progress=33,
        branch="rover/7-make-it-so",
        base_branch="main",
        base_commit="b" * 40,
        workflow="demo",
        agent="scripted",
        engine="docker",
        iteration=1,
        attempt=1,
        created_at=NOW,
        updated_at=NOW,
        duration_s=65,
        pause=PauseView(
            reason=PauseReason.CREDITS,
            message="balance too low",
            since=NOW,
            step="implement",
            provider="anthropic",
            retry_at=NOW,
            retry_in_s=0,
            auto_resume=True,
            max_retries=5,
        ),
        usage=Usage(input_tokens=1234, output_tokens=5, cost_usd=0.5),
        steps=[
            StepView(
                id="plan", name="Plan", type="agent", status=StepStatus.COMPLETED, duration_s=1.0
            ),
            StepView(
                id="implement",
                name="Implement",
                type="agent",
                status=StepStatus.INTERRUPTED,
                duration_s=2.0,
            ),
        ],
        next_actions=[
            NextAction(tool="resume_task", arguments={"task": task_id}, why="add credits")
        ],
    )
    return {**view.model_dump(mode="json", exclude_none=True), **changes}


class FakeClient:
    """Answers tool calls from a table and keeps what it was asked."""

    def __init__(self, answer: Callable[[str, Json], Json]) -> None:
        self.server: Json = {}
        self.answer: Json | None = None
        self.calls: list[tuple[str, Json]] = []
        self._answer = answer
        self.hooks: list[Json] = []

    def call_for_long(self, tool: str, **arguments: Any) -> Json:
        return self.call(tool, **{k: v for k, v in arguments.items() if v is not None})

    def call(self, tool: str, **arguments: Any) -> Json:
        given = {k: v for k, v in arguments.items() if v is not None}
        self.calls.append((tool, given))
        return self._answer(tool, given)

    def request(self, method: str, params: Json) -> Json:
        if (method, params) == ("rover/hooks", {"action": "list"}):
            return {"hooks": self.hooks}
        self.calls.append((method, params))
        return self._answer(method, params)

    def close(self) -> None:
        pass


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str, Json], Json]], FakeClient]:
    def install(answer: Callable[[str, Json], Json]) -> FakeClient:
        client = FakeClient(answer)
        monkeypatch.setattr(McpClient, "connect", lambda _home, **_: client)
        monkeypatch.setattr(tool_commands, "repository_here", lambda: "/here")
        return client

    return install
