"""Many at once: no task is lost, no number is given twice."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

from tests.support.frames import LauncherClient, StartingClient, ToolError
from tests.support.hangs import HANG_SECONDS
from tests.support.scripts import script

ARGUMENTS = {"workflow": "quick", "agent": "scripted", "engine": "bubblewrap", "script": script()}


def test_fifty_parallel_creations_from_five_clients_make_fifty_tasks(
    home: Path, repository: Path
) -> None:
    """50 tasks, 50 numbers, none lost."""
    clients = [StartingClient(home, repository) for _ in range(5)]
    made: list[int] = []
    lock = threading.Lock()

    def create(client: LauncherClient) -> None:
        client.open()
        sent = [
            client.start_request(
                "tools/call",
                {"name": "create_task", "arguments": {**ARGUMENTS, "description": f"task {i}"}},
            )
            for i in range(10)
        ]
        for number in sent:
            result = client.answer(number)["result"]
            with lock:
                made.append(result["structuredContent"]["task"]["number"])

    threads = [threading.Thread(target=create, args=(c,)) for c in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG_SECONDS)
    assert sorted(made) == list(range(1, 51))
    first = clients[0]
    listed = first.tool("list_tasks", limit=100)["tasks"]
    assert sorted(t["number"] for t in listed) == list(range(1, 51))
    for task in listed:
        with suppress(ToolError):  # it may have ended meanwhile
            first.tool("cancel_task", task=task["id"])
    for client in clients:
        client.close()


def test_the_same_request_key_from_two_clients_makes_one_task(home: Path, repository: Path) -> None:
    with StartingClient(home, repository) as one, StartingClient(home, repository) as two:
        one.open()
        two.open()
        call = {
            "name": "create_task",
            "arguments": {**ARGUMENTS, "description": "once", "request_key": "k1"},
        }
        numbers = [c.start_request("tools/call", call) for c in (one, two, one, two)]
        ids = {
            c.answer(n)["result"]["structuredContent"]["task"]["id"]
            for c, n in zip((one, two, one, two), numbers, strict=True)
        }
        assert len(ids) == 1
        assert len(one.tool("list_tasks")["tasks"]) == 1
        # The daemon may have begun to make the next task's sandbox ready.
        made = {folder.name for folder in (home / "tasks").iterdir()}
        spare = {marker.name for marker in home.glob("spares/*")}
        assert made - spare == ids
        one.wait_until(ids.pop(), "COMPLETED")
