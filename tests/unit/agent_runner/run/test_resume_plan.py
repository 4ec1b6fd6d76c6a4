"""What an attempt finds to go on with: the pure plan, and the walk that follows it."""

from __future__ import annotations

import anyio.lowlevel
import pytest

from agent_runner.journal.record_lines import Record, RecordType
from agent_runner.journal.run_state import RunStateFold
from agent_runner.models import Pause, PauseReason, StepStatus
from agent_runner.run.interpreter import LeafRun
from agent_runner.run.resume_plan import ResumePlan, make_plan
from agent_runner.run.step import RunPaused, StepResult
from agent_runner.workflow.models import LoopStep, ParallelStep, Step
from tests.support.walks import (
    BASE,
    NOW,
    Act,
    Place,
    SimulatedRun,
    agent,
    command,
    fails,
    run_spec,
    scripted,
    session,
    when,
    workflow,
)

PAUSED = RunPaused(Pause(reason=PauseReason.CREDITS, message="none left", since=NOW))
NEVER = when("steps.test.outputs.success == true")


def nested(*inside: Step, outer: int = 3, inner: int = 3, **more: object) -> tuple[Step, ...]:
    body = LoopStep("inner", "I", inside, max_iterations=inner, **more)
    return command("first"), LoopStep("outer", "O", (command("x"), body), max_iterations=outer)


def pausing(step: str, place: Place, *, with_session: bool = False) -> Act:
    """Every step works, but one pauses the run the first time that it stands at this place."""
    seen: list[Place] = []

    async def act(walk: SimulatedRun, turn: LeafRun, at: Place) -> StepResult:
        await anyio.lowlevel.checkpoint()
        if (turn.step.id, at) == (step, place) and not seen:
            seen.append(at)
            if with_session:
                turn.recorder.append(RecordType.AGENT_SESSION, session(step), flush=True)
            walk.tree.files["half"] = "half"
            raise PAUSED
        walk.tree.files[turn.step.id] = repr(at)
        return StepResult({"at": repr(at)})

    return act


def plan_of(walk: SimulatedRun, *steps: Step, **spec: object) -> ResumePlan:
    return make_plan(RunStateFold.of(walk.records), workflow(*steps), run_spec(attempt=2, **spec))


PLACE = (("outer", 2), ("inner", 3))


@pytest.mark.parametrize("step", ["a", "b", "c"])
def test_a_run_resumes_at_the_interrupted_sub_step_at_every_level(step: str) -> None:
    """F1, F5: iteration 3 in iteration 2, with what the sub-steps before it gave."""
    steps = nested(command("a"), command("b"), command("c"))
    w = SimulatedRun(workflow(*steps), pausing(step, PLACE))
    assert w.start() == "paused"
    before = len(w.ran)
    w.start()
    whole = SimulatedRun(workflow(*steps), pausing("nobody", ()))
    whole.start()
    assert w.ran[before] == (step, PLACE)
    assert w.ran[:before] + w.ran[before + 1 :] == whole.ran
    assert (w.outputs(), w.tree.files) == (whole.outputs(), whole.tree.files)


def test_the_resume_says_how_many_steps_it_skips() -> None:
    """F4: those that are finished in the present iterations."""
    w = SimulatedRun(workflow(*nested(command("a"), command("b"))), pausing("b", PLACE))
    w.start()
    w.start()
    assert w.plan is not None
    assert w.plan.skipped == 3  # first, x and a
    assert w.state.skipped_on_resume == 3


def test_a_step_with_a_session_resumes_in_it_on_the_tree_as_it_is() -> None:
    """F8: of another agent, too; what becomes of the session is the step's to decide."""
    steps = nested(agent("a"), agent("b"))
    w = SimulatedRun(workflow(*steps), pausing("b", PLACE, with_session=True))
    w.start()
    plan = plan_of(w, *steps, agent="codex")
    assert list(plan.interrupted) == ["b"]
    assert plan.interrupted["b"].session.session_id == "session of b"
    assert plan.interrupted["b"].why == "credits (none left)"
    w.start()
    assert w.tree.files["half"] == "half"


