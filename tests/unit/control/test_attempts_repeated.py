"""An attempt that is settled again after a crash, or late, ends the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.domain.task_status import Event, TaskStatus
from rover_mcp.sandbox.protocol import SandboxExit
from tests.support.attempts_site import ENDINGS, NAME, STARTED, ControlHarness, Run
from tests.support.samples import TASK, pause, snapshot

S = TaskStatus


def complete(site: ControlHarness) -> None:
    site.record(*STARTED, Run.done("plan", snapshot(1)), Run.COMPLETE)


def unpublished(site: ControlHarness) -> None:
    complete(site)
    site.hub.publish_fault = EnvironmentFault("the branch moved")


def failed(site: ControlHarness) -> None:
    site.record(*STARTED, Run.fail("no"))


def out_of_credits(site: ControlHarness) -> None:
    site.record(*STARTED, Run.pause(pause()))


def not_imported(site: ControlHarness) -> None:
    site.record(*STARTED, Run.done("plan", snapshot(1)), Run.pause(pause()))
    site.hub.import_fault = EnvironmentFault("the disk is full")


def killed(site: ControlHarness) -> None:
    site.record(*STARTED)


def cancelled(site: ControlHarness) -> None:
    site.record(*STARTED)
    site.store.transitions.apply(TASK, Event.CANCEL)


SCENES = [
    (complete, S.COMPLETED, "task.completed", 0),
    (unpublished, S.FAILED, "task.failed", 0),
    (failed, S.FAILED, "task.failed", 0),
    (out_of_credits, S.PAUSED, "task.paused", 1),
    (not_imported, S.PAUSED, "task.paused", 1),
    (killed, S.PAUSED, "task.paused", 1),
    (cancelled, S.CANCELLED, "task.cancelled", 0),
]


@pytest.mark.parametrize("writes", [*range(6), 100])
@pytest.mark.parametrize(("scene", "status", "event", "scheduled"), SCENES)
def test_settling_ends_the_same_after_a_crash_at_any_write(
    site: ControlHarness,
    scene: Callable[[ControlHarness], None],
    status: TaskStatus,
    event: str,
    scheduled: int,
    writes: int,
) -> None:
    """L8, K1: one event of the ending, at most one attempt that waits."""
    site.started()
    scene(site)
    site.crash(writes, lambda: site.attempts.finish.settle(TASK, 1, SandboxExit(137)))
    for _ in range(2):
        assert site.attempts.finish.settle(TASK, 1, SandboxExit(137)) == (2 if scheduled else None)
    task = site.task()
    assert task.status is status
    assert site.kinds(*ENDINGS) == [event]
    assert len(site.store.attempts.in_states(["scheduled"])) == scheduled
    assert (task.retry_at is not None) == bool(scheduled)
    assert site.attempt(1).state == "ended"
    assert site.state().steps[0].id == "plan"
    assert len(task.warnings) == (1 if scene is not_imported else 0)
    assert site.world.sandboxes == site.door.served == {}


def test_a_settled_attempt_is_not_published_again(site: ControlHarness) -> None:
    """L8: a crash right after the end; meanwhile the user merged the branch and deleted it."""
    site.started()
    complete(site)
    site.settle(0)
    site.restart()
    site.attempts.finish.settle(TASK, 1, SandboxExit(0))
    assert len(site.hub.published) == 1


def test_an_attempt_that_is_settled_late_leaves_the_next_one_its_door(site: ControlHarness) -> None:
    """L8, I7: attempt 2 runs when attempt 1's settling is repeated."""
    site.paused(pause())
    site.restart()
    assert site.claim(2)
    assert site.attempts.launch.bring_up(TASK, 2)
    site.attempts.finish.settle(TASK, 1, SandboxExit(2))
    assert site.door.served == {TASK: 2}
    assert site.task().status is S.IN_PROGRESS
    assert site.running() == [NAME[:-1] + "2"]


def test_the_door_is_closed_before_the_next_attempt_may_open_its_own(
    site: ControlHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I7: somebody resumes at the moment that the pause is recorded."""
    site.started()
    out_of_credits(site)
    transition = site.store.transitions.apply

    def and_resume(*args: Any, **named: Any) -> object:
        made = transition(*args, **named)
        site.store.transitions.resume(TASK, None)
        site.claim(2)
        site.attempts.launch.bring_up(TASK, 2)
        return made

    monkeypatch.setattr(site.store.transitions, "apply", and_resume)
    site.settle(2)
    assert site.door.served == {TASK: 2}
    assert site.running() == [NAME[:-1] + "2"]
