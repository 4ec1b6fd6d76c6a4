"""The steps of a forked task begin in the state that they had in the other task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agent_runner.journal.record_lines import RecordType as T
from agent_runner.journal.run_state import RunStateFold
from agent_runner.models import AgentSession, Snapshot, StepState
from agent_runner.run.carried_steps import carried_records, lacks_carried
from agent_runner.spec import GatewaySpec, NoIsolation, Paths, RunSpec
from tests.support.journals import RUN, at, lines_of, records_of, snapshot

BEGIN = Snapshot.model_validate(snapshot(1))
START = RUN[0]
ENDED = (T.STEP_COMPLETE, {"step": "loop", "outputs": {}, "detail": None})
Run = Sequence[tuple[T, Any]]


def state_after(run: Run) -> RunStateFold:
    return RunStateFold.of(records_of(lines_of(run)))


def spec_with(steps: Sequence[StepState]) -> RunSpec:
    return RunSpec(
        task_id="0" * 32, number=1, iteration=1, attempt=1, title="t", description="d",
        branch="b", base_commit="0" * 40, agent="claude", isolation=NoIsolation(),
        paths=Paths(spec=Path("/s"), run=Path("/r")),
        gateway=GatewaySpec(socket=Path("/g"), token="t"), begin=BEGIN, carried=tuple(steps),
    )  # fmt: skip


def carried(run: Run) -> tuple[RunStateFold, Run]:
    spec, new = spec_with(state_after(run).state.steps), state_after([START])
    assert lacks_carried(new, spec)
    records = carried_records(spec, new.live.steps)
    return state_after([START, *records]), records


def facts(fold: RunStateFold) -> list[Any]:
    return [
        (s.id, s.finished, s.iteration, s.outputs if s.finished else None)
        for s in fold.live.steps
    ]  # fmt: skip


SKIP = (T.STEP_SKIP, {"step": "test", "loop": [at(1, 1)], "outputs": {}})
PAUSE = {"reason": "credits", "message": "none", "since": "2026-11-23T10:00:00Z"}
RUNS: dict[str, Run] = {
    "after a step": RUN[:5],
    "in a loop": RUN[:10],
    "in its second iteration": [*RUN[:10], (T.LOOP_ITERATION, {"step": "loop", "iteration": 2})],
    "after a skipped step": [*RUN[:10], SKIP],
    "after a loop": [*RUN[:10], SKIP, ENDED],
    "at a pause": [*RUN[:3], (T.WORKFLOW_PAUSE, {"pause": PAUSE})],
}


@pytest.mark.parametrize("name", RUNS)
def test_what_was_finished_is_finished_and_the_rest_is_not(name: str) -> None:
    """N14."""
    new, records = carried(RUNS[name])
    old = state_after(RUNS[name])
    assert facts(new) == facts(old)
    assert new.boundary == BEGIN
    assert not lacks_carried(new, spec_with(old.live.steps))
    assert records


@pytest.mark.parametrize("name", RUNS)
def test_a_crash_between_two_records_is_seen(name: str) -> None:
    _, records = carried(RUNS[name])
    spec = spec_with(state_after(RUNS[name]).live.steps)
    for count in range(len(records)):
        assert lacks_carried(state_after([START, *records[:count]]), spec), count
    again = (T.RUN_START, {**START[1], "restart": True})
    once_more = state_after([START, *records[:-1], again, *records])
    assert facts(once_more) == facts(state_after(RUNS[name]))


def test_conversations_are_taken_over_as_copies(tmp_path: Path) -> None:
    new, _ = carried(RUNS["at a pause"])
    session = new.step("plan").session
    assert session == AgentSession(agent="claude", session_id="s-1", fork=True)


def test_nothing_is_taken_over_where_nothing_was_begun() -> None:
    spec = spec_with(state_after([START]).live.steps)
    assert carried_records(spec, state_after([START]).live.steps) == []


def test_a_step_that_has_another_place_now_is_left_out() -> None:
    old = state_after(RUN[:5]).state.steps
    old[0].parent = "loop"
    assert carried_records(spec_with(old), state_after([START]).live.steps) == []
