"""Rows as frozen values. Times are seconds since the epoch, as the store keeps them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, TypeVar

import sqlalchemy as sa
from pydantic import AfterValidator, BaseModel, ConfigDict, Strict, TypeAdapter, ValidationError

from agent_runner.models import Budget, Pause, PauseReason, RunState, Usage
from rover_mcp.config.task_config import TaskConfig
from rover_mcp.domain.attempt_state import AttemptState
from rover_mcp.domain.network_policy import NetworkPolicy
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.domain.usage_window import WindowState
from rover_mcp.store.column_types import Count, Flag, Line, Moment, Money, Name, Number, Share, Text
from rover_mcp.store.damaged_records import Bad, DamagedRecord, DamagedTask, checked

__all__ = ["NONSENSE", "DamagedRecord", "DamagedTask", "not_shown"]

T = TypeVar("T")

EVERYWHERE = ""
"""The scope of the switch for all tasks; any other is a project's id."""


def _policy(value: dict[str, Any]) -> dict[str, Any]:
    NetworkPolicy.stored(value)
    return value


class _RefusedHost(BaseModel):
    model_config = ConfigDict(extra="forbid")
    host: str
    reason: str
    remedy: str | None
    count: Count


class _RefusedHosts(BaseModel):
    model_config = ConfigDict(extra="forbid")
    hosts: list[_RefusedHost]
    more: Count = 0


class _StateBefore(BaseModel):
    model_config = ConfigDict(extra="forbid")
    status: TaskStatus
    pause: Pause | None
    paused_at: Moment | None
    ended_at: Moment | None
    error: Text | None
    retry_at: Moment | None
    # Who did the work; not in records of before these were kept.
    agent: Line | None = None
    agent_binary: Line | None = None
    agents: list[Text] | None = None
    model: Line | None = None
    account: Line | None = None
    auto_retries: Count | None = None


def _refused(value: dict[str, Any]) -> dict[str, Any]:
    _RefusedHosts.model_validate(value)
    return value


def _before(value: dict[str, Any]) -> dict[str, Any]:
    _StateBefore.model_validate(value)
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


@dataclass(frozen=True)
class ProjectRow:
    id: Name
    path: Line


@dataclass(frozen=True)
class NewTask:
    """What a task is made of; the store adds its number, branch and times."""

    id: Name
    project_id: Name
    project_path: Line
    title: Text
    description: Text
    base_branch: Line | None
    base_commit: Line
    workflow: Line
    agent: Line
    agent_binary: Line | None
    model: Line | None
    engine: Line
    inputs: dict[str, str]
    auto_resume: Flag
    request_key: Text | None
    client_id: Text | None
    gateway_token: Line
    warnings: Lines
    agents: Lines | None = None
    """agents in the order in which they may take over; None: only `agent`"""
    budget: Budget | None = None
    network: StoredPolicy | None = None
    """a NetworkPolicy; None: the default"""
    config: TaskConfig | None = None
    """what the project's configuration adds; None: a task of before there was one"""
    owner: Text | None = None
    """the user over HTTP who made it; None: the user of this machine"""


@dataclass(frozen=True, kw_only=True)
class TaskRow(NewTask):
    number: Number
    branch: Line
    status: TaskStatus
    iteration: Number
    attempt: Number
    auto_retries: Count
    created_at: Moment
    updated_at: Moment
    started_at: Moment | None
    paused_at: Moment | None
    ended_at: Moment | None
    pause: Pause | None
    retry_at: Moment | None
    error: Text | None
    run_state: RunState | None
    account: Line | None = None
    """the account that its agent used last, a label without the credential"""
    refused: StoredRefused | None = None
    """hosts that the gateway refused, as RefusedHosts has them"""
    sent: dict[str, Count] | None = None
    """bytes that it sent, by host"""
    refused_keys: list[Line] | None = None
    """digests of the credentials that its provider refused since it last answered"""


RESTART = "restart"
"""The detail of an attempt, until it ends, that starts its iteration over."""


@dataclass(frozen=True)
class AttemptRow:
    """One sandbox for one iteration. `before` is what the task was, for a start that fails."""

    task_id: Name
    attempt: Number
    iteration: Number
    workflow_id: Line
    state: AttemptState
    sandbox: Name
    client_id: Text | None
    before: StoredBefore | None
    created_at: Moment
    started_at: Moment | None
    ended_at: Moment | None
    exit_code: Annotated[int, Strict()] | None
    detail: Text | None
    executor: Text | None = None


