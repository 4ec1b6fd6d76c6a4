"""Records to state."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent_runner.journal.record_lines import Record, RecordType
from agent_runner.journal.run_state import RunStateFold, fold
from agent_runner.models import MAX_VERDICT, RunStatus, StepStatus

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
STEPS = [{"id": i, "name": i.upper(), "type": "agent"} for i in ("a", "b")]
USAGE = {"input_tokens": 2, "cost_usd": 0.5}
SESSION = {"agent": "claude", "session_id": "s"}
PAUSE = {"reason": "credits", "message": "no", "since": NOW.isoformat(), "step": "b"}


def snapshot(n: int) -> dict[str, Any]:
    return {
        "sequence": n,
        "commit": f"{n:040}",
        "tree": f"{n:040}",
        "bundle": f"{n:06}.bundle",
        "head": f"{n:040}",
    }


def records(*items: tuple[str, dict[str, Any]]) -> list[Record]:
    return [
        Record(n, NOW + timedelta(seconds=n), RecordType(kind), data)
        for n, (kind, data) in enumerate(items, 1)
    ]


START = ("run_start", {"attempt": 1, "workflow": "w", "steps": STEPS})
DONE_A = (
    "step_complete",
    {"step": "a", "outputs": {"x": "1"}, "snapshot": snapshot(1), "detail": None},
)


def test_a_verdict_is_one_bounded_line_of_printable_text() -> None:
    """Whatever wrote it."""
    said = "tests still fail:\n\x1b[31m a\u202eb " + "x" * 100_000
    end = ("step_complete", {**DONE_A[1], "verdict": said})
    verdict = fold(records(START, ("step_start", {"step": "a"}), end)).verdict
    assert verdict is not None
    assert verdict.startswith("tests still fail: [31m a b xxx")
    assert len(verdict) == MAX_VERDICT
    assert verdict.isprintable()


def test_no_records_are_a_new_run() -> None:
    """F3."""
    assert fold([]).status is RunStatus.NEW


def test_a_run_is_logged_step_by_step() -> None:
    """A5."""
    state = fold(
        records(
            START,
            ("step_start", {"step": "a"}),
            ("agent_session", {"step": "a", "session": SESSION}),
            ("usage", {"step": "a", "usage": USAGE}),
            ("usage", {"step": "a", "usage": USAGE}),
            DONE_A,
            ("step_start", {"step": "b"}),
        )
    )
    assert state.status is RunStatus.RUNNING
    assert state.progress == 50
    assert state.current_step is not None
    assert state.current_step.id == "b"
    assert state.steps[0].outputs == {"x": "1"}
    assert state.steps[0].session is not None
    assert state.usage.input_tokens == 4
    assert state.usage.cost_usd == 1.0
    assert state.snapshot is not None
    assert state.snapshot.sequence == 1


def test_a_step_stored_again_replaces_itself() -> None:
    """C4."""
    again = {"step": "a", "outputs": {"x": "2"}, "snapshot": None, "detail": None}
    state = fold(records(START, DONE_A, ("step_complete", again)))
    assert [s.id for s in state.steps] == ["a", "b"]
    assert state.steps[0].outputs == {"x": "2"}


def test_what_is_read_is_the_reader_s_own() -> None:
    """C5."""
    items = records(START, DONE_A)
    fold(items).steps[0].outputs["x"] = "changed"
    assert fold(items).steps[0].outputs == {"x": "1"}


def test_a_running_step_keeps_its_session_in_the_next_attempt() -> None:
    """F8."""
    stopped = [
        START,
        DONE_A,
        ("step_start", {"step": "b"}),
        ("agent_session", {"step": "b", "session": SESSION}),
        ("workflow_pause", {"pause": PAUSE, "snapshot": snapshot(2)}),
    ]
    state = fold(records(*stopped))
    assert state.status is RunStatus.PAUSED
    assert state.pause is not None
    assert state.pause.reason == "credits"
    assert state.steps[1].status is StepStatus.RUNNING
    assert state.snapshot is not None
    assert state.snapshot.sequence == 2
    again = ("run_start", {"attempt": 2, "workflow": "w", "steps": STEPS})
    resumed = ("workflow_resume", {"attempt": 2, "skipped": 1})
    state = fold(records(*stopped, again, resumed))
    assert (state.pause, state.attempt, state.resumes, state.skipped_on_resume) == (None, 2, 1, 1)
    assert state.steps[1].status is StepStatus.PENDING
    assert state.steps[1].session is not None
    assert state.started_at == NOW + timedelta(seconds=1)
    assert state.ended_at is None


def test_failure_data_are_gone_after_a_resume() -> None:
    """C6."""
    failed = [
        START,
        ("step_start", {"step": "a"}),
        ("step_fail", {"step": "a", "error": "bad"}),
        ("workflow_fail", {"step": "a", "error": "bad", "snapshot": None}),
    ]
    state = fold(records(*failed))
    assert (state.status, state.error, state.steps[0].error) == (RunStatus.FAILED, "bad", "bad")
    state = fold(records(*failed, START))
    assert (state.status, state.error, state.steps[0].error) == (RunStatus.RUNNING, None, None)
    assert (state.steps[0].status, state.steps[0].started_at) == (StepStatus.PENDING, None)


def test_steps_that_left_the_workflow_are_dropped() -> None:
    """F2."""
    state = fold(
        records(START, DONE_A, ("run_start", {"attempt": 2, "workflow": "w", "steps": STEPS[1:]}))
    )
    assert [s.id for s in state.steps] == ["b"]


def test_skipped_steps_count_as_progress() -> None:
    """G5, A5."""
    state = fold(
        records(
            START,
            ("step_skip", {"step": "a", "detail": "condition"}),
            ("step_skip", {"step": "b", "detail": "condition"}),
            ("workflow_complete", {"snapshot": None}),
        )
    )
    assert [s.status for s in state.steps] == ["skipped", "skipped"]
    assert (state.status, state.progress) == (RunStatus.COMPLETED, 100)


def test_warnings_are_capped() -> None:
    many = [("warning", {"message": str(n)}) for n in range(150)]
    assert fold(records(*many)).warnings == [str(n) for n in range(50, 150)]


@pytest.mark.parametrize(
    "item",
    [
        ("step_start", {"step": "zz"}),
        ("step_start", {}),
        ("workflow_pause", {"pause": {"reason": "boredom"}}),
        ("run_start", {"attempt": "x", "workflow": "w", "steps": []}),
    ],
)
def test_a_malformed_record_is_named(item: tuple[str, dict[str, Any]]) -> None:
    """A1."""
    with pytest.raises(ValueError, match="record 2 "):
        fold(records(START, item))


def test_the_boundary_is_the_last_finished_step_not_a_pause() -> None:
    """F8."""
    paused = ("workflow_pause", {"pause": PAUSE, "snapshot": snapshot(2)})
    assert sequence(START, DONE_A, paused) == 1
    assert sequence(START, paused) is None
    started = ("step_start", {"step": "a", "start_snapshot": snapshot(3)})
    assert sequence(START, started) == 3
    failed = {"step": "b", "error": "x", "outputs": {}, "snapshot": snapshot(4)}
    assert sequence(START, DONE_A, ("step_fail", {**failed, "tolerated": False})) == 1
    assert sequence(START, DONE_A, ("step_fail", {**failed, "tolerated": True})) == 4
    lost = ("step_complete", {"step": "b", "outputs": {}, "snapshot": None})
    assert sequence(START, DONE_A, lost) is None


def sequence(*items: tuple[str, dict[str, Any]]) -> int | None:
    found = RunStateFold.of(records(*items)).boundary
    return found.sequence if found else None


def test_a_resume_keeps_a_failure_that_the_run_continued_behind() -> None:
    """C9, F1, G4: with its outputs."""
    failed = {"step": "a", "error": "no", "outputs": {"exit_code": "3"}, "tolerated": True}
    state = fold(records(START, ("step_fail", failed), START))
    a = state.steps[0]
    assert (a.status, a.error, a.outputs) == (StepStatus.FAILED, "no", {"exit_code": "3"})
    assert (a.finished, state.progress) == (True, 50)


def test_a_state_that_was_taken_is_not_changed_by_later_records() -> None:
    """C5."""
    start, done = records(START, DONE_A)
    folding = RunStateFold.of([start])
    before = folding.state
    folding.add(done)
    assert (before.steps[0].status, before.steps[0].outputs) == (StepStatus.PENDING, {})
    assert folding.state.steps[0].outputs == {"x": "1"}
