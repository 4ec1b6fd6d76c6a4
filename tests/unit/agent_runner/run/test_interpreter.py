"""The walk over the steps: conditions, loops, tolerated failures, commits and the budget."""

from __future__ import annotations

import itertools
import json

import pytest

from agent_runner.journal.record_lines import RecordType
from agent_runner.models import Budget, Pause, PauseReason, StepStatus, Usage
from agent_runner.run.interpreter import LeafRun
from agent_runner.run.resume_plan import start_data
from agent_runner.run.step import RunPaused, StepResult
from agent_runner.workflow.models import LoopStep, OnCycle, ParallelStep
from tests.support.walks import (
    NOW,
    Place,
    SimulatedRun,
    agent,
    command,
    fails,
    scripted,
    when,
    workflow,
)

NO = {"success": "false"}
YES = {"success": "true"}


def loop(*steps: object, **more: object) -> LoopStep:
    return LoopStep("loop", "Loop", steps, **more)


def walk(*steps: object, **turns: object) -> SimulatedRun:
    return SimulatedRun(workflow(*steps), scripted(**turns))


UNTIL = when("steps.test.outputs.success == true")


def test_a_loop_runs_until_its_condition_holds_after_an_iteration() -> None:
    """G3, G4: the last sub-step runs although the condition holds before it."""
    w = walk(loop(command("test"), command("mend"), until=UNTIL), test=[NO, YES])
    assert w.start() == "completed"
    assert [name for name, _ in w.ran] == ["test", "mend", "test", "mend"]
    done = w.state.steps[0]
    assert done.outputs == {"iterations": "2", "condition_met": "true", "cycle": "false"}
    assert w.types().count("loop_iteration") == 2


def test_a_loop_that_never_gets_there_fails_with_the_last_error() -> None:
    """G4: and its outputs are there all the same."""
    w = walk(
        loop(command("test"), command("mend"), until=UNTIL, max_iterations=2),
        test=[NO],
        mend=[fails("first"), fails("second")],
    )
    assert w.start() == "failed"
    assert w.state.error == (
        "its condition did not hold after 2 iterations; last error: step mend: second"
    )
    assert w.state.steps[0].outputs["iterations"] == "2"
    assert w.state.steps[0].outputs["condition_met"] == "false"


def test_a_loop_with_a_verdict_that_does_not_get_there_ends_with_it() -> None:
    """Nothing is thrown away; what is wrong stands in the result."""
    w = walk(
        loop(
            command("test"),
            until=UNTIL,
            max_iterations=2,
            allow_failure=True,
            verdict="still\nbad:",
        ),
        command("after"),
        test=[NO],
    )
    assert w.start() == "completed"
    assert [name for name, _ in w.ran] == ["test", "test", "after"]
    assert w.state.verdict == "still bad"


@pytest.mark.parametrize(
    ("turn", "verdict"), [(NO, "it fails"), (fails(), "it fails"), (YES, None), (None, None)]
)
def test_a_command_has_its_verdict_only_where_it_did_not_succeed(
    turn: object, verdict: str | None
) -> None:
    last = command("last", allow_failure=True, verdict="it fails")
    w = walk(last, command("after"), last=[turn])
    assert w.start() == "completed"
    assert w.state.verdict == verdict


def test_a_verdict_is_gone_when_its_step_succeeds_later() -> None:
    test = command("test", allow_failure=True, verdict="it fails")
    w = walk(loop(test, until=UNTIL), test=[NO, NO, YES])
    assert w.start() == "completed"
    assert w.state.verdict is None


@pytest.mark.parametrize("turn", [None, fails()])
def test_what_a_read_only_step_changes_is_put_back(turn: object) -> None:
    """With what came before it kept, and also where the step fails."""
    look = agent("look", read_only=True, allow_failure=True)
    w = walk(
        look, agent("work"), agent("review", read_only=True, allow_failure=True), review=[turn]
    )
    assert w.start() == "completed"
    assert w.tree.files == {"work": "1"}
    assert w.tree.undone == ["look", "review"]


def test_a_failed_sub_step_does_not_end_its_iteration() -> None:
    """G4: `if` and `until` see what the failed command gave."""
    mend = command("mend", condition=when("steps.test.outputs.exit_code == 3"))
    w = walk(
        loop(command("test"), mend, until=UNTIL),
        test=[fails("no", success="false", exit_code="3"), {**YES, "exit_code": "0"}],
    )
    assert w.start() == "completed"
    assert [name for name, _ in w.ran] == ["test", "mend", "test"]
    assert w.finished()[0] == ("test", (("loop", 1),))


def test_a_loop_of_no_iterations_never_runs_its_body() -> None:
    """G3, G4."""
    w = walk(loop(command("test"), until=UNTIL, max_iterations=0))
    assert w.start() == "failed"
    assert w.ran == []
    assert w.state.error == "its condition did not hold after 0 iterations"
    assert w.state.steps[0].outputs["iterations"] == "0"


