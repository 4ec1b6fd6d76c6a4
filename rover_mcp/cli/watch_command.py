"""Follows a task: notifications say that something has changed, `wait_for_task` that it has
stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TextIO

from agent_runner.json_object import Json
from rover_mcp.cli import render
from rover_mcp.cli.client import ConnectionLost, McpClient, ToolFailed
from rover_mcp.cli.steps import StepTable, step_lines, step_lines_of, steps_of
from rover_mcp.cli.terminal_text import Paint, clean
from rover_mcp.domain.durations import duration

if TYPE_CHECKING:
    from rich.console import RenderableType

RUNNING = ("NEW", "IN_PROGRESS", "ITERATING")
WAIT_SECONDS = 45
TICK_SECONDS = 0.5
PEEK_SECONDS, PEEK_LINES = 2.0, 5
"""How long to wait between two reads of a step's latest output, and how many lines to read."""
MAX_RECONNECTS = 5
ENDED = ("completed", "failed", "interrupted")
"""The statuses of steps that use nothing more."""
EXIT_CODES = {"COMPLETED": 0, "MERGED": 0, "PUSHED": 0, "PAUSED": 2}


def exit_code(task: Json) -> int:
    """0: completed, 1: failed or cancelled, 2: paused; the same as the runner's."""
    return EXIT_CODES.get(task["status"], 1)


class Follower:
    """Follows one task over one connection and shows it at every change."""

    def __init__(
        self, client: McpClient, task: Json, show: Callable[[Json], None], *, peeks: bool = False
    ) -> None:
        """`peeks`: the last line that a step printed is shown too."""
        self._client = client
        self._peeks = peeks
        self._peeked = float("-inf")
        self._line: str | None = None
        self._id: str = task["id"]
        self._uri = f"rover://tasks/{self._id}"
        self._show = show
        self._changed = False

    def follow(self) -> Json:
        """Follow the task until it ends or pauses, and return the result of the last wait_for_task.

        Raises:
            ConnectionLost: the daemon has gone; follow again over a new connection.
            ClientError: a call failed.
        """
        client, before = self._client, self._client.on_notification

        def noticed(message: Json) -> None:
            before(message)
            self._notice(message)

        client.on_notification = noticed
        try:
            # Before the first look: what changes in between is then announced.
            client.request("resources/subscribe", {"uri": self._uri})
            while True:
                result = self._wait()
                # wait_for_task returns only a short view while the task runs.
                if "id" in result["task"]:  # not after a timeout
                    self._show(result["task"])
                if result["returned"] in ("paused", "ended"):
                    return result
        finally:
            client.on_notification = before

    def _wait(self) -> Json:
        wait = self._client.start_call("wait_for_task", task=self._id, timeout_s=WAIT_SECONDS)
        view: Json | None = None
        seen = 0.0
        while not self._client.answered(wait):
            # Half a second, so that the clocks on the screen move.
            self._client.pump(TICK_SECONDS)
            if self._client.answered(wait):
                break
            if view is not None and not self._changed:
                # Nothing has changed, so nothing is asked for. Only the clocks are moved.
                self._show(self._with_line(_older(view, time.monotonic() - seen)))
                continue
            self._changed = False
            # The notification says that something has changed, and not what.
            fresh: Json = self._client.call("inspect", task=self._id)["task"]
            view, seen = fresh, time.monotonic()
            self._show(self._with_line(fresh))
        return self._client.result_of(wait)

    def _with_line(self, view: Json) -> Json:
        """The view with the line that was printed last, which is read from time to time."""
        if not self._peeks:
            return view
        if time.monotonic() - self._peeked >= PEEK_SECONDS:
            self._peeked = time.monotonic()
            try:
                text = self._client.call("get_logs", task=self._id, tail=PEEK_LINES)["text"]
            except ToolFailed:
                text = ""  # no step has printed anything
            self._line = last_line(text)
        return {**view, "last_line": self._line}

    def _notice(self, message: Json) -> None:
        params: Json = message.get("params") or {}
        if message["method"] == "notifications/resources/updated":
            self._changed |= params.get("uri") == self._uri


def last_line(text: str) -> str | None:
    """The last line of a log that has any text."""
    lines = (clean(line).strip() for line in reversed(text.splitlines()))
    return next((line for line in lines if line), None)


def spent(task: Json) -> str:
    """What a task has used so far, in short; empty where that is not known."""
    usage: Json = task.get("usage") or {}
    tokens = usage.get("input_tokens", 0) + usage.get("output_tokens", 0)
    if not tokens:
        return ""
    cost = usage.get("cost_usd")
    return f"{tokens:,} tokens" + (f", ${cost:.4f}" if cost is not None else "")


