"""What tasks used and how long they waited, summed up from rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.store.records import CallRow, EventRow, TaskLabel
from rover_mcp.tasks.usage_report import (
    DELETED_TASKS,
    EARLIER,
    DayStart,
    UsageKey,
    WaitTotal,
    usage_groups,
    usage_total,
    waits,
)

CALL = CallRow("a", "1", 1, 100.0, "anthropic", "opus", 1, 10, 2, 3, 4, 0.5)
LABELS = {
    "a": TaskLabel("a", 1, "First", "/work/one", "claude"),
    "b": TaskLabel("b", 1, "Second", "/work/two", "codex", in_trash=True),
}
CALLS = [
    CALL,
    replace(CALL, id="2", at=200.0, cost_usd=1.0),
    replace(CALL, task_id="b", at=300.0, provider="openai", model="", cost_usd=None, estimated=1),
    replace(CALL, task_id="gone", at=400.0, cost_usd=0.25, calls=7),
]


def keys(by: UsageKey, **more: Any) -> list[tuple[str, int, float | None]]:
    groups = usage_groups(CALLS, by, LABELS, **more)
    return [(group.key, group.calls, group.usage.cost_usd) for group in groups]


def test_the_dearest_comes_first_and_deleted_tasks_count() -> None:
    assert keys(UsageKey.PROJECT) == [
        ("/work/one", 2, 1.5),
        (DELETED_TASKS, 7, 0.25),
        ("/work/two", 1, None),
    ]
    assert keys(UsageKey.TASK) == [("a", 2, 1.5), ("gone", 7, 0.25), ("b", 1, None)]
    labels = [group.label for group in usage_groups(CALLS, UsageKey.TASK, LABELS)]
    assert labels == [LABELS["a"], None, LABELS["b"]]


def test_tokens_without_a_price_are_counted_apart() -> None:
    total = usage_total(CALLS)
    assert (total.tasks, total.calls, total.estimated) == (3, 10, 1)
    assert total.usage.cost_usd == 1.75
    assert (total.usage.tokens, total.unpriced_tokens) == (4 * 19, 19)


def test_a_model_without_a_name_is_unknown() -> None:
    assert [key for key, _, _ in keys(UsageKey.MODEL)] == ["anthropic/opus", "openai/unknown"]


def test_a_day_begins_where_its_user_says() -> None:
    """The last second before it belongs to the day before."""
    days = [DayStart("2026-03-28", 200.0), DayStart("2026-03-29", 300.5)]
    assert [(key, calls) for key, calls, _ in keys(UsageKey.DAY, days=days)] == [
        (EARLIER, 1),
        ("2026-03-28", 2),
        ("2026-03-29", 7),
    ]
    on_the_dot = usage_groups([replace(CALL, at=300.5)], UsageKey.DAY, {}, days=days)
    assert on_the_dot[0].key == "2026-03-29"


def event(seq: int, at: float, kind: str, task: str = "a", **data: Any) -> EventRow:
    paused = kind in ("task.paused", "task.held")
    status = TaskStatus.PAUSED if paused else TaskStatus.IN_PROGRESS
    return EventRow(seq, at, task, kind, status, True, data)


def test_calls_belong_to_the_agent_that_ran_at_the_time() -> None:
    """A task that two agents worked on names only the last one."""
    first = event(1, 1.0, "task.agent_changed", attempt=3, **{"from": "codex", "to": "gemini"})
    then = event(2, 2.0, "task.agent_changed", attempt=5, **{"from": "gemini", "to": "claude"})
    calls = [replace(CALL, attempt=n, cost_usd=10.0 - n) for n in (1, 2, 3, 4, 5, 6)]
    groups = usage_groups(calls, UsageKey.AGENT, LABELS, [first, then])
    assert {g.key: g.calls for g in groups} == {"codex": 2, "gemini": 2, "claude": 2}


def waited(*events: EventRow, since: float = 0.0, now: float = 1000.0) -> list[WaitTotal]:
    return waits(events, since, now, lambda label: f"account {label}")


CREDITS = {"reason": "credits", "provider": "anthropic", "account": "anthropic-1"}


def test_a_wait_lasts_from_the_pause_to_the_resume() -> None:
    [wait] = waited(event(1, 100, "task.paused", **CREDITS), event(2, 160, "task.resumed"))
    assert wait == WaitTotal("account anthropic-1", "anthropic", "credits", 60.0, 1, 0)


def test_the_waits_of_several_tasks_add_up_and_some_last_until_now() -> None:
    [wait] = waited(
        event(1, 100, "task.paused", **CREDITS),
        event(2, 900, "task.paused", "b", **CREDITS),
        event(3, 200, "task.cancelled"),
        event(4, 950, "task.paused", "c", **CREDITS),
    )
    assert (wait.seconds, wait.tasks, wait.waiting_now) == (100 + 100 + 50, 3, 2)


def test_a_task_held_for_another_account_waits_for_that_one_from_then_on() -> None:
    by_account = waited(
        event(1, 100, "task.paused", **CREDITS),
        event(2, 130, "task.held", reason="usage_window", account="openai-2#gpt-5"),
        event(3, 140, "task.agent_changed"),
        event(4, 230, "task.resumed"),
    )
    assert [(w.waited_for, w.reason, w.seconds) for w in by_account] == [
        ("account openai-2", "usage_window", 100.0),
        ("account anthropic-1", "credits", 30.0),
    ]


@pytest.mark.parametrize(
    ("data", "waited_for"),
    [
        ({"reason": "requested", "account": "anthropic-1"}, "you"),
        ({"reason": "budget"}, "you"),
        ({"reason": "transient", "provider": "openai"}, "openai"),
        ({"reason": "interrupted"}, "this machine"),
        ({"reason": 7, "provider": []}, "this machine"),
    ],
)
def test_a_wait_without_an_account_names_whom_it_is_for(
    data: dict[str, Any], waited_for: str
) -> None:
    [wait] = waited(event(1, 100, "task.paused", **data))
    assert (wait.waited_for, wait.seconds) == (waited_for, 900.0)


def test_only_the_part_of_a_wait_since_then_counts() -> None:
    pause, resume = event(1, 100, "task.paused", **CREDITS), event(2, 200, "task.resumed")
    assert waited(pause, resume, since=150.0)[0].seconds == 50.0
    assert waited(pause, resume, since=200.0) == []
    assert waited(pause, event(2, 50, "task.resumed")) == []
