"""Tasks that wait for a credential, missing or another than the refused one."""

from __future__ import annotations

import time

import pytest

from agent_runner.models import PauseReason
from rover_mcp.control.control_ports import LoginExpiry
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.tasks.pause_view import MOST_REFUSED
from tests.support.attempts_site import ControlHarness, Run
from tests.support.samples import TASK, pause

S = TaskStatus
R = PauseReason
MISSING = "no credential for anthropic: set it"


def refused(site: ControlHarness, *digests: str) -> None:
    """A task whose first attempt was refused for these credentials; there is no other one."""
    site.started()
    site.door.refused, site.door.missing = list(digests), MISSING
    site.record(Run.begin(1), Run.start("plan"), Run.pause(pause(R.AUTH)))
    site.settle(2)


def test_a_due_task_waits_for_its_credential(
    site: ControlHarness,
) -> None:
    """Q4, Q5, K4: what it was paused for is over; waiting uses up no retry."""
    site.paused(pause(R.CREDITS))
    site.due()
    site.door.missing = MISSING
    assert not site.claim(2)
    task = site.task()
    assert task.pause is not None
    assert (task.pause.reason, task.pause.message) == (R.AUTH, MISSING)
    assert (task.status, task.retry_at) == (S.PAUSED, None)
    assert site.attempt(2).state == "awaiting"
    assert site.kinds("task.paused") == ["task.paused"] * 2
    for _ in range(3):
        assert site.attempts.waiting.release_signed_in() == []
    site.restart()
    site.door.missing = None
    site.door.label = "anthropic-1"
    [found] = site.attempts.waiting.release_signed_in()
    assert (found.attempt, found.state) == (2, "released")
    assert site.attempts.waiting.release_signed_in() == []
    assert site.claim(2)
    assert (site.task().status, site.task().auto_retries) == (S.IN_PROGRESS, 1)


def test_a_credential_that_comes_and_goes_is_told_once(site: ControlHarness) -> None:
    """D10: no news each time."""
    site.create()
    site.door.label = "anthropic-1"
    for _ in range(3):
        site.door.missing = MISSING
        assert not site.claim(1)
        site.door.missing = None
        assert len(site.attempts.waiting.release_signed_in()) == 1
    assert site.kinds("task.paused") == ["task.paused"]
    assert site.claim(1)


def test_a_refused_credential_is_recorded_and_the_task_waits_for_another(
    site: ControlHarness,
) -> None:
    """Q5, D9: over a restart of the daemon too; an answer afterwards forgets it."""
    site.door.label = "anthropic-1"
    refused(site, "d1")
    assert site.task().refused_keys == ["d1"]
    assert site.attempt(2).state == "awaiting"
    assert site.task().retry_at is None
    assert site.attempts.waiting.release_signed_in() == []
    site.restart()
    site.door.missing = None
    assert len(site.attempts.waiting.release_signed_in()) == 1
    assert site.claim(2)
    assert site.task().refused_keys == ["d1"], "the right one has not answered yet"


def test_after_many_refusals_a_task_waits_for_a_person(site: ControlHarness) -> None:
    """Q5: a command that prints a new token each time ends nobody's patience."""
    refused(site, *(f"d{n}" for n in range(MOST_REFUSED)))
    assert site.store.attempts.in_states(("awaiting",)) == []
    assert site.task().status is S.PAUSED
    assert site.store.transitions.resume(TASK, "client-2")
    assert site.task().refused_keys is None


@pytest.mark.parametrize("how", ["the task", "its project", "config"])
def test_where_automatic_resumes_are_off_a_task_waits_for_a_person(
    site: ControlHarness, how: str
) -> None:
    """K7."""
    site.create()
    if how == "config":
        site.restart(auto_resume=False)
    elif how == "the task":
        site.store.switches.set_for_task(TASK, enabled=False)
    else:
        site.store.switches.set_for_project("p1", enabled=False)
    site.door.missing = MISSING
    assert not site.claim(1)
    assert site.task().status is S.PAUSED
    assert site.attempt(1).state == "ended"
    site.door.missing = None
    assert site.attempts.waiting.release_signed_in() == []


def test_switching_automatic_resumes_off_and_on_ends_and_begins_the_wait(
    site: ControlHarness,
) -> None:
    """K7."""
    site.create()
    site.door.missing = MISSING
    assert not site.claim(1)
    assert site.store.switches.set_for_task(TASK, enabled=False) == 1
    site.door.label, site.door.missing = "anthropic-1", None
    assert site.attempts.waiting.release_signed_in() == []
    site.store.switches.set_for_task(TASK, enabled=True)
    made = site.attempts.waiting.schedule(site.task())
    assert made is not None
    assert made.state == "awaiting"
    assert len(site.attempts.waiting.release_signed_in()) == 1


def test_an_agent_that_needs_no_credential_is_not_started_again(site: ControlHarness) -> None:
    """D9: what it calls an error of its login is none that anybody watches."""
    site.create(agent="scripted")
    assert site.claim(1)
    assert site.attempts.launch.bring_up(TASK, 1)
    site.record(Run.begin(1), Run.start("plan"), Run.pause(pause(R.AUTH)))
    site.settle(2)
    assert site.store.attempts.in_states(("awaiting",)) == []


def test_a_task_that_an_earlier_version_paused_is_watched_too(site: ControlHarness) -> None:
    """Q5: for each task once."""
    site.create()
    site.door.missing = MISSING
    assert not site.claim(1)
    site.store.attempts.move(TASK, 1, ("awaiting",), state="ended")
    for _ in range(2):
        site.attempts.waiting.await_credentials()
    assert [a.attempt for a in site.store.attempts.in_states(("awaiting",))] == [2]
    site.door.label, site.door.missing = "anthropic-1", None
    assert len(site.attempts.waiting.release_signed_in()) == 1


def test_a_person_resumes_a_task_that_waits_for_its_credential(site: ControlHarness) -> None:
    """J1: one attempt, which is theirs."""
    refused(site, "d1")
    assert site.store.transitions.resume(TASK, "client-2")
    assert site.attempts.waiting.release_signed_in() == []
    site.door.missing = None
    assert site.claim(2)
    assert site.task().refused_keys is None


def test_a_login_that_expires_before_a_resume_is_reported_once(
    site: ControlHarness,
) -> None:
    """Q5: as news, with what to do; one that lasts longer is not."""
    site.paused(pause(R.CREDITS))
    at = site.task().retry_at
    assert at is not None
    site.door.expires = LoginExpiry("claude", at + 1, "run it", "no token")
    site.attempts.waiting.warn_of_log_ins()
    assert site.task().warnings == []
    for earlier in (60, 120):
        site.door.expires = LoginExpiry("claude", at - earlier, "run it", "no token")
        site.attempts.waiting.warn_of_log_ins()
    [told] = site.task().warnings
    assert told.startswith("the login of claude expires at ")
    assert told.endswith("run it")
    [event] = [e for e in site.store.events.after(0, task_id=TASK) if e.kind == "task.warning"]
    assert event.notable


@pytest.mark.parametrize(
    ("hours", "obstacle", "told"), [(5, "no token", 1), (9, "no token", 0), (5, None, 0)]
)
def test_a_login_that_only_a_person_renews_is_reported_hours_before(
    site: ControlHarness, hours: float, obstacle: str | None, told: int
) -> None:
    """Q5: and not of one that its program renews."""
    site.started()
    site.door.expires = LoginExpiry("claude", time.time() + hours * 3600, "run it", obstacle)
    for _ in range(2):
        site.attempts.waiting.warn_of_log_ins()
    assert len(site.task().warnings) == told
