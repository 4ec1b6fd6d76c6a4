"""Folds records into the state of a run: the one place that knows what records mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

from agent_runner.journal.record_lines import Record, RecordType
from agent_runner.models import (
    AgentSession,
    Pause,
    RunState,
    RunStatus,
    Snapshot,
    StepState,
    StepStatus,
    Usage,
    loop_positions,
    verdict_line,
)

MAX_WARNINGS = 100


def fold(records: Iterable[Record]) -> RunState:
    """The state that records add up to. The result belongs to the caller.

    Raises:
        ValueError: a record does not hold what its type asks for; it names the record.
    """
    return RunStateFold.of(records).live


class RunStateFold:
    """The state of a run, updated record by record. The cost of a record, and the memory, depend on
    the size of the workflow and not on how much of it has run."""

    def __init__(self) -> None:
        self._state = RunState()
        self._steps: dict[str, StepState] = {}
        self._inside: dict[str, list[StepState]] = {}
        self._loops: dict[str, list[str]] = {}
        self.boundary: Snapshot | None = None
        """The snapshot at the last finished step, or at the start: a step that cannot be continued
        starts again from it. None: no snapshot of that place is known."""
        self.left: Snapshot | None = None
        """The work tree as the last attempt left it, if that attempt recorded its end."""
        self.digests: Mapping[str, str] = {}
        """The digest of each step's definition in the last attempt."""
        self.worked = False
        """Whether a step has ended that may have changed the work tree."""

    @classmethod
    def of(cls, records: Iterable[Record]) -> Self:
        """The fold over these records; raises as `add`."""
        state = cls()
        for record in records:
            state.add(record)
        return state

    @property
    def state(self) -> RunState:
        """A copy of the state, which belongs to the caller."""
        return self._state.model_copy(deep=True)

    @property
    def live(self) -> RunState:
        """The state itself, without a copy. The next record changes it, so do not keep it."""
        return self._state

    def step(self, step_id: str) -> StepState:
        """One step of the live state.

        Raises:
            ValueError: the workflow has no such step.
        """
        try:
            return self._steps[step_id]
        except KeyError:
            raise ValueError(f"no step {step_id!r}") from None

    def within(self, step_id: str) -> Iterator[StepState]:
        """Every step inside a loop or parallel step, however deep."""
        waiting = list(self._inside.get(step_id, ()))
        while waiting:
            step = waiting.pop()
            yield step
            waiting += self._inside.get(step.id, ())

    def add(self, record: Record) -> None:
        """Take the next record.

        Raises:
            ValueError: it lacks what its type requires, or cannot come at this point.
        """
        try:
            if record.type in _PLACED:
                self._check_place(record.data)
            _APPLY[record.type](self, record)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"record {record.seq} ({record.type}) is malformed: {error}") from None

    def _check_place(self, data: Mapping[str, Any]) -> None:
        """Check that a record of a step in loops names all of them, with their present
        iterations."""
        around = self._loops[self.step(data["step"]).id]
        named = loop_positions(data)
        if [p.step for p in named] != around:
            raise ValueError(f"its loops are {around}, not {[p.step for p in named]}")
        for position in named:
            present = self._steps[position.step].iteration
            if position.iteration != present:
                raise ValueError(
                    f"iteration {position.iteration} of {position.step!r}, which is in {present}"
                )

    # --- records of a run ---

    def run_start(self, record: Record) -> None:
        data, state = record.data, self._state
        if data.get("restart"):
            # The costs and the snapshots stay; no step counts as finished.
            self._steps, self.boundary, self.worked = {}, None, False
        self.left = None
        state.steps = self._defined(data["steps"])
        state.attempt = int(data["attempt"])
        state.workflow = str(data["workflow"])
        state.started_at = state.started_at or record.at
        self.digests = {s["id"]: str(s["digest"]) for s in data["steps"] if "digest" in s}
        self._go_on()

    def _defined(self, raw: Sequence[Mapping[str, Any]]) -> list[StepState]:
        """The workflow's steps, each after the one around it, with what is known of them."""
        old, self._steps = self._steps, {}
        self._inside, self._loops = {}, {}
        for definition in raw:
            step = _redefined(old.get(definition["id"]), definition)
            if step.id in self._steps:
                raise ValueError(f"step {step.id!r} is defined twice")
            self._loops[step.id] = []
            if step.parent is not None:
                parent = self.step(step.parent)
                self._inside.setdefault(parent.id, []).append(step)
                own = [] if parent.iteration is None else [parent.id]
                self._loops[step.id] = self._loops[parent.id] + own
            self._steps[step.id] = step
        return list(self._steps.values())

    def _go_on(self) -> None:
        """Reset what an earlier attempt left unfinished. A session stays, to be resumed, and so
        does a loop's iteration, unless it is beyond the loop's present limit."""
        state = self._state
        state.status = RunStatus.RUNNING
        state.pause = state.error = state.ended_at = None
        for step in state.steps:
            if step.finished:
                continue
            if step.iteration is not None and (
                step.status is StepStatus.FAILED or step.iteration > (step.limit or 0)
            ):
                self._restart(step)
            if step.status is StepStatus.FAILED:
                step.started_at = None
            step.status = StepStatus.PENDING
            step.error = step.detail = step.ended_at = None

    def resume(self, record: Record) -> None:
        self._state.attempt = int(record.data["attempt"])
        self._state.skipped_on_resume = int(record.data["skipped"])
        self._state.resumes += 1
        self._go_on()

    def ended(self, record: Record, status: RunStatus) -> None:
        self._state.status = status
        self._state.ended_at = record.at
        self.left = self._keep_snapshot(record.data.get("snapshot"))

    def pause(self, record: Record) -> None:
        self.ended(record, RunStatus.PAUSED)
        self._state.pause = Pause.model_validate(record.data["pause"])

    def complete(self, record: Record) -> None:
        self.ended(record, RunStatus.COMPLETED)

    def fail(self, record: Record) -> None:
        self.ended(record, RunStatus.FAILED)
        self._state.error = str(record.data["error"])

    def warning(self, record: Record) -> None:
        self._state.warnings.append(str(record.data["message"]))
        del self._state.warnings[:-MAX_WARNINGS]

    def _keep_snapshot(self, raw: object) -> Snapshot | None:
        snapshot = Snapshot.model_validate(raw) if raw else None
        self._state.snapshot = snapshot or self._state.snapshot
        return snapshot

    # --- records of a step ---

    def step_start(self, record: Record) -> None:
        step = self.step(record.data["step"])
        step.status = StepStatus.RUNNING
        step.started_at = record.at
        step.ended_at = step.error = step.detail = None
        step.tolerated = False
        if raw := record.data.get("start_snapshot"):
            self.boundary = self._keep_snapshot(raw)

    def agent_session(self, record: Record) -> None:
        session = AgentSession.model_validate(record.data["session"])
        self.step(record.data["step"]).session = session

    def usage(self, record: Record) -> None:
        more = Usage.model_validate(record.data["usage"])
        step = self.step(record.data["step"])
        step.usage = step.usage.plus(more)
        self._state.usage = self._state.usage.plus(more)

    def _end(self, record: Record, status: StepStatus) -> StepState:
        step = self.step(record.data["step"])
        outputs = record.data.get("outputs", {})
        step.outputs = {str(k): str(v) for k, v in outputs.items()}
        step.status = status
        step.ended_at = record.at
        step.tolerated = False
        step.error = None
        detail = record.data.get("detail")
        step.detail = None if detail is None else str(detail)
        verdict = record.data.get("verdict")
        step.verdict = None if verdict is None else verdict_line(str(verdict))
        return step

    def step_complete(self, record: Record) -> None:
        self._end(record, StepStatus.COMPLETED)
        self._reached(record.data)

    def step_skip(self, record: Record) -> None:
        self._end(record, StepStatus.SKIPPED)

    def step_fail(self, record: Record) -> None:
        error = str(record.data["error"])
        step = self._end(record, StepStatus.FAILED)
        step.error = error
        step.tolerated = bool(record.data.get("tolerated"))
        if step.tolerated:
            self._reached(record.data)

    def _reached(self, data: Mapping[str, Any]) -> None:
        """Note the snapshot at a finished step. A loop's end has none: its last sub-step had it."""
        if "snapshot" in data:
            self.worked = True
            self.boundary = self._keep_snapshot(data["snapshot"])

    def loop_iteration(self, record: Record) -> None:
        loop = self.step(record.data["step"])
        begins = record.data["iteration"]
        if loop.iteration is None or loop.limit is None:
            raise ValueError(f"step {loop.id!r} is not a loop")
        if type(begins) is not int or begins != loop.iteration + 1 or begins > loop.limit:
            raise ValueError(f"iteration {begins!r} of {loop.limit} after {loop.iteration}")
        for step in self.within(loop.id):
            _forget(step)
        loop.iteration = begins
        if tree := record.data.get("tree"):
            loop.trees.append(str(tree))

    def _restart(self, loop: StepState) -> None:
        loop.iteration, loop.trees = 0, []
        loop.started_at = None
        for step in self.within(loop.id):
            _forget(step)


