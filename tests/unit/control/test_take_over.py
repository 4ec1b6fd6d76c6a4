"""Accounts, models and agents that take over from each other (ACCEPTANCE Q6, Q7)."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from agent_runner.models import Grounds, Pause, PauseReason
from rover_mcp.store.rows import HoldRow
from rover_mcp.tasks.models import TaskStatus
from tests.support.attempts_site import Run, Site
from tests.support.samples import TASK, pause

S = TaskStatus
WORK, HOME = "anthropic:work", "anthropic:home"


@pytest.fixture
def site(site: Site) -> Site:
    """Its user has named two accounts."""
    site.door.label, site.door.more = WORK, (HOME,)
    return site


def window(seconds: float, model: str | None = None) -> Pause:
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    grounds = {"grounds": Grounds.PROVIDER, "retry_grounds": Grounds.PROVIDER}
    return pause(PauseReason.USAGE_WINDOW, retry_at=at, model=model, **grounds)


def hold(site: Site, key: str) -> HoldRow:
    found = site.store.hold(key)
    assert found is not None
    return found


def goes_on_with(site: Site, attempt: int, account: str) -> None:
    row = site.attempt(attempt)
    assert row.state == "scheduled"
    assert site.claim(attempt)
    assert site.task().account == account


def refused_again(site: Site, attempt: int, told: Pause) -> None:
    assert site.attempts.launch(TASK, attempt)
    site.record(Run.resume(attempt), Run.start("plan"), Run.pause(told))
    site.settle(2, attempt)


def test_the_next_account_takes_over_at_once(site: Site) -> None:
    """Q6: by the name that its user gave, and the first is held until its time."""
    task = site.paused(window(3600))
    assert task.pause is not None
    assert task.pause.account == WORK
    assert task.retry_at is not None
    assert task.retry_at <= time.time()
    goes_on_with(site, 2, HOME)
    assert hold(site, WORK).until == pytest.approx(time.time() + 3600, abs=10)


def test_where_all_are_closed_the_one_that_opens_first_is_waited_for(site: Site) -> None:
    """Q7: not the one that was refused last."""
    site.paused(window(600))
    goes_on_with(site, 2, HOME)
    refused_again(site, 2, window(3600))
    task = site.task()
    assert site.attempt(3).state == "held"
    assert (task.account, task.retry_at) == (WORK, hold(site, WORK).until)
    with site.store._engine.begin() as connection:
        past = (time.time() - 1, WORK)
        connection.exec_driver_sql("UPDATE rover_holds SET until = ? WHERE account = ?", past)
    [row] = site.attempts.tend()
    assert (row.task_id, row.attempt) == (TASK, 3)
    assert site.claim(3)
    assert site.task().account == WORK
    assert hold(site, WORK).probe_attempt == 3


def test_a_models_limit_is_left_to_the_next_account(site: Site) -> None:
    """Q6."""
    site.paused(window(3600, "opus"))
    assert [h.account for h in site.store.holds()] == [f"{WORK}#opus"]
    goes_on_with(site, 2, HOME)


def test_a_take_over_that_cannot_start_changes_nothing_and_keeps_the_schedule(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Q7: the task waits for its own account as it did, and no retry is used up."""
    before = site.paused(window(3600))
    site.refuse(monkeypatch)
    goes_on_with(site, 2, HOME)
    assert not site.attempts.launch(TASK, 2)
    after = site.task()
    assert (after.status, after.agent, after.account) == (S.PAUSED, "claude", WORK)
    assert after.auto_retries == before.auto_retries
    assert site.attempt(3).state == "held"
    assert after.retry_at == hold(site, WORK).until


def test_another_agent_that_cannot_start_is_not_the_tasks_agent(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Q7: resume_task named it."""
    site.door.more = ()
    before = site.paused(window(3600), model="sonnet")
    assert site.attempt(2).state == "held"
    won = site.store.resume(TASK, "person", agent="codex", agents=["codex", "claude"], model=None)
    assert won is not None
    site.door.label = "openai-1"
    site.refuse(monkeypatch)
    assert site.claim(won[1].attempt)
    assert not site.attempts.launch(TASK, won[1].attempt)
    after = site.task()
    assert (after.status, after.agent, after.agents) == (S.PAUSED, "claude", before.agents)
    assert (after.model, after.account) == ("sonnet", WORK)
    assert after.retry_at == hold(site, WORK).until
    assert site.attempt(3).state == "held"
