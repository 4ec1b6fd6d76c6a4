"""The one form of a paused task: its choices work, and an answer means what it says."""

from __future__ import annotations

from typing import Any

import pytest

from agent_runner.models import Budget, PauseReason
from rover_mcp.domain.errors import UserFixable
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.server.elicitation import Decision, decision, needs_person, pause_form, pause_message
from rover_mcp.tasks.pause_view import Policy
from rover_mcp.tasks.task_view import task_view
from rover_mcp.tasks.view_models import TaskView
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


def test_a_closed_account_offers_now_other_agents_to_wait_and_the_end() -> None:
    assert choices(paused(agent="claude")) == ["now", "with_codex", "wait", "cancel"]


@pytest.mark.parametrize("reason", list(PauseReason))
def test_each_choice_fits_into_a_dialog_and_the_message_says_what_helps(
    reason: PauseReason,
) -> None:
    """14-1: Claude Code's dialog cuts a choice after 47 characters."""
    view = paused(reason, agent="claude", budget=Budget(usd=2.0))
    params = pause_form(view)["params"]
    titles = [c["title"] for c in params["requestedSchema"]["properties"]["choice"]["oneOf"]]
    assert [title for title in titles if len(title) > 47] == []
    assert f"What helps: {view.next_actions[0].why}" in params["message"]


def test_another_model_is_a_choice_where_only_one_is_closed() -> None:
    closed = pause(PauseReason.USAGE_WINDOW, model="opus")
    row = task_row(
        status=TaskStatus.PAUSED, pause=closed, paused_at=AT, run_state=run_state(), agent="claude"
    )
    policy = Policy(agents=("claude", "codex"), models=("Sonnet",))
    view = task_view(row, None, None, AT, policy)
    assert choices(view) == ["now", "on_Sonnet", "with_codex", "wait", "cancel"]
    schema = pause_form(view)["params"]["requestedSchema"]["properties"]["choice"]
    assert schema["oneOf"][1]["title"] == "Resume now with Sonnet"
    assert decision(view, accept(choice="on_Sonnet")) == Decision("resume", model="Sonnet")


@pytest.mark.parametrize(
    ("reason", "preselected"),
    [
        (PauseReason.CREDITS, "wait"), (PauseReason.USAGE_WINDOW, "wait"),
        (PauseReason.AUTH, "wait"), (PauseReason.BUDGET, "now"), (PauseReason.TRANSIENT, "now"),
    ],
)  # fmt: skip
def test_to_wait_is_preselected_where_going_on_would_only_pause_again(
    reason: PauseReason, preselected: str
) -> None:
    form = pause_form(paused(reason, budget=Budget(usd=2.0)))
    assert form["params"]["requestedSchema"]["properties"]["choice"]["default"] == preselected


@pytest.mark.parametrize(
    ("reason", "changes", "needed"),
    [
        (PauseReason.CREDITS, {"retry_at": AT + 900}, False),
        (PauseReason.CREDITS, {"retry_at": AT + 900, "auto_resume": False}, True),
        (PauseReason.CREDITS, {"auto_retries": 5}, True),
        (PauseReason.AUTH, {}, True),
        (PauseReason.BUDGET, {}, True),
        (PauseReason.NEEDS_LOOK, {}, True),
        (PauseReason.REQUESTED, {}, False),
    ],
)
def test_a_person_is_asked_only_where_nothing_else_helps(
    reason: PauseReason, changes: dict[str, Any], *, needed: bool
) -> None:
    """A client that shows a question stops to look at the task, and never hears that it resumed
    automatically."""
    assert needs_person(paused(reason, **changes)) is needed


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
        ("wait", Decision("leave")),
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
    assert "It resumes automatically at 20" in pause_message(paused(retry_at=AT + 900))
    assert "It waits: " in pause_message(paused(retry_at=None))


def test_a_result_that_waits_for_review_is_not_accepted_by_default() -> None:
    view = paused(PauseReason.NEEDS_LOOK)
    choice = pause_form(view)["params"]["requestedSchema"]["properties"]["choice"]
    assert "default" not in choice
    assert choice["oneOf"][0]["title"].startswith("Accept: deliver the work as it is")
    assert choices(view) == ["now", "wait", "cancel"]
    assert decision(view, accept(choice="now")) == Decision("resume", accept=True)
