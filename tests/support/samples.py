"""Sample rows and states: whole and valid; a test names only what it is about."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from agent_runner.models import (
    Grounds,
    Pause,
    PauseReason,
    RunState,
    RunStatus,
    Snapshot,
    StepState,
    StepStatus,
    Usage,
)
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.store.records import AttemptRow, EventRow, NewTask, TaskRow

TASK = "0123456789abcdef0123456789abcdef"
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
COMMIT = "c" * 40


def new_task(task_id: str = TASK, **changes: Any) -> NewTask:
    values: dict[str, Any] = {
        "id": task_id,
        "project_id": "p1",
        "project_path": "/repo",
        "title": "Fix the sum",
        "description": "Fix the sum",
        "base_branch": "main",
        "base_commit": COMMIT,
        "workflow": "swe",
        "agent": "claude",
        "agent_binary": None,
        "model": None,
        "engine": "docker",
        "inputs": {"description": "Fix the sum"},
        "auto_resume": True,
        "request_key": None,
        "client_id": "client-1",
        "gateway_token": "rover-token",
        "warnings": [],
    }
    return NewTask(**values | changes)


def task_row(**changes: Any) -> TaskRow:
    """A task that has run for 100 s, in IN_PROGRESS, at `NOW`."""
    begun = NOW.timestamp() - 100
    values: dict[str, Any] = {
        "number": 7,
        "branch": "rover/7-fix-the-sum",
        "status": TaskStatus.IN_PROGRESS,
        "iteration": 1,
        "attempt": 1,
        "auto_retries": 0,
        "created_at": begun - 10,
        "updated_at": begun,
        "started_at": begun,
        "paused_at": None,
        "ended_at": None,
        "pause": None,
        "retry_at": None,
        "error": None,
        "run_state": None,
    }
    return TaskRow(**asdict(new_task()) | values | changes)


def attempt_row(state: str = "running", **changes: Any) -> AttemptRow:
    values: dict[str, Any] = {
        "task_id": TASK,
        "attempt": 1,
        "iteration": 1,
        "workflow_id": f"attempt-{TASK}-1",
        "state": state,
        "sandbox": f"rover-{TASK[:12]}-1",
        "client_id": "client-1",
        "before": None,
        "created_at": NOW.timestamp(),
        "started_at": None,
        "ended_at": None,
        "exit_code": None,
        "detail": None,
    }
    return AttemptRow(**values | changes)


def event_row(kind: str, status: str = "IN_PROGRESS", **data: Any) -> EventRow:
    return EventRow(5, NOW.timestamp(), TASK, kind, status, True, data)


def pause(reason: PauseReason = PauseReason.CREDITS, **changes: Any) -> Pause:
    values: dict[str, Any] = {
        "message": "credit balance is too low",
        "since": NOW,
        "step": "implement",
        "provider": "anthropic",
        "grounds": Grounds.PROVIDER,
        "retry_grounds": Grounds.PROVIDER,
    }
    return Pause(reason=reason, **values | changes)


def step(name: str, status: StepStatus, **changes: Any) -> StepState:
    values: dict[str, Any] = {"id": name, "name": name, "type": "agent", "status": status}
    if status is not StepStatus.PENDING:
        values["started_at"] = NOW - timedelta(seconds=50)
    if status in (StepStatus.COMPLETED, StepStatus.FAILED):
        values["ended_at"] = NOW - timedelta(seconds=20)
    return StepState(**values | changes)


def run_state(status: RunStatus = RunStatus.RUNNING, **changes: Any) -> RunState:
    """Two steps done, one under way, one to come, unless `changes` says otherwise."""
    values: dict[str, Any] = {
        "workflow": "swe",
        "attempt": 1,
        "steps": [
            step("plan", StepStatus.COMPLETED, outputs={"plan": "do it"}),
            step("docs", StepStatus.SKIPPED),
            step("implement", StepStatus.RUNNING),
            step("review", StepStatus.PENDING),
        ],
        "usage": Usage(input_tokens=10, output_tokens=5, cost_usd=0.01),
    }
    return RunState(status=status, **values | changes)


def snapshot(sequence: int = 1) -> Snapshot:
    return Snapshot(
        sequence=sequence,
        commit=COMMIT,
        tree="d" * 40,
        bundle=f"{sequence:06}.bundle",
        head="e" * 40,
    )
