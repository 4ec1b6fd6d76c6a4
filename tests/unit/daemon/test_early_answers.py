"""The first question to a daemon that starts (B.9)."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client

from rover_mcp.daemon import early_answers
from rover_mcp.daemon.early_answers import NeedsFullDaemon
from rover_mcp.domain.task_status import Event
from rover_mcp.launcher.daemon_client import make_preamble
from rover_mcp.launcher.handshake import CLI, socket_path
from tests.support.desk import ServerHarness, open_desk
from tests.support.samples import new_task

ASKS: dict[str, Any] = {"tool": "list_tasks", "arguments": {"all_projects": True}}
HEAVY = {"dbos", "docker", "httpx2", "mcp", "mcp_types", "psycopg", "rover_mcp.daemon.wiring"}


@pytest.fixture
def desk(tmp_path: Path):
    with open_desk(tmp_path) as made:
        yield made


def ended(desk: ServerHarness, event: Event = Event.FAIL, task_id: str = "a" * 32) -> str:
    desk.store.projects.register("p1", "/repo")
    task, _ = desk.store.tasks.create(new_task(task_id), frozenset())
    error = {"error": "boom"} if event is Event.FAIL else {}
    desk.store.transitions.apply(task.id, event, data=error, **error)
    return task.id


def listed(desk: ServerHarness) -> Any:
    async def ask() -> Any:
        async with Client(desk.app().server_for(desk.session())) as client:
            return (await client.call_tool("list_tasks", ASKS["arguments"])).structured_content

    return anyio.run(ask)


def told_first(desk: ServerHarness) -> dict[str, Any]:
    return early_answers.answer(desk.tasks.settings, desk.store, desk.caller, ASKS)[0]


def test_what_it_imports_leaves_out_what_serves_assistants_and_runs_tasks() -> None:
    """Times are in docs/performance.md."""
    program = "import sys, rover_mcp.daemon.data_folder, rover_mcp.daemon.early_answers; print(*sys.modules)"
    said = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True
    )
    assert HEAVY & set(said.stdout.split()) == set()


def test_it_is_answered_as_the_whole_daemon_does(desk: ServerHarness) -> None:
    """With the news that nobody was told yet."""
    ended(desk)
    ended(desk, Event.CANCEL, "b" * 32)
    first = told_first(desk)
    assert len(first["tasks"]) == len(first["attention"]) == 2
    assert first == listed(desk)


def test_it_is_left_to_the_whole_daemon_where_a_task_runs(desk: ServerHarness) -> None:
    """What it does now is in its sandbox."""
    ended(desk)
    desk.store.projects.register("p1", "/repo")
    task, _ = desk.store.tasks.create(new_task("c" * 32), frozenset())
    desk.store.transitions.apply(task.id, Event.START)
    with pytest.raises(NeedsFullDaemon):
        told_first(desk)


@pytest.mark.parametrize("asks", [None, {"tool": "get_status", "arguments": {}}])
def test_another_question_is_left_to_the_whole_daemon(desk: ServerHarness, asks: Any) -> None:
    with pytest.raises(NeedsFullDaemon):
        early_answers.answer(desk.tasks.settings, desk.store, desk.caller, asks)


def ask(desk: ServerHarness, line: bytes) -> bytes:
    """All that comes back on the socket, which listens on afterwards."""
    kept: list[socket.socket | None] = []
    thread = threading.Thread(
        target=lambda: kept.append(early_answers.answer_first(desk.tasks.settings, desk.store))
    )
    thread.start()
    with socket.socket(socket.AF_UNIX) as client:
        while client.connect_ex(str(socket_path(desk.home))):
            assert thread.is_alive()
        client.sendall(line)
        with client.makefile("rb") as answer:
            said = answer.read()
    thread.join()
    assert kept[0] is not None
    with kept[0], socket.socket(socket.AF_UNIX) as later:
        # Who comes now waits until the daemon serves.
        assert later.connect_ex(str(socket_path(desk.home))) == 0
    return said


def test_its_answer_comes_with_the_greeting_and_counts_as_told(desk: ServerHarness) -> None:
    ended(desk)
    expected = told_first(desk)
    hello, answer = ask(desk, make_preamble(CLI, "c" * 32, {}, ASKS)).splitlines()
    assert json.loads(hello)["answered"] is True
    assert json.loads(answer)["result"] == expected
    assert [e["event"] for e in expected["attention"]] == ["task.failed"]
    assert told_first(desk)["attention"] == []


@pytest.mark.parametrize("line", [make_preamble(CLI, "c" * 32, {}), b"{}\n", b"\xff\n"])
def test_whoever_else_comes_first_is_sent_away_to_come_again(
    desk: ServerHarness, line: bytes
) -> None:
    assert ask(desk, line) == b""
