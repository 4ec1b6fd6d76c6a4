"""delete_task in raw frames: a person is asked where that can be done, and nothing is lost unsaid."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.frames import LEGACY, MODERN, Frame, LauncherClient, ToolError
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
        assert not (shared / "data" / "tasks" / task["id"]).exists()
        assert not list((shared / "data" / "projects").glob("*/garbage"))
        (hub,) = (shared / "data" / "projects").glob("*/hub.git")
        assert task["id"] not in git(hub, "for-each-ref")
        assert git(shared / "repo", "show", f"{task['branch']}:new.txt") == "new"


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
