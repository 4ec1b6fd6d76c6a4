"""Shows the steps of a task as lines, with those of a loop indented below it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from agent_runner.json_object import Json
from rover_mcp.cli.cli_wording import for_terminal
from rover_mcp.cli.terminal_text import STEP_MARKS, Paint, clean, pad, shorten, width_of
from rover_mcp.domain.durations import duration

INDENT = "  "
NARROW = 80
"""A terminal with fewer columns shows no types."""
TYPE_LEAST, STATE_LEAST = len("parallel"), len("iteration 2 of 5")
ERROR_SHOWN = 200


def steps_of(task: Json) -> list[Json]:
    return task.get("steps") or []


class StepLine(NamedTuple):
    """One step in words, indented by its depth. `key` changes whenever what is shown does."""

    id: str
    indent: str
    mark: str
    colour: str
    name: str
    type: str
    state: str
    took: str
    error: str
    key: tuple[object, ...]

    @property
    def width(self) -> int:
        """The columns of the indented name."""
        return len(self.indent) + width_of(self.name)

    @property
    def pending(self) -> bool:
        return self.key[0] == "pending"


def step_lines_of(steps: Sequence[Json]) -> list[StepLine]:
    """Each step with its depth and, for a loop, its iteration."""
    depth: dict[str, int] = {}
    iterations: dict[str, tuple[object, ...]] = {}
    lines: list[StepLine] = []
    for step in steps:
        parent = step.get("parent")
        depth[step["id"]] = depth.get(parent, -1) + 1 if parent else 0
        around = iterations.get(parent, ()) if parent else ()
        iterations[step["id"]] = (*around, step.get("iteration"))
        lines.append(_line(step, depth[step["id"]], iterations[step["id"]]))
    return lines


def _line(step: Json, depth: int, iterations: tuple[object, ...]) -> StepLine:
    mark, colour = STEP_MARKS.get(step["status"], ("?", ""))
    if step.get("tolerated"):
        colour = "yellow"
    return StepLine(
        id=step["id"],
        indent=INDENT * depth,
        mark=mark,
        colour=colour,
        name=clean(step["name"]),
        type=step["type"],
        state=state_of(step),
        took=duration(step.get("duration_s")),
        error=clean(for_terminal(step.get("error") or "")),
        key=(step["status"], *iterations),
    )


def state_of(step: Json) -> str:
    """`running`, `iteration 2 of 5`, `3 iterations`, `failed, tolerated`."""
    status, iteration, limit = step["status"], step.get("iteration"), step.get("limit")
    inside = f", {step['inside']} steps" if step.get("inside") else ""
    if iteration and status in ("running", "interrupted"):
        return f"iteration {iteration}" + (f" of {limit}" if limit and limit >= iteration else "")
    if iteration and status in ("completed", "failed"):
        plural = "" if iteration == 1 else "s"
        count = f"{iteration} iteration{plural}"
        return (f"failed, {count}" if status == "failed" else count) + inside
    if step.get("tolerated"):
        return f"{status}, tolerated"
    return f"{status}{inside}"


class StepTable:
    """Formats the lines of steps that are shown together, so that their columns have the same
    width."""

    def __init__(self, lines: Sequence[StepLine], paint: Paint) -> None:
        self._paint = paint
        self._typed = paint.width is None or paint.width >= NARROW
        self._type = max((len(line.type) for line in lines), default=0)
        self._state = max((len(line.state) for line in lines), default=0)
        if paint.width is None:
            # Lines that are printed one by one as things change stay in the same columns.
            self._type, self._state = max(self._type, TYPE_LEAST), max(self._state, STATE_LEAST)
        name = max((line.width for line in lines), default=0)
        if paint.width is not None:
            took = max((len(line.took) for line in lines), default=0)
            others = 4 + 2 + self._state + 2 + took + (self._type + 2 if self._typed else 0)
            name = min(name, max(16, paint.width - others))
        self._name = name

    def text(self, line: StepLine) -> str:
        paint = self._paint
        room = self._name - len(line.indent)
        cells = [pad(shorten(line.name, room), room)]
        if self._typed:
            cells.append(line.type.ljust(self._type))
        cells += [line.state.ljust(self._state), line.took]
        row = f"  {line.indent}{paint(line.mark, line.colour)} {'  '.join(cells)}".rstrip()
        if line.error:
            room = ERROR_SHOWN if paint.width is None else paint.width - 6
            row += "\n" + paint(f"      {shorten(line.error, room)}", "red")
        return row


def step_lines(task: Json, paint: Paint) -> list[str]:
    """One line for each step, in columns, and how many more there are."""
    lines = step_lines_of(steps_of(task))
    table = StepTable(lines, paint)
    more = [paint(f"    … {hidden} more", "dim")] if (hidden := task.get("steps_hidden")) else []
    return [*map(table.text, lines), *more]
