"""Automatic retries: how they are counted, and given up."""

from __future__ import annotations

import time

import pytest

from rover_mcp.errors import EnvironmentFault
from rover_mcp.settings import RetrySettings
from rover_mcp.tasks.models import TaskStatus
from tests.support.attempts_site import Record, Run, Site, unreachable
from tests.support.samples import TASK, pause

S = TaskStatus


# Retries


def resumed_by_itself(site: Site, attempt: int, *records: Record) -> None:
    """The attempt is claimed by its timer and paused again by its runner."""
    assert site.claim(attempt)
    assert site.attempts.launch(TASK, attempt)
    site.record(Run.begin(attempt), Run.resume(attempt), *records)
    site.settle(2, attempt)


def test_retries_are_counted_until_there_are_too_many(site: Site) -> None:
    """K3: then it stays PAUSED without a date."""
    site.restart(retry=RetrySettings(max_auto_retries=2, jitter=0))
    site.paused(pause())
    assert site.task().auto_retries == 0
    resumed_by_itself(site, 2, Run.start("plan"), Run.pause(pause()))
    assert site.task().auto_retries == 1
    assert site.task().retry_at == pytest.approx(time.time() + 1800, abs=30)
    resumed_by_itself(site, 3, Run.start("plan"), Run.pause(pause()))
    assert site.task().auto_retries == 2
    assert site.task().status is S.PAUSED
    assert site.task().retry_at is None
    assert site.attempts.scheduled(TASK) is None


def test_progress_starts_the_count_of_retries_anew(site: Site) -> None:
    """K4."""
    site.paused(pause())
    resumed_by_itself(site, 2, Run.start("plan"), Run.pause(pause()))
    resumed_by_itself(
        site, 3, Run.start("plan"), Run.done("plan"), Run.start("code"), Run.pause(pause())
    )
    assert site.task().auto_retries == 0
    assert site.task().retry_at == pytest.approx(time.time() + 900, abs=30)


def test_another_provider_starts_the_count_of_retries_anew(site: Site) -> None:
    """K4, H3."""
    site.paused(pause())
    resumed_by_itself(site, 2, Run.start("plan"), Run.pause(pause(provider="other")))
    assert site.task().auto_retries == 0


def test_a_manual_resume_starts_the_count_of_retries_anew(site: Site) -> None:
    """K4."""
    site.paused(pause())
    resumed_by_itself(site, 2, Run.start("plan"), Run.pause(pause()))
    site.store.resume(TASK, None)
    assert site.task().auto_retries == 0


# Giving up


def test_a_running_attempt_that_is_given_up_fails_with_a_hint_and_ends_its_sandbox(
    site: Site,
) -> None:
    """L8: nothing is left that a resume would meet on the work tree."""
    site.started()
    site.attempts.give_up(TASK, 1, EnvironmentFault("twice", hint="resume it"))
    assert site.task().status is S.FAILED
    assert site.task().error == "twice; resume it"
    assert site.attempt(1).state == "ended"
    assert site.world.sandboxes == site.door.served == {}


def test_a_scheduled_attempt_that_is_given_up_leaves_the_pause_without_a_date(site: Site) -> None:
    """K1: a time that nothing keeps is not promised."""
    site.paused(pause())
    site.attempts.give_up(TASK, 2, unreachable())
    task = site.task()
    assert task.status is S.PAUSED
    assert task.retry_at is None
    assert "does not go on by itself" in task.warnings[0]
    assert site.attempts.scheduled(TASK) is None
