"""Sums up what tasks used and how long they waited, for `rover usage`. Pure: rows in, groups out.

All tasks count, deleted ones among them: what was paid stays paid. A task in the trash keeps its
name; of one whose record is gone only its id is known, and its project is DELETED_TASKS.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from agent_runner.models import PauseReason, Usage
from rover_mcp.domain.event_kinds import AGENT_CHANGED, HELD
from rover_mcp.domain.task_status import Event, TaskStatus
from rover_mcp.store.records import CallRow, EventRow, TaskLabel

DELETED_TASKS: Final = "deleted tasks"
UNKNOWN: Final = "unknown"
EARLIER: Final = "earlier"
YOU: Final = "you"
"""What a task waits for if only a person can end its pause."""
MACHINE: Final = "this machine"
"""What it waits for if neither an account nor a person is concerned."""
_ENDED_BY_A_PERSON: Final = frozenset(
    {PauseReason.BUDGET, PauseReason.REQUESTED, PauseReason.NEEDS_LOOK}
)


class UsageKey(StrEnum):
    """What usage is grouped by."""

    PROJECT = "project"
    DAY = "day"
    AGENT = "agent"
    MODEL = "model"
    TASK = "task"


@dataclass(frozen=True)
class DayStart:
    """A day of the user's calendar and the time at which it begins, in seconds since 1970."""

    day: str
    at: float


@dataclass(frozen=True)
class UsageGroup:
    """What calls used that have one key in common. `usage.cost_usd` is the cost of models with a
    known price, and `unpriced_tokens` are the tokens of the others. `estimated` is the number of
    calls whose usage was not reported. `label` is the task, where the key is one that has a
    record."""

    key: str
    tasks: int
    calls: int
    usage: Usage
    unpriced_tokens: int
    estimated: int
    label: TaskLabel | None = None


@dataclass(frozen=True)
class WaitTotal:
    """How long tasks waited for one account, provider or person for one reason, in seconds. The
    times of several tasks add up. `waiting_now` is the number that still do."""

    waited_for: str
    provider: str | None
    reason: str
    seconds: float
    tasks: int
    waiting_now: int


@dataclass
class _Sum:
    tasks: set[str] = field(default_factory=set[str])
    calls: int = 0
    usage: Usage = field(default_factory=Usage)
    unpriced_tokens: int = 0
    estimated: int = 0

    def add(self, call: CallRow) -> None:
        usage = Usage(
            input_tokens=call.input_tokens,
            output_tokens=call.output_tokens,
            cache_read_tokens=call.cache_read_tokens,
            cache_write_tokens=call.cache_write_tokens,
            cost_usd=call.cost_usd,
        )
        self.tasks.add(call.task_id)
        self.calls += call.calls
        self.usage = self.usage.plus(usage)
        self.unpriced_tokens += usage.tokens if call.cost_usd is None else 0
        self.estimated += call.estimated

    def group(self, key: str, label: TaskLabel | None = None) -> UsageGroup:
        return UsageGroup(
            key, len(self.tasks), self.calls, self.usage, self.unpriced_tokens, self.estimated,
            label,
        )  # fmt: skip


def usage_groups(
    calls: Iterable[CallRow],
    by: UsageKey,
    labels: Mapping[str, TaskLabel],
    events: Iterable[EventRow] = (),
    days: Sequence[DayStart] = (),
) -> list[UsageGroup]:
    """The calls in groups: days in their order, all others with the dearest first. `events` say
    which agent made a call where a task had several; `days` are needed for days."""
    key_of = _keys(by, labels, events, days)
    sums: dict[str, _Sum] = defaultdict(_Sum)
    for call in calls:
        sums[key_of(call)].add(call)
    is_task = by is UsageKey.TASK
    groups = [total.group(key, labels.get(key) if is_task else None) for key, total in sums.items()]
    if by is UsageKey.DAY:
        return sorted(groups, key=lambda g: (g.key != EARLIER, g.key))
    return sorted(groups, key=lambda g: (-(g.usage.cost_usd or 0.0), -g.usage.tokens, g.key))


def usage_total(calls: Iterable[CallRow]) -> UsageGroup:
    """All calls together."""
    total = _Sum()
    for call in calls:
        total.add(call)
    return total.group("total")


