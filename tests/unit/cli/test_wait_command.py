"""`rover wait`: one line, and a status that says how a task stopped."""

from __future__ import annotations

from typing import Any

import pytest

from rover_mcp.cli.client import ConnectionLost
from rover_mcp.cli.command_line import main
from rover_mcp.cli.wait_command import stopped
from tests.unit.cli.conftest import task_json

Json = dict[str, Any]


@pytest.mark.parametrize(
    ("status", "code", "line"),
    [
        ("COMPLETED", 0, "rover: task 7 is COMPLETED; branch rover/7-make-it-so\n"),
        ("FAILED", 1, "rover: task 7 is FAILED; branch rover/7-make-it-so\n"),
        ("CANCELLED", 1, "rover: task 7 is CANCELLED; branch rover/7-make-it-so\n"),
        (
            "PAUSED", 2,
            "rover: task 7 is PAUSED (credits); it resumes automatically at 2026-11-23 12:00 UTC\n",
        ),
    ],
)  # fmt: skip
def test_it_ends_with_the_first_that_stops(
    fake: Any, capsys: pytest.CaptureFixture[str], status: str, code: int, line: str
) -> None:
    """14-12. A model reads the line, so it has no word of an agent or a provider."""
    more = {} if status == "PAUSED" else {"pause": None}
    task = task_json(status=status, **more)
    client = fake(lambda *_: {"task": task, "returned": "ended", "attention": []})
    assert main(["wait", "7", "8"]) == code
    assert capsys.readouterr().out == line
    ((tool, arguments),) = client.calls
    assert tool == "wait_for_task"
    assert arguments["task"] == "7, 8"


def test_any_waits_for_what_runs_here_and_says_where_nothing_does(
    fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    running = [task_json(status="IN_PROGRESS", pause=None)]
    done = {"task": task_json(status="COMPLETED", pause=None), "returned": "ended"}
    client = fake(lambda tool, _: {"tasks": running} if tool == "list_tasks" else done)
    assert main(["wait", "--any"]) == 0
    assert [tool for tool, _ in client.calls] == ["list_tasks", "wait_for_task"]
    assert client.calls[1][1].get("task") is None

    fake(lambda *_: {"tasks": []})
    capsys.readouterr()
    assert main(["wait", "--any"]) == 3
    assert capsys.readouterr().out == "rover: no task is running\n"


@pytest.mark.parametrize("words", [[], ["7", "--any"]])
def test_it_is_told_what_to_wait_for(fake: Any, words: list[str], capsys: Any) -> None:
    client = fake(lambda *_: {})
    assert main(["wait", *words]) == 1
    assert client.calls == []
    assert "rover wait --any" in capsys.readouterr().err


def test_it_waits_over_time_outs_and_daemons() -> None:
    results: list[Json | ConnectionLost] = [
        {"returned": "timeout"}, ConnectionLost("gone"), {"returned": "paused"},
    ]  # fmt: skip

    class PlayedDaemon:
        def call(self, tool: str, **_: Any) -> Json:
            result = results.pop(0)
            if isinstance(result, ConnectionLost):
                raise result
            return result

        def close(self) -> None: ...

    assert stopped(PlayedDaemon, {}) == {"returned": "paused"}  # pyright: ignore[reportArgumentType]
    assert results == []
