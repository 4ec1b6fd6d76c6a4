"""What is said of a pause: why, since when, whether it ends by itself, what a person can do."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pytest

from agent_runner.models import Budget, PauseReason, Usage
from rover_mcp.cli.pauses import pause_lines
from rover_mcp.cli.terminal_text import Paint
from rover_mcp.control import decide
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.server.elicitation import pause_form
from rover_mcp.server.task_text import task_text
from rover_mcp.store.records import EVERYWHERE, TaskRow
from rover_mcp.tasks.pause_view import MOST_REFUSED, NEVER_BY_ITSELF, WHAT_TO_DO, Policy
from rover_mcp.tasks.task_page import listed
from rover_mcp.tasks.task_view import event_view, task_view
from rover_mcp.tasks.view_models import EventView, NextAction, PauseView
from tests.support.samples import NOW, TASK, event_row, pause, run_state, task_row

AT = NOW.timestamp()
ON = Policy()
BY_ITSELF = sorted(set(PauseReason) - set(NEVER_BY_ITSELF))


def paused_row(reason: PauseReason = PauseReason.CREDITS, **changes: Any) -> TaskRow:
    values: dict[str, Any] = {
        "status": TaskStatus.PAUSED,
        "pause": pause(reason, account="anthropic-1a2b3c4d"),
        "paused_at": AT - 40,
        "retry_at": AT + 900,
        "run_state": run_state(),
    }
    return task_row(**values | changes)


def shown(row: TaskRow, policy: Policy = ON) -> PauseView:
    view = task_view(row, None, None, AT, policy).pause
    assert view is not None
    return view


def actions(row: TaskRow, policy: Policy = ON) -> list[NextAction]:
    return task_view(row, None, None, AT, policy).next_actions


def event(row: TaskRow, **data: Any) -> EventView:
    assert row.pause is not None
    told = {**row.pause.model_dump(mode="json"), **data}
    return event_view(event_row("task.paused", "PAUSED", **told), row)


def test_a_pause_says_why_since_when_and_until_when() -> None:
    """D1, D10."""
    told = shown(paused_row())
    assert (told.reason, told.provider, told.account) == (
        "credits",
        "anthropic",
        "anthropic, account …3c4d",
    )
    assert (told.step, told.where) == ("implement", "step 3 of 4: implement")
    assert told.message == '"credit balance is too low"'
    assert told.since == NOW - timedelta(seconds=40)
    assert (told.retry_at, told.retry_in_s) == (NOW + timedelta(seconds=900), 900)
    assert (told.auto_resume, told.waits_because) == (True, None)


def test_a_long_wait_says_whether_its_log_in_is_renewed_by_itself() -> None:
    """Where it resumes automatically; a person who resumes sees to the login then."""
    policy = Policy(log_in=lambda _task: "the login expires before that")
    view = task_view(paused_row(), None, None, AT, policy)
    assert "The login expires before that." in task_text(view)
    assert view.pause is not None
    assert "The login expires before that." in " ".join(
        pause_lines(view.model_dump(mode="json", exclude_none=True), Paint(io.StringIO()))
    )
    assert shown(paused_row(auto_resume=False), policy).log_in is None


def test_a_row_of_a_list_shows_the_provider_and_the_next_retry() -> None:
    """H6."""
    row = listed(task_view(paused_row(), None, None, AT, Policy()))
    assert row.pause is not None
    assert (row.pause.provider, row.pause.retry_at) == (
        "anthropic",
        NOW + timedelta(seconds=900),
    )


# Whether it resumes automatically (K7)

OFF_TASK: dict[str, Any] = {"auto_resume": False, "retry_at": None}
OFF: dict[str, Any] = {"retry_at": None}


@pytest.mark.parametrize("reason", BY_ITSELF)
@pytest.mark.parametrize(
    ("changes", "policy", "where"),
    [
        (OFF_TASK, Policy(), "for this task"),
        (OFF, Policy(off=frozenset({"p1"})), "for this project"),
        (OFF, Policy(off=frozenset({EVERYWHERE})), "for all tasks"),
        (OFF, Policy(config_off=True), "in config.yaml"),
        (OFF_TASK, Policy(off=frozenset({EVERYWHERE})), "for this task and for all tasks"),
        # A race: switched off, and its schedule not yet dropped.
        ({}, Policy(off=frozenset({EVERYWHERE})), "for all tasks"),
    ],
)
def test_a_paused_task_says_where_its_automatic_resume_is_switched_off(
    reason: PauseReason, changes: dict[str, Any], policy: Policy, where: str
) -> None:
    """K7."""
    told = shown(paused_row(reason, **changes), policy)
    assert not told.auto_resume
    assert told.waits_because == f"automatic resume is switched off {where}"


def test_another_projects_switch_is_not_this_ones() -> None:
    assert shown(paused_row(), Policy(off=frozenset({"p2"}))).auto_resume


@pytest.mark.parametrize("reason", sorted(set(NEVER_BY_ITSELF) - {PauseReason.AUTH}))
def test_a_pause_that_only_a_person_ends_says_why(reason: PauseReason) -> None:
    """D8, D9, K7: whatever the switches say."""
    told = shown(paused_row(reason, **OFF_TASK))
    assert told.waits_because == NEVER_BY_ITSELF[reason]


def test_a_pause_for_a_credential_says_what_ends_it() -> None:
    """D9, K7: a credential, another one, or a person."""
    waits = {"agent": "claude", "retry_at": None}
    told = shown(paused_row(PauseReason.AUTH, **waits))
    assert (told.auto_resume, told.retry_at) == (True, None)
    assert str(told.waits_because).startswith("a credential for")
    told = shown(paused_row(PauseReason.AUTH, refused_keys=["d1"], **waits))
    assert str(told.waits_because).startswith("another credential for")
    many = [str(n) for n in range(MOST_REFUSED)]
    told = shown(paused_row(PauseReason.AUTH, refused_keys=many, **waits))
    assert (told.auto_resume, told.waits_because) == (False, NEVER_BY_ITSELF[PauseReason.AUTH])
    told = shown(paused_row(PauseReason.AUTH, **{**waits, **OFF_TASK}))
    assert not told.auto_resume
    assert "switched off for this task" in str(told.waits_because)


def test_the_view_and_the_control_plane_agree_on_what_a_person_ends() -> None:
    """D9."""
    assert set(NEVER_BY_ITSELF) == set(decide.NEVER_BY_ITSELF)


@pytest.mark.parametrize(("retries", "times"), [(5, "5 times"), (1, "once")])
def test_after_the_last_retry_resume_task_is_needed(retries: int, times: str) -> None:
    """K3: a person reads it as long as it is so; the count and its limit stand beside it."""
    told = shown(paused_row(retry_at=None, auto_retries=retries), Policy(max_auto_retries=retries))
    assert told.waits_because == f"it resumed automatically {times}; resume_task is needed"
    assert (told.retries, told.max_retries, told.auto_resume) == (retries, retries, False)


def test_the_last_retry_is_told_in_one_event_of_the_pause_and_in_no_other() -> None:
    """K3: once."""
    row = paused_row(retry_at=None, auto_retries=5)
    last = event(row, auto_retries=5, exhausted=True)
    assert "It resumed automatically 5 times; resume_task is needed." in last.summary
    assert "resumed automatically" not in event(row, auto_retries=4).summary


def test_the_providers_time_is_shown_where_nothing_is_scheduled() -> None:
    """D10."""
    reset = NOW + timedelta(hours=2)
    told = shown(paused_row(retry_at=None, pause=pause(retry_at=reset)))
    assert (told.retry_at, told.auto_resume) == (reset, False)
    assert told.waits_because == "no time for it is set: resume_task is needed"


def test_a_retry_that_is_due_is_not_in_the_past() -> None:
    assert shown(paused_row(retry_at=AT - 3)).retry_in_s == 0


# What a person can do (D8, D10)


@pytest.mark.parametrize("reason", PauseReason)
def test_every_reason_has_its_own_next_action(reason: PauseReason) -> None:
    """D8."""
    first = actions(paused_row(reason))[0]
    assert (first.tool, first.why) == ("resume_task", WHAT_TO_DO[reason])
    assert len(set(WHAT_TO_DO.values())) == len(PauseReason)


@pytest.mark.parametrize("reason", BY_ITSELF)
def test_a_task_that_goes_on_by_itself_says_how_to_switch_that_off(reason: PauseReason) -> None:
    """K7: per task, per project, at once for all."""
    [switch] = [a for a in actions(paused_row(reason)) if a.tool == "set_auto_resume"]
    assert switch.arguments == {"enabled": False, "task": TASK}
    assert "scope project or all" in switch.why


def test_where_it_is_off_each_switch_that_stands_in_the_way_can_be_turned() -> None:
    """K7."""
    policy = Policy(off=frozenset({EVERYWHERE, "p1"}))
    switches = [a for a in actions(paused_row(**OFF_TASK), policy) if a.tool == "set_auto_resume"]
    assert [a.arguments for a in switches] == [
        {"enabled": True, "task": TASK},
        {"enabled": True, "scope": "project", "repo_path": "/repo"},
        {"enabled": True, "scope": "all"},
    ]


@pytest.mark.parametrize("reason", sorted(set(NEVER_BY_ITSELF) - {PauseReason.AUTH}))
def test_no_switch_is_offered_that_would_change_nothing(reason: PauseReason) -> None:
    found = actions(paused_row(reason, retry_at=None), Policy(off=frozenset({EVERYWHERE})))
    assert [a.tool for a in found] == ["resume_task", "get_diff"]


@pytest.mark.parametrize(
    ("reason", "offered"),
    [
        (PauseReason.CREDITS, ["codex"]),
        (PauseReason.USAGE_WINDOW, ["codex"]),
        (PauseReason.RATE_LIMIT, ["codex"]),
        (PauseReason.TRANSIENT, []),
        (PauseReason.REQUESTED, []),
    ],
)
def test_another_agent_is_offered_where_an_account_is_closed(
    reason: PauseReason, offered: list[str]
) -> None:
    """D10: not one that takes over by itself, nor the one that it is."""
    row = paused_row(reason, agents=["claude", "gemini"])
    found = actions(row, Policy(agents=("claude", "codex", "gemini")))
    assert [a.arguments["agent"] for a in found if "agent" in a.arguments] == offered


@pytest.mark.parametrize(
    ("cost", "most", "offered", "line"),
    [
        # What the user allows still helps.
        (5.1, Budget(usd=20), {"budget_usd": 10.1}, None),
        (5.1, Budget(usd=8), {"budget_usd": 8}, None),
        (5.1, Budget(tokens=9), {"budget_usd": 10.1}, None),
        # It does not: nothing that would be refused, but what the user can do.
        (5.1, Budget(usd=5), {}, "budget: {usd: 10.1}"),
        (8, Budget(usd=8, tokens=9), {}, "budget: {usd: 13, tokens: 9}"),
    ],
)
def test_a_larger_budget_is_offered_only_as_far_as_the_user_allows(
    cost: float, most: Budget, offered: dict[str, float], line: str | None
) -> None:
    """Failed at 3126f3d: the first action was a call that is refused."""
    state = run_state(usage=Usage(cost_usd=cost))
    row = paused_row(PauseReason.BUDGET, budget=Budget(usd=5), run_state=state)
    view = task_view(row, state, None, AT, Policy(most=most))
    assert row.pause is not None
    data = row.pause.model_dump(mode="json")
    told = event_view(event_row("task.paused", "PAUSED", **data), row, most)
    for action in (view.next_actions[0], told.resume):
        assert action is not None
        assert {k: v for k, v in action.arguments.items() if k != "task"} == offered
        assert (line in action.why) if line else ("config.yaml" not in action.why)
    form = pause_form(view)["params"]["requestedSchema"]["properties"]
    assert form["budget_usd"].get("default") == offered.get("budget_usd")


@pytest.mark.parametrize(
    ("budget", "usage", "larger"),
    [
        (Budget(usd=5), Usage(cost_usd=5.123), {"budget_usd": 10.13}),
        (Budget(usd=0.5), Usage(cost_usd=0.62), {"budget_usd": 1.12}),
        (Budget(usd=0.001), Usage(cost_usd=0.002), {"budget_usd": 0.01}),
        (Budget(tokens=100), Usage(input_tokens=90, cache_read_tokens=30), {"budget_tokens": 220}),
        (Budget(usd=5, tokens=100), Usage(cost_usd=1, output_tokens=100), {"budget_tokens": 200}),
        (Budget(usd=5, tokens=100), Usage(cost_usd=6, output_tokens=1), {"budget_usd": 11}),
        (
            Budget(usd=5, tokens=100),
            Usage(cost_usd=6, output_tokens=100),
            {"budget_usd": 11, "budget_tokens": 200},
        ),
        (Budget(usd=5), Usage(), {"budget_usd": 10}),
        (Budget(usd=5, tokens=100), Usage(), {"budget_tokens": 200}),
    ],
)
def test_a_spent_budget_is_followed_by_a_call_with_a_larger_one(
    budget: Budget, usage: Usage, larger: dict[str, float]
) -> None:
    """D10: beyond what is spent, so that the call works."""
    row = paused_row(
        PauseReason.BUDGET, budget=budget, retry_at=None, run_state=run_state(usage=usage)
    )
    assert actions(row)[0].arguments == {"task": TASK, **larger}
    view = task_view(row, None, None, AT, Policy()).budget
    assert view is not None
    assert (view.usd, view.spent_usd, view.tokens) == (budget.usd, usage.cost_usd, budget.tokens)


# The event


@pytest.mark.parametrize("reason", PauseReason)
def test_the_event_of_a_pause_tells_it_whole_in_one_line(reason: PauseReason) -> None:
    """D10: which step, why, since when, until when, and what can be done."""
    by_itself = reason not in NEVER_BY_ITSELF
    at = NOW + timedelta(hours=1)
    row = paused_row(
        reason,
        retry_at=at.timestamp() if by_itself else None,
        pause=pause(reason, retry_at=at, message="m" * 1000),
    )
    told = event(row)
    assert told.summary.startswith(
        f'task 7 is paused ({reason}, in step implement) since 2026-11-23 12:00Z: "mmm'
    )
    assert ("It resumes automatically at 2026-11-23 13:00Z" in told.summary) is by_itself
    assert told.summary.endswith(WHAT_TO_DO[reason])
    assert len(told.summary) < 450
    assert (told.reason, told.retry_at) == (reason, at)
    assert told.resume is not None
    assert told.resume.tool == "resume_task"


def test_the_event_of_an_earlier_pause_promises_nothing() -> None:
    """What it says of what comes next is what is true now."""
    row = task_row()
    told = event_view(event_row("task.paused", "PAUSED", **pause().model_dump(mode="json")), row)
    assert "if automatic" not in told.summary


def test_no_pause_steers_a_terminal() -> None:
    row = paused_row(pause=pause(message="\x1b[31mred\x1b[0m \x1b]0;t\x07ok"))
    assert shown(row).message == '"red ok"'
    assert ': "red ok". ' in event(row).summary