def _keys(
    by: UsageKey,
    labels: Mapping[str, TaskLabel],
    events: Iterable[EventRow],
    days: Sequence[DayStart],
) -> Callable[[CallRow], str]:
    def project(call: CallRow) -> str:
        label = labels.get(call.task_id)
        return label.project if label else DELETED_TASKS

    def day(call: CallRow) -> str:
        position = bisect_right(starts, call.at)
        return days[position - 1].day if position else EARLIER

    starts = [one.at for one in days]
    match by:
        case UsageKey.PROJECT:
            return project
        case UsageKey.DAY:
            return day
        case UsageKey.AGENT:
            return _agents(labels, events)
        case UsageKey.MODEL:
            return lambda call: f"{call.provider}/{call.model or UNKNOWN}"
        case UsageKey.TASK:
            return lambda call: call.task_id


def _agents(
    labels: Mapping[str, TaskLabel], events: Iterable[EventRow]
) -> Callable[[CallRow], str]:
    """The agent that made a call. A task records its present agent only, and an event each change:
    from which attempt on another one continued."""
    changes: dict[str, list[tuple[int, str, str]]] = defaultdict(list)
    for event in events:
        if event.kind == AGENT_CHANGED and (change := _change(event.data)) is not None:
            changes[event.task_id].append(change)

    def agent(call: CallRow) -> str:
        own = changes.get(call.task_id, ())
        before = [new for attempt, _, new in own if attempt <= call.attempt]
        if before:
            return before[-1]
        if own:
            return own[0][1]
        label = labels.get(call.task_id)
        return label.agent if label else DELETED_TASKS

    return agent


def _change(data: Mapping[str, Any]) -> tuple[int, str, str] | None:
    match data:
        case {"attempt": int(attempt), "from": str(old), "to": str(new)}:
            return attempt, old, new
        case _:
            return None


# Waiting


@dataclass(frozen=True)
class _Wait:
    since: float
    task_id: str
    account: str | None
    provider: str | None
    reason: str


def waits(
    events: Iterable[EventRow],
    since: float,
    now: float,
    account_name: Callable[[str], str],
) -> list[WaitTotal]:
    """How long tasks were paused between `since` and `now`, by what they waited for and why, the
    longest first. `events` are in the order of their numbers. A task that is held for another
    account while it is paused waits for that one from then on."""
    open_waits: dict[str, _Wait] = {}
    ended: list[tuple[_Wait, float, bool]] = []
    for event in events:
        if event.kind == AGENT_CHANGED:
            continue
        if (wait := open_waits.pop(event.task_id, None)) is not None:
            ended.append((wait, event.at, False))
        if event.status is TaskStatus.PAUSED and event.kind in (Event.PAUSE, HELD):
            open_waits[event.task_id] = _wait(event)
    ended += [(wait, now, True) for wait in open_waits.values()]
    return _totals(ended, since, account_name)


def _wait(event: EventRow) -> _Wait:
    def text(name: str) -> str | None:
        value: Any = event.data.get(name)
        return value if isinstance(value, str) and value else None

    reason = text("reason") or UNKNOWN
    return _Wait(event.at, event.task_id, text("account"), text("provider"), reason)


def _totals(
    ended: Iterable[tuple[_Wait, float, bool]],
    since: float,
    account_name: Callable[[str], str],
) -> list[WaitTotal]:
    seconds: dict[tuple[str, str | None, str], float] = defaultdict(float)
    tasks: dict[tuple[str, str | None, str], set[str]] = defaultdict(set)
    waiting: dict[tuple[str, str | None, str], int] = defaultdict(int)
    for wait, until, is_open in ended:
        length = until - max(wait.since, since)
        # Clocks are set back now and then: a wait never takes time away from another one.
        if length < 0 or (length == 0 and not is_open):
            continue
        key = (_waited_for(wait, account_name), wait.provider, wait.reason)
        seconds[key] += length
        tasks[key].add(wait.task_id)
        waiting[key] += is_open
    totals = [WaitTotal(*key, seconds[key], len(tasks[key]), waiting[key]) for key in seconds]
    return sorted(totals, key=lambda w: (-w.seconds, w.waited_for, w.reason))


def _waited_for(wait: _Wait, account_name: Callable[[str], str]) -> str:
    if wait.reason in _ENDED_BY_A_PERSON:
        return YOU
    if wait.account:
        # A hold's key can name one model of the account.
        return account_name(wait.account.partition("#")[0])
    return wait.provider or MACHINE
