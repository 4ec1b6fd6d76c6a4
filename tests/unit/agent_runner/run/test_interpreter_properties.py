"""A run that is cut anywhere and goes on ends as one that was never cut."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runner.journal.record_lines import RecordType
from agent_runner.models import RunStatus, StepStatus
from tests.support.random_walks import acting, assert_same_order, steps_of
from tests.support.walks import MemoryTree, SimulatedRun, workflow

SEEDS = st.integers(0, 10**9)


def whole_run(seed: int) -> SimulatedRun:
    found = SimulatedRun(workflow(*steps_of(seed)), acting(seed))
    found.start()
    return found


def crashed(whole: SimulatedRun, cut: int, *, late: bool) -> SimulatedRun:
    """What is left where the runner died right after this many records, or just before the
    next one: with all that was done to the tree in between."""
    return SimulatedRun(
        whole.workflow,
        whole.act,
        records=whole.records[:cut],
        tree=MemoryTree(dict(whole.files_at[cut - 1 + late]), whole.tree.taken, number=cut),
        attempt=1,
    )


def failed_for_good(walk: SimulatedRun) -> bool:
    return any(r.type is RecordType.STEP_FAIL and not r.data["tolerated"] for r in walk.records)


def assert_as_if_whole(walk: SimulatedRun, whole: SimulatedRun) -> None:
    mine, other = walk.state, whole.state
    assert mine.status is other.status
    assert mine.error == other.error
    assert walk.outputs() == whole.outputs()
    assert [(s.id, s.status, s.iteration) for s in mine.steps] == [
        (s.id, s.status, s.iteration) for s in other.steps
    ]
    assert mine.progress == other.progress
    assert walk.tree.files == whole.tree.files


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, data=st.data())
def test_a_run_that_died_at_any_point_ends_as_if_it_had_not(seed: int, data: st.DataObject) -> None:
    """F1, F5, F7, F8, C1: the same outputs, the same tree, each step finished once, in order."""
    whole = whole_run(seed)
    cut = data.draw(st.integers(1, len(whole.records) - 1), "cut")
    walk = crashed(whole, cut, late=data.draw(st.booleans(), "late"))
    had_failed = failed_for_good(walk)
    walk.start()
    assert_as_if_whole(walk, whole)
    if not had_failed:
        assert_same_order(walk.finished(), whole.finished(), whole.workflow.steps)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, data=st.data())
def test_a_run_that_is_stopped_again_and_again_comes_to_the_same_end(
    seed: int, data: st.DataObject
) -> None:
    """E1, F7, D7: stopped as a signal stops it, at any record of any attempt."""
    whole = whole_run(seed)
    walk = SimulatedRun(whole.workflow, whole.act)
    for _ in range(3):
        room = len(whole.records) - len(walk.records)
        if room > 0:
            walk.stop_after = len(walk.records) + data.draw(st.integers(1, room), "stop")
        if walk.start() != "stopped":
            break
    walk.stop_after = None
    if walk.state.status is RunStatus.RUNNING:
        walk.start()
    assert_as_if_whole(walk, whole)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS)
def test_every_end_is_a_true_end(seed: int) -> None:
    """G3, G4, A5, C4: nothing is left running, no place ends twice, no limit is passed."""
    walk = whole_run(seed)
    assert walk.state.status in (RunStatus.COMPLETED, RunStatus.FAILED)
    assert not [s for s in walk.state.steps if s.status is StepStatus.RUNNING]
    ends = walk.finished()
    assert len(ends) == len(set(ends))
    for step in walk.state.steps:
        assert step.iteration is None or 0 <= step.iteration <= (step.limit or 0)
    assert walk.state.status is RunStatus.FAILED or walk.state.progress == 100
