"""What all tasks used and how long they waited, read from the store for `rover usage`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rover_mcp.domain.task_status import RUNNING, TaskStatus
from rover_mcp.store.damaged_records import DamagedRecord
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.service import TaskService
from rover_mcp.tasks.usage_report import (
    DayStart,
    UsageGroup,
    UsageKey,
    WaitTotal,
    usage_groups,
    usage_total,
    waits,
)
from rover_mcp.tasks.view_models import BudgetView

MOST_BUDGETS = 50
"""How many unfinished tasks with a budget are shown."""
_UNFINISHED = (TaskStatus.NEW, *RUNNING, TaskStatus.PAUSED)


@dataclass(frozen=True)
class TaskBudget:
    """An unfinished task's budget, and what is used of it."""

    task: TaskRow
    budget: BudgetView

    @property
    def share(self) -> float:
        """The part that is used, of the limit that is nearer: 1 is all of it."""
        b = self.budget
        money = (b.spent_usd or 0.0) / b.usd if b.usd else 0.0
        tokens = b.spent_tokens / b.tokens if b.tokens else 0.0
        return max(money, tokens)


@dataclass(frozen=True)
class UsageReport:
    """Usage and waiting since a time, and the budgets of unfinished tasks as they stand now. The
    `more_budgets` are not listed."""

    since: float
    now: float
    groups: Sequence[UsageGroup]
    total: UsageGroup
    waits: Sequence[WaitTotal]
    budgets: Sequence[TaskBudget]
    more_budgets: int


def show_usage(
    tasks: TaskService, by: UsageKey, since: float, days: Sequence[DayStart]
) -> UsageReport:
    """The report of all tasks of this machine. Blocks."""
    history, now = tasks.store.usage_history, tasks.now()
    calls, events = history.calls(since), history.events()
    budgets = _budgets(tasks)
    return UsageReport(
        since=since,
        now=now,
        groups=usage_groups(calls, by, history.labels(), events, days),
        total=usage_total(calls),
        waits=waits(events, since, now, tasks.account_name),
        budgets=budgets[:MOST_BUDGETS],
        more_budgets=len(budgets[MOST_BUDGETS:]),
    )


def _budgets(tasks: TaskService) -> list[TaskBudget]:
    """The one that is nearest to its end first. A record that cannot be read is left out: `rover
    list` names it."""
    policy, budgets = tasks.policy(), list[TaskBudget]()
    for row in tasks.store.tasks.page(statuses=_UNFINISHED, limit=1000):
        if not isinstance(row, TaskRow) or row.budget is None:
            continue
        try:
            view = tasks.view(row, policy=policy).budget
        except DamagedRecord:
            continue
        if view is not None:
            budgets.append(TaskBudget(row, view))
    return sorted(budgets, key=lambda one: -one.share)
