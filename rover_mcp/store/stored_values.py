"""The types of JSON columns and of columns with a closed set of values."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

from agent_runner.models import Pause, PauseReason, RunState
from rover_mcp.domain.iteration import IterationInput
from rover_mcp.domain.network_policy import NetworkPolicy
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.domain.usage_window import WindowState
from rover_mcp.store.column_types import Count, Line, Moment, Number, Text


def _policy(value: dict[str, Any]) -> dict[str, Any]:
    NetworkPolicy.stored(value)
    return value


class _RefusedHost(BaseModel):
    model_config = ConfigDict(extra="forbid")
    host: str
    reason: str
    remedy: str | None
    count: Count


class _RefusedHostList(BaseModel):
    model_config = ConfigDict(extra="forbid")
    hosts: list[_RefusedHost]
    more: Count = 0


class _FormerState(BaseModel):
    model_config = ConfigDict(extra="forbid")
    status: TaskStatus
    pause: Pause | None
    paused_at: Moment | None
    ended_at: Moment | None
    error: Text | None
    retry_at: Moment | None
    # The columns of row_changes.WHO: which agent did the work.
    agent: Line | None = None
    agent_binary: Line | None = None
    agents: list[Text] | None = None
    model: Line | None = None
    account: Line | None = None
    auto_retries: Count | None = None
    # These are only recorded for the first attempt of a further iteration.
    iteration: Number | None = None
    iteration_input: IterationInput | None = None
    run_state: RunState | None = None


def _refused(value: dict[str, Any]) -> dict[str, Any]:
    _RefusedHostList.model_validate(value)
    return value


def _before(value: dict[str, Any]) -> dict[str, Any]:
    _FormerState.model_validate(value)
    return value


def _status(value: str) -> str:
    return str(TaskStatus(value))


def _reason(value: str) -> str:
    return str(PauseReason(value))


def _window_state(value: str) -> str:
    return str(WindowState(value))


StoredPolicy = Annotated[dict[str, Any], AfterValidator(_policy)]
StoredRefused = Annotated[dict[str, Any], AfterValidator(_refused)]
StoredBefore = Annotated[dict[str, Any], AfterValidator(_before)]
Lines = list[Text]
StoredStatus = Annotated[str, AfterValidator(_status)]
StoredReason = Annotated[str, AfterValidator(_reason)]
StoredWindowState = Annotated[str, AfterValidator(_window_state)]
