"""An attempt's claim: who gets it, and when nobody does."""

from __future__ import annotations

import pytest

from agent_runner.models import PauseReason
from rover_mcp.domain.task_status import Event, TaskStatus
from tests.support.attempts_site import ENDINGS, ControlHarness
from tests.support.samples import TASK, pause

S = TaskStatus
R = PauseReason


def test_an_attempt_is_claimed_once_and_again_after_a_crash(site: ControlHarness) -> None:
    """K6, J1: the repetition of the same workflow has it still; no other workflow gets it."""
    site.create()
    assert site.claim(1)
    assert not site.attempts.launch.claim(TASK, 1, "another-workflow")
    site.restart()
    assert site.claim(1)
    assert site.task().status is S.IN_PROGRESS
    assert site.kinds() == ["task.created", "task.started"]


@pytest.mark.parametrize("when", ["queued", "starting"])
def test_a_task_that_was_cancelled_is_not_claimed(site: ControlHarness, when: str) -> None:
    """K6: also where a crash came between the claim and its record."""
    site.create()
    assert when == "queued" or site.claim(1)
    site.store.transitions.apply(TASK, Event.CANCEL)
    site.restart()
    assert not site.claim(1)
    assert site.task().status is S.CANCELLED
    assert not site.store.attempts.in_states(["queued", "starting", "running"])
    assert site.world.starts == []


def test_a_task_that_was_paused_before_its_turn_is_not_claimed(site: ControlHarness) -> None:
    """K6."""
    site.create()
    site.store.transitions.apply(TASK, Event.PAUSE, unstarted=True, pause=pause(R.REQUESTED))
    assert not site.claim(1)
    assert site.task().status is S.PAUSED


def test_a_timer_finds_a_task_that_was_resumed_otherwise(site: ControlHarness) -> None:
    """K6: the attempt goes to whoever resumed it; the timer's workflow does nothing."""
    site.paused(pause())
    timer = site.attempt(2).workflow_id
    assert site.store.transitions.resume(TASK, "client-2")
    assert not site.attempts.launch.claim(TASK, 2, timer)
    assert site.claim(2)
    assert not site.attempts.launch.claim(TASK, 2, timer)
    assert site.task().auto_retries == 0


def test_a_timer_finds_a_schedule_that_was_dropped(site: ControlHarness) -> None:
    """K6, K7."""
    site.paused(pause())
    site.store.attempts.drop_schedule(TASK)
    assert not site.claim(2)
    assert site.task().status is S.PAUSED


def test_a_missing_credential_pauses_without_a_sandbox_and_uses_up_nothing(
    site: ControlHarness,
) -> None:
    """D9, Q5."""
    site.create()
    site.door.missing = "no credential for anthropic: set it"
    assert not site.claim(1)
    task = site.task()
    assert task.status is S.PAUSED
    assert task.pause is not None
    assert task.pause.reason is R.AUTH
    assert task.pause.provider == "anthropic"
    assert "set it" in task.pause.message
    assert (task.retry_at, task.auto_retries, task.started_at) == (None, 0, None)
    assert site.attempts.finish.scheduled(TASK) is None
    assert site.attempt(1).state == "awaiting"
    assert site.world.starts == site.world.prepared == site.door.opened == []


def test_a_claim_without_credential_ends_the_same_after_a_crash(site: ControlHarness) -> None:
    """D9, L8: a crash leaves no task that runs by the record with an attempt that has ended."""
    site.create()
    site.door.missing = "no credential"
    for _ in range(2):
        assert not site.claim(1)
        site.restart()
    assert site.task().status is S.PAUSED
    assert site.attempt(1).state == "awaiting"
    assert site.kinds(*ENDINGS) == ["task.paused"]
