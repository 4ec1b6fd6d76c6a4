"""How the steps of a run are shown: as a tree of loops in lines, with the place where it stands.
Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agent_runner.models import StepState, StepStatus
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.quoted_text import named

STEPS_SHOWN = 20
"""Steps in a concise view. If there are more, those around the current place are shown."""
NAME_SHOWN = 60


def of_project(task: TaskRow) -> bool:
    """Whether the repository itself defines the task's workflow, and so the names of its steps."""
    return task.config is not None and task.config.workflow_file is not None


class Outline:
    """The steps as a tree. A step whose parent does not come before it is at the top. `theirs`:
    someone else chose the names."""

    def __init__(self, steps: Sequence[StepState], *, theirs: bool = False) -> None:
        self.steps = steps
        self._theirs = theirs
        self._inside: dict[str | None, list[StepState]] = {None: []}
        self._parent: dict[str, str | None] = {}
        self._skipped = {s.id for s in steps if s.status is StepStatus.SKIPPED}
        for step in steps:
            parent = step.parent if step.parent in self._inside else None
            self._parent[step.id] = parent
            self._inside[parent].append(step)
            self._inside[step.id] = []

    def inside(self, step: StepState | None = None) -> list[StepState]:
        """The steps directly inside a loop or a parallel step; without one, the workflow's own."""
        return self._inside[step.id if step else None]

    def is_skipped(self, step: StepState) -> bool:
        """Whether the step, or one around it, was skipped."""
        return step.id in self._skipped or not self._skipped.isdisjoint(self._around(step.id))

    def where(self, status: StepStatus = StepStatus.RUNNING) -> str | None:
        """The path to the step that runs (or has failed), such as `step 3 of 6: fix, iteration 2 of
        5: test`; None where no step of the workflow has that status."""
        top = self.inside()
        for position, step in enumerate(top, start=1):
            if step.status is status and not step.tolerated:
                return f"step {position} of {len(top)}: {self._path(step, status)}"
        return None

    def _path(self, step: StepState, status: StepStatus) -> str:
        text = named(step.name, NAME_SHOWN) if self._theirs else step.name[:NAME_SHOWN]
        if step.iteration:
            text += f", {iteration_of(step.iteration, step.limit)}"
        on = [s for s in self.inside(step) if s.status is status and not s.tolerated]
        if not on:
            return text
        more = [f"{len(on) - 2} more"] if len(on) > 2 else []
        return f"{text}: " + " and ".join([*(self._path(s, status) for s in on[:2]), *more])

    def concise(self, most: int = STEPS_SHOWN) -> list[StepState]:
        """All steps if they are few. Otherwise a loop that is not running becomes one line, and of
        the rest only the lines around the current place are kept."""
        if len(self.steps) <= most:
            return list(self.steps)
        way = self._way()
        lines = [s for s in self.steps if way.issuperset(self._around(s.id))]
        on_way = {n for n, s in enumerate(lines) if s.id in way}
        here = max(on_way, default=_next_pending(lines))
        order = sorted(range(len(lines)), key=lambda n: (n not in on_way, abs(n - here)))
        return [lines[n] for n in sorted(order[:most])]

    def _way(self) -> set[str]:
        """The step that is running or ended the run, and all steps around it."""
        marked = (StepStatus.RUNNING, StepStatus.FAILED)
        steps = {s.id for s in self.steps if s.status in marked and not s.tolerated}
        return steps | {around for step_id in steps for around in self._around(step_id)}

    def _around(self, step_id: str) -> Iterator[str]:
        parent = self._parent[step_id]
        while parent is not None:
            yield parent
            parent = self._parent[parent]


def _next_pending(steps: Sequence[StepState]) -> int:
    waiting = (n for n, s in enumerate(steps) if s.status is StepStatus.PENDING)
    return next(waiting, len(steps) - 1)


def iteration_of(iteration: int, limit: int | None) -> str:
    """`iteration 2 of 5`. A limit below the iteration comes from a workflow that has changed
    since."""
    of_limit = f" of {limit}" if limit is not None and limit >= iteration else ""
    return f"iteration {iteration}{of_limit}"