def test_a_step_without_a_session_starts_over_on_the_last_tree() -> None:
    """F8, C10."""
    steps = nested(command("a"), command("b"))
    w = SimulatedRun(workflow(*steps), pausing("b", PLACE))
    w.start()
    plan = plan_of(w, *steps)
    assert (dict(plan.interrupted), plan.target is not None) == ({}, True)
    w.start()
    assert "half" not in w.tree.files


def test_the_session_of_an_iteration_that_is_over_is_not_gone_on_with() -> None:
    """F5, F8."""
    steps = nested(agent("a"), command("b"))
    plain = pausing("b", PLACE)

    async def act(walk: SimulatedRun, turn: LeafRun, at: Place) -> StepResult:
        if turn.step.id == "a":
            turn.recorder.append(RecordType.AGENT_SESSION, session("a"))
        return await plain(walk, turn, at)

    w = SimulatedRun(workflow(*steps), act)
    w.start()
    assert w.state.steps[-2].session is not None
    assert plan_of(w, *steps).interrupted == {}


def test_a_failed_loop_starts_over() -> None:
    """C9, D2."""
    loop = LoopStep("loop", "L", (command("test"),), until=NEVER, max_iterations=2)
    w = SimulatedRun(
        workflow(command("first"), loop), scripted(test=[None, None, {"success": "true"}])
    )
    assert w.start() == "failed"
    assert w.start() == "completed"
    places = [place for name, place in w.ran if name == "test"]
    assert places == [(("loop", 1),), (("loop", 2),), (("loop", 1),)]
    assert w.state.warnings == []


def test_a_loop_beyond_its_present_limit_starts_over_with_a_warning() -> None:
    """F6: with the session of the step that was under way."""
    steps = nested(agent("a"), inner=3)
    w = SimulatedRun(workflow(*steps), pausing("a", PLACE, with_session=True))
    w.start()
    lower = nested(agent("a"), inner=2)
    plan = plan_of(w, *lower)
    assert plan.warnings == [
        "loop outer continues in its iteration 2, and its definition changed",
        "loop inner was in its iteration 3, and its limit is 2 now: it starts over",
    ]
    assert plan.interrupted == {}
    w.workflow = workflow(*lower)
    before = len(w.ran)
    assert w.start() == "completed"
    assert w.ran[before] == ("a", (("outer", 2), ("inner", 1)))


def test_the_outer_loop_beyond_its_limit_takes_the_inner_ones_with_it() -> None:
    """F5, F6: and only the outer one is told."""
    w = SimulatedRun(workflow(*nested(command("a"))), pausing("a", PLACE))
    w.start()
    lower = nested(command("a"), outer=1)
    assert [x.partition(" was")[0] for x in plan_of(w, *lower).warnings] == ["loop outer"]
    w.workflow = workflow(*lower)
    before = len(w.ran)
    w.start()
    assert w.ran[before] == ("x", (("outer", 1),))


def test_finished_steps_that_changed_moved_or_vanished_are_warned_of() -> None:
    """F2: what changed is not run again, what moved is."""
    w = SimulatedRun(workflow(*nested(command("a"), command("b"))), pausing("b", PLACE))
    w.start()
    changed = nested(command("a", args=("new",)), command("b"))
    assert plan_of(w, *changed).warnings == [
        "loop outer continues in its iteration 2, and its definition changed",
        "loop inner continues in its iteration 3, and its definition changed",
        "step a was finished before its definition changed",
    ]
    first, outer = nested(command("b"))
    moved = plan_of(w, first, command("a"), outer)
    assert "step a has another place or kind in the workflow now: it starts over" in moved.warnings
    gone = plan_of(w, outer)
    assert "step first was finished but is no longer in the workflow" in gone.warnings
    assert plan_of(w, *nested(command("a"), command("b"))).warnings == []


def test_a_step_that_became_a_loop_is_a_new_one() -> None:
    """F2."""
    w = SimulatedRun(workflow(command("a"), command("b")), pausing("b", ()))
    w.start()
    loop = LoopStep("a", "A", (command("c"),), max_iterations=1)
    w.workflow = workflow(loop, command("b"))
    assert w.start() == "completed"
    assert [name for name, _ in w.ran] == ["a", "b", "c", "b"]
    assert w.plan is not None
    assert w.plan.warnings == [
        "step a has another place or kind in the workflow now: it starts over"
    ]


