"""Pauses over the protocol: what is said of them, and that every call that is named works."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import jsonschema
import pytest

from agent_runner.models import Budget, PauseReason, Usage
from rover_mcp.domain.ids import short_id
from rover_mcp.domain.task_status import Event
from rover_mcp.domain.usage_window import WindowState
from rover_mcp.gateway.window_headers import Window
from rover_mcp.server.argument_errors import EXAMPLES
from rover_mcp.server.tools import TOOLS
from rover_mcp.store.account_windows import in_words
from rover_mcp.store.records import HoldRow
from rover_mcp.store.transitions import AccountRefusal
from rover_mcp.tasks.pause_view import NEVER_BY_ITSELF
from rover_mcp.tasks.task_view import event_view
from tests.support.desk import ServerHarness, with_settings
from tests.support.samples import NOW, pause, run_state
from tests.unit.server.test_results import ask, text, valid

Json = dict[str, Any]
AT = NOW.timestamp()
ACCOUNT, SHOWN = "anthropic-1a2b3c4d", "anthropic, account …3c4d"


def paused(
    desk: ServerHarness,
    reason: PauseReason = PauseReason.CREDITS,
    *,
    data: Json | None = None,
    **more: Any,
) -> str:
    """A task that ran and is paused; it resumes automatically where its reason permits."""
    arguments = {"description": "Fix the sum"}
    task_id: str = valid("create_task", ask(desk, ("create_task", arguments))[0])["task"]["id"]
    desk.store.claims.start(task_id, 1, f"attempt-{task_id}-1")
    again(desk, task_id, reason, data=data, **more)
    return task_id


def again(
    desk: ServerHarness, task_id: str, reason: PauseReason, *, data: Json | None = None, **more: Any
) -> None:
    told = more.pop("pause", pause(reason))
    by_itself = reason not in NEVER_BY_ITSELF and more.get("retry_at", 1) is not None
    columns: Json = {"run_state": run_state(), "retry_at": AT + 900 if by_itself else None, **more}
    desk.store.transitions.apply(
        task_id, Event.PAUSE, schedule=by_itself, pause=told,
        data=told.model_dump(mode="json") | (data or {}), **columns,
    )  # fmt: skip


def inspect(desk: ServerHarness, task_id: str) -> Json:
    return valid("inspect", ask(desk, ("inspect", {"task": task_id}))[0])["task"]


def test_pausing_and_going_on_change_what_is_shown(desk: ServerHarness) -> None:
    """H1, H2, H3: reason and time while paused and not after; the next pause has its own provider,
    or none."""
    task_id = paused(desk)
    first = inspect(desk, task_id)
    assert (first["status"], first["pause"]["reason"]) == ("PAUSED", "credits")
    assert first["pause"]["since"] == "2026-11-23T12:00:00Z"
    assert first["pause"]["provider"] == "anthropic"
    desk.tasks.now = lambda: AT + 5000
    assert inspect(desk, task_id)["duration_s"] == first["duration_s"]

    resumed = valid("resume_task", ask(desk, ("resume_task", {"task": task_id}))[0])
    assert resumed["result"] == "resumed"
    running = inspect(desk, task_id)
    assert running["status"] == "IN_PROGRESS"
    assert "pause" not in running
    assert "error" not in running
    assert running["duration_s"] == first["duration_s"] + 5000

    again(
        desk, task_id, PauseReason.INTERRUPTED,
        pause=pause(PauseReason.INTERRUPTED, provider=None, step=None, message="killed"),
    )  # fmt: skip
    second = inspect(desk, task_id)["pause"]
    assert second["reason"] == "interrupted"
    assert "provider" not in second


def test_only_agents_that_can_sign_in_are_named_to_go_on(desk: ServerHarness) -> None:
    task_id = paused(desk, agent="scripted")
    calls = inspect(desk, task_id)["next_actions"]
    assert {"task": short_id(task_id), "agent": "claude"} in [call["arguments"] for call in calls]
    desk.status.may_sign_in = lambda _agent, _caller: False
    calls = inspect(desk, task_id)["next_actions"]
    assert [c["tool"] for c in calls if "agent" in c["arguments"]] == []
    assert calls[0]["arguments"] == {"task": short_id(task_id)}


@pytest.mark.parametrize("event", [Event.COMPLETE, Event.FAIL, Event.CANCEL])
def test_an_end_clears_the_pause_and_an_error_that_it_does_not_bring(
    desk: ServerHarness, event: Event
) -> None:
    """H2."""
    task_id = paused(desk)
    ask(desk, ("resume_task", {"task": task_id}))
    desk.store.tasks.update(task_id, error="of before")
    desk.store.transitions.apply(task_id, event)
    shown = inspect(desk, task_id)
    assert {"pause", "error"}.isdisjoint(shown)


def test_a_listing_shows_each_paused_tasks_provider_and_retry(desk: ServerHarness) -> None:
    """H6."""
    paused(desk)
    paused(desk, PauseReason.AUTH)
    [result] = ask(desk, ("list_tasks", {"status": ["PAUSED"]}))
    pauses = {t["pause"]["reason"]: t["pause"] for t in valid("list_tasks", result)["tasks"]}
    assert (pauses["credits"]["provider"], pauses["credits"]["retry_at"]) == (
        "anthropic",
        "2026-11-23T12:15:00Z",
    )
    assert (pauses["auth"]["provider"], pauses["auth"]["auto_resume"]) == ("anthropic", True)
    assert "paused: auth, anthropic, waits for a credential" in text(result)
    assert "paused: credits, anthropic, resumes at 2026-11-23 12:15Z" in text(result)


def test_a_page_of_tasks_costs_little(desk: ServerHarness) -> None:
    """A page of twenty paused tasks is half of what a client warns of."""
    for _ in range(20):
        paused(desk)
    _news, result = ask(desk, ("get_status", {}), ("list_tasks", {}))
    assert len(json.dumps(result.structured_content)) / 4 < 6000


@pytest.mark.parametrize("reason", PauseReason)
def test_every_pause_says_whether_it_ends_by_itself_and_how_to_switch_that(
    desk: ServerHarness, reason: PauseReason
) -> None:
    """D10, K7: in the JSON and in the text."""
    task_id = paused(desk, reason)
    [result] = ask(desk, ("inspect", {"task": task_id}))
    shown = valid("inspect", result)["task"]["pause"]
    said = text(result).split("Attention")[0]
    assert "Paused since 2026-11-23 12:00Z in step 3 of 4: implement: " in said
    if shown["auto_resume"] and "retry_at" not in shown:
        assert reason is PauseReason.AUTH
        assert f"It waits: {shown['waits_because']} (set_auto_resume" in said
    elif reason in NEVER_BY_ITSELF:
        assert shown["waits_because"] == NEVER_BY_ITSELF[reason]
        assert f"It waits for resume_task: {shown['waits_because']}." in said
    else:
        assert (shown["auto_resume"], shown["retry_in_s"]) == (True, 900)
        assert "automatically at 2026-11-23 12:15:00Z, in 15 min (automatic resume 1" in said
        assert "set_auto_resume switches that off: for this task, its project, or all" in said
    assert said.rstrip().splitlines()[-1].startswith("Next: resume_task")


# The switch


SCOPES: dict[str, tuple[Json, str]] = {
    "task": ({"task": "1"}, "for this task"),
    "project": ({"scope": "project"}, "for this project"),
    "all": ({"scope": "all"}, "for all tasks"),
}


@pytest.mark.parametrize("scope", SCOPES)
def test_the_switch_drops_what_is_scheduled_and_brings_it_back(
    desk: ServerHarness, scope: str
) -> None:
    """K7: per task, per project, at once for all."""
    arguments, where = SCOPES[scope]
    task_id = paused(desk)
    off, shown, on, after = ask(
        desk,
        ("set_auto_resume", {"enabled": False, **arguments}),
        ("inspect", {"task": task_id}),
        ("set_auto_resume", {"enabled": True, **arguments}),
        ("inspect", {"task": task_id}),
    )
    done = valid("set_auto_resume", off)
    assert (done["enabled"], done["scope"], done["changed"]) == (False, scope, 1)
    assert "wait for resume_task from now on: 1." in text(off)
    waits = valid("inspect", shown)["task"]["pause"]
    assert (waits["auto_resume"], waits.get("retry_at")) == (False, None)
    assert waits["waits_because"] == f"automatic resume is switched off {where}"
    assert valid("set_auto_resume", on)["changed"] == 1
    assert "resume automatically again: 1." in text(on)
    assert valid("inspect", after)["task"]["pause"]["auto_resume"] is True


def test_a_switch_that_has_no_effect_yet_says_where_else_it_is_off(desk: ServerHarness) -> None:
    """K7: off anywhere is off."""
    paused(desk)
    _, on = ask(
        desk,
        ("set_auto_resume", {"enabled": False, "scope": "all"}),
        ("set_auto_resume", {"enabled": True, "task": "1"}),
    )
    done = valid("set_auto_resume", on)
    assert (done["changed"], done["still_off"]) == (0, "for all tasks")
    assert "It has no effect yet: it is off for all tasks." in text(on)


def test_the_status_shows_what_is_switched_off(desk: ServerHarness) -> None:
    """K7."""
    paused(desk)
    before, *_, after = ask(
        desk,
        ("get_status", {}),
        ("set_auto_resume", {"enabled": False, "scope": "all"}),
        ("set_auto_resume", {"enabled": False, "scope": "project"}),
        ("get_status", {}),
    )
    assert valid("get_status", before)["auto_resume"] == {
        "off_for_all": False, "off_in_config": False, "off_in_projects": [],
    }  # fmt: skip
    assert valid("get_status", after)["auto_resume"] == {
        "off_for_all": True, "off_in_config": False, "off_in_projects": [str(desk.repo)],
    }  # fmt: skip
    assert f"Automatic resume is off in {desk.repo}." in text(after)
    with_settings(desk, auto_resume=False)
    assert "off in config.yaml" in text(ask(desk, ("get_status", {}))[0])


def test_a_project_without_tasks_can_be_switched_off_before_its_first(desk: ServerHarness) -> None:
    """K7."""
    ask(desk, ("set_auto_resume", {"enabled": False, "scope": "project"}))
    task_id = paused(desk, retry_at=None)
    assert "for this project" in inspect(desk, task_id)["pause"]["waits_because"]


# Said once (K3)


def test_that_resume_task_is_needed_is_said_once(desk: ServerHarness) -> None:
    """K3: after the last automatic resume."""
    task_id = paused(
        desk, retry_at=None, auto_retries=5, data={"auto_retries": 5, "exhausted": True}
    )
    results = ask(desk, ("get_status", {}), ("get_status", {}), ("list_tasks", {}))
    said = ["resumed automatically 5 times; resume_task is needed" in text(r) for r in results]
    assert said == [True, False, False]
    shown = inspect(desk, task_id)["pause"]
    assert (shown["retries"], shown["max_retries"]) == (5, 5)
    assert shown["waits_because"] == "it resumed automatically 5 times; resume_task is needed"


# Calls that work


@pytest.mark.parametrize("reason", PauseReason)
@pytest.mark.parametrize("switched", [False, True])
def test_every_next_action_is_a_call_that_works(
    desk: ServerHarness, reason: PauseReason, switched: bool
) -> None:
    """D8, D10: as it stands there, each on a task of its own."""
    budget = Budget(usd=5, tokens=100)
    spent = run_state(usage=Usage(cost_usd=6, input_tokens=200))

    def one() -> Json:
        task_id = paused(desk, reason, budget=budget, run_state=spent)
        return inspect(desk, task_id)

    if switched:
        ask(desk, ("set_auto_resume", {"enabled": False, "scope": "project"}))
    actions = one()["next_actions"]
    assert len(actions) >= 2
    for number, action in enumerate(actions):
        task = one()
        same = task["next_actions"][number]
        assert same["tool"] == action["tool"]
        jsonschema.Draft202012Validator(TOOLS[same["tool"]].tool.input_schema).validate(
            same["arguments"]
        )
        [result] = ask(desk, (same["tool"], same["arguments"]))
        assert not result.is_error, text(result)


def test_a_spent_budget_is_shown_with_the_call_that_raises_it(desk: ServerHarness) -> None:
    """D8, D10, I3: the budget pauses and asks."""
    spent = run_state(usage=Usage(cost_usd=5.2))
    paused(desk, PauseReason.BUDGET, budget=Budget(usd=5), run_state=spent)
    [refused] = ask(desk, ("resume_task", {"task": "1"}))
    told = valid("resume_task", refused)["error"]
    assert (refused.is_error, told["code"]) == (True, "not_resumable")
    assert "budget_usd" in told["message"]
    next_ = told["next_call"]
    assert next_["arguments"]["budget_usd"] == 10.2
    assert f"Next: {json.dumps(next_)}" in text(refused)
    [done] = ask(desk, ("resume_task", next_["arguments"]))
    assert valid("resume_task", done)["result"] == "resumed"
    task = desk.store.tasks.page()[0]
    assert task.budget == Budget(usd=10.2)


@pytest.mark.parametrize(
    ("name", "arguments", "code", "call"),
    [
        ("inspect", {}, "invalid_arguments", {"tool": "list_tasks", "arguments": {}}),
        ("inspect", {"task": "1", "wat": 1}, "invalid_arguments", {"task": "1"}),
        ("wait_for_task", {"task": "1", "timeout_s": "x"}, "invalid_arguments", {"task": "1"}),
        ("get_status", {"x": 1}, "invalid_arguments", {}),
        ("set_auto_resume", {"enabled": True}, "invalid_arguments", {"tool": "list_tasks", "arguments": {}}),
        (
            "set_auto_resume",
            {"enabled": False, "scope": "all", "task": "1"},
            "invalid_arguments",
            {"enabled": False, "task": "1"},
        ),
    ],
)  # fmt: skip
def test_wrong_arguments_are_answered_with_a_call_that_works(
    desk: ServerHarness, name: str, arguments: Json, code: str, call: Json
) -> None:
    """What failed, why, and what would work."""
    paused(desk)
    [result] = ask(desk, (name, arguments))
    error = valid(name, result)["error"]
    assert result.is_error
    assert error["code"] == code
    following = error["next_call"]
    assert following == (call if "tool" in call else {"tool": name, "arguments": call})
    assert json.dumps(following) in text(result)
    [works] = ask(desk, (following["tool"], following["arguments"]))
    assert not works.is_error, text(works)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("create_task", {"description": "x", "budget": 5}),
        ("create_task", {"description": "x", "network": "off"}),
        ("resume_task", {"task": "1", "budget_usd": "lots"}),
        ("resume_task", {"task": "1", "when": "tomorrow"}),
    ],
)
def test_no_call_is_named_that_leaves_out_a_limit_that_was_mistyped(
    desk: ServerHarness, name: str, arguments: Json
) -> None:
    [result] = ask(desk, (name, arguments))
    error = valid(name, result)["error"]
    assert "next_call" not in error
    assert f"it takes: {', '.join(TOOLS[name].arguments.model_fields)}" in error["hint"]


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("create_task", {"description": "x", "budget": 5},
         "unknown argument 'budget' (did you mean budget_usd or budget_tokens?)"),
        ("wait_for_task", {"task": "1", "time": 5},
         "unknown argument 'time' (did you mean timeout_s?)"),
        ("inspect", {"tsk": "1"},
         "inspect: task is missing; unknown argument 'tsk' (did you mean task?)"),
        ("create_task", {"description": "x", "brnach": "main"}, "unknown argument 'brnach'"),
        ("get_status", {"x": "y" * 9}, "get_status: unknown argument 'x'"),
    ],
)  # fmt: skip
def test_a_name_that_there_is_not_is_answered_with_the_one_that_is_meant(
    desk: ServerHarness, name: str, arguments: Json, told: str
) -> None:
    [result] = ask(desk, (name, arguments))
    assert told in valid(name, result)["error"]["message"]


def test_what_is_missing_is_shown_by_an_example_not_made_up_as_a_call(desk: ServerHarness) -> None:
    """Nobody shall create the example's task."""
    [result] = ask(desk, ("create_task", {"workflow": "swe", "description": 3}))
    error = valid("create_task", result)["error"]
    assert "next_call" not in error
    assert '{"workflow": "swe", "description": "Fix the failing test' in error["hint"]


