"""Rows as frozen values. Times are seconds since the epoch, as the store keeps them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import Strict

from agent_runner.models import Budget, Pause, RunState, Usage
from rover_mcp.config.task_config import TaskConfig
from rover_mcp.domain.attempt_state import AttemptState
from rover_mcp.domain.iteration import IterationInput
from rover_mcp.domain.task_links import TaskLinks
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.store.column_types import Count, Flag, Line, Moment, Money, Name, Number, Share, Text
from rover_mcp.store.stored_values import (
    Lines,
    StoredBefore,
    StoredPolicy,
    StoredReason,
    StoredRefused,
    StoredStatus,
    StoredWindowState,
)

EVERYWHERE = ""
"""The scope of the switch for all tasks; any other is a project's id."""


@dataclass(frozen=True)
class ProjectRow:
    """A repository that tasks are made for."""

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
    """the agents in the order in which they may take over; None: only `agent`"""
    budget: Budget | None = None
    network: StoredPolicy | None = None
    """a NetworkPolicy; None: the default"""
    config: TaskConfig | None = None
    """what the project's configuration adds; None: nothing"""
    owner: Text | None = None
    """the user over HTTP who made it; None: the user of this machine"""
    iteration_input: IterationInput | None = None
    """what the present iteration started with; None: it is the first, of a task that was not
    forked"""
    links: TaskLinks | None = None
    """the other tasks that it comes from"""
    onto: Line | None = None
    """the commit that its branch stands on since it was rebased; None: `base_commit`"""


@dataclass(frozen=True, kw_only=True)
class TaskRow(NewTask):
    """A task as it is recorded."""

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

    @property
    def stands_on(self) -> str:
        """The commit that its changes are compared with. `base_commit` stays what its objects are
        stored on top of: snapshots of before a rebase need it still."""
        return self.onto or self.base_commit


RESTART = "restart"
"""The detail of an attempt, until it ends, that starts its iteration over."""


@dataclass(frozen=True)
class AttemptRow:
    """One sandbox for one iteration. `before` holds the task's columns from before the attempt,
    which a start that fails restores."""

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
    """What a hold closes: an account, or one model of it. Its text is the key of the hold, and is
    in the `account` of a task that waits for it."""

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
    """An account that refuses, or one model of it: `account` is the key of a Limit. Tasks that need
    it wait; at the time `until` one of them, the probe, goes first. `refusals` counts the refusals
    of probes and the first one. `default_of` is the agent that chose the refused model, if the task
    did not. `probed_at` is when the last probe was released or began; it may have changed to
    another account since."""

    account: Line
    provider: Text | None
    reason: StoredReason
    message: Text
    since: Moment
    until: Moment
    refusals: Count
    probe_task: Text | None = None
    probe_attempt: Number | None = None
    default_of: Line | None = None
    probed_at: Moment | None = None

    @property
    def limit(self) -> Limit:
        """What it closes."""
        return Limit.of(self.account)


@dataclass(frozen=True)
class ReportRow:
    """What a task last reported of an account, or of one model of it (the key of a Limit). On its
    word alone the account is closed to this task until `until`, and to no other. `seen`: the
    gateway saw the provider's answer."""

    account: Line
    task_id: Text
    reason: StoredReason
    seen: Flag
    at: Moment
    until: Moment


@dataclass(frozen=True)
class WindowRow:
    """One window of an account by its provider's last report: the share that is used, and when it
    opens. `warned` is the opening time of the window of which the user was warned."""

    account: Line
    name: Line
    state: StoredWindowState
    used: Share | None
    opens_at: Moment | None
    at: Moment
    warned: Moment | None = None


@dataclass(frozen=True)
class CallRow:
    """The usage of a call to a provider, as far as it is known. `id` is unique in its task. `model`
    is "" if none was named; `cost_usd` is None if the model has no price. `reserved` is the most
    that the call can use while it is under way. `estimated` is the number of calls whose usage was
    not reported. `calls` is 0 for one that used nothing."""

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
        """The sum of both, under this name."""
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
    """One daemon. `host` is where its kernel lock is: see control/daemon_lease.py."""

    id: Text
    host: Line
    lease_until: Moment


@dataclass(frozen=True)
class ModelUse:
    """What a task used of one model. A cost of None means that it has no price. `estimated` is the
    number of calls whose usage was not reported."""

    provider: str
    model: str
    calls: int
    usage: Usage
    estimated: int = 0


@dataclass(frozen=True)
class TaskLabel:
    """What a task is called where usage is shown. `agent` is the one that ran last."""

    id: str
    number: int
    title: str
    project: str
    agent: str
    in_trash: bool = False


@dataclass(frozen=True)
class EventRow:
    """One event of the log. `attention` shows the `notable` ones."""

    seq: Count
    at: Moment
    task_id: Text
    kind: Text
    status: StoredStatus
    notable: Flag
    data: dict[str, Any]


@dataclass(frozen=True)
class DeliveryRow:
    """One event for one hook. `state`: pending, delivered, dead."""

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
