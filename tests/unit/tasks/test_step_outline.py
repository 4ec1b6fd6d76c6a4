"""Steps as they are shown: loops, the place where a run stands, and few lines of many."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.models import RunState, RunStatus, StepState, StepStatus
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.tasks.pause_view import Policy
from rover_mcp.tasks.step_outline import STEPS_SHOWN, Outline, iteration_of
from rover_mcp.tasks.task_view import task_view
from rover_mcp.tasks.view_models import TaskView
from tests.support.samples import NOW, attempt_row, pause, step, task_row

DONE, ON, NEXT, BAD = (
    StepStatus.COMPLETED,
    StepStatus.RUNNING,
    StepStatus.PENDING,
    StepStatus.FAILED,
)


def loop(name: str, status: StepStatus, iteration: int = 0, **changes: Any) -> StepState:
    return step(name, status, **{"type": "loop", "iteration": iteration, "limit": 5} | changes)


def nested() -> list[StepState]:
    """plan, fix (loop: test, mend (loop: edit, check), note), docs; in the inner loop."""
    return [
        step("plan", DONE),
        loop("fix", ON, 2),
        step("test", DONE, parent="fix", type="command"),
        loop("mend", ON, 1, parent="fix", limit=3),
        step("edit", DONE, parent="mend"),
        step("check", ON, parent="mend", type="command"),
        step("note", NEXT, parent="fix"),
        step("docs", NEXT),
    ]


def view(steps: list[StepState], *, full: bool = False, **row: Any) -> TaskView:
    state = RunState(status=RunStatus.RUNNING, steps=steps)
    return task_view(task_row(**row), state, attempt_row(), NOW.timestamp(), Policy(), full=full)


def test_the_phase_names_every_loop_on_the_way_and_its_iteration() -> None:
    """F5, as people see it."""
    assert view(nested()).phase == (
        "step 2 of 3: fix, iteration 2 of 5: mend, iteration 1 of 3: check"
    )


def test_the_phase_of_a_parallel_step_names_what_runs_at_the_same_time() -> None:
    inner = [step(f"p{n}", ON, parent="all") for n in range(4)]
    one = [step("all", ON, type="parallel"), *inner[:1], step("x", DONE, parent="all")]
    assert Outline(one).where() == "step 1 of 1: all: p0"
    assert Outline([one[0], *inner[:2]]).where() == "step 1 of 1: all: p0 and p1"
    assert Outline([one[0], *inner]).where() == "step 1 of 1: all: p0 and p1 and 2 more"


def test_a_failed_loop_says_where_it_failed() -> None:
    steps = [step("plan", DONE), loop("fix", BAD, 5), step("test", BAD, parent="fix")]
    steps[2].tolerated = True
    shown = view(steps, status=TaskStatus.FAILED)
    assert shown.phase == "failed in step 2 of 2: fix, iteration 5 of 5"
    assert shown.steps is not None
    assert [(s.parent, s.iteration, s.limit, s.tolerated) for s in shown.steps] == [
        (None, None, None, None),
        (None, 5, 5, None),
        ("fix", None, None, True),
    ]


@pytest.mark.parametrize(
    ("iteration", "limit", "told"),
    [(2, 5, "iteration 2 of 5"), (7, 5, "iteration 7"), (1, None, "iteration 1")],
)
def test_an_iteration_is_told_with_its_limit_if_that_fits(
    iteration: int, limit: int | None, told: str
) -> None:
    assert iteration_of(iteration, limit) == told


def test_a_paused_loop_is_shown_as_interrupted_at_every_level() -> None:
    """D10: which step."""
    shown = view(
        nested(), status=TaskStatus.PAUSED, pause=pause(step="check"), paused_at=NOW.timestamp()
    )
    assert shown.pause is not None
    assert shown.pause.where == "step 2 of 3: fix, iteration 2 of 5: mend, iteration 1 of 3: check"
    state = RunState(status=RunStatus.PAUSED, steps=nested())
    stopped = task_view(task_row(), state, None, NOW.timestamp(), Policy()).steps
    assert stopped is not None
    assert [s.id for s in stopped if s.status == "interrupted"] == ["fix", "mend", "check"]


def test_a_workflow_of_few_steps_is_shown_whole() -> None:
    shown = view(nested())
    assert shown.steps is not None
    assert [s.id for s in shown.steps] == [s.id for s in nested()]
    assert shown.steps_hidden is None
    assert all(s.inside is None for s in shown.steps)


def big(position: int = 100) -> list[StepState]:
    """200 steps: 40 loops of four steps each; one of them under way."""
    steps: list[StepState] = []
    for n in range(40):
        status = DONE if 5 * n < position - 4 else ON if 5 * n <= position else NEXT
        steps.append(loop(f"loop-{n}", status, 2))
        inner = {DONE: [DONE] * 4, ON: [DONE, ON, NEXT, NEXT], NEXT: [NEXT] * 4}[status]
        steps += [step(f"l{n}-{m}", s, parent=f"loop-{n}") for m, s in enumerate(inner)]
    return steps


def test_of_many_steps_those_around_the_current_one_are_shown() -> None:
    shown = view(big())
    assert shown.steps is not None
    ids = [s.id for s in shown.steps]
    assert len(ids) == STEPS_SHOWN
    assert shown.steps_hidden == 180
    at = ids.index("loop-20")
    assert ids[at : at + 5] == ["loop-20", "l20-0", "l20-1", "l20-2", "l20-3"]
    assert {"loop-19", "loop-21"} <= set(ids)
    assert {s.id: s.inside for s in shown.steps}["loop-19"] == 4, "one line, with what is in it"
    full = view(big(), full=True)
    assert full.steps is not None
    assert (len(full.steps), full.steps_hidden) == (200, None)


@pytest.mark.parametrize("depth", [1, 30])
def test_however_deep_the_way_is_it_is_shown_first(depth: int) -> None:
    steps = [step(f"s{n}", DONE) for n in range(100)]
    steps += [loop(f"d{n}", ON, 1, parent=f"d{n - 1}" if n else None) for n in range(depth)]
    shown = Outline(steps).concise()
    assert len(shown) == STEPS_SHOWN
    assert [s.id for s in shown if s.id.startswith("d")][-1] == f"d{depth - 1}" or depth > len(
        shown
    )


@pytest.mark.parametrize("steps", [big(), [step(f"step-number-{n}", DONE) for n in range(200)]])
def test_a_workflow_of_200_steps_costs_less_than_2000_tokens(steps: list[StepState]) -> None:
    """Paused, with everything that a pause says; a token is four characters."""
    for s in steps:
        s.name = f"A step with a name of usual length, {s.id}"
        s.error = "x" * 5000 if s.status is ON else None
    shown = view(
        steps,
        status=TaskStatus.PAUSED,
        pause=pause(message="m" * 300, account="anthropic-1a2b3c4d"),
        paused_at=NOW.timestamp(),
        retry_at=NOW.timestamp() + 900,
        warnings=["w" * 500] * 100,
    )
    assert len(json.dumps(shown.model_dump(mode="json", exclude_none=True))) / 4 < 2000


def test_all_outputs_of_a_full_view_have_one_limit() -> None:
    """Those of the last steps come first."""
    steps = [step(f"s{n}", DONE, outputs={"o": "x" * 10_000}) for n in range(100)]
    shown = view(steps, full=True)
    assert shown.steps is not None
    lengths = [len((s.outputs or {}).get("o", "")) for s in shown.steps]
    assert lengths == [0] * 96 + [10_000] * 4
    short = [step(f"s{n}", DONE, outputs={"o": "yes"}) for n in range(100)]
    assert all(s.outputs == {"o": "yes"} for s in view(short, full=True).steps or ())


# Progress


def test_progress_counts_a_loop_by_its_iterations_and_never_goes_back() -> None:
    """A5."""
    seen: list[int] = []
    for iteration in range(1, 6):
        for done in range(3):
            inner = [step(f"i{n}", DONE if n < done else NEXT, parent="fix") for n in range(2)]
            steps = [step("plan", DONE), loop("fix", ON, iteration), *inner]
            seen.append(view(steps).progress)
    seen.append(view([step("plan", DONE), loop("fix", DONE, 5)]).progress)
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (50, 99)
    assert len(set(seen)) == 11


def test_progress_stays_while_a_resumed_loop_waits_for_its_turn() -> None:
    """A5: at a resume the journal tells it as pending, with its iteration."""
    inner = [step("a", DONE, parent="fix"), step("b", NEXT, parent="fix")]
    assert view([loop("fix", ON, 3), *inner]).progress == 50
    assert view([loop("fix", NEXT, 3), *inner]).progress == 50


def _tree() -> st.SearchStrategy[list[StepState]]:
    return st.lists(
        st.builds(
            lambda status, parent, iteration, limit, tolerated: (
                status, parent, iteration, limit, tolerated,
            ),
            st.sampled_from(StepStatus),
            st.none() | st.integers(0, 12),
            st.none() | st.integers(0, 10_000),
            st.none() | st.integers(0, 10_000),
            st.booleans(),
        ),
        max_size=12,
    ).map(
        lambda rows: [
            step(
                f"s{n}", status, parent=None if parent is None else f"s{parent}",
                iteration=iteration, limit=limit, tolerated=tolerated,
            )
            for n, (status, parent, iteration, limit, tolerated) in enumerate(rows)
        ]
    )  # fmt: skip


@given(_tree(), st.sampled_from(RunStatus))
def test_whatever_loops_were_stored_progress_is_within_0_and_100(
    steps: list[StepState], status: RunStatus
) -> None:
    """A5: parents that are missing, later, or the step itself; iterations beyond the limit."""
    state = RunState(status=status, steps=steps)
    assert 0 <= state.progress <= 100
    shown = task_view(task_row(), state, attempt_row(), NOW.timestamp(), Policy())
    assert 0 <= shown.progress <= 100
    assert {s.id for s in Outline(steps).concise(4)} <= {s.id for s in steps}