@dataclass(frozen=True)
class Limit:
    """What a hold closes: an account, or one model of it. Its text is the key of the hold, and
    stands in a task's `account` while the task waits for it."""

    account: str
    model: str | None = None

    def __str__(self) -> str:
        return f"{self.account}#{self.model}" if self.model else self.account

    @classmethod
    def of(cls, key: str) -> Limit:
        """The limit of a key."""
        account, _, model = key.partition("#")
        return cls(account, model or None)


@dataclass(frozen=True)
class HoldRow:
    """An account that refuses, or one model of it: `account` is the key of a Limit. Tasks that
    need it wait; when `until` has come one of them, the probe, goes first. `refusals` counts its
    probes' refusals and the first one. `default_of`: the agent that was refused the model without
    a task that named it. `looked_at`: when its last probe was let go or began, which may have
    moved on to another account since."""

    account: Line
    provider: Text | None
    reason: Annotated[str, AfterValidator(_reason)]
    message: Text
    since: Moment
    until: Moment
    refusals: Count
    probe_task: Text | None = None
    probe_attempt: Number | None = None
    default_of: Line | None = None
    looked_at: Moment | None = None

    @property
    def limit(self) -> Limit:
        """What it closes."""
        return Limit.of(self.account)


@dataclass(frozen=True)
class ReportRow:
    """What a task last reported of an account, or of one model of it (the key of a Limit), that is
    not closed for others on its word: closed to this task until `until`. `seen`: the gateway saw
    the answer that says so."""

    account: Line
    task_id: Text
    reason: Annotated[str, AfterValidator(_reason)]
    seen: Flag
    at: Moment
    until: Moment


@dataclass(frozen=True)
class WindowRow:
    """One window of an account as its provider told it last: the share that is used, and when it
    opens anew. `warned`: when the window opens that somebody was warned of."""

    account: Line
    name: Line
    state: Annotated[str, AfterValidator(_window_state)]
    used: Share | None
    opens_at: Moment | None
    at: Moment
    warned: Moment | None = None


@dataclass(frozen=True)
class CallRow:
    """An answer of a provider in the gateway's books, as far as it was told. `id` is unique in
    its task. `model` is "" where none was named; `cost_usd` is None where it has no price.
    `reserved` says what it can come to while it is on its way; `estimated` of these calls did not
    tell what they came to. `calls` is 0 where one came to nothing."""

    task_id: Text
    id: Text
    attempt: Count
    at: Moment
    provider: Text
    model: Text
    calls: Count
    input_tokens: Count
    output_tokens: Count
    cache_read_tokens: Count
    cache_write_tokens: Count
    cost_usd: Money | None
    reserved: dict[str, Count] | None = None
    estimated: Count = 0

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
class ExecutorRow:
    """One daemon. `host` tells where its kernel lock is: see control/leases.py."""

    id: Text
    host: Line
    lease_until: Moment


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

    seq: Count
    at: Moment
    task_id: Text
    kind: Text
    status: Annotated[str, AfterValidator(_status)]
    notable: Flag
    data: dict[str, Any]


@dataclass(frozen=True)
class DeliveryRow:
    """What one hook has to be told of one event, or was. `state`: pending, delivered, dead."""

    id: Text
    executor: Text
    hook: Text
    seq: Count
    task_id: Text
    state: Literal["pending", "delivered", "dead"]
    attempts: Count
    next_at: Moment
    created_at: Moment
    ended_at: Moment | None
    error: Text | None


@functools.cache
def _adapter(kind: type[T]) -> TypeAdapter[T]:
    return TypeAdapter(kind)


def columns_of(row: sa.Row[Any]) -> dict[str, Any]:
    """A row's values by column."""
    return dict(row._mapping)  # pyright: ignore[reportPrivateUsage]  # SQLAlchemy's documented accessor


def task_row(row: sa.Row[Any]) -> TaskRow:
    """A task from its stored row.

    Raises:
        DamagedRecord: some column holds what it may not; it names the task and the columns.
    """
    values = columns_of(row)
    try:
        return task_of(values)
    except Bad as bad:
        task = damaged_task(values)
        raise DamagedRecord(
            f"the record of {task_name(task)} is damaged: {bad}", task=task, fields=bad.wrong
        ) from bad


