"""Accounts, models and agents that take over from each other."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent_runner.models import Grounds, Pause, PauseReason
from rover_mcp.control.accounts import Use, Wait
from rover_mcp.control.needed_models import uses_model
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.store.records import HoldRow
from tests.support.attempts_site import ControlHarness, Run
from tests.support.samples import TASK, pause, task_row

S = TaskStatus
WORK, HOME = "anthropic:work", "anthropic:home"


@pytest.fixture
def site(site: ControlHarness) -> ControlHarness:
    """Its user has named two accounts."""
    site.door.label, site.door.more = WORK, (HOME,)
    return site


def window(seconds: float, model: str | None = None) -> Pause:
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    grounds = {"grounds": Grounds.PROVIDER, "retry_grounds": Grounds.PROVIDER}
    return pause(PauseReason.USAGE_WINDOW, retry_at=at, model=model, **grounds)


def hold(site: ControlHarness, key: str) -> HoldRow:
    found = site.store.holds.get(key)
    assert found is not None
    return found


def goes_on_with(site: ControlHarness, attempt: int, account: str) -> None:
    row = site.attempt(attempt)
    assert row.state == "scheduled"
    assert site.claim(attempt)
    assert site.task().account == account


def refused_again(site: ControlHarness, attempt: int, told: Pause) -> None:
    assert site.attempts.launch.bring_up(TASK, attempt)
    site.record(Run.resume(attempt), Run.start("plan"), Run.pause(told))
    site.settle(2, attempt)


def test_the_next_account_takes_over_at_once(site: ControlHarness) -> None:
    """Q6: by the name that its user gave, and the first is held until its time."""
    task = site.paused(window(3600))
    assert task.pause is not None
    assert task.pause.account == WORK
    assert task.retry_at is not None
    assert task.retry_at <= time.time()
    goes_on_with(site, 2, HOME)
    assert hold(site, WORK).until == pytest.approx(time.time() + 3600, abs=60)


def test_where_all_are_closed_the_one_that_opens_first_is_waited_for(site: ControlHarness) -> None:
    """Q7: not the one that was refused last."""
    site.paused(window(600))
    goes_on_with(site, 2, HOME)
    refused_again(site, 2, window(3600))
    task = site.task()
    assert site.attempt(3).state == "held"
    assert (task.account, task.retry_at) == (WORK, hold(site, WORK).until)
    with site.store.database.engine.begin() as connection:
        past = (time.time() - 1, WORK)
        connection.exec_driver_sql("UPDATE rover_holds SET until = ? WHERE account = ?", past)
    [row] = site.attempts.waiting.release_due()
    assert (row.task_id, row.attempt) == (TASK, 3)
    assert site.claim(3)
    assert site.task().account == WORK
    assert hold(site, WORK).probe_attempt == 3


def test_a_models_limit_is_left_to_the_next_account(site: ControlHarness) -> None:
    """Q6."""
    site.paused(window(3600, "opus"))
    assert [h.account for h in site.store.holds.all()] == [f"{WORK}#opus"]
    goes_on_with(site, 2, HOME)


def test_a_takeover_that_cannot_start_keeps_the_schedule(
    site: ControlHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Q7: the task waits for its own account as it did, and no retry is used up."""
    before = site.paused(window(3600))
    site.refuse(monkeypatch)
    goes_on_with(site, 2, HOME)
    assert not site.attempts.launch.bring_up(TASK, 2)
    after = site.task()
    assert (after.status, after.agent, after.account) == (S.PAUSED, "claude", WORK)
    assert after.auto_retries == before.auto_retries
    assert site.attempt(3).state == "held"
    assert after.retry_at == hold(site, WORK).until


def test_another_model_goes_on_at_once_and_the_first_stays_held(site: ControlHarness) -> None:
    """Q6, Q7: it is asked first whether it could, and then it does, without a probe."""
    site.door.more = ()
    task = site.paused(window(3600, "opus"), model="opus")
    assert isinstance(site.attempts.launch.takes_over(task, "claude"), Wait)
    assert isinstance(site.attempts.launch.takes_over(task, "claude", "claude-opus-5"), Wait)
    assert site.attempts.launch.takes_over(task, "claude", "sonnet") == Use(
        "claude", WORK, (WORK, f"{WORK}#sonnet")
    )
    won = site.store.transitions.resume(TASK, "person", model="sonnet", agents=None)
    assert won is not None
    assert site.claim(won[1].attempt)
    assert (site.task().model, site.task().account) == ("sonnet", WORK)
    held = hold(site, f"{WORK}#opus")
    assert (held.probe_task, held.until) == (None, pytest.approx(time.time() + 3600, abs=60))


def test_another_model_that_cannot_start_keeps_the_schedule(
    site: ControlHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Q7."""
    site.door.more = ()
    before = site.paused(window(3600, "opus"), model="opus")
    won = site.store.transitions.resume(TASK, "person", model="sonnet", agents=None)
    assert won is not None
    site.refuse(monkeypatch)
    assert site.claim(won[1].attempt)
    assert not site.attempts.launch.bring_up(TASK, won[1].attempt)
    after = site.task()
    assert (after.status, after.model, after.account) == (S.PAUSED, "opus", before.account)
    assert after.auto_retries == before.auto_retries
    assert after.retry_at == hold(site, f"{WORK}#opus").until
    assert site.attempt(won[1].attempt + 1).state == "held"


NAMED = """\
version: "1.0"
name: named
description: a step with a model of its own
steps:
  - {id: plan, type: agent, name: Plan, prompt: Plan, model: opus}
  - {id: build, type: agent, name: Build, prompt: Build}
  - {id: look, type: agent, name: Look, prompt: Look, tool: codex}
"""


@pytest.mark.parametrize(
    ("step", "taken"), [("plan", False), ("build", True), ("look", False), (None, True)]
)
def test_a_model_is_proposed_only_where_the_step_takes_it(
    tmp_path: Path, step: str | None, *, taken: bool
) -> None:
    """Q7: a step's own model, or another agent's step, would not change."""
    task = replace(task_row(), pause=pause(step=step))
    folder = TaskFolders(tmp_path, task.id, task.iteration).input
    folder.mkdir(parents=True)
    (folder / "workflow.yaml").write_text(NAMED)
    assert uses_model(tmp_path, task, "claude", "sonnet") is taken


def test_another_agent_that_cannot_start_is_not_the_tasks_agent(
    site: ControlHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Q7: resume_task named it."""
    site.door.more = ()
    before = site.paused(window(3600), model="sonnet")
    assert site.attempt(2).state == "held"
    won = site.store.transitions.resume(
        TASK, "person", agent="codex", agents=["codex", "claude"], model=None
    )
    assert won is not None
    site.door.label = "openai-1"
    site.refuse(monkeypatch)
    assert site.claim(won[1].attempt)
    assert not site.attempts.launch.bring_up(TASK, won[1].attempt)
    after = site.task()
    assert (after.status, after.agent, after.agents) == (S.PAUSED, "claude", before.agents)
    assert (after.model, after.account) == ("sonnet", WORK)
    assert after.retry_at == hold(site, WORK).until
    assert site.attempt(3).state == "held"
