"""Scenarios of what stands still: paused, failed, refused, cancelled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.scenarios.stage import (
    CANCELLED,
    COMPLETED,
    FAILED,
    PAUSED,
    ScenarioRepository,
    scenario,
)
from tests.support.fake_anthropic import text, write
from tests.support.models.turns import held
from tests.support.repos import FIXED, git
from tests.support.scripts import CREDITS, fix_after_credits, script
from tests.support.timers import its_time_comes

FIX = {"path": "calc.py", "content": FIXED}
DONE = {"say": "done", "outputs": {"summary": "add adds"}, "edits": [FIX]}
PLAN = {"outputs": {"plan": "fix add"}, "edits": [{"path": "PLAN.md", "content": "fix add\n"}]}


def credits_then_done() -> str:
    return script(implement=[{"error": CREDITS}, DONE])


@scenario("I left a task running last night. Is it done? ... I have topped up; let it go on.")
def paused_overnight(stage: ScenarioRepository) -> None:
    stage.earlier(PAUSED, workflow="demo", script=fix_after_credits())
    with stage.assistant() as assistant:
        listed = assistant.call("list_tasks", repo_path=stage.here)
        (told,) = listed["attention"]
        assert (told["event"], told["reason"]) == ("task.paused", "credits")
        assert "add credits" in told["summary"]
        assert assistant.follow(told["resume"])["result"] == "resumed"
        done = assistant.call("wait_for_task", task="1")["task"]
        assert done["status"] == COMPLETED
        patch = assistant.call("get_diff", task="1")["patch"]
        assert "+    return a + b" in patch
    assert git(stage.repository, "show", f"{done['branch']}:calc.py") == FIXED.strip()


@scenario("Why does it stand still, and what has to be paid? Do not let it try again by itself.")
def balance_empty(stage: ScenarioRepository) -> None:
    stage.earlier(PAUSED, script=credits_then_done())
    with stage.assistant() as assistant:
        task = assistant.call("inspect", task="1")["task"]
        pause = task["pause"]
        assert (pause["reason"], pause["provider"]) == ("credits", "anthropic")
        assert "credit balance is too low" in pause["message"]
        assert pause["auto_resume"] is True
        assert datetime.fromisoformat(pause["retry_at"]) > datetime.now(UTC)
        off = next(a for a in task["next_actions"] if a["tool"] == "set_auto_resume")
        assert assistant.follow(off)["changed"] == 1
    left = stage.until(task["id"], PAUSED)["pause"]
    assert left["auto_resume"] is False
    assert "switched off" in left["waits_because"]


@scenario("Let Claude go on with the task that ran out of credits.")
def another_agent_continues(stage: ScenarioRepository) -> None:
    stage.provider.session("other").push(write("claude.txt", "by claude\n"))
    what = "Fix add [session:other]"
    stage.earlier(PAUSED, description=what, script=credits_then_done())
    with stage.assistant(ANTHROPIC_API_KEY="sk-ant-api03-good") as assistant:
        actions = assistant.call("inspect", task="1")["task"]["next_actions"]
        other = next(a for a in actions if a["arguments"].get("agent") == "claude")
        assert assistant.follow(other)["result"] == "resumed"
        done = assistant.call("wait_for_task", task="1")["task"]
    assert (done["status"], done["agent"]) == (COMPLETED, "claude")
    assert git(stage.repository, "show", f"{done['branch']}:claude.txt") == "by claude"


@scenario("It says something about a key. ... I have set the key now; try again.")
def bad_key(stage: ScenarioRepository) -> None:
    # It is not done before the assistant has asked for it, too.
    session = stage.provider.session("key")
    session.push(held(text("Done.")))
    stage.earlier(PAUSED, agent="claude", description="Fix add [session:key]")
    with stage.assistant() as assistant:
        pause = assistant.call("inspect", task="1")["task"]["pause"]
        assert pause["reason"] == "auth"
        assert "ANTHROPIC_API_KEY" in pause["message"]
        assert "a credential for anthropic has to be there first" in pause["waits_because"]
    with stage.assistant(ANTHROPIC_API_KEY="sk-ant-api03-good") as assistant:
        # It may have resumed automatically already.
        assert assistant.call("resume_task", task="1")["result"] in ("resumed", "already_resuming")
        session.go_on()
        assert assistant.call("wait_for_task", task="1")["task"]["status"] == COMPLETED


@scenario("My usage window is used up. When does it go on? Leave it to that. ... And now?")
def usage_window_closed(stage: ScenarioRepository) -> None:
    reset = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    closed = {"message": "You've hit your limit", "status": 429, "reset_at": reset.isoformat()}
    made = stage.earlier(PAUSED, script=script(implement=[{"error": closed}, DONE]))
    with stage.assistant() as assistant:
        told = assistant.call("resume_task", task="1", when="at_reset")
        assert told["result"] == "scheduled"
        pause = told["task"]["pause"]
        assert pause["reason"] == "usage_window"
        assert datetime.fromisoformat(pause["retry_at"]) >= reset
        its_time_comes(stage.home, made["id"])
        stage.until(made["id"], COMPLETED)
        listed = assistant.call("list_tasks", repo_path=stage.here)
        assert [e["event"] for e in listed["attention"]] == ["task.completed"]


@scenario("It has spent what I allowed. Give it as much again.")
def budget_raised(stage: ScenarioRepository) -> None:
    spends = {**PLAN, "usage": {"input_tokens": 150, "output_tokens": 10}}
    text = script(plan=[spends], implement=[DONE])
    stage.earlier(PAUSED, workflow="demo", script=text, budget_tokens=100)
    with stage.assistant() as assistant:
        task = assistant.call("inspect", task="1")["task"]
        assert task["pause"]["reason"] == "budget"
        assert task["budget"] == {"tokens": 100, "spent_tokens": 160}
        more = task["next_actions"][0]
        assert more["arguments"]["budget_tokens"] > 160
        assert assistant.follow(more)["result"] == "resumed"
        done = assistant.call("wait_for_task", task="1")["task"]
    assert done["status"] == COMPLETED
    assert done["steps"][0]["status"] == "completed"


@scenario("Stop task 1 for now; I need the machine. ... Go on with it.")
def pause_a_running_one_now(stage: ScenarioRepository) -> None:
    # It is stopped long before, however slow the machine is.
    slow = script(plan=[PLAN], implement=[{**DONE, "delay": 600}, DONE])
    stage.earlier("Implement", workflow="demo", script=slow)
    with stage.assistant() as assistant:
        assistant.call("pause_task", task="1")
        paused = assistant.call("wait_for_task", task="1")
        assert paused["returned"] == "paused"
        assert paused["task"]["pause"]["reason"] == "requested"
        assert paused["task"]["pause"]["auto_resume"] is False
        assert assistant.call("resume_task", task="1")["has_checkpoint"] is True
        assert assistant.call("wait_for_task", task="1")["task"]["status"] == COMPLETED


@scenario("Stop task 1 for good, but keep what it did.")
def cancel_and_keep_the_work(stage: ScenarioRepository) -> None:
    slow = script(plan=[PLAN], implement=[{"delay": 600}])
    task = stage.earlier("Implement", workflow="demo", script=slow)
    with stage.assistant() as assistant:
        cancelled = assistant.call("cancel_task", task="1")["task"]
        assert cancelled["status"] == CANCELLED
        diff = assistant.follow(cancelled["next_actions"][0])
        assert [f["path"] for f in diff["changes"]["paths"]] == ["PLAN.md"]
    assert stage.until(task["id"], CANCELLED)["phase"] == "cancelled"


@scenario("Task 1 failed. Why? ... That is corrected; do it all over.")
def failed_and_restarted(stage: ScenarioRepository) -> None:
    wrong = {"message": "messages: at least one is required", "status": 400,
             "type": "invalid_request_error"}  # fmt: skip
    stage.earlier(FAILED, script=script(implement=[{"error": wrong}, DONE]))
    with stage.assistant() as assistant:
        assert wrong["message"] in assistant.call("inspect", task="1")["task"]["error"]
        assistant.call("restart_task", task="1")
        done = assistant.call("wait_for_task", task="1")["task"]
    assert done["status"] == COMPLETED
    assert git(stage.repository, "show", f"{done['branch']}:calc.py") == FIXED.strip()


@scenario("Show me what the tests said that failed.")
def logs_of_the_failing_step(stage: ScenarioRepository) -> None:
    wrong: dict[str, Any] = {**DONE, "edits": [{"path": "notes.txt", "content": "no fix\n"}]}
    stage.earlier(FAILED, workflow="demo", script=script(plan=[PLAN], implement=[wrong]))
    with stage.assistant() as assistant:
        task = assistant.call("inspect", task="1")["task"]
        assert "Test" in task["phase"]
        log = assistant.follow(task["next_actions"][0])
        assert (log["step"], log["untrusted"]) == ("test", True)
        assert "AssertionError" in log["text"]
