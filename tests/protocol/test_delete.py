"""delete_task in raw frames: a person is asked where that can be done, and nothing is lost unsaid."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.frames import LEGACY, MODERN, Frame, LauncherClient, ToolError
from tests.support.hangs import HANG_SECONDS
from tests.support.repos import git
from tests.support.scripts import script

ASKABLE: Frame = {"elicitation": {"form": {}}}


def ended(client: LauncherClient) -> Frame:
    edits = [{"path": "new.txt", "content": "new\n"}]
    task = client.tool(
        "create_task",
        description="Add new.txt",
        workflow="quick",
        agent="scripted",
        engine="bubblewrap",
        script=script(implement=[{"edits": edits}]),
    )["task"]
    return client.wait_until(task["id"], "COMPLETED")


def gone(client: LauncherClient, task: str) -> bool:
    try:
        client.tool("inspect", task=task)
    except ToolError as error:
        return error.error["code"] == "unknown_task"
    return False


def rover(home: Path, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "rover_mcp.cli.command_line", *words, "--home", str(home)]
    return subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=HANG_SECONDS, check=False,
        cwd=cwd,
    )  # fmt: skip


def call(client: LauncherClient, task: str, **more: object) -> int:
    arguments = {"task": task, "confirm": True}
    return client.start_request(
        "tools/call", {"name": "delete_task", "arguments": arguments, **more}
    )


@pytest.mark.parametrize("era", [LEGACY, MODERN])
def test_without_confirm_it_tells_and_with_it_deletes_all_but_the_branch(
    shared: Path, era: str
) -> None:
    with LauncherClient(shared / "data", shared / "repo") as client:
        client.open(era)
        task = ended(client)
        told = client.tool("delete_task", task=task["id"])
        assert told["deleted"] is False
        assert {i["what"]: i["kept"] for i in told["items"]}["work"] is True
        again = told["next_actions"][0]
        assert client.tool(again["tool"], **again["arguments"])["deleted"] is True
        assert gone(client, task["id"])
        assert git(shared / "repo", "show", f"{task['branch']}:new.txt") == "new"


def test_a_deleted_task_is_given_back_with_its_number_logs_and_diff(shared: Path) -> None:
    """N13"""
    home = shared / "data"
    with LauncherClient(home, shared / "repo") as client:
        client.open()
        task = ended(client)
        before = client.tool("get_diff", task=task["id"])
        deleted = client.tool("delete_task", task=task["id"], confirm=True)
        assert (deleted["deleted"], bool(deleted["until"])) == (True, True)
        with pytest.raises(ToolError) as hidden:
            client.tool("inspect", task=task["id"])
        listed = json.loads(rover(home, "trash", "--json").stdout)["trash"]
        assert task["id"] in {one["id"] for one in listed}
        back = hidden.value.error["next_call"]
        restored = client.tool(back["tool"], **back["arguments"])
        assert restored["items"][0]["what"] == "task"
        again = client.tool("inspect", task=task["id"])["task"]
        same = ("number", "branch", "status", "title", "created_at")
        assert {k: again[k] for k in same} == {k: task[k] for k in same}
        after = client.tool("get_diff", task=task["id"])
        assert after["patch"] == before["patch"] != ""
        assert client.tool("get_logs", task=task["id"])
        assert client.tool("iterate_task", task=task["id"], instructions="More")["task"]


def test_at_a_terminal_a_task_goes_and_comes_back_by_its_number(shared: Path) -> None:
    """N13"""
    home, repo = shared / "data", shared / "repo"
    with LauncherClient(home, repo) as client:
        client.open()
        task = ended(client)
        number = str(task["number"])
        assert "in the trash can be restored" in rover(home, "delete", number, cwd=repo).stdout
        assert "rover undelete" in rover(home, "delete", number, "--yes", cwd=repo).stdout
        assert gone(client, task["id"])
        assert f"task {number} " in rover(home, "trash").stdout
        assert rover(home, "undelete", number, cwd=repo).returncode == 0
        assert not gone(client, task["id"])
        assert rover(home, "undelete", number, cwd=repo).returncode == 1


def test_work_that_no_branch_has_is_told_as_lost(shared: Path) -> None:
    with LauncherClient(shared / "data", shared / "repo") as client:
        client.open()
        task = ended(client)
        git(shared / "repo", "branch", "-D", task["branch"])
        told = client.tool("delete_task", task=task["id"])
        (work,) = [i for i in told["items"] if i["what"] == "work"]
        assert (work["kept"], "none of it" in work["detail"]) == (False, True)


@pytest.mark.parametrize("choice", ["delete", "keep", True])
def test_a_modern_client_that_can_ask_has_to(shared: Path, choice: object) -> None:
    agrees = choice == "delete"
    with LauncherClient(shared / "data", shared / "repo") as client:
        client.capabilities = ASKABLE
        client.open(MODERN)
        task = ended(client)["id"]
        asked = client.answer(call(client, task))["result"]
        assert asked["resultType"] == "input_required"
        (key,) = asked["inputRequests"]
        form = asked["inputRequests"][key]["params"]
        assert "Delete task" in form["message"]
        assert form["requestedSchema"]["properties"][key]["default"] == "keep"
        assert not gone(client, task)
        content = {"action": "accept", "content": {key: choice}}
        result = client.answer(call(client, task, inputResponses={key: content}))["result"]
        assert bool(result.get("isError")) is not agrees
        assert gone(client, task) is agrees


@pytest.mark.parametrize("action", ["accept", "decline"])
def test_a_legacy_client_that_can_ask_is_asked(shared: Path, action: str) -> None:
    with LauncherClient(shared / "data", shared / "repo") as client:
        client.capabilities = ASKABLE
        client.open(LEGACY)
        task = ended(client)["id"]
        number = call(client, task)
        asked = client.wait_for(lambda f: f.get("method") == "elicitation/create")
        result = {
            "action": action,
            **({"content": {"choice": "delete"}} if action == "accept" else {}),
        }
        client.send({"jsonrpc": "2.0", "id": asked["id"], "result": result})
        answer = client.answer(number)["result"]
        assert bool(answer.get("isError")) is (action == "decline")
        assert gone(client, task) is (action == "accept")
