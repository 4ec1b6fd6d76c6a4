"""Records to RunState: the one place that knows what the records mean. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from agent_runner.journal import Record, RecordType
from agent_runner.models import (
    AgentSession,
    Pause,
    RunState,
    RunStatus,
    Snapshot,
    StepState,
    StepStatus,
    Usage,
)

MAX_WARNINGS = 100

_DONE = frozenset({StepStatus.COMPLETED, StepStatus.SKIPPED})


def fold(records: Iterable[Record]) -> RunState:
    """All that the records say of a run. What is returned belongs to the caller (C5).

    Raises:
        ValueError: a record does not hold what its type asks for; it names the record.
    """
    state = RunState()
    for record in records:
        try:
            _APPLY[record.type](state, record)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"record {record.seq} ({record.type}) is malformed: {error}") from None
    return state


def boundary(records: Iterable[Record]) -> Snapshot | None:
    """The snapshot at the last finished step, or at the start: where a step that cannot go on
    in the middle begins again. None: no snapshot is known for that place."""
    found: Snapshot | None = None
    for record in records:
        if record.type is RecordType.STEP_COMPLETE or "start_snapshot" in record.data:
            raw = record.data.get("snapshot") or record.data.get("start_snapshot")
            found = Snapshot.model_validate(raw) if raw else None
    return found


def definitions(records: Iterable[Record]) -> dict[str, str]:
    """The digest of every step's definition, as the last attempt found it."""
    found: dict[str, str] = {}
    for record in records:
        if record.type is RecordType.RUN_START:
            found |= {s["id"]: s["digest"] for s in record.data["steps"] if "digest" in s}
    return found


def _run_start(state: RunState, record: Record) -> None:
    data = record.data
    old = {step.id: step for step in state.steps}
    state.steps = [_redefined(old.get(raw["id"]), raw) for raw in data["steps"]]
    state.attempt = int(data["attempt"])
    state.workflow = str(data["workflow"])
    state.started_at = state.started_at or record.at
    _keep_snapshot(state, data, "start_snapshot")
    _go_on(state)


def _redefined(old: StepState | None, raw: Mapping[str, Any]) -> StepState:
    step = old.model_copy(deep=True) if old else StepState(id=raw["id"], name="", type="")
    step.name = raw["name"]
    step.type = raw["type"]
    return step


def _go_on(state: RunState) -> None:
    """What an earlier run left behind is gone (C6); a session stays, to be resumed (F8)."""
    state.status = RunStatus.RUNNING
    state.pause = None
    state.error = None
    state.ended_at = None
    for step in state.steps:
        if step.status not in _DONE:
            step.status = StepStatus.PENDING
            step.error = step.detail = None
            step.started_at = step.ended_at = None


def _resume(state: RunState, record: Record) -> None:
    state.attempt = int(record.data["attempt"])
    state.skipped_on_resume = int(record.data["skipped"])
    state.resumes += 1
    _go_on(state)


def _step(state: RunState, record: Record) -> StepState:
    step_id = record.data["step"]
    for step in state.steps:
        if step.id == step_id:
            return step
    raise ValueError(f"no step {step_id!r}")


def _step_start(state: RunState, record: Record) -> None:
    step = _step(state, record)
    step.status = StepStatus.RUNNING
    step.started_at = record.at
    step.ended_at = step.error = step.detail = None
    step.outputs = {}


def _agent_session(state: RunState, record: Record) -> None:
    _step(state, record).session = AgentSession.model_validate(record.data["session"])


def _usage(state: RunState, record: Record) -> None:
    more = Usage.model_validate(record.data["usage"])
    step = _step(state, record)
    step.usage = step.usage.plus(more)
    state.usage = state.usage.plus(more)


def _end(state: RunState, record: Record, status: StepStatus) -> StepState:
    step = _step(state, record)
    step.status = status
    step.ended_at = record.at
    step.error = None
    step.detail = record.data.get("detail")
    return step


def _step_complete(state: RunState, record: Record) -> None:
    step = _end(state, record, StepStatus.COMPLETED)
    step.outputs = {str(k): str(v) for k, v in record.data["outputs"].items()}
    _keep_snapshot(state, record.data, "snapshot")


def _step_skip(state: RunState, record: Record) -> None:
    _end(state, record, StepStatus.SKIPPED).outputs = {}


def _step_fail(state: RunState, record: Record) -> None:
    _end(state, record, StepStatus.FAILED).error = str(record.data["error"])


def _keep_snapshot(state: RunState, data: Mapping[str, Any], key: str) -> None:
    if raw := data.get(key):
        state.snapshot = Snapshot.model_validate(raw)


def _warning(state: RunState, record: Record) -> None:
    state.warnings = [*state.warnings, str(record.data["message"])][-MAX_WARNINGS:]


def _ended(state: RunState, record: Record, status: RunStatus) -> None:
    state.status = status
    state.ended_at = record.at
    _keep_snapshot(state, record.data, "snapshot")


def _pause(state: RunState, record: Record) -> None:
    _ended(state, record, RunStatus.PAUSED)
    state.pause = Pause.model_validate(record.data["pause"])


def _complete(state: RunState, record: Record) -> None:
    _ended(state, record, RunStatus.COMPLETED)


def _fail(state: RunState, record: Record) -> None:
    _ended(state, record, RunStatus.FAILED)
    state.error = str(record.data["error"])


_APPLY: Mapping[RecordType, Callable[[RunState, Record], None]] = {
    RecordType.RUN_START: _run_start,
    RecordType.STEP_START: _step_start,
    RecordType.AGENT_SESSION: _agent_session,
    RecordType.USAGE: _usage,
    RecordType.STEP_COMPLETE: _step_complete,
    RecordType.STEP_SKIP: _step_skip,
    RecordType.STEP_FAIL: _step_fail,
    RecordType.WARNING: _warning,
    RecordType.WORKFLOW_PAUSE: _pause,
    RecordType.WORKFLOW_RESUME: _resume,
    RecordType.WORKFLOW_COMPLETE: _complete,
    RecordType.WORKFLOW_FAIL: _fail,
}