def test_there_is_an_example_for_everything_that_a_tool_requires() -> None:
    required = {
        name
        for entry in TOOLS.values()
        for name, field in entry.arguments.model_fields.items()
        if field.is_required()
    }
    assert required == set(EXAMPLES)


def test_a_huge_argument_is_not_sent_back(desk: ServerHarness) -> None:
    [result] = ask(desk, ("create_task", {"description": "x" * 40_000, "engine": "lxc"}))
    assert len(text(result)) < 1500


# Agents and accounts


def test_several_agents_are_given_with_commas(desk: ServerHarness) -> None:
    [result] = ask(desk, ("create_task", {"description": "x", "agent": " scripted , claude,"}))
    shown = valid("create_task", result)["task"]
    assert (shown["agent"], shown["agents"]) == ("scripted", ["scripted", "claude"])


def test_the_status_shows_closed_accounts_and_who_waits(desk: ServerHarness) -> None:
    """K5: what a person sees of a hold."""
    task_id = paused(desk)
    desk.store.transitions.resume(task_id, None)
    hold = HoldRow(
        ACCOUNT, "anthropic", "credits", "too \x1b[31mlow", AT - 60, AT + 900, 1, task_id, 2
    )
    desk.store.tasks.update(task_id, account=ACCOUNT)
    closes = AccountRefusal(ACCOUNT, lambda _: hold, waits=True)
    again(desk, task_id, PauseReason.CREDITS, closes=closes)
    [result] = ask(desk, ("get_status", {}))
    [shown] = valid("get_status", result)["holds"]
    assert shown == {
        "account": SHOWN, "provider": "anthropic", "reason": "credits", "message": '"too low"',
        "since": "2026-11-23T11:59:00Z", "until": "2026-11-23T12:15:00Z", "waiting": 1, "probe": 1,
    }  # fmt: skip
    assert (
        f'Account {SHOWN} is closed (credits) until 2026-11-23 12:15Z: "too low"; '
        "waiting tasks: 1; task 1 tries it now"
    ) in text(result)


