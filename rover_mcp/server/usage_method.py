"""`rover/usage`, a method outside of MCP: for the command line and not a tool, so that no model
pays for it with its context."""

from __future__ import annotations

from typing import Any

import anyio.to_thread
from mcp.shared.exceptions import MCPError
from mcp_types import METHOD_NOT_FOUND, RequestParams
from pydantic import BaseModel, Field

from rover_mcp.domain.usage_window import time_of
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.quoted_text import printable
from rover_mcp.tasks.service import TaskService
from rover_mcp.tasks.show_usage import TaskBudget, UsageReport, show_usage
from rover_mcp.tasks.usage_report import DayStart, UsageGroup, UsageKey, WaitTotal

METHOD = "rover/usage"
MAX_DAYS = 4000


class DayParam(BaseModel):
    """A day of the caller's calendar, and when it begins, in seconds since 1970."""

    day: str = Field(pattern=r"^\d{4}-\d\d-\d\d$")
    at: float = Field(allow_inf_nan=False)


class UsageParams(RequestParams):
    """`since` is in seconds since 1970. `days` in their order, for `by` day: only the caller knows
    its time zone."""

    by: UsageKey = UsageKey.PROJECT
    since: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    days: tuple[DayParam, ...] = Field(default=(), max_length=MAX_DAYS)


async def usage(tasks: TaskService, caller: Caller, params: UsageParams) -> dict[str, Any]:
    """What tasks used and waited, of all projects, for the user of this machine."""
    if caller.user is not None:
        raise MCPError(METHOD_NOT_FOUND, "only the user of this machine can see all usage")
    days = [DayStart(one.day, one.at) for one in params.days]
    report = await anyio.to_thread.run_sync(show_usage, tasks, params.by, params.since, days)
    return {"by": str(params.by), **_report(report)}


def _report(report: UsageReport) -> dict[str, Any]:
    return {
        "since": time_of(report.since).isoformat() if report.since else None,
        "until": time_of(report.now).isoformat(),
        "groups": [_group(group) for group in report.groups],
        "total": _group(report.total),
        "waiting": [_wait(wait) for wait in report.waits],
        "budgets": [_budget(one) for one in report.budgets],
        "more_budgets": report.more_budgets,
    }


def _group(group: UsageGroup) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "key": printable(group.key, 300),
        "tasks": group.tasks,
        "calls": group.calls,
        **group.usage.model_dump(),
        "unpriced_tokens": group.unpriced_tokens,
        "estimated_calls": group.estimated,
    }
    if (label := group.label) is not None:
        fields |= {
            "number": label.number,
            "title": printable(label.title, 200),
            "project": printable(label.project, 300),
            "in_trash": label.in_trash,
        }
    return fields


def _wait(wait: WaitTotal) -> dict[str, Any]:
    return {
        "waited_for": printable(wait.waited_for, 200),
        "provider": printable(wait.provider, 100) if wait.provider else None,
        "reason": printable(wait.reason, 40),
        "seconds": round(wait.seconds),
        "tasks": wait.tasks,
        "waiting_now": wait.waiting_now,
    }


def _budget(one: TaskBudget) -> dict[str, Any]:
    return {
        "task": one.task.id,
        "number": one.task.number,
        "title": printable(one.task.title, 200),
        "project": printable(one.task.project_path, 300),
        "status": str(one.task.status),
        **one.budget.model_dump(),
    }
