"""Records that say of a new task's steps what another task had done of them: it was forked there.
Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any

from agent_runner.journal.record_lines import RecordType
from agent_runner.journal.run_state import RunStateFold
from agent_runner.models import StepState, StepStatus
from agent_runner.spec import RunSpec

Data = tuple[RecordType, dict[str, Any]]

_ENDS = {
    StepStatus.COMPLETED: RecordType.STEP_COMPLETE,
    StepStatus.SKIPPED: RecordType.STEP_SKIP,
    StepStatus.FAILED: RecordType.STEP_FAIL,
}


def lacks_carried(fold: RunStateFold, spec: RunSpec) -> bool:
    """Whether the journal does not have all of the carried steps yet: the last record of them names
    the snapshot, so that a crash between two of them is seen. A restart needs them again."""
    begun = fold.worked or any(step.started_at for step in fold.live.steps)
    restarts = spec.restart and fold.live.attempt < spec.attempt
    return bool(spec.carried) and (restarts or (not begun and fold.boundary is None))


def carried_records(spec: RunSpec, known: Sequence[StepState]) -> list[Data]:
    """The records that bring the steps that are `known` to the state of the carried ones. The last
    one names the snapshot `begin`."""
    places = {step.id: (step.parent, step.iteration is None) for step in known}
    inside: dict[str | None, list[StepState]] = {}
    for step in spec.carried:
        if places.get(step.id) == (step.parent, step.iteration is None):
            inside.setdefault(step.parent, []).append(step)
    records = list(_of(inside.get(None, ()), inside, ()))
    # A skipped step has no tree; what it stands behind may as well come after it.
    skipped = [*takewhile(lambda record: record[0] is RecordType.STEP_SKIP, reversed(records))]
    records = records[: len(records) - len(skipped)]
    if not records or spec.begin is None:
        return []
    kind, data = records[-1]
    begin = spec.begin.model_dump(mode="json")
    if kind in _ENDS.values():
        data["snapshot"] = begin
        return [*records[:-1], *reversed(skipped), records[-1]]
    # A step that is under way takes the tree with it into its start, which follows all else.
    under_way, loop = data["step"], data.get("loop", [])
    if kind is RecordType.LOOP_ITERATION:
        loop = [*loop, {"step": under_way, "iteration": data["iteration"], "index": 0}]
        under_way = next(step.id for step in known if step.parent == under_way)
    started: dict[str, Any] = {"step": under_way, "start_snapshot": begin}
    return [
        *records,
        *reversed(skipped),
        (RecordType.STEP_START, {**started, **({"loop": loop} if loop else {})}),
    ]


def _of(
    steps: Sequence[StepState],
    inside: Mapping[str | None, Sequence[StepState]],
    around: tuple[Mapping[str, Any], ...],
) -> Iterator[Data]:
    for index, step in enumerate(steps):
        place: dict[str, Any] = {"step": step.id}
        if around:
            # The index of the innermost loop is that of the step in its body.
            *outer, last = around
            place["loop"] = [*outer, {**last, "index": index}]
        if step.iteration is not None:
            for number in range(1, step.iteration + 1):
                yield RecordType.LOOP_ITERATION, {**place, "iteration": number}
        here = around
        if step.iteration:
            here = (*(place.get("loop") or ()), {"step": step.id, "iteration": step.iteration})
        yield from _of(inside.get(step.id, ()), inside, here)
        yield from _own(step, place)


def _own(step: StepState, place: dict[str, Any]) -> Iterator[Data]:
    """What is known of the step itself, its conversation included."""
    if step.session is not None:
        session = step.session.model_copy(update={"fork": True}).model_dump(mode="json")
        yield RecordType.AGENT_SESSION, {**place, "session": session}
    if not step.finished:
        return
    data = {**place, "outputs": step.outputs, "detail": step.detail}
    if step.verdict:
        data["verdict"] = step.verdict
    if step.status is StepStatus.FAILED:
        data |= {"error": step.error or "it failed", "tolerated": True}
    yield _ENDS[step.status], data