def test_a_workflow_is_listed_with_its_loops(desk: ServerHarness) -> None:
    (desk.home / "workflows" / "loops.yaml").write_text(LOOPS)
    [result] = ask(desk, ("list_workflows", {}))
    [loops] = [w for w in valid("list_workflows", result)["workflows"] if w["name"] == "loops"]
    assert loops["steps"] == [
        "plan",
        "fix (loop, at most 5: test, mend (loop, at most 2: edit))",
        "both (parallel, 2 at a time: docs, log)",
    ]


LOOPS = """\
version: "1.0"
name: loops
steps:
  - {id: plan, type: agent, prompt: p}
  - id: fix
    type: loop
    max_iterations: 5
    until: steps.test.outputs.success == true
    steps:
      - {id: test, type: command, command: "true"}
      - id: mend
        type: loop
        max_iterations: 2
        steps: [{id: edit, type: agent, prompt: p}]
  - id: both
    type: parallel
    steps: [{id: docs, type: agent, prompt: p}, {id: log, type: agent, prompt: p}]
"""


def test_the_windows_of_an_account_are_shown(desk: ServerHarness) -> None:
    """D10: in a pause as they were when it began, and in get_status as they are."""
    seen = [
        Window("5-hour window", WindowState.CLOSED, 1.0, NOW + timedelta(hours=2)),
        Window("7-day window", WindowState.OPEN, 0.834, NOW + timedelta(days=3)),
    ]
    desk.store.windows.record(ACCOUNT, seen, AT)
    words = in_words(desk.store.windows.of(ACCOUNT, AT), AT)
    assert words == "the 5-hour window is 100 % used, opens 14:00Z; the 7-day window was at 83 %"
    told = pause(PauseReason.USAGE_WINDOW).model_copy(update={"windows": words})
    task_id = paused(desk, PauseReason.USAGE_WINDOW, pause=told)
    [result] = ask(desk, ("inspect", {"task": task_id}))
    assert valid("inspect", result)["task"]["pause"]["windows"] == words
    assert f"T{words[1:]}." in text(result)
    [event] = desk.store.events.of_kinds(task_id, [Event.PAUSE])
    row = desk.store.tasks.get(task_id)
    assert row is not None
    assert f"T{words[1:]}." in event_view(event, row).summary
    [result] = ask(desk, ("get_status", {}))
    shown = valid("get_status", result)["windows"]
    assert shown == [
        {"account": SHOWN, "window": "5-hour window", "state": "used up", "used_percent": 100.0,
         "opens_at": "2026-11-23T14:00:00Z", "told_at": "2026-11-23T12:00:00Z"},
        {"account": SHOWN, "window": "7-day window", "state": "open", "used_percent": 83.4,
         "opens_at": "2026-11-26T12:00:00Z", "told_at": "2026-11-23T12:00:00Z"},
    ]  # fmt: skip
    assert (
        f"Account {SHOWN}: the 5-hour window is used up (100 % used); it reopens at "
        "2026-11-23 14:00Z."
    ) in text(result)


def test_whoever_watches_a_task_hears_that_a_window_is_nearly_used_up(desk: ServerHarness) -> None:
    """As long as it runs on that account, in the same words."""
    made = valid("create_task", ask(desk, ("create_task", {"description": "x"}))[0])["task"]["id"]
    desk.store.claims.start(made, 1, f"attempt-{made}-1")
    desk.store.tasks.update(made, account=ACCOUNT)
    nearly = Window("5-hour window", WindowState.NEARLY, 0.92, NOW + timedelta(hours=2))
    desk.store.windows.record(ACCOUNT, [nearly], AT)
    desk.store.windows.record("another", [nearly], AT)
    warning = f"the 5-hour window of {SHOWN} is nearly used up; it reopens at 2026-11-23 14:00Z"
    assert inspect(desk, made)["warnings"] == [warning]
    nearly = replace(nearly, used=0.95)
    desk.store.windows.record(ACCOUNT, [nearly], AT + 60)
    assert inspect(desk, made)["warnings"] == [warning]
    again(desk, made, PauseReason.CREDITS)
    assert "warnings" not in inspect(desk, made)
