"""V1: a run that is done pauses before its delivery where its diff is in doubt."""

from __future__ import annotations

import pytest

from agent_runner.journal.record_lines import RecordType
from agent_runner.models import PauseReason, Snapshot
from rover_mcp.control.delivery import after_steps
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.domain.task_status import Event, TaskStatus
from rover_mcp.git.changes import ChangedFile
from tests.support.attempts_site import STARTED, ControlHarness, Run
from tests.support.samples import TASK

FILES = [f"d/f{number}" for number in range(40)]
GONE = [ChangedFile(path, "D", f"blob of {path}", "0" * 40) for path in FILES[20:]]


def snapshot(number: int) -> Snapshot:
    return Snapshot(
        sequence=number,
        commit=f"a{number:039}",
        tree=f"b{number:039}",
        bundle=f"{number:06}.bundle",
        head=f"c{number:039}",
    )


def done(site: ControlHarness, last: Snapshot) -> None:
    """A run whose last step left the snapshot 1, and whose result is `last`."""
    site.record(*STARTED, Run.done("plan", snapshot(1)))
    site.record((RecordType.WORKFLOW_COMPLETE, {"snapshot": last.model_dump(mode="json")}))


def half_gone(site: ControlHarness) -> Snapshot:
    last = snapshot(2)
    base = site.task().base_commit
    site.hub.changed[base, last.head] = [*GONE]
    site.hub.listed = {base: FILES, last.head: FILES[:20]}
    done(site, last)
    return last


def test_a_result_in_doubt_is_not_delivered_until_it_is_accepted(site: ControlHarness) -> None:
    site.started(description="Fix the sum")
    last = half_gone(site)
    assert site.settle(0) is None
    task = site.task()
    assert task.status is TaskStatus.PAUSED
    assert task.pause is not None
    assert task.pause.reason is PauseReason.NEEDS_LOOK
    assert "deletes or empties 20 of 40 files" in task.pause.message
    assert "accept=true" in task.pause.message
    assert (task.retry_at, task.account, site.hub.published) == (None, None, [])
    assert site.hub.unfinished == []
    site.folders.accepted.write_text(last.head)
    assert site.store.transitions.resume(TASK, None) is not None
    assert site.claim(2)
    assert site.attempts.launch.bring_up(TASK, 2)
    assert site.settle(0, 2) is None
    assert site.task().status is TaskStatus.COMPLETED
    assert site.hub.published == [task.branch]


def test_an_acceptance_is_of_one_result(site: ControlHarness) -> None:
    site.started(description="Fix the sum")
    half_gone(site)
    site.folders.accepted.write_text(snapshot(3).head)
    site.settle(0)
    assert site.task().status is TaskStatus.PAUSED


def test_what_the_task_asks_for_is_delivered(site: ControlHarness) -> None:
    site.started(description="Delete d/f30 and the like", inputs={"what": "remove f2*, f3*"})
    last = half_gone(site)
    site.hub.listed[last.head] = ["d/f0", "d/f1"]
    site.settle(0)
    assert site.task().status is TaskStatus.COMPLETED


def test_a_change_that_no_step_made_is_in_doubt(site: ControlHarness) -> None:
    site.started(description="Delete d/f30")
    last = snapshot(2)
    site.hub.changed[snapshot(1).commit, last.head] = GONE[:1]
    done(site, last)
    site.settle(0)
    assert site.task().status is TaskStatus.PAUSED
    assert site.data(Event.PAUSE)[0]["message"].startswith("1 file changed after the last step")


@pytest.mark.parametrize("second", [None, 5])
def test_the_end_of_the_last_step_is_what_counts(site: ControlHarness, second: int | None) -> None:
    """None where its tree could not be recorded: then there is nothing to compare with."""
    site.started()
    last = None if second is None else snapshot(second)
    site.record(*STARTED, Run.done("plan", snapshot(4)), Run.start("code"), Run.done("code", last))
    assert after_steps(site.folders.journal) == last


@pytest.mark.parametrize("where", ["import_fault", "publish_fault"])
def test_a_git_that_stands_still_at_the_delivery_is_an_interruption(
    site: ControlHarness, where: str
) -> None:
    """It is tried again by itself, and no step runs again."""
    site.started()
    done(site, snapshot(2))
    setattr(site.hub, where, EnvironmentFault("git fetch was stopped", code="git_timeout"))
    assert site.settle(0) == 2
    task = site.task()
    assert (task.status, task.error) == (TaskStatus.PAUSED, None)
    assert task.pause is not None
    assert task.pause.reason is PauseReason.INTERRUPTED
    assert "git fetch was stopped" in task.pause.message
    setattr(site.hub, where, None)
    site.due()
    assert site.claim(2)
    assert site.attempts.launch.bring_up(TASK, 2)
    assert site.settle(0, 2) is None
    assert site.task().status is TaskStatus.COMPLETED


def test_a_git_that_stands_still_at_the_start_is_an_interruption(
    site: ControlHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.create()
    fault = EnvironmentFault("git pack-objects was stopped", code="git_timeout")

    def stand_still(*_: object) -> None:
        raise fault

    monkeypatch.setattr(site.hub, "lend", stand_still)
    assert site.claim(1)
    assert not site.attempts.launch.bring_up(TASK, 1)
    task = site.task()
    assert task.status is TaskStatus.PAUSED
    assert task.pause is not None
    assert task.pause.reason is PauseReason.INTERRUPTED