class RecoveredState:
    """The state that is folded from a journal while the journal is read and checked. A record that
    is sound as a line may still not fit: then the journal is open all the same, so that the run can
    end with a record that says so."""

    def __init__(self) -> None:
        self._fold = RunStateFold()
        self._error: ValueError | None = None

    def take(self, record: Record) -> None:
        """Add the next record, unless one before it did not fit."""
        if self._error is None:
            try:
                self._fold.add(record)
            except ValueError as error:
                self._error = error

    def fold(self) -> RunStateFold:
        """The fold over all records.

        Raises:
            ValueError: a record does not hold what its type requires.
        """
        if self._error is not None:
            raise self._error
        return self._fold


def _redefined(old: StepState | None, raw: Mapping[str, Any]) -> StepState:
    """A step by its new definition, with its old state if it has the same place and kind."""
    parent, limit = raw.get("parent"), raw.get("limit")
    now = StepState(id=raw["id"], name=raw["name"], type=raw["type"], parent=parent, limit=limit)
    now.iteration = None if now.type != "loop" else 0
    if old is None or old.parent != parent or (old.iteration is None) != (now.iteration is None):
        return now
    return old.model_copy(update={"name": now.name, "type": now.type, "limit": now.limit})


def _forget(step: StepState) -> None:
    """Reset a step for a new iteration around it. Its outputs stay until it ends again."""
    step.status = StepStatus.PENDING
    step.started_at = step.ended_at = step.session = None
    step.error = step.detail = step.verdict = None
    step.tolerated = False
    if step.iteration is not None:
        step.iteration, step.trees = 0, []


