"""Rows as frozen values. Times are seconds since the epoch, as the store keeps them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from agent_runner.models import Budget, Pause, RunState, Usage
from rover_mcp.errors import RoverError
from rover_mcp.project.decided import Decided
from rover_mcp.tasks.models import TaskStatus

EVERYWHERE = ""
"""The scope of the switch for all tasks; any other is a project's id."""


class DamagedRecord(RoverError):
    """A stored record holds something that this program does not know (ACCEPTANCE A1)."""

    code = "damaged_record"
    place: tuple[float, str] = (0, "")
    """created_at and id of a task, where it is the record of one"""


@dataclass(frozen=True)
class ProjectRow:
    id: str
    path: str


@dataclass(frozen=True)
class NewTask:
    """What a task is made of; the store adds its number, branch and times."""

    id: str
    project_id: str
    project_path: str
    title: str
    description: str
    base_branch: str | None
    base_commit: str
    workflow: str
    agent: str
    agent_binary: str | None
    model: str | None
    engine: str
    inputs: dict[str, str]
    auto_resume: bool
    request_key: str | None
    client_id: str | None
    gateway_token: str
    warnings: list[str]
    agents: list[str] | None = None
    """agents in the order in which they may take over; None: only `agent`"""
    budget: Budget | None = None
    network: dict[str, Any] | None = None
    """a NetworkPolicy; None: the default"""
    config: Decided | None = None
    """what the project's configuration adds; None: a task of before there was one"""
    owner: str | None = None
    """the user over HTTP who made it; None: the user of this machine"""


@dataclass(frozen=True, kw_only=True)
class TaskRow(NewTask):
    number: int
    branch: str
    status: TaskStatus
    iteration: int
    attempt: int
    auto_retries: int
    created_at: float
    updated_at: float
    started_at: float | None
    paused_at: float | None
    ended_at: float | None
    pause: Pause | None
    retry_at: float | None
    error: str | None
    run_state: RunState | None
    account: str | None = None
    """the account that its agent used last, a label without the credential"""
    refused: dict[str, Any] | None = None
    """hosts that the gateway refused, as RefusedHosts has them"""
    sent: dict[str, int] | None = None
    """bytes that it sent, by host"""


RESTART = "restart"
"""The detail of an attempt, until it ends, that starts its iteration over."""


@dataclass(frozen=True)
class AttemptRow:
    """One sandbox for one iteration. `before` is what the task was, for a start that fails."""

    task_id: str
    attempt: int
    iteration: int
    workflow_id: str
    state: str
    sandbox: str
    client_id: str | None
    before: dict[str, Any] | None
    created_at: float
    started_at: float | None
    ended_at: float | None
    exit_code: int | None
    detail: str | None
    executor: str | None = None


@dataclass(frozen=True)
class HoldRow:
    """An account that refuses. Tasks that need it wait; when `until` has come one of them, the
    probe, goes first. `refusals` counts its probes' refusals and the first one."""

    account: str
    provider: str | None
    reason: str
    message: str
    since: float
    until: float
    refusals: int
    probe_task: str | None = None
    probe_attempt: int | None = None


@dataclass(frozen=True)
class ReportRow:
    """What a task last reported of an account that is not closed for others on its word: closed to
    this task until `until`. `seen`: the gateway saw the answer that says so."""

    account: str
    task_id: str
    reason: str
    seen: bool
    at: float
    until: float


@dataclass(frozen=True)
class CallRow:
    """An answer of a provider in the gateway's books, as far as it was told. `id` is unique in
    its task. `model` is "" where none was named; `cost_usd` is None where it has no price.
    `reserved` says what it can come to while it is on its way; `estimated` of these calls did not
    tell what they came to. `calls` is 0 where one came to nothing."""

    task_id: str
    id: str
    attempt: int
    at: float
    provider: str
    model: str
    calls: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cost_usd: float | None
    reserved: dict[str, int] | None = None
    estimated: int = 0

    def added_to(self, other: CallRow | None, name: str) -> CallRow:
        """Both as one, under this name."""
        if other is None:
            return replace(self, id=name)
        return replace(
            other,
            calls=other.calls + self.calls,
            input_tokens=other.input_tokens + self.input_tokens,
            output_tokens=other.output_tokens + self.output_tokens,
            cache_read_tokens=other.cache_read_tokens + self.cache_read_tokens,
            cache_write_tokens=other.cache_write_tokens + self.cache_write_tokens,
            cost_usd=None if self.cost_usd is None else (other.cost_usd or 0.0) + self.cost_usd,
            estimated=other.estimated + self.estimated,
        )


@dataclass(frozen=True)
class ModelUse:
    """What a task used of one model. A cost of None: it has no price. `estimated` of the calls did
    not tell it."""

    provider: str
    model: str
    calls: int
    usage: Usage
    estimated: int = 0


@dataclass(frozen=True)
class EventRow:
    """One line of the outbox. `notable` events are what `attention` shows."""

    seq: int
    at: float
    task_id: str
    kind: str
    status: str
    notable: bool
    data: dict[str, Any]


@dataclass(frozen=True)
class DeliveryRow:
    """What one hook has to be told of one event, or was. `state`: pending, delivered, dead."""

    id: str
    executor: str
    hook: str
    seq: int
    task_id: str
    state: str
    attempts: int
    next_at: float
    created_at: float
    ended_at: float | None
    error: str | None


def task_row(row: sa.Row[Any]) -> TaskRow:
    """A task from its stored row.

    Raises:
        DamagedRecord: a status or a stored model that is not known, named with the task's id.
    """
    values: dict[str, Any] = dict(row._mapping)  # pyright: ignore[reportPrivateUsage]  # SQLAlchemy's documented accessor
    try:
        values["status"] = TaskStatus(values["status"])
        values["pause"] = Pause.model_validate(values["pause"]) if values["pause"] else None
        state = values["run_state"]
        values["run_state"] = RunState.model_validate(state) if state else None
        budget = values["budget"]
        values["budget"] = Budget.model_validate(budget) if budget else None
        config = values["config"]
        values["config"] = Decided.model_validate(config) if config else None
    except ValueError as error:
        damaged = DamagedRecord(f"the record of task {values['id']} is damaged: {error}")
        damaged.place = values["created_at"], values["id"]
        raise damaged from error
    return TaskRow(**values)


def attempt_row(row: sa.Row[Any]) -> AttemptRow:
    return AttemptRow(**row._mapping)  # pyright: ignore[reportPrivateUsage]  # SQLAlchemy's documented accessor


def hold_row(row: sa.Row[Any]) -> HoldRow:
    return HoldRow(**row._mapping)  # pyright: ignore[reportPrivateUsage]  # SQLAlchemy's documented accessor


def report_row(row: sa.Row[Any]) -> ReportRow:
    return ReportRow(**row._mapping)  # pyright: ignore[reportPrivateUsage]  # SQLAlchemy's documented accessor


def event_row(row: sa.Row[Any]) -> EventRow:
    """An event from its stored row.

    Raises:
        DamagedRecord: a status that is not known, named with the event and its task.
    """
    if row.status not in TaskStatus.__members__:
        raise DamagedRecord(
            f"event {row.seq} of task {row.task_id} is damaged: no status {row.status!r}"
        )
    return EventRow(**row._mapping)  # pyright: ignore[reportPrivateUsage]  # SQLAlchemy's documented accessor