def test_a_loop_without_a_condition_runs_as_often_as_it_may() -> None:
    """G3: three times, if nothing else is said."""
    w = walk(loop(command("test")))
    assert w.start() == "completed"
    assert [place for _, place in w.ran] == [(("loop", n),) for n in (1, 2, 3)]


def test_a_skipped_sub_step_has_no_outputs_until_it_runs_again() -> None:
    """G5: what it gave in the iteration before is gone."""
    mend = command("mend", condition=when("steps.test.outputs.success == false"))
    after = command("after", condition=when("steps.mend.outputs.x == 1"))
    w = walk(loop(command("test"), mend, after, until=UNTIL), test=[NO, YES], mend=[{"x": "1"}])
    w.start()
    assert [name for name, _ in w.ran] == ["test", "mend", "after", "test"]
    assert [s.status for s in w.state.steps[2:]] == [StepStatus.SKIPPED] * 2
    assert w.state.steps[2].outputs == {}


def test_outputs_of_an_iteration_stay_visible_until_the_step_ends_again() -> None:
    """F1, G5: an earlier sub-step can ask for what a later one gave the last time."""
    again = command("again", condition=when("steps.review.outputs.verdict == bad"))
    review = agent("review")
    w = walk(
        loop(again, review, until=when("steps.review.outputs.verdict == good")),
        review=[{"verdict": "bad"}, {"verdict": "good"}],
    )
    w.start()
    assert [name for name, _ in w.ran] == ["review", "again", "review"]


def test_inner_loops_start_over_in_each_iteration_of_the_outer_one() -> None:
    """F5, G3."""
    inner = LoopStep("inner", "I", (command("test"),), until=UNTIL)
    w = walk(
        loop(inner, command("review"), until=when("steps.review.outputs.ok == true")),
        test=[NO, YES, YES],
        review=[{"ok": "no"}, {"ok": "yes"}],
    )
    assert w.start() == "completed"
    assert w.ran == [
        ("test", (("loop", 1), ("inner", 1))),
        ("test", (("loop", 1), ("inner", 2))),
        ("review", (("loop", 1),)),
        ("test", (("loop", 2), ("inner", 1))),
        ("review", (("loop", 2),)),
    ]
    places = [r.data["loop"] for r in w.records if r.type == "step_complete" and "loop" in r.data]
    assert places[1] == [
        {"step": "loop", "iteration": 1, "index": 0},
        {"step": "inner", "iteration": 2, "index": 0},
    ]
    assert places[3] == [{"step": "loop", "iteration": 1, "index": 1}]


@pytest.mark.parametrize("kind", [agent, command])
def test_a_failure_that_is_allowed_does_not_end_the_run(kind: object) -> None:
    """G1: of any step; a pause behind it finds it done."""
    step = kind("a", allow_failure=True)
    w = walk(step, command("b"), a=[fails()], b=[fails(), None])
    assert w.start() == "failed"
    assert w.start() == "completed"
    assert [name for name, _ in w.ran] == ["a", "b", "b"]
    assert w.state.steps[0].tolerated
    assert w.state.progress == 100


def test_a_loop_whose_failure_is_allowed_lets_the_run_go_on() -> None:
    """G4."""
    step = loop(command("test"), until=UNTIL, max_iterations=1, allow_failure=True)
    w = walk(step, command("b", condition=when("steps.loop.outputs.condition_met == false")))
    assert w.start() == "completed"
    assert [name for name, _ in w.ran] == ["test", "b"]


def circling(on_cycle: OnCycle) -> SimulatedRun:
    step = loop(command("test"), until=UNTIL, max_iterations=9, on_cycle=on_cycle)
    states = iter("xyzyzy")

    async def act(walk: SimulatedRun, turn: LeafRun, place: Place) -> StepResult:
        walk.tree.files["f"] = next(states)
        return StepResult(NO)

    return SimulatedRun(workflow(step), act)


def test_a_cycle_ends_the_loop_where_the_workflow_says_so() -> None:
    """G7: the tree of iteration 4 is that of iteration 2."""
    w = circling(OnCycle.END)
    assert w.start() == "completed"
    outputs = w.state.steps[0].outputs
    assert outputs == {"iterations": "4", "condition_met": "false", "cycle": "true"}


def test_a_cycle_fails_the_loop_where_the_workflow_says_so() -> None:
    """G7, G4."""
    w = circling(OnCycle.FAIL)
    assert w.start() == "failed"
    assert w.state.error == (
        "iteration 4 ended with the work tree of an earlier one; last error: step test: it did not succeed"
    )
    assert w.state.steps[0].outputs["cycle"] == "true"


