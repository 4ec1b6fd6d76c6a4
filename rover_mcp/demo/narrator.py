"""How the demo prints its story: chapters, lines, and the steps of a task as they happen."""

from __future__ import annotations

import time
from typing import TextIO

from agent_runner.json_object import Json
from rover_mcp.cli.terminal_text import STEP_MARKS, Paint, clean
from rover_mcp.domain.durations import duration


class Narrator:
    """Prints to a terminal or a file. Its clock starts when it is made."""

    def __init__(self, out: TextIO) -> None:
        self.paint = Paint(out)
        self._out = out
        self._begin = time.monotonic()
        self._chapter = 0
        self._shown: dict[str, str] = {}

    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._begin

    def title(self, text: str) -> None:
        """Begin the next chapter."""
        self._chapter += 1
        self.say("")
        self._out.write(f"{self.paint(f'{self._chapter:>2}  {text}', 'bold')}\n")
        self._out.flush()

    def say(self, line: str) -> None:
        """Print a line of the chapter."""
        self._out.write(f"    {line}\n" if line else "\n")
        self._out.flush()

    def say_at(self, line: str) -> None:
        """Print a line with the seconds since the beginning."""
        self.say(f"{self.paint(f'{self.elapsed():5.1f} s', 'dim')}  {line.rstrip()}")

    def show(self, view: Json) -> None:
        """Print a line for each step of a task that has begun or ended since the last call."""
        steps: list[Json] = view.get("steps") or []
        if not steps and self._shown.get("") != view["phase"]:
            self._shown[""] = view["phase"]
            self.say_at(f"{self.paint('·', 'dim')} {clean(view['phase'])}")
        for step in steps:
            if self._shown.get(step["id"], "pending") != step["status"]:
                self._shown[step["id"]] = step["status"]
                self.say_at(self._step(step))
        if view["status"] == "PAUSED" and self._shown.get("status") != "PAUSED":
            self.say_at(self.paint(f"⏸ {clean(view['phase'])}", "yellow", "bold"))
        self._shown["status"] = view["status"]

    def show_again(self, step: str) -> None:
        """Print this step's lines once more, since it is going to run again."""
        self._shown.pop(step, None)

    def new_iteration(self) -> None:
        """Print every step's lines once more."""
        self._shown.clear()

    def _step(self, step: Json) -> str:
        mark, colour = STEP_MARKS.get(step["status"], ("?", ""))
        took = duration(step.get("duration_s")) if step["status"] != "running" else ""
        name = clean(step["name"]).ljust(10)
        return f"{self.paint(mark, colour)} {name} {step['type']:<8} {step['status']:<10} {took}"
