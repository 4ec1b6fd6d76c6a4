"""The one form of a paused task: its choices work, and an answer means what it says."""

from __future__ import annotations

from typing import Any

import pytest

from agent_runner.models import Budget, PauseReason
from rover_mcp.errors import UserFixable
from rover_mcp.server.pause_form import Decision, decision, pause_form, pause_message
from rover_mcp.tasks.models import TaskStatus, TaskView
from rover_mcp.tasks.pauses import Policy
from rover_mcp.tasks.views import task_view
from tests.support.samples import NOW, pause, run_state, task_row

AT = NOW.timestamp()


def paused(reason: PauseReason = PauseReason.CREDITS, **changes: Any) -> TaskView:
    values = {
        "status": TaskStatus.PAUSED,
        "pause": pause(reason),
        "paused_at": AT - 40,
        "run_state": run_state(),
        **changes,
    }
    return task_view(task_row(**values), None, None, AT, Policy(agents=("claude", "codex")))


def choices(view: TaskView) -> list[str]:
    schema = pause_form(view)["params"]["requestedSchema"]
    return [one["const"] for one in schema["properties"]["choice"]["oneOf"]]


def accept(**content: Any) -> dict[str, Any]:
    return {"action": "accept", "content": content}


def test_a_closed_account_offers_now_the_reset_other_agents_and_the_end() -> None:
    view = paused(retry_at=AT + 900, agent="claude")
    assert choices(view) == ["now", "at_reset", "with_codex", "cancel"]


def test_the_reset_is_offered_only_where_it_goes_on_by_itself() -> None:
    assert "at_reset" not in choices(paused(retry_at=None))
    assert "at_reset" not in choices(paused(retry_at=AT + 900, auto_resume=False))


def test_a_used_up_budget_asks_for_a_larger_one_and_suggests_it() -> None:
    view = paused(PauseReason.BUDGET, budget=Budget(usd=2.0))
    properties = pause_form(view)["params"]["requestedSchema"]["properties"]
    assert properties["budget_usd"]["default"] == 4.0
    assert decision(view, accept(choice="now")) == Decision("resume", budget_usd=4.0)
    larger = decision(view, accept(choice="now", budget_usd=9))
    assert larger == Decision("resume", budget_usd=9.0)


@pytest.mark.parametrize(
    ("choice", "decided"),
    [
        ("now", Decision("resume")),
        ("at_reset", Decision("wait")),
        ("with_codex", Decision("resume", agent="codex")),
        ("cancel", Decision("cancel")),
    ],
)
def test_each_choice_is_carried_out(choice: str, decided: Decision) -> None:
    assert decision(paused(retry_at=AT + 900, agent="claude"), accept(choice=choice)) == decided


@pytest.mark.parametrize("action", ["decline", "cancel"])
def test_a_dismissed_form_leaves_it_paused(action: str) -> None:
    assert decision(paused(), {"action": action}) == Decision("leave")


@pytest.mark.parametrize(
    "response",
    [None, "now", [], {}, {"action": "accept"}, accept(), accept(choice="with_gemini"),
     accept(choice=1), accept(choice="now", budget_usd=-1), {"action": "x"}],
)  # fmt: skip
def test_an_answer_that_does_not_fit_is_refused(response: object) -> None:
    with pytest.raises(UserFixable):
        decision(paused(), response)


def test_the_message_says_why_and_what_comes_next() -> None:
    assert "It goes on by itself at 20" in pause_message(paused(retry_at=AT + 900))
    assert "It waits: " in pause_message(paused(retry_at=None))


def test_a_result_that_waits_for_a_look_is_accepted_by_choice_and_not_by_default() -> None:
    """V1."""
    view = paused(PauseReason.NEEDS_LOOK)
    choice = pause_form(view)["params"]["requestedSchema"]["properties"]["choice"]
    assert "default" not in choice
    assert choice["oneOf"][0]["title"].startswith("Accept: deliver the work as it is")
    assert choices(view) == ["now", "cancel"]
    assert decision(view, accept(choice="now")) == Decision("resume", accept=True)