def test_the_condition_of_a_loop_that_is_under_way_is_not_asked_again() -> None:
    """F5, G5: its own sub-steps may have changed what it sees."""
    loop = LoopStep(
        "loop", "L", (command("test"), command("b")), condition=when("steps.test.outputs.at != 1")
    )
    act = scripted(test=[{"at": "1"}], b=[PAUSED, None])
    w = SimulatedRun(workflow(loop), act)
    assert w.start() == "paused"
    assert w.start() == "completed"
    assert w.outputs()["loop"]["iterations"] == "3"


def test_a_parallel_step_resumes_with_its_unfinished_children() -> None:
    """F1, F5: in a loop; the tree stays where one of them has a session."""
    both = ParallelStep("both", "B", (agent("a"), command("b"), command("c")), limit=1)
    steps = (LoopStep("loop", "L", (both,), max_iterations=2),)
    place = (("loop", 2),)
    w = SimulatedRun(workflow(*steps), pausing("b", place))
    w.start()
    plan = plan_of(w, *steps)
    assert plan.target is not None
    before = len(w.ran)
    assert w.start() == "completed"
    assert w.ran[before:] == [("b", place), ("c", place)]


def test_without_a_journal_the_iteration_runs_from_its_start() -> None:
    """F3."""
    plan = make_plan(RunStateFold(), workflow(command("a")), run_spec(attempt=2))
    assert plan.first
    assert plan.untouched
    assert plan.warnings == ["no checkpoint was found: the iteration runs from its start"]
    assert make_plan(RunStateFold(), workflow(command("a")), run_spec()).warnings == []
    further = run_spec(attempt=2, iteration=2, begins_iteration=True)
    assert make_plan(RunStateFold(), workflow(command("a")), further).warnings == []


def test_the_target_is_the_base_only_while_no_step_has_finished() -> None:
    """C10, I5: and never in a later iteration."""
    w = SimulatedRun(workflow(command("a"), command("b")), scripted(a=[PAUSED], b=[PAUSED, None]))
    w.start()
    target = plan_of(w, command("a"), command("b")).target
    assert target is not None
    assert target.commit == BASE
    assert plan_of(w, command("a"), command("b"), iteration=2).target is None
    w.act, w.tree.broken = scripted(b=[PAUSED]), True
    w.start()
    assert plan_of(w, command("a"), command("b")).target is None


def test_a_step_is_repeated_on_the_last_tree_though_its_snapshot_failed() -> None:
    """C5: the snapshot is taken when the next step begins."""
    seen: list[dict[str, str]] = []
    turns = scripted(b=[fails(), None])

    async def act(walk: SimulatedRun, turn: LeafRun, place: Place) -> StepResult:
        walk.tree.broken = turn.step.id == "a"
        seen.append(dict(walk.tree.files))
        return await turns(walk, turn, place)

    def on_record(record: Record) -> None:
        if record.type is RecordType.STEP_COMPLETE:
            w.tree.broken = False

    w = SimulatedRun(workflow(command("a"), command("b")), act, on_record=on_record)
    assert w.start() == "failed"
    assert w.start() == "completed"
    assert seen == [{}, {"a": "1"}, {"a": "1"}]


def test_planning_does_not_change_the_fold() -> None:
    """C5."""
    w = SimulatedRun(workflow(*nested(command("a"))), pausing("a", PLACE))
    w.start()
    found = RunStateFold.of(w.records)
    before = found.state
    make_plan(found, workflow(command("other")), run_spec(attempt=2))
    assert found.state == before
    assert found.step("a").status is StepStatus.RUNNING


def test_a_failed_step_is_asked_its_condition_again_and_runs_again() -> None:
    """C9, G5."""
    b = command("b", condition=when("steps.a.outputs.x == 1"))
    w = SimulatedRun(workflow(command("a"), b), scripted(a=[{"x": "1"}], b=[fails(), None]))
    assert w.start() == "failed"
    assert w.start() == "completed"
    assert [name for name, _ in w.ran] == ["a", "b", "b"]