def test_a_step_is_committed_before_its_end_is_recorded() -> None:
    """G8: also of a loop, which has a snapshot of its own then."""
    step = loop(command("test"), until=UNTIL, commit="green")
    w = walk(step, command("b", commit="b"), command("c", commit="c"), test=[YES], c=[fails()])
    made: list[int] = []
    w.on_record = lambda record: made.append(len(w.tree.commits))
    w.start()
    assert w.tree.commits == ["green", "b"]
    at = {r.data["step"]: n for r, n in zip(w.records, made, strict=True) if "step" in r.data}
    assert (at["loop"], at["b"]) == (1, 2)
    ends = {r.data["step"]: r.data for r in w.records if r.type == "step_complete"}
    assert ends["loop"]["snapshot"] is not None


def test_a_spent_budget_pauses_and_a_larger_one_resumes() -> None:
    """D8, D10: what the task cost before counts, however deep the next step is."""
    usage = {"step": "test", "usage": Usage(input_tokens=40, cache_read_tokens=2).model_dump()}
    w = walk(loop(command("test"), command("mend"), until=UNTIL), test=[YES])
    plain = w.act

    async def act(walk: SimulatedRun, turn: LeafRun, place: Place) -> StepResult:
        if turn.step.id == "test":
            turn.recorder.append(RecordType.USAGE, usage)
        return await plain(walk, turn, place)

    w.act = act
    spent = Usage(output_tokens=8, cost_usd=0.5)
    assert w.start(budget=Budget(tokens=50), spent=spent) == "paused"
    assert w.state.pause == Pause(
        reason=PauseReason.BUDGET,
        message="it has used 50 of 50 tokens",
        since=NOW,
        step="mend",
    )
    assert [name for name, _ in w.ran] == ["test"]
    assert w.start(budget=Budget(usd=0.5), spent=spent) == "paused"
    assert w.state.pause is not None
    assert w.state.pause.message == "it has spent $0.50 of $0.50"
    assert w.start(budget=Budget(tokens=51, usd=1), spent=spent) == "completed"
    assert [name for name, _ in w.ran] == ["test", "mend"]


def test_a_pause_in_the_innermost_step_fails_none_of_the_loops_around_it() -> None:
    """D7: loops, and a parallel step between them."""
    pause = Pause(reason=PauseReason.CREDITS, message="none left", since=NOW, step="test")
    inner = LoopStep("inner", "I", (command("test"),), until=UNTIL)
    w = walk(loop(ParallelStep("both", "B", (inner,)), until=UNTIL), test=[RunPaused(pause), YES])
    assert w.start() == "paused"
    assert w.state.pause == pause
    assert "step_fail" not in w.types()
    assert w.start() == "completed"
    assert w.outputs()["loop"]["iterations"] == "1"


def test_a_loop_that_skips_all_of_its_steps_can_be_stopped() -> None:
    """E1: nothing in it waits."""
    step = loop(command("test", condition=when("inputs.x == 1")), max_iterations=1_000)
    w = walk(step)
    w.stop_after = 20
    assert w.start() == "stopped"
    assert len(w.records) < 25


def test_what_a_step_costs_does_not_grow_with_the_steps_before_it() -> None:
    """C8: records, their size, and snapshots taken, at the start and after 2,000 steps."""
    step = loop(command("test"), until=UNTIL, max_iterations=2_000, allow_failure=True)
    w = walk(step, test=[{"success": "false", "stdout": "x" * 50}])
    assert w.start() == "completed"
    begins = [n for n, kind in enumerate(w.types()) if kind == "loop_iteration"]
    assert {late - early for early, late in itertools.pairwise(begins)} == {3}
    sizes = [len(json.dumps(dict(r.data))) for r in w.records[begins[0] : begins[-1]]]
    # Only the numbers in them have more digits.
    assert sum(sizes[-30:]) - sum(sizes[:30]) < 30 * 12
    assert w.tree.number == 2_000


def test_a_resume_at_step_9999_of_10000_runs_that_step_and_no_other() -> None:
    """C8, F1, F5: the plan is made of the state, whose size is the workflow's."""
    step = loop(command("test"), until=UNTIL, max_iterations=10_000)
    start = {"step": "loop", "iteration": 1}
    w = walk(step, test=[YES])
    w.append(RecordType.RUN_START, start_data(w.workflow, 1))
    w.append(RecordType.STEP_START, {"step": "loop"})
    for number in range(1, 10_000):
        w.append(RecordType.LOOP_ITERATION, {**start, "iteration": number})
    place = [{"step": "loop", "iteration": 9_999, "index": 0}]
    w.append(RecordType.STEP_START, {"step": "test", "loop": place})
    w.attempt = 1
    assert w.start() == "completed"
    assert w.ran == [("test", (("loop", 9_999),))]
    assert w.outputs()["loop"]["iterations"] == "9999"
