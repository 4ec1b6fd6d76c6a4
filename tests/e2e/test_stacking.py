"""Tasks that come after others, and start from their results."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import daemon_pid
from tests.e2e.processes import is_alive, kill, wait_until
from tests.e2e.test_iterations import QUICK
from tests.support.frames import LauncherClient, ToolError
from tests.support.gates import GATE, open_gate
from tests.support.repos import git
from tests.support.scripts import script

TOO_LARGE = {"status": 413, "type": "request_too_large", "message": "x", "provider": "x"}
ONE = script(implement=[{"run": GATE, "edits": [{"path": "one.txt", "content": "one\n"}]}])
TWO = script(implement=[{"edits": [{"path": "two.txt", "content": "two\n"}]}])
FAILS = script(implement=[{"error": TOO_LARGE}, {"edits": [{"path": "a", "content": "a\n"}]}])


def create(client: LauncherClient, played: str, **more: object) -> dict[str, object]:
    return client.tool("create_task", **(QUICK | {"script": played} | more))["task"]


def status_of(client: LauncherClient, task: dict[str, object]) -> object:
    return client.tool("inspect", task=task["id"])["task"]["status"]


def test_a_task_starts_from_the_result_of_another_once_that_is_completed(
    client: LauncherClient, repository: Path
) -> None:
    """N16."""
    below = create(client, ONE)
    above = create(client, TWO, base_branch="task:1")
    last = create(client, TWO, after=["2"])
    assert str(above["phase"]).startswith("waits for task 1 (")
    assert above["origin"] == "starts from the result of task 1"
    assert last["origin"] == "comes after task 2"
    open_gate(client.home, str(below["id"]))
    done = client.wait_until(str(above["id"]), "COMPLETED")
    first = client.tool("inspect", task=below["id"])["task"]
    assert first["status"] == "COMPLETED"
    assert done["base_branch"] == first["branch"]
    assert git(repository, "rev-parse", f"{done['branch']}^") == git(
        repository, "rev-parse", str(first["branch"])
    )
    assert git(repository, "show", f"{done['branch']}:one.txt") == "one"
    assert client.tool("get_diff", task=above["id"])["changes"]["files"] == 1
    ended = client.wait_until(str(last["id"]), "COMPLETED")
    assert ended["attempt"] == 1
    now = create(client, TWO, base_branch="task:1", after=["2"])
    assert not str(now["phase"]).startswith("waits")


def test_it_starts_once_though_the_daemon_is_killed_meanwhile(
    client: LauncherClient, repository: Path
) -> None:
    """N16: the next daemon finds in the store who waits for whom."""
    below = create(client, ONE)
    above = create(client, TWO, base_branch="task:1")
    wait_until(lambda: status_of(client, below) == "IN_PROGRESS", "it has begun")
    before = daemon_pid(client.home)
    kill(before)
    wait_until(lambda: not is_alive(before), "the daemon is dead")
    open_gate(client.home, str(below["id"]))
    done = client.wait_until(str(above["id"]), "COMPLETED")
    assert done["attempt"] == 1
    assert git(repository, "show", f"{done['branch']}:one.txt") == "one"
    started = [e for e in client.tool("inspect", task=above["id"], detail="full")["events"]
               if e["event"] == "task.started"]  # fmt: skip
    assert len(started) == 1


def test_a_failed_task_is_waited_for_and_the_waiting_one_says_what_to_do(
    client: LauncherClient,
) -> None:
    """N16."""
    below = create(client, FAILS)
    above = create(client, TWO, after=[str(below["id"])])
    client.wait_until(str(below["id"]), "FAILED")
    waiting = client.tool("inspect", task=above["id"])["task"]
    assert (waiting["status"], waiting["phase"]) == ("NEW", "waits for task 1 (FAILED)")
    assert "resume_task or iterate_task" in waiting["warnings"][0]
    with pytest.raises(ToolError) as paused:
        client.tool("pause_task", task=above["id"])
    assert paused.value.error["code"] == "not_pausable"
    client.tool("resume_task", task=below["id"])
    client.wait_until(str(above["id"]), "COMPLETED")


def test_what_cannot_be_waited_for_is_refused(client: LauncherClient) -> None:
    """N16: a number that there is not yet, too: a task cannot wait for itself."""
    below = create(client, FAILS)
    for given in ({"after": ["2"]}, {"base_branch": "task:2"}):
        with pytest.raises(ToolError) as unknown:
            create(client, TWO, **given)
        assert unknown.value.error["code"] == "unknown_task"
    above = create(client, TWO, after=["1"])
    client.tool("cancel_task", task=above["id"])
    with pytest.raises(ToolError) as resumed:
        client.tool("resume_task", task=above["id"])
    assert resumed.value.error["code"] == "not_resumable"
    client.wait_until(str(below["id"]), "FAILED")
