"""A task that resolves conflicts goes from one stop to the next, or ends; it never has a branch."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from agent_runner.models import PauseReason, RunState
from rover_mcp.control.attempt_context import GIT_STOOD_STILL
from rover_mcp.control.control_ports import NextRound, RoundsEnd
from rover_mcp.domain.disk_full_error import DISK_FULL
from rover_mcp.domain.errors import EnvironmentFault, RoverError
from rover_mcp.domain.iteration import IterationInput, ResolutionRound
from rover_mcp.domain.task_links import ResolvesFor, TaskLinks
from rover_mcp.domain.task_status import Event, TaskStatus
from rover_mcp.store.records import TaskRow
from tests.support.attempts_site import STARTED, ControlHarness, Run
from tests.support.samples import TASK, pause, snapshot

S = TaskStatus
LINKS = TaskLinks(
    resolves=ResolvesFor(
        task="0" * 32, number=1, tip="1" * 40, stands_on="2" * 40, onto="3" * 40,
        base_branch="main",
    )
)  # fmt: skip
NEXT = NextRound(IterationInput(round=ResolutionRound(stop="4" * 40)), {"conflicts": "more"})


@dataclass
class FakeRounds:
    """Answers with what it is given, and keeps for which states it was asked."""

    answer: NextRound | RoundsEnd | Exception
    states: list[RunState] = field(default_factory=list[RunState])

    def follow(self, task: TaskRow, state: RunState) -> NextRound | RoundsEnd:
        self.states.append(state)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def settled(site: ControlHarness, answer: NextRound | RoundsEnd | Exception | None) -> TaskRow:
    """A task that has done a round, after which the host says `answer`."""
    site.attempts.context.rounds = FakeRounds(answer) if answer is not None else None
    site.started(links=LINKS)
    site.record(*STARTED, Run.done("plan", snapshot(1)), Run.COMPLETE)
    site.settle(0)
    assert (site.hub.imported, site.hub.published, site.hub.unfinished) == ([1], [], [])
    return site.task()


def test_the_next_round_is_a_further_iteration_that_begins_at_once(site: ControlHarness) -> None:
    """N2."""
    task = settled(site, NEXT)
    assert (task.status, task.iteration, task.attempt) == (S.ITERATING, 2, 2)
    assert (task.iteration_input, task.inputs) == (NEXT.given, {"conflicts": "more"})
    assert site.attempt(1).state == "ended"
    assert site.attempts.finish.scheduled(TASK) == 2
    assert site.kinds(Event.COMPLETE, Event.NEXT_ROUND) == [Event.NEXT_ROUND]


def test_it_ends_when_nothing_is_left(site: ControlHarness) -> None:
    task = settled(site, RoundsEnd(verdict="the check fails", warning="not rebased"))
    assert (task.status, site.state().verdict) == (S.COMPLETED, "the check fails")
    assert "not rebased" in task.warnings
    assert site.attempts.finish.scheduled(TASK) is None


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (RoundsEnd(failed="none of 3 answers"), "none of 3 answers"),
        (RoverError("no repository", hint="put it back"), "no repository; put it back"),
        (OSError(5, "Input/output error"), "could not be judged"),
        (None, "this daemon cannot judge"),
    ],
)
def test_it_fails_with_the_reason(
    site: ControlHarness, answer: RoundsEnd | Exception | None, error: str
) -> None:
    """N2."""
    task = settled(site, answer)
    assert task.status is S.FAILED
    assert error in (task.error or "")


@pytest.mark.parametrize("code", [DISK_FULL, GIT_STOOD_STILL])
def test_what_may_pass_is_a_pause(site: ControlHarness, code: str) -> None:
    task = settled(site, EnvironmentFault("it stands still", code=code))
    assert task.status is S.PAUSED
    assert task.pause is not None
    assert "it stands still" in task.pause.message


def test_one_that_was_cancelled_meanwhile_stays_so(site: ControlHarness) -> None:
    rounds = FakeRounds(NEXT)

    def follow(task: TaskRow, state: RunState) -> NextRound | RoundsEnd:
        site.store.transitions.apply(task.id, Event.CANCEL)
        return NEXT

    rounds.follow = follow  # type: ignore[method-assign]
    site.attempts.context.rounds = rounds
    site.started(links=LINKS)
    site.record(*STARTED, Run.done("plan", snapshot(1)), Run.COMPLETE)
    site.settle(0)
    assert (site.task().status, site.task().iteration) == (S.CANCELLED, 1)


def test_a_pause_leaves_no_branch_with_markers(site: ControlHarness) -> None:
    """N2."""
    task = site.paused(pause(PauseReason.CREDITS), links=LINKS)
    assert task.status is S.PAUSED
    assert (site.hub.published, site.hub.unfinished) == ([], [])
