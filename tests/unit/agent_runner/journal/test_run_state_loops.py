"""Loops and parallel steps in the journal: their places, their progress, what each record costs."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.journal.journal import Journal
from agent_runner.journal.journal_reader import read_journal
from agent_runner.journal.record_lines import Record, RecordType
from agent_runner.journal.run_state import RunStateFold, fold
from agent_runner.models import RunState, StepState, StepStatus

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
STEPS = [
    {"id": "loop", "name": "Loop", "type": "loop", "limit": 4},
    {"id": "test", "name": "Test", "type": "command", "parent": "loop"},
    {"id": "inner", "name": "Inner", "type": "loop", "parent": "loop", "limit": 2},
    {"id": "both", "name": "Both", "type": "parallel", "parent": "inner"},
    {"id": "mend", "name": "Mend", "type": "agent", "parent": "both"},
]
SESSION = {"agent": "claude", "session_id": "s"}

Item = tuple[str, dict[str, Any]]


def start(steps: list[dict[str, Any]] = STEPS) -> Item:
    return "run_start", {"attempt": 1, "workflow": "w", "steps": steps}


def at(*places: tuple[str, int, int]) -> list[dict[str, Any]]:
    return [{"step": s, "iteration": i, "index": n} for s, i, n in places]


def iterate(step: str, iteration: int, *places: tuple[str, int, int], **more: str) -> Item:
    data = {"step": step, "iteration": iteration, **more}
    return "loop_iteration", data | ({"loop": at(*places)} if places else {})


def done(step: str, *places: tuple[str, int, int], **outputs: str) -> Item:
    return "step_complete", {"step": step, "loop": at(*places), "outputs": outputs}


def records(*items: Item) -> list[Record]:
    return [Record(n, NOW, RecordType(kind), data) for n, (kind, data) in enumerate(items, 1)]


SECOND = (
    start(),
    ("step_start", {"step": "loop"}),
    iterate("loop", 1),
    done("test", ("loop", 1, 0), x="1"),
    iterate("inner", 1, ("loop", 1, 1)),
    done("mend", ("loop", 1, 1), ("inner", 1, 0)),
    done("inner", ("loop", 1, 1)),
    iterate("loop", 2, tree="f" * 40),
)


def test_a_new_iteration_forgets_what_is_inside_but_not_its_outputs() -> None:
    """F5: nested loops begin anew."""
    session = {"step": "mend", "loop": at(("loop", 1, 1), ("inner", 1, 0)), "session": SESSION}
    again = iterate("inner", 2, ("loop", 1, 1), tree="e" * 40)
    items = [*SECOND[:5], ("agent_session", session), SECOND[5], again, *SECOND[6:]]
    assert fold(records(*items[:-1])).steps[2].trees == ["e" * 40]
    loop, test, inner, _, mend = fold(records(*items)).steps
    assert inner.trees == []
    assert (loop.iteration, loop.trees) == (2, ["f" * 40])
    assert (test.status, test.outputs) == (StepStatus.PENDING, {"x": "1"})
    assert (inner.status, inner.iteration) == (StepStatus.PENDING, 0)
    assert (mend.session, mend.status) == (None, StepStatus.PENDING)


def test_an_attempt_resumes_in_the_iteration_that_was_running() -> None:
    """F5."""
    items = (*SECOND, done("test", ("loop", 2, 0), x="2"), start())
    loop, test, *_ = fold(records(*items)).steps
    assert (loop.status, loop.iteration, loop.trees) == (StepStatus.PENDING, 2, ["f" * 40])
    assert (test.status, test.outputs) == (StepStatus.COMPLETED, {"x": "2"})


def test_a_loop_s_end_leaves_the_boundary_where_its_last_sub_step_set_it() -> None:
    """C10, F8: it has no snapshot of its own."""
    snapshot = {"sequence": 1, "bundle": "000001.bundle"}
    snapshot |= dict.fromkeys(("commit", "tree", "head"), "a" * 40)
    kind, data = done("test", ("loop", 2, 0))
    items = (*SECOND, (kind, {**data, "snapshot": snapshot}), done("loop", iterations="2"))
    found = RunStateFold.of(records(*items)).boundary
    assert found is not None
    assert found.sequence == 1


def test_a_loop_that_failed_starts_over() -> None:
    """C6, F6."""
    failed = ("step_fail", {"step": "loop", "error": "no", "outputs": {}, "tolerated": False})
    loop, test, *_ = fold(records(*SECOND, failed, start())).steps
    assert (loop.status, loop.iteration, loop.trees) == (StepStatus.PENDING, 0, [])
    assert test.status is StepStatus.PENDING


def test_a_loop_beyond_its_present_limit_starts_over() -> None:
    """F6."""
    lower = [{**STEPS[0], "limit": 1}, *STEPS[1:]]
    items = (*SECOND, done("test", ("loop", 2, 0)), start(lower))
    loop, test, *_ = fold(records(*items)).steps
    assert (loop.iteration, test.status) == (0, StepStatus.PENDING)


def test_a_step_that_moved_to_another_place_is_another_step() -> None:
    """F2."""
    moved = [STEPS[0], {**STEPS[1], "parent": None}]
    found = fold(records(*SECOND, done("test", ("loop", 2, 0)), start(moved))).steps[1]
    assert (found.status, found.outputs) == (StepStatus.PENDING, {})


BAD_PLACES = [
    at(("loop", 0, 0)),
    at(("loop", 2, -1)),
    at(("loop", 1, 0)),
    at(("loop", 3, 0)),
    at(("inner", 2, 0)),
    at(("loop", 2, 0), ("inner", 1, 0)),
    [],
    [{"step": "loop", "iteration": 2}],
    [{"step": "loop", "iteration": True, "index": 0}],
    [{"step": "loop", "iteration": "2", "index": 0}],
    "loop",
    7,
]


@pytest.mark.parametrize("place", BAD_PLACES)
def test_a_place_that_cannot_be_is_refused_when_it_is_read(place: object) -> None:
    """C7: and the record is named."""
    assert fold(records(*SECOND, done("test", ("loop", 2, 0)))).steps[1].finished
    bad = ("step_complete", {"step": "test", "loop": place, "outputs": {}})
    with pytest.raises(ValueError, match="record 9 "):
        fold(records(*SECOND, bad))


@pytest.mark.parametrize(
    "place",
    [[{"step": "l", "iteration": 0, "index": 0}], [{"step": "l", "iteration": 1, "index": -1}], 7],
)
def test_a_place_that_cannot_be_is_refused_when_it_is_written(tmp_path: Path, place: Any) -> None:
    """C7: nothing of it reaches the file."""
    journal = Journal.open(tmp_path / "j", lambda: NOW)
    with pytest.raises((ValueError, TypeError)):
        journal.append(RecordType.STEP_START, {"step": "a", "loop": place})
    journal.append(RecordType.WARNING, {"message": "m"})
    journal.close()
    assert [r.type for r in read_journal(tmp_path / "j").records] == ["warning"]


def test_the_state_sees_what_is_written_and_what_it_refuses_is_not(
    tmp_path: Path,
) -> None:
    """C7, F7: the run acts on nothing that its journal does not hold."""
    journal = Journal.open(tmp_path / "j", lambda: NOW)
    folding = RunStateFold()
    journal.follower = folding.add
    for kind, data in SECOND:
        journal.append(RecordType(kind), data)
    with pytest.raises(ValueError, match="iteration 4"):
        journal.append(RecordType.LOOP_ITERATION, {"step": "loop", "iteration": 4})
    half = {"x": "half a pair \ud83d"}
    done_there = {"step": "test", "loop": at(("loop", 2, 0)), "outputs": half}
    journal.append(RecordType.STEP_COMPLETE, done_there)
    journal.close()
    read = read_journal(tmp_path / "j").records
    assert len(read) == len(SECOND) + 1
    assert fold(read) == folding.state


@pytest.mark.parametrize(
    "item",
    [
        iterate("loop", 1),
        iterate("loop", 4),
        iterate("test", 1, ("loop", 2, 0)),
        iterate("inner", 3, ("loop", 2, 1)),
        iterate("inner", 0, ("loop", 2, 1)),
        ("loop_iteration", {"step": "loop", "iteration": True}),
        ("loop_iteration", {"step": "loop"}),
        start([*STEPS, {"id": "x", "name": "", "type": "agent", "parent": "nobody"}]),
        start([*STEPS, STEPS[0]]),
        start([{**STEPS[0], "limit": -1}]),
        start([{**STEPS[0], "parent": "loop"}]),
        ("run_start", {"attempt": 1, "workflow": "w", "steps": ["loop"]}),
    ],
)
def test_what_cannot_come_now_is_refused(item: Item) -> None:
    """C7, A1."""
    with pytest.raises(ValueError, match="record 9 "):
        fold(records(*SECOND, item))


def test_progress_counts_iterations_and_the_steps_of_a_body() -> None:
    """A5."""
    two = [*STEPS, {"id": "end", "name": "End", "type": "agent"}]
    items = [start(two), *SECOND[1:]]
    assert fold(records(*items)).progress == 12
    items.append(done("test", ("loop", 2, 0)))
    assert fold(records(*items)).progress == 18
    items.append(iterate("inner", 1, ("loop", 2, 1)))
    items.append(iterate("inner", 2, ("loop", 2, 1)))
    assert fold(records(*items)).progress == 21
    items.append(done("loop", iterations="2"))
    assert fold(records(*items)).progress == 50


IDS = st.sampled_from(["a", "b", "c", "d", "nobody"])
HOSTILE = st.builds(
    StepState.model_construct,
    id=IDS,
    name=st.just("n"),
    type=st.sampled_from(["loop", "parallel", "agent", "dance"]),
    parent=st.none() | IDS,
    iteration=st.none() | st.integers(-5, 9),
    limit=st.none() | st.integers(-5, 9),
    status=st.sampled_from(StepStatus),
    tolerated=st.booleans(),
)


@given(st.lists(HOSTILE, max_size=12))
def test_progress_is_a_share_whatever_was_stored(steps: list[StepState]) -> None:
    """A5: steps around themselves, twice, of nobody; iterations beyond any limit."""
    state = RunState.model_construct(steps=steps)
    assert 0 <= state.progress <= 100
    current = state.current_step
    assert current is None or current.status is StepStatus.RUNNING


def test_the_state_does_not_grow_with_the_number_of_steps_done() -> None:
    """C8: a loop of 10,000 sub-steps, early and late."""
    folding = RunStateFold()
    large = [{**STEPS[0], "limit": 10_000}, STEPS[1]]
    items = [start(large), ("step_start", {"step": "loop"})]
    for n in range(1, 10_001):
        place = ("loop", n, 0)
        begin = ("step_start", {"step": "test", "loop": at(place)})
        items += [iterate("loop", n), begin, done("test", place, stdout="ok")]
    sizes: list[int] = []
    for n, record in enumerate(records(*items)):
        folding.add(record)
        if n in (4, len(items) - 1):
            sizes.append(len(pickle.dumps(folding)))
    assert folding.state.steps[0].iteration == 10_000
    assert abs(sizes[1] - sizes[0]) < 16
