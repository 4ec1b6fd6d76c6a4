"""An attempt that is followed, through an engine or a gateway that is away."""

from __future__ import annotations

import pytest

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.domain.task_status import Event, TaskStatus
from rover_mcp.sandbox.protocol import SandboxExit
from tests.support.attempts_site import NAME, ControlHarness
from tests.support.samples import TASK

S = TaskStatus


def test_an_engine_that_cannot_be_reached_changes_nothing_and_is_told_once(
    site: ControlHarness,
) -> None:
    """L3: it is asked again, ever more rarely, until it answers."""
    site.started()
    site.world.unreachable()

    def sleep(seconds: float) -> None:
        site.slept.append(seconds)
        assert site.task().status is S.IN_PROGRESS
        if len(site.slept) == 7:
            site.world.fault = None
            site.world.end(NAME, 0)

    site.attempts.context.sleep = sleep
    assert site.attempts.wait.follow(TASK, 1) == SandboxExit(0)
    assert site.slept == [1, 2, 5, 15, 30, 30, 30]
    assert site.kinds("task.engine_unreachable") == ["task.engine_unreachable"]
    assert site.attempt(1).state == "running"


@pytest.mark.parametrize("asked", ["pause", "cancel"])
def test_a_request_waits_until_the_engine_can_be_reached(site: ControlHarness, asked: str) -> None:
    """L3, D8: a cancelled task does not go on at somebody's cost."""
    site.started()
    site.world.unreachable()

    def sleep(_: float) -> None:
        if asked == "cancel":
            site.store.transitions.apply(TASK, Event.CANCEL)
        else:
            site.folders.pause_request.write_text("{}")
        site.attempts.wait.stop(site.task(), NAME)
        site.world.fault = None

    site.attempts.context.sleep = sleep
    assert site.attempts.wait.follow(TASK, 1).code == 2
    assert site.world.sandboxes[NAME].terminated


@pytest.mark.parametrize("asked", ["pause", "cancel"])
def test_what_was_asked_during_the_start_is_done_when_it_is_followed(
    site: ControlHarness, asked: str
) -> None:
    """D8."""
    site.started()
    if asked == "cancel":
        site.store.transitions.apply(TASK, Event.CANCEL)
    else:
        site.folders.pause_request.write_text("{}")
    assert site.attempts.wait.follow(TASK, 1).code == 2


def test_a_gateway_that_cannot_be_opened_again_does_not_end_the_attempt(
    site: ControlHarness,
) -> None:
    """L3, L8: the new daemon's door; the sandbox runs on meanwhile."""
    site.started()
    site.restart()
    site.door.fault = EnvironmentFault("no room for a socket")

    def sleep(_: float) -> None:
        site.door.fault = None
        site.world.end(NAME, 0)

    site.attempts.context.sleep = sleep
    assert site.attempts.wait.follow(TASK, 1).code == 0
    assert site.door.served == {TASK: 1}


def test_a_stop_that_does_not_reach_the_engine_is_told(site: ControlHarness) -> None:
    """L3."""
    site.started()
    site.world.unreachable()
    site.attempts.wait.stop(site.task(), NAME)
    assert site.kinds("task.engine_unreachable") == ["task.engine_unreachable"]
    assert site.task().status is S.IN_PROGRESS
