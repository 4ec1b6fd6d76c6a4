"""Steps that run at the same time."""

from __future__ import annotations

import anyio
import pytest

from agent_runner.journal.record_lines import RecordType
from agent_runner.models import Pause, PauseReason, StepStatus
from agent_runner.run.interpreter import LeafRun
from agent_runner.run.step import RunPaused, StepResult
from agent_runner.workflow.models import LoopStep, ParallelStep
from tests.support.walks import (
    NOW,
    Act,
    Place,
    SimulatedRun,
    agent,
    command,
    fails,
    scripted,
    session,
    when,
    workflow,
)

PAUSED = RunPaused(Pause(reason=PauseReason.CREDITS, message="none", since=NOW, step="a"))


def both(*steps: object, **more: object) -> ParallelStep:
    return ParallelStep("both", "Both", steps, **more)


def letters(text: str) -> tuple[object, ...]:
    return tuple(command(letter) for letter in text)


def meeting() -> Act:
    """Each step tells how many ran at most."""
    running: set[str] = set()
    most: list[int] = []

    async def act(walk: SimulatedRun, turn: LeafRun, place: Place) -> StepResult:
        running.add(turn.step.id)
        most.append(len(running))
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        running.discard(turn.step.id)
        return StepResult({"most": str(max(most))})

    return act


@pytest.mark.parametrize(("limit", "most"), [(1, "1"), (2, "2"), (3, "3"), (16, "5")])
def test_no_more_than_the_limit_run_at_once(limit: int, most: str) -> None:
    w = SimulatedRun(workflow(both(*letters("abcde"), limit=limit)), meeting())
    assert w.start() == "completed"
    assert max(s.outputs.get("most", "") for s in w.state.steps) == most
    assert w.outputs()["both"] == {}


def test_a_failed_child_lets_the_others_finish_and_fails_the_parallel_step() -> None:
    """D2, F1: a resume runs only what failed."""
    w = SimulatedRun(
        workflow(both(*letters("abc")), command("d")),
        scripted(a=[fails("no a"), None], c=[fails("no c"), None]),
    )
    assert w.start() == "failed"
    assert w.state.error == "step a: no a; step c: no c"
    assert [s.status for s in w.state.steps] == [
        "failed",
        "failed",
        "completed",
        "failed",
        "pending",
    ]
    assert w.start() == "completed"
    assert [name for name, _ in w.ran] == ["a", "b", "c", "a", "c", "d"]


def test_an_allowed_failure_does_not_fail_the_run() -> None:
    """G1."""
    w = SimulatedRun(
        workflow(both(command("a", allow_failure=True), command("b"))), scripted(a=[fails()])
    )
    assert w.start() == "completed"


def test_what_may_fail_in_a_parallel_step_that_may_fail_is_not_run_again() -> None:
    """F1, G1."""
    w = SimulatedRun(
        workflow(both(*letters("ab"), limit=1, allow_failure=True)),
        scripted(a=[fails()], b=[PAUSED, None]),
    )
    assert w.start() == "paused"
    assert w.start() == "completed"
    assert [name for name, _ in w.ran] == ["a", "b", "b"]
    assert w.state.steps[0].error == "step a: broken"


def test_in_a_loop_a_failed_parallel_step_does_not_end_the_iteration() -> None:
    """G4: neither does one of its steps; and nothing of it runs again at a resume."""
    loop = LoopStep(
        "loop",
        "L",
        (both(*letters("ab")), command("c")),
        until=when("steps.c.outputs.x == 1"),
    )
    w = SimulatedRun(workflow(loop), scripted(a=[fails()], c=[PAUSED, {"x": "1"}]))
    assert w.start() == "paused"
    a = w.state.steps[2]
    assert (a.status, a.tolerated) == (StepStatus.FAILED, True)
    assert w.start() == "completed"
    assert [name for name, _ in w.ran] == ["a", "b", "c", "c"]
    assert w.state.steps[1].error == "step a: broken"


def test_a_pause_in_one_stops_the_others_and_each_resumes_in_its_session() -> None:
    """D7, F8: none of them counts as failed, and the work tree stays as it is."""
    stopped: list[str] = []
    running: list[str] = []

    async def act(walk: SimulatedRun, turn: LeafRun, place: Place) -> StepResult:
        name = turn.step.id
        if turn.interrupted is not None:
            return StepResult({"session": turn.interrupted.session.session_id})
        turn.recorder.append(RecordType.AGENT_SESSION, session(name))
        walk.tree.files[name] = "half"
        running.append(name)
        while name == "a":
            await anyio.lowlevel.checkpoint()
            if sorted(running) == ["a", "b", "c"]:
                raise PAUSED
        try:
            await anyio.sleep_forever()
        finally:
            stopped.append(name)
        raise AssertionError

    inner = ParallelStep("inner", "I", (agent("b"), agent("c")))
    w = SimulatedRun(workflow(both(agent("a"), inner, agent("d"), limit=2)), act)
    assert w.start() == "paused"
    assert sorted(stopped) == ["b", "c"]
    assert "step_fail" not in w.types()
    assert [s.status for s in w.state.steps if s.type == "agent"] == [
        StepStatus.RUNNING,
        StepStatus.RUNNING,
        StepStatus.RUNNING,
        StepStatus.PENDING,
    ]
    w.tree.files["d"] = "whole"

    async def rest(walk: SimulatedRun, turn: LeafRun, place: Place) -> StepResult:
        assert {walk.tree.files[n] for n in "abc"} == {"half"}
        return StepResult(
            {"session": turn.interrupted.session.session_id if turn.interrupted else "none"}
        )

    w.act = rest
    assert w.start() == "completed"
    assert {n: w.outputs()[n]["session"] for n in "abcd"} == {
        "a": "session of a",
        "b": "session of b",
        "c": "session of c",
        "d": "none",
    }


def test_a_pause_outweighs_a_broken_runner_in_a_parallel_step() -> None:
    """C9, D7."""

    async def act(walk: SimulatedRun, turn: LeafRun, place: Place) -> StepResult:
        if turn.step.id == "a":
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
            raise ZeroDivisionError
        try:
            await anyio.sleep_forever()
        finally:
            raise PAUSED

    w = SimulatedRun(workflow(both(*letters("ab"))), act)
    assert w.start() == "paused"
    alone = SimulatedRun(workflow(both(command("a"))), act)
    with pytest.raises(ZeroDivisionError):
        alone.start()


def test_the_innermost_step_that_runs_is_the_present_one() -> None:
    """D10: of several, the first of the file."""
    seen: list[str | None] = []

    async def act(walk: SimulatedRun, turn: LeafRun, place: Place) -> StepResult:
        await anyio.lowlevel.checkpoint()
        current = walk.state.current_step
        seen.append(current.id if current else None)
        return StepResult({})

    second = ParallelStep("second", "S", (command("c"),))
    loop = LoopStep("loop", "L", (both(*letters("ab"), limit=1), second), max_iterations=1)
    SimulatedRun(workflow(loop), act).start()
    assert seen == ["a", "b", "c"]
