"""Automatic retries: how they are counted, and given up."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from agent_runner.journal.journal import RecordType
from agent_runner.models import Pause, PauseReason, Usage
from rover_mcp.config.settings import RetrySettings
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.domain.task_status import TaskStatus
from tests.support.attempts_site import ControlHarness, Record, Run, unreachable
from tests.support.samples import TASK, pause, snapshot

S = TaskStatus
R = PauseReason


# Retries


def closed() -> Pause:
    """A window that opens in an hour."""
    return pause(R.USAGE_WINDOW, retry_at=datetime.now(UTC) + timedelta(hours=1))


def resumed_by_itself(site: ControlHarness, attempt: int, *records: Record) -> None:
    """The attempt is claimed by its timer and paused again by its runner."""
    assert site.claim(attempt)
    assert site.attempts.launch.bring_up(TASK, attempt)
    site.record(Run.begin(attempt), Run.resume(attempt), *records)
    site.settle(2, attempt)


def test_retries_are_counted_until_there_are_too_many(site: ControlHarness) -> None:
    """K3: then it stays PAUSED without a date."""
    broken = pause(R.TRANSIENT)
    site.restart(retry=RetrySettings(max_auto_retries=2, jitter=0))
    site.paused(broken)
    assert site.task().auto_retries == 0
    resumed_by_itself(site, 2, Run.start("plan"), Run.pause(broken))
    assert site.task().auto_retries == 1
    assert site.task().retry_at == pytest.approx(time.time() + 120, abs=30)
    resumed_by_itself(site, 3, Run.start("plan"), Run.pause(broken))
    assert site.task().auto_retries == 2
    assert site.task().status is S.PAUSED
    assert site.task().retry_at is None
    assert site.attempts.finish.scheduled(TASK) is None


def test_tries_do_not_end_where_time_or_money_helps(site: ControlHarness) -> None:
    """Q3, K3: at the longest wait."""
    site.restart(retry=RetrySettings(max_auto_retries=2, jitter=0))
    site.paused(pause())
    for attempt in range(2, 9):
        resumed_by_itself(site, attempt, Run.start("plan"), Run.pause(pause()))
    assert site.task().auto_retries == 7
    assert site.task().retry_at == pytest.approx(time.time() + 6 * 3600, abs=30)


def test_a_resume_at_a_told_time_counts_as_no_try(site: ControlHarness) -> None:
    """Q3: twelve windows in one step."""
    site.paused(closed())
    for attempt in range(2, 14):
        resumed_by_itself(site, attempt, Run.start("plan"), Run.pause(closed()))
        assert site.task().auto_retries == 0
    assert site.task().retry_at == pytest.approx(time.time() + 3600, abs=60)


def test_tries_without_an_end_do_not_use_up_those_that_have_one(site: ControlHarness) -> None:
    """Q3, K3: six tries at a closed window, and then an outage of a minute."""
    site.paused(pause(R.USAGE_WINDOW))
    for attempt in range(2, 8):
        resumed_by_itself(site, attempt, Run.start("plan"), Run.pause(pause(R.USAGE_WINDOW)))
    resumed_by_itself(site, 8, Run.start("plan"), Run.pause(pause(R.TRANSIENT)))
    assert site.task().auto_retries == 0
    assert site.task().retry_at == pytest.approx(time.time() + 60, abs=30)


def test_a_try_before_which_only_seconds_were_told_counts(site: ControlHarness) -> None:
    """Q3."""
    soon = pause(R.RATE_LIMIT, retry_at=datetime.now(UTC) + timedelta(seconds=7))
    site.paused(soon)
    resumed_by_itself(site, 2, Run.start("plan"), Run.pause(soon))
    assert site.task().auto_retries == 1


@pytest.mark.parametrize("work", ["words", "files", "nothing", "words, then no memory"])
def test_work_starts_the_count_of_retries_anew(site: ControlHarness, work: str) -> None:
    """Q3, K4: an answer of the model or a change in the files, in the middle of a step."""
    site.paused(pause(R.TRANSIENT))
    resumed_by_itself(site, 2, Run.start("plan"), Run.pause(pause(R.TRANSIENT)))
    used = Usage(output_tokens=9).model_dump(mode="json")
    done: list[Record] = []
    if work.startswith("words"):
        done = [(RecordType.USAGE, {"step": "plan", "usage": used})]
    assert site.claim(3)
    assert site.attempts.launch.bring_up(TASK, 3)
    last = Run.pause(pause(R.TRANSIENT))
    if work == "files":
        last = (last[0], last[1] | {"snapshot": snapshot().model_dump(mode="json")})
    site.record(Run.begin(3), Run.resume(3), Run.start("plan"), *done, last)
    site.settle(2, 3, out_of_memory=work.endswith("no memory"))
    assert site.task().auto_retries == (0 if work in ("words", "files") else 2)


def test_progress_starts_the_count_of_retries_anew(site: ControlHarness) -> None:
    """K4."""
    site.paused(pause())
    resumed_by_itself(site, 2, Run.start("plan"), Run.pause(pause()))
    resumed_by_itself(
        site, 3, Run.start("plan"), Run.done("plan"), Run.start("code"), Run.pause(pause())
    )
    assert site.task().auto_retries == 0
    assert site.task().retry_at == pytest.approx(time.time() + 900, abs=30)


def test_another_provider_starts_the_count_of_retries_anew(site: ControlHarness) -> None:
    """K4, H3."""
    site.paused(pause())
    resumed_by_itself(site, 2, Run.start("plan"), Run.pause(pause(provider="other")))
    assert site.task().auto_retries == 0


def test_a_manual_resume_starts_the_count_of_retries_anew(site: ControlHarness) -> None:
    """K4."""
    site.paused(pause())
    resumed_by_itself(site, 2, Run.start("plan"), Run.pause(pause()))
    site.store.transitions.resume(TASK, None)
    assert site.task().auto_retries == 0


# Giving up


def test_giving_up_a_running_attempt_fails_the_task_with_a_hint(
    site: ControlHarness,
) -> None:
    """L8: nothing is left that a resume would meet on the work tree."""
    site.started()
    site.attempts.finish.give_up(TASK, 1, EnvironmentFault("twice", hint="resume it"))
    assert site.task().status is S.FAILED
    assert site.task().error == "twice; resume it"
    assert site.attempt(1).state == "ended"
    assert site.world.sandboxes == site.door.served == {}


def test_giving_up_a_scheduled_attempt_leaves_a_pause_without_a_date(site: ControlHarness) -> None:
    """K1: a time that nothing keeps is not promised."""
    site.paused(pause())
    site.attempts.finish.give_up(TASK, 2, unreachable())
    task = site.task()
    assert task.status is S.PAUSED
    assert task.retry_at is None
    assert "does not resume automatically" in task.warnings[0]
    assert site.attempts.finish.scheduled(TASK) is None