def _older(view: Json, seconds: float) -> Json:
    """The same view some seconds later, so that clocks advance between two changes."""
    steps: list[Json] = [
        {**s, "duration_s": s["duration_s"] + seconds}
        if s["status"] == "running" and s.get("duration_s") is not None
        else s
        for s in view.get("steps") or ()
    ]
    return {**view, "duration_s": view["duration_s"] + seconds, "steps": steps or None}


def watch(connect: Callable[[], McpClient], task: Json, out: TextIO) -> Json:
    """Show a task until it stops, reconnecting to as many daemons as it takes. Raises as `follow`
    does."""
    screen = Screen(out) if out.isatty() else Lines(out)
    with screen:
        for attempt in range(MAX_RECONNECTS + 1):
            try:
                client = connect()
                try:
                    # In a pipe each line that a step prints would be repeated here; `rover logs
                    # --follow` is for that.
                    peeks = isinstance(screen, Screen)
                    return Follower(client, task, screen.show, peeks=peeks).follow()
                finally:
                    client.close()
            except ConnectionLost:
                if attempt == MAX_RECONNECTS:
                    raise
    raise AssertionError("the loop returns or raises")


class Lines:
    """Output for pipes and logs: one line at each change of a step, with what was used when it
    ended."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._paint = Paint(out)
        self._shown: dict[str, object] = {}

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        self._out.flush()

    def show(self, task: Json) -> None:
        """Print what is new in this view."""
        # Everything is printed once and never changed, because a log file or a pipe cannot be
        # redrawn.
        if not self._shown:
            self._say(render.headline(task, self._paint))
        for warning in task.get("warnings") or ():
            if self._news(f"warning {warning}", True):
                self._say("\n".join(render.warnings({"warnings": [warning]}, self._paint)))
        lines = step_lines_of(steps_of(task))
        table = StepTable(lines, self._paint)
        for line in lines:
            if self._news(line.id, line.key) and not line.pending:
                self._say(table.text(line))
        moved = self._news("phase", task["phase"]) and not lines
        if self._news("status", task["status"]) or moved:
            self._say(f"  {render.status_word(task, self._paint)}  {clean(task['phase'])}")
        ended = self._news("ended", [(line.id, line.key) for line in lines if line.key[0] in ENDED])
        used = spent(task)
        if (ended or task["status"] not in RUNNING) and used and self._news("spent", used):
            self._say(f"  used so far: {used}")

    def _news(self, name: str, value: object) -> bool:
        before, self._shown[name] = self._shown.get(name), value
        return before != value

    def _say(self, line: str) -> None:
        print(line, file=self._out, flush=True)


class Screen:
    """Output for terminals: one table that is redrawn in place."""

    def __init__(self, out: TextIO) -> None:
        # Imported here, because rich is slow to import and only a terminal needs it.
        from rich.console import Console
        from rich.live import Live

        self._live: AbstractContextManager[Any] = Live(
            console=Console(file=out, highlight=False), refresh_per_second=8, transient=False
        )
        self._paint = Paint(out)
        self._update: Callable[..., None] = self._live.update  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]

    def __enter__(self) -> Screen:
        self._live.__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        self._live.__exit__(*details)

    def show(self, task: Json) -> None:
        self._update(task_table(task, self._paint), refresh=True)


def task_table(task: Json, paint: Paint) -> RenderableType:
    """A task as rich draws it: a bar, where the run stands, and last its steps, of which a terminal
    that is too short shows only the first."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    bar = Table.grid(padding=(0, 2, 0, 0))
    bar.add_row(
        "",
        ProgressBar(total=100, completed=task["progress"], width=30),
        Text(f"{task['progress']:>3} %"),
        Text.from_ansi(paint(duration(task["duration_s"]), "dim")),
    )
    facts = filter(None, (clean(task["phase"]), spent(task)))
    where = Text(f"  {'  '.join(facts)}", no_wrap=True, overflow="ellipsis")
    head = Text.from_ansi(render.headline(task, paint), no_wrap=True, overflow="ellipsis")
    steps = Text.from_ansi("\n".join(step_lines(task, paint)), no_wrap=True, overflow="ellipsis")
    # Whoever shows its end says them there, all of them.
    warned = render.warnings(task, paint) if task["status"] in RUNNING else []
    warnings = Text.from_ansi("\n".join(warned))
    line = Text.from_ansi(paint(f"  ⎿ {task['last_line']}", "dim") if task.get("last_line") else "")
    line.no_wrap, line.overflow = True, "ellipsis"
    shown = [text for text in (warnings, line, steps) if text.plain]
    return Group(head, bar, where, *shown)