_PLACED = frozenset(
    {
        RecordType.STEP_START,
        RecordType.AGENT_SESSION,
        RecordType.USAGE,
        RecordType.STEP_COMPLETE,
        RecordType.STEP_SKIP,
        RecordType.STEP_FAIL,
        RecordType.LOOP_ITERATION,
    }
)

_APPLY: Mapping[RecordType, Callable[[RunStateFold, Record], None]] = {
    RecordType.RUN_START: RunStateFold.run_start,
    RecordType.STEP_START: RunStateFold.step_start,
    RecordType.AGENT_SESSION: RunStateFold.agent_session,
    RecordType.USAGE: RunStateFold.usage,
    RecordType.STEP_COMPLETE: RunStateFold.step_complete,
    RecordType.STEP_SKIP: RunStateFold.step_skip,
    RecordType.STEP_FAIL: RunStateFold.step_fail,
    RecordType.LOOP_ITERATION: RunStateFold.loop_iteration,
    RecordType.WARNING: RunStateFold.warning,
    RecordType.WORKFLOW_PAUSE: RunStateFold.pause,
    RecordType.WORKFLOW_RESUME: RunStateFold.resume,
    RecordType.WORKFLOW_COMPLETE: RunStateFold.complete,
    RecordType.WORKFLOW_FAIL: RunStateFold.fail,
}
