"""`rover watch`: live steps, and an exit status that says how it ended (A2)."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from rover_mcp.cli import render
from rover_mcp.cli.client import ClientError, ConnectionLost
from rover_mcp.cli.steps import state_of, step_lines
from rover_mcp.cli.terminal_text import Paint, width_of
from rover_mcp.cli.watch_command import (
    Follower,
    Lines,
    exit_code,
    last_line,
    spent,
    task_table,
    watch,
)
from tests.unit.cli.conftest import task_json

Json = dict[str, Any]
URI = f"rover://tasks/{'a' * 32}"


class ScriptedClient:
    """Plays what happens between two looks; each event is one `pump`."""

    def __init__(self, events: list[Callable[[ScriptedClient], None]], task: Json) -> None:
        self.on_notification: Callable[[Json], None] = lambda _m: None
        self.task = task
        self.calls: list[str] = []
        self._events = events
        self._answers: dict[int, Json] = {}

    def request(self, method: str, params: Json) -> Json:
        self.calls.append(f"{method} {params['uri']}")
        return {}

    def start_call(self, tool: str, **_: Any) -> int:
        self.calls.append(tool)
        return self.calls.count(tool)

    def answered(self, request_id: int) -> bool:
        return request_id in self._answers

    def result_of(self, request_id: int) -> Json:
        return self._answers[request_id]

    def call(self, tool: str, **_: Any) -> Json:
        self.calls.append(tool)
        return {"task": self.task}

    def pump(self, _timeout: float) -> bool:
        self._events.pop(0)(self)
        return True

    def close(self) -> None:
        self.calls.append("close")

    def returns(self, returned: str, **changes: Any) -> None:
        number = self.calls.count("wait_for_task")
        self.task = task_json(**changes)
        self._answers[number] = {"task": self.task, "returned": returned}

    def changes(self, **changes: Any) -> None:
        self.task = task_json(**changes)
        params = {"uri": URI}
        self.on_notification({"method": "notifications/resources/updated", "params": params})


def nothing(_: ScriptedClient) -> None:
    pass


def running(progress: int = 0) -> Json:
    steps = [dict(step) for step in task_json()["steps"]]
    steps[1]["status"] = "running"
    phase = "step 2 of 2: Implement"
    return {"status": "IN_PROGRESS", "phase": phase, "progress": progress, "steps": steps}


def test_it_looks_again_when_told_and_ends_when_the_task_stops() -> None:
    shown: list[Json] = []
    client = ScriptedClient(
        [
            nothing,
            nothing,
            lambda c: c.changes(**running(50)),
            lambda c: c.returns("timeout", **running(60)),
            lambda c: c.returns("paused"),
        ],
        task_json(**running(10)),
    )
    result = Follower(client, task_json(), shown.append).follow()  # type: ignore[arg-type]
    assert result["returned"] == "paused"
    assert client.calls[0] == f"resources/subscribe {URI}"
    assert client.calls.count("inspect") == 2, "once to begin with, once when told"
    assert [v["progress"] for v in shown] == [10, 10, 50, 60, 33]


def test_a_daemon_that_dies_meanwhile_is_followed_over_a_new_connection() -> None:
    def die(_: ScriptedClient) -> None:
        raise ConnectionLost("gone")

    clients = [
        ScriptedClient([die], task_json(**running())),
        ScriptedClient([lambda c: c.returns("ended", status="COMPLETED")], task_json()),
    ]
    both = list(clients)
    result = watch(lambda: clients.pop(0), task_json(), io.StringIO())  # type: ignore[arg-type, return-value]
    assert result["task"]["status"] == "COMPLETED"
    assert all(c.calls[-1] == "close" for c in both)


def test_a_daemon_that_always_dies_is_given_up() -> None:
    def die(_: ScriptedClient) -> None:
        raise ConnectionLost("gone")

    with pytest.raises(ClientError, match="gone"):
        watch(lambda: ScriptedClient([die], task_json()), task_json(), io.StringIO())  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(
    ("status", "code"),
    [("COMPLETED", 0), ("MERGED", 0), ("PAUSED", 2), ("FAILED", 1), ("CANCELLED", 1)],
)
def test_the_exit_status_says_how_it_ended(status: str, code: int) -> None:
    assert exit_code(task_json(status=status)) == code


def test_without_a_terminal_every_change_is_one_line() -> None:
    out = io.StringIO()
    lines = Lines(out)
    for _ in range(3):
        lines.show(task_json(**running()))
    lines.show(task_json())
    assert out.getvalue().splitlines() == [
        "Task 7  Make it so  IN_PROGRESS",
        "  ✔ Plan       agent     completed         1.0 s",
        "  ▶ Implement  agent     running           2.0 s",
        "  IN_PROGRESS  step 2 of 2: Implement",
        "  used so far: 1,239 tokens, $0.5000",
        "  ⏸ Implement  agent     interrupted       2.0 s",
        "  PAUSED  paused: credits",
    ]


def test_without_a_terminal_what_was_used_is_told_at_each_end_of_a_step() -> None:
    """C.11. It was shown on a terminal alone."""
    out = io.StringIO()
    lines = Lines(out)
    used = {"input_tokens": 1200, "output_tokens": 34, "cost_usd": 0.0125}
    more = {"input_tokens": 5000, "output_tokens": 500, "cost_usd": 0.1}
    lines.show(task_json(**running(), usage={**used, "input_tokens": 0, "output_tokens": 0}))
    for _ in range(2):
        lines.show(task_json(**running(), usage=used))  # it counts on while the step runs
    lines.show(task_json(usage=more))
    told = [line for line in out.getvalue().splitlines() if line.startswith("  used")]
    assert told == ["  used so far: 5,500 tokens, $0.1000"]


def test_every_warning_is_shown_once_as_it_comes_and_on_a_terminal_too() -> None:
    """Succeeded at 700cc57: `rover create --watch` showed none."""
    out = io.StringIO()
    lines = Lines(out)
    told = ["the network is open", "uncommitted changes"]
    for warnings in (told[:1], told, told):
        lines.show(task_json(status="IN_PROGRESS", warnings=warnings))
    assert [x for x in out.getvalue().splitlines() if "Warning" in x] == [
        f"Warning: {text}" for text in told
    ]
    console = Console(file=io.StringIO(), width=80)
    running = task_json(status="IN_PROGRESS", warnings=told)
    console.print(task_table(running, Paint(io.StringIO())))
    for text in told:
        assert text in console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    # Under the table of a task that has stopped, `follow` says them: they were there twice.
    console = Console(file=io.StringIO(), width=80)
    console.print(task_table(task_json(status="COMPLETED", warnings=told), Paint(io.StringIO())))
    assert "Warning" not in console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def test_on_a_terminal_a_task_is_a_table_with_a_bar() -> None:
    console = Console(file=io.StringIO(), width=100, record=True)
    console.print(task_table(task_json(title="evil\x1b[2J title"), Paint(io.StringIO())))
    text = console.export_text()
    assert "\x1b" not in text
    assert "evil title" in text
    assert "Plan" in text
    assert "33 %" in text


def nested(iteration: int, inner: str = "running") -> Json:
    steps: list[Json] = [
        {"id": "plan", "name": "Plan", "type": "agent", "status": "completed", "duration_s": 1.0},
        {
            "id": "fix", "name": "Fix", "type": "loop", "status": "running",
            "iteration": iteration, "limit": 5, "duration_s": 9.0,
        },
        {"id": "test", "parent": "fix", "name": "Test", "type": "command", "status": inner},
    ]  # fmt: skip
    phase = f"step 2 of 2: Fix, iteration {iteration} of 5: Test"
    return task_json(status="IN_PROGRESS", pause=None, phase=phase, steps=steps)


def test_the_steps_of_a_loop_are_told_again_in_each_iteration() -> None:
    """Indented under their loop, with its iteration."""
    out = io.StringIO()
    lines = Lines(out)
    for view in (nested(1), nested(1), nested(1, "completed"), nested(2, "pending"), nested(2)):
        lines.show(view)
    assert out.getvalue().splitlines() == [
        "Task 7  Make it so  IN_PROGRESS",
        "  ✔ Plan    agent     completed         1.0 s",
        "  ▶ Fix     loop      iteration 1 of 5  9.0 s",
        "    ▶ Test  command   running",
        "  IN_PROGRESS  step 2 of 2: Fix, iteration 1 of 5: Test",
        "  used so far: 1,239 tokens, $0.5000",
        "    ✔ Test  command   completed",
        "  ▶ Fix     loop      iteration 2 of 5  9.0 s",
        "    ▶ Test  command   running",
    ]


@pytest.mark.parametrize("width", [100, 60, 40])
def test_a_loop_fits_a_narrow_terminal(width: int) -> None:
    view = nested(2)
    view["steps"][2] |= {"name": "A name of a step that is quite long " * 3, "error": "e" * 500}
    view["title"] = "t" * 500
    paint = Paint(io.StringIO())
    paint.width = width
    console = Console(file=io.StringIO(), width=width, record=True)
    console.print(task_table(view, paint))
    shown = console.export_text().splitlines()
    assert all(width_of(line) <= width for line in shown)
    assert sum("iteration 2 of 5" in line for line in shown) >= 1
    assert len(shown) == 7, "no line is broken into two"
    assert ("loop" in shown[4]) == (width >= 80), "what matters less goes first"


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "running"),
        ({"iteration": 2, "limit": 5}, "iteration 2 of 5"),
        ({"status": "interrupted", "iteration": 7, "limit": 5}, "iteration 7"),
        ({"status": "completed", "iteration": 1, "limit": 5}, "1 iteration"),
        ({"status": "completed", "iteration": 3, "inside": 4}, "3 iterations, 4 steps"),
        ({"status": "failed", "iteration": 5, "limit": 5}, "failed, 5 iterations"),
        ({"status": "failed", "tolerated": True}, "failed, tolerated"),
        ({"status": "pending", "limit": 5, "inside": 2}, "pending, 2 steps"),
    ],
)
def test_the_state_of_a_step_says_where_a_loop_is(changes: Json, state: str) -> None:
    assert state_of({"status": "running", **changes}) == state


def test_steps_that_are_left_out_are_counted() -> None:
    view = {**nested(1), "steps_hidden": 180}
    assert step_lines(view, Paint(io.StringIO()))[-1] == "    … 180 more"


def test_what_the_agent_does_and_costs_is_seen() -> None:
    """C.11."""
    from rich.console import Console

    from rover_mcp.cli.watch_command import task_table

    view = task_json(status="IN_PROGRESS", pause=None) | {"last_line": "reading calc.py"}
    out = io.StringIO()
    Console(file=out, width=100).print(task_table(view, Paint(io.StringIO())))
    assert "1,239 tokens, $0.5000" in out.getvalue()
    assert "reading calc.py" in out.getvalue()
    assert last_line("one\n\x1b[31mtwo\n\n") == "two"
    assert last_line("\n") is None
    assert spent({}) == ""


def test_outputs_are_shown_where_the_whole_task_is_asked_for() -> None:
    """C.11: an agent's own summary is among them."""
    (step,) = task_json()["steps"][:1]
    view = task_json(steps=[step | {"outputs": {"summary": "I fixed it.\x1b[2J"}}])
    told = "\n".join(render.task({"task": view}, Paint(io.StringIO())))
    assert "Plan: summary" in told
    assert "I fixed it." in told
    assert "\x1b" not in told