def task_of(values: Mapping[str, Any]) -> TaskRow:
    """A task of these columns.

    Raises:
        Bad: some hold what they may not.
    """
    return checked(_adapter(TaskRow), values)


def damaged_task(values: Mapping[str, Any]) -> DamagedTask:
    """What can be read of a damaged task's record."""
    key = values["id"]
    return DamagedTask(
        key,
        _read(Name, key),
        number=_read(Number, values["number"]),
        title=_read(Text, values["title"]),
        project=_read(Line, values["project_path"]),
        owner=values["owner"],
        created_at=_read(Moment, values["created_at"]),
    )


def not_shown(task: TaskRow, error: Exception) -> DamagedRecord:
    """A task whose columns are what they may be, and which still makes no sense."""
    known = DamagedTask(
        task.id, task.id, task.number, task.title, task.project_path, task.owner, task.created_at
    )
    what = f"{type(error).__name__}: {error}"[:200]
    return DamagedRecord(f"the record of {task_name(known)} is damaged: {what}", task=known)


NONSENSE = (
    ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, RecursionError,
)  # fmt: skip
"""What reading a record raises whose parts contradict each other."""


def _read(kind: Any, value: object) -> Any:
    try:
        return _adapter(kind).validate_python(value)
    except ValidationError:
        return None


def task_name(task: DamagedTask) -> str:
    """A damaged task, for people."""
    number = f"task {task.number}" if task.number is not None else "a task without a number"
    title = f" {task.title[:80]!r}" if task.title else ""
    return f"{number}{title} ({task.id or 'its id is damaged'})"


def attempt_row(row: sa.Row[Any]) -> AttemptRow:
    """An attempt from its stored row.

    Raises:
        DamagedRecord: some column holds what it may not.
    """
    values = columns_of(row)
    task = DamagedTask(values["task_id"], _read(Name, values["task_id"]))
    return _of(AttemptRow, values, f"attempt {values['attempt']} of task {values['task_id']}", task)


def hold_row(row: sa.Row[Any]) -> HoldRow:
    """A hold from its stored row. Raises DamagedRecord."""
    values = columns_of(row)
    return _of(HoldRow, values, f"the hold of the account {values['account']}")


def report_row(row: sa.Row[Any]) -> ReportRow:
    """A report from its stored row. Raises DamagedRecord."""
    values = columns_of(row)
    return _of(ReportRow, values, f"a report of the account {values['account']}")


def window_row(row: sa.Row[Any]) -> WindowRow:
    """A window from its stored row. Raises DamagedRecord."""
    values = columns_of(row)
    return _of(WindowRow, values, f"a window of the account {values['account']}")


def event_row(row: sa.Row[Any]) -> EventRow:
    """An event from its stored row. Raises DamagedRecord."""
    values = columns_of(row)
    task = DamagedTask(values["task_id"], _read(Name, values["task_id"]))
    return _of(EventRow, values, f"event {values['seq']} of task {values['task_id']}", task)


def call_row(row: sa.Row[Any]) -> CallRow:
    """An entry of the books from its stored row. Raises DamagedRecord."""
    values = columns_of(row)
    return _of(CallRow, values, f"an entry in the books of task {values['task_id']}")


def executor_row(row: sa.Row[Any]) -> ExecutorRow:
    """A daemon from its stored row. Raises DamagedRecord."""
    values = columns_of(row)
    return _of(ExecutorRow, values, f"the lease of the daemon {values['id']}")


def delivery_row(row: sa.Row[Any]) -> DeliveryRow:
    """A delivery from its stored row. Raises DamagedRecord."""
    values = columns_of(row)
    return _of(DeliveryRow, values, f"delivery {values['id']} of the hook {values['hook']}")


def project_row(row: sa.Row[Any]) -> ProjectRow:
    """A project from its stored row. Raises DamagedRecord."""
    values = {name: value for name, value in columns_of(row).items() if name in ("id", "path")}
    return _of(ProjectRow, values, f"the record of the project {values['path']}")


def _of(kind: type[T], values: Mapping[str, Any], name: str, task: DamagedTask | None = None) -> T:
    try:
        return checked(_adapter(kind), values)
    except Bad as bad:
        wrong = f"{name[:300]} is damaged: {bad}"
        raise DamagedRecord(wrong, task=task, fields=bad.wrong) from bad
