"""The Tasks extension in raw frames: what the official conformance suite cannot see.

facts: mcp.md, sections 1 to 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from rover_mcp.domain.ids import short_id
from tests.e2e.processes import wait_until
from tests.support.frames import LEGACY, MODERN, Frame, LauncherClient
from tests.support.gates import GATE, open_gate
from tests.support.scripts import CREDITS, fix_after_credits, script

EXTENSION = "io.modelcontextprotocol/tasks"
DECLARED: Frame = {"extensions": {EXTENSION: {}}}
ASKABLE: Frame = {**DECLARED, "elicitation": {"form": {}}}


def create(client: LauncherClient, text: str, **more: Any) -> Frame:
    """The result of a create_task call, as it came."""
    arguments = {
        "description": "Fix calc.add",
        "agent": "scripted",
        "engine": "bubblewrap",
        "workflow": "quick",
        "script": text,
        **more,
    }
    answer = client.request("tools/call", {"name": "create_task", "arguments": arguments})
    return answer["result"]


def listen(client: LauncherClient, **wanted: Any) -> int:
    return client.start_request("subscriptions/listen", {"notifications": wanted})


def told(client: LauncherClient, task: str, status: str, *, after: int = 0) -> Frame:
    """The first notifications/tasks of this status among the frames from `after` on."""
    return client.wait_for(
        lambda f: (
            f.get("method") == "notifications/tasks"
            and f["params"]["taskId"] == task
            and f["params"]["status"] == status
            and f not in client.frames[:after]
        )
    )["params"]


def got(client: LauncherClient, task: str) -> Frame:
    return client.request("tasks/get", {"taskId": task})["result"]


def answer(client: LauncherClient, task: str, key: str, **content: Any) -> Frame:
    response = {"action": "accept", "content": content} if content else {"action": "decline"}
    return client.request("tasks/update", {"taskId": task, "inputResponses": {key: response}})


def only_key(task: Frame) -> str:
    (key,) = task["inputRequests"]
    return key


@pytest.fixture
def client(shared: Path) -> Iterator[LauncherClient]:
    with LauncherClient(shared / "data", shared / "repo") as opened:
        opened.capabilities = ASKABLE
        opened.open(MODERN)
        # A pause that ends automatically asks nothing.
        opened.tool("set_auto_resume", enabled=False, scope="all")
        yield opened


TWO_PAUSES = script(implement=[{"error": CREDITS}, {"error": CREDITS}, {"say": "done"}])
ONE_PAUSE = script(implement=[{"error": CREDITS}, {"say": "done"}])
GATED_PAUSE = script(implement=[{"run": GATE, "error": CREDITS}, {"say": "done"}])


def test_discover_offers_the_extension(client: LauncherClient) -> None:
    capabilities = client.request("server/discover")["result"]["capabilities"]
    assert capabilities["extensions"][EXTENSION] == {}


def test_a_client_that_declares_it_gets_a_handle_and_null_is_on_the_wire(
    client: LauncherClient,
) -> None:
    made = create(client, ONE_PAUSE)
    assert made["resultType"] == "task"
    assert made["ttlMs"] is None
    assert made["status"] == "working"
    assert not {"task", "result", "error", "inputRequests", "content"} & set(made)
    task = got(client, made["taskId"])
    assert task["resultType"] == "complete"
    assert task["ttlMs"] is None


def test_a_client_that_does_not_declare_it_gets_the_result(
    shared: Path, client: LauncherClient
) -> None:
    with LauncherClient(shared / "data", shared / "repo") as other:
        other.open(MODERN)
        made = create(other, ONE_PAUSE)
        # It may have begun before the answer was written.
        assert made["structuredContent"]["task"]["status"] in ("NEW", "IN_PROGRESS")
        task = made["structuredContent"]["task"]["id"]
        for method in ("tasks/get", "tasks/cancel"):
            error = other.request(method, {"taskId": task})["error"]
            assert error["code"] == -32021
            assert error["data"]["requiredCapabilities"]["extensions"] == {EXTENSION: {}}
        error = other.answer(listen(other, taskIds=[task]))["error"]
        assert error["code"] == -32021
    with LauncherClient(shared / "data", shared / "repo") as legacy:
        legacy.open(LEGACY)
        assert legacy.request("tasks/get", {"taskId": task})["error"]["code"] == -32601


@pytest.mark.parametrize("task", ["", "1", "nonsense", "0" * 32, "0" * 32 + ".1", "../" * 9])
def test_an_unknown_task_is_invalid_params(client: LauncherClient, task: str) -> None:
    calls: dict[str, Frame] = {
        "tasks/get": {},
        "tasks/cancel": {},
        "tasks/update": {"inputResponses": {}},
    }
    for method, more in calls.items():
        error = client.request(method, {"taskId": task, **more})["error"]
        assert error["code"] == -32602, method


def test_the_removed_methods_are_unknown(client: LauncherClient) -> None:
    for method in ("tasks/result", "tasks/list"):
        assert client.request(method, {})["error"]["code"] == -32601


def test_two_pauses_ask_under_two_keys_and_the_end_is_told(client: LauncherClient) -> None:
    task = create(client, TWO_PAUSES)["taskId"]
    number = listen(client, taskIds=[task])
    first = told(client, task, "input_required")
    request = first["inputRequests"][only_key(first)]
    assert request["method"] == "elicitation/create"
    choices = request["params"]["requestedSchema"]["properties"]["choice"]["oneOf"]
    assert [c["const"] for c in choices][:1] == ["now"]
    assert choices[-1]["const"] == "cancel"
    assert "credits" in request["params"]["message"]
    seen = len(client.frames)
    assert answer(client, task, only_key(first), choice="now")["result"]["resultType"] == "complete"
    second = told(client, task, "input_required", after=seen)
    assert only_key(second) != only_key(first)
    # The answer to the first is late now, and ignored.
    answer(client, task, only_key(first), choice="cancel")
    assert got(client, task)["status"] == "input_required"
    answer(client, task, only_key(second), choice="now")
    done = told(client, task, "completed")
    assert done["result"]["isError"] is False
    assert done["result"]["structuredContent"]["task"]["status"] == "COMPLETED"
    # All that were listened to have ended: so does the stream.
    ended = client.answer(number)["result"]
    assert ended["_meta"]["io.modelcontextprotocol/subscriptionId"] == number


def test_the_final_result_is_valid_for_every_tool_that_gives_handles(
    client: LauncherClient,
) -> None:
    task = create(client, script(implement=[{"say": "done"}]))["taskId"]
    listen(client, taskIds=[task])
    result = told(client, task, "completed")["result"]
    tools = client.request("tools/list")["result"]["tools"]
    for tool in tools:
        if tool["name"] in ("create_task", "resume_task"):
            jsonschema.validate(result["structuredContent"], tool["outputSchema"])


def test_a_pause_between_creation_and_listening_is_told(client: LauncherClient) -> None:
    task = create(client, ONE_PAUSE)["taskId"]
    client.wait_until(task, "PAUSED")
    number = listen(client, taskIds=[task])
    acknowledged = client.wait_for(
        lambda f: f.get("method") == "notifications/subscriptions/acknowledged"
    )
    meta = {"io.modelcontextprotocol/subscriptionId": number}
    assert acknowledged["params"] == {"notifications": {"taskIds": [task]}, "_meta": meta}
    snapshot = told(client, task, "input_required")
    assert client.frames.index(acknowledged) + 1 == next(
        i for i, f in enumerate(client.frames) if f.get("params") == snapshot
    )


def test_only_known_tasks_are_acknowledged(client: LauncherClient) -> None:
    task = create(client, ONE_PAUSE)["taskId"]
    listen(client, taskIds=["0" * 32, task, task, "nonsense"], resourcesListChanged=True)
    acknowledged = client.wait_for(
        lambda f: f.get("method") == "notifications/subscriptions/acknowledged"
    )
    assert acknowledged["params"]["notifications"] == {
        "taskIds": [task],
        "resourcesListChanged": True,
    }


def test_taskids_that_are_no_list_of_texts_are_refused(client: LauncherClient) -> None:
    for wrong in ("x", [1], {"a": 1}, ["x"] * 1001):
        assert client.answer(listen(client, taskIds=wrong))["error"]["code"] == -32602


def test_a_stream_of_tasks_and_resources_tells_both_and_stays_open(
    client: LauncherClient,
) -> None:
    task = create(client, GATED_PAUSE)["taskId"]
    uri = f"rover://tasks/{task}"
    number = listen(client, taskIds=[task], resourceSubscriptions=[uri])
    client.wait_for(lambda f: f.get("method") == "notifications/subscriptions/acknowledged")
    open_gate(client.home, task)
    paused = told(client, task, "input_required")
    client.wait_for(lambda f: f.get("method") == "notifications/resources/updated")
    client.request("tasks/cancel", {"taskId": task})
    told(client, task, "cancelled")
    client.request("ping")
    assert not [f for f in client.frames if f.get("id") == number]
    client.notify("notifications/cancelled", {"requestId": number})
    assert only_key(paused) not in str(got(client, task))


def test_a_declined_question_is_not_asked_again_and_the_task_stays_paused(
    client: LauncherClient, shared: Path
) -> None:
    task = create(client, ONE_PAUSE)["taskId"]
    listen(client, taskIds=[task])
    key = only_key(told(client, task, "input_required"))
    answer(client, task, key)
    with LauncherClient(shared / "data", shared / "repo") as other:
        other.capabilities = ASKABLE
        other.open(MODERN)
        left = got(other, task)
        assert left["status"] == "working"
        assert "credits" in left["statusMessage"]
        assert other.tool("inspect", task=task)["task"]["status"] == "PAUSED"


def test_an_answer_that_is_none_is_refused_and_the_question_stands(
    client: LauncherClient,
) -> None:
    task = create(client, ONE_PAUSE)["taskId"]
    listen(client, taskIds=[task])
    key = only_key(told(client, task, "input_required"))
    wrongs: tuple[Any, ...] = (
        {"action": "accept", "content": {"choice": "with_nobody"}},
        {"action": "accept", "content": {}},
        {"action": "accept"},
        {"action": "maybe"},
        "yes",
        None,
    )
    for wrong in wrongs:
        refused = client.request("tasks/update", {"taskId": task, "inputResponses": {key: wrong}})[
            "error"
        ]
        assert refused["code"] == -32602, wrong
    assert only_key(got(client, task)) == key


def test_a_client_that_cannot_be_asked_is_told_why_it_stands_still(shared: Path) -> None:
    with LauncherClient(shared / "data", shared / "repo") as client:
        client.capabilities = DECLARED
        client.open(MODERN)
        task = create(client, ONE_PAUSE)["taskId"]
        client.wait_until(task, "PAUSED")
        left = got(client, task)
        assert left["status"] == "working"
        assert "inputRequests" not in left
        assert "paused (credits)" in left["statusMessage"]


WRONG = {
    "provider": "anthropic", "status": 400, "type": "invalid_request_error",
    "message": "messages: at least one message is required",
}  # fmt: skip
FAILS = script(implement=[{"error": WRONG}, {"say": "done"}])


def call(client: LauncherClient, tool: str, **arguments: Any) -> Frame:
    """The result of a call, as it came."""
    return client.request("tools/call", {"name": tool, "arguments": arguments})["result"]


def test_a_client_that_holds_a_handle_gets_no_second_one(
    shared: Path, client: LauncherClient
) -> None:
    """T2. It opened two dialogs, and woke the model twice."""
    task = create(client, TWO_PAUSES, request_key="once")["taskId"]
    again = create(client, TWO_PAUSES, request_key="once")
    assert again["structuredContent"]["task"]["id"] == task
    client.wait_until(task, "PAUSED")
    resumed = call(client, "resume_task", task=task)
    assert resumed["structuredContent"]["result"] == "resumed"
    assert got(client, task)["status"] in ("working", "input_required")
    with LauncherClient(shared / "data", shared / "repo") as other:
        other.capabilities = ASKABLE
        other.open(MODERN)
        # Who holds none is given one; from then on it is held, as is one that was asked by.
        other.wait_until(task, "PAUSED")
        assert call(other, "resume_task", task=task)["taskId"] == task
        assert "taskId" not in create(other, TWO_PAUSES, request_key="once")
    with LauncherClient(shared / "data", shared / "repo") as back:
        back.capabilities = ASKABLE
        back.open(MODERN)
        got(back, task)
        assert "taskId" not in create(back, TWO_PAUSES, request_key="once")
    with LauncherClient(shared / "data", shared / "repo") as legacy:
        legacy.open(LEGACY)
        made = create(legacy, TWO_PAUSES, request_key="once")
        assert made["structuredContent"]["task"]["id"] == task


def test_a_restarted_task_has_a_new_handle(home: Path, repository: Path) -> None:
    """T2."""
    with LauncherClient(home, repository) as client:
        client.capabilities = ASKABLE
        client.open(MODERN)
        task = create(client, FAILS)["taskId"]
        client.wait_until(task, "FAILED")
        again = call(client, "restart_task", task=task)
        assert again["taskId"] == f"{task}.1"
        # The end of the one before was told by it, not by the new one.
        assert got(client, task)["result"]["isError"] is True
        client.wait_until(task, "COMPLETED")
        assert got(client, again["taskId"])["result"]["isError"] is False


def test_a_handle_says_which_task_where_and_what_is_amiss(home: Path, repository: Path) -> None:
    """T2. Its client's model is shown nothing else at first."""
    (repository / "calc.py").write_text("changed\n")
    with LauncherClient(home, repository) as client:
        client.capabilities = ASKABLE
        client.open(MODERN)
        made = create(client, ONE_PAUSE, description='Say "stop" twice')
        note = made["_meta"]["com.anthropic/agent-task"]["modelImmediateResponse"]
        assert len(note) < 2000
        for told in (made["statusMessage"], note):
            for wanted in ("Task 1", "rover/1-say-stop-twice", "Say 'stop' twice", "uncommitted"):
                assert wanted in told
        client.wait_until(made["taskId"], "PAUSED")
        later = got(client, made["taskId"])
        assert "com.anthropic/agent-task" not in later.get("_meta", {})
        for wanted in ("Task 1", "rover/1-say-stop-twice", "uncommitted", "paused (credits)"):
            assert wanted in later["statusMessage"]


def test_what_tasks_get_told_is_no_news_any_more(home: Path, repository: Path) -> None:
    """T2. For this client, nor for those to come."""
    with LauncherClient(home, repository) as client:
        client.capabilities = ASKABLE
        client.open(MODERN)
        client.tool("set_auto_resume", enabled=False, scope="all")
        first = create(client, ONE_PAUSE)["taskId"]
        second = create(client, script(implement=[{"say": "done"}]))["taskId"]
        wait_until(lambda: got(client, first)["status"] == "input_required", "it asks")
        wait_until(lambda: got(client, second)["status"] == "completed", "it is done")
        assert client.tool("get_status")["attention"] == []
    with LauncherClient(home, repository) as other:
        other.open(MODERN)
        assert other.tool("list_tasks")["attention"] == []


def test_an_end_is_final_and_what_goes_on_after_it_has_a_handle_of_its_own(
    home: Path, repository: Path
) -> None:
    with LauncherClient(home, repository) as client:
        client.capabilities = ASKABLE
        client.open(MODERN)
        _fail_and_go_on(client)


def _fail_and_go_on(client: LauncherClient) -> None:
    task = create(client, FAILS)["taskId"]
    client.wait_until(task, "FAILED")
    failed = got(client, task)
    assert (failed["status"], failed["result"]["isError"]) == ("completed", True)
    resumed = client.request("tools/call", {"name": "resume_task", "arguments": {"task": task}})
    again = resumed["result"]["taskId"]
    assert again == f"{task}.1"
    client.wait_until(task, "COMPLETED")
    assert got(client, again)["result"]["isError"] is False
    still = got(client, task)
    assert (still["status"], still["result"]["isError"]) == ("completed", True)
    assert still["result"]["structuredContent"]["task"]["status"] == "FAILED"


def test_cancelling_twice_is_acknowledged_twice(client: LauncherClient) -> None:
    task = create(client, ONE_PAUSE)["taskId"]
    client.wait_until(task, "PAUSED")
    for _ in range(2):
        answered = client.request("tasks/cancel", {"taskId": task})
        assert answered["result"]["resultType"] == "complete"
    assert got(client, task)["status"] == "cancelled"


def test_a_client_that_ends_its_handle_leaves_a_paused_task(client: LauncherClient) -> None:
    """T2. The key that stops to follow in Claude Code's list of tasks sends tasks/cancel; it ended
    the task."""
    task = create(client, script(implement=[{"delay": 600}, {"say": "done"}]))["taskId"]
    client.wait_until(task, "IN_PROGRESS")
    client.request("tasks/cancel", {"taskId": task})
    left = got(client, task)
    assert (left["status"], "paused" in left["statusMessage"]) == ("cancelled", True)
    paused = client.wait_until(task, "PAUSED")
    assert paused["pause"]["reason"] == "requested"
    resumed = client.request("tools/call", {"name": "cancel_task", "arguments": {"task": task}})
    assert resumed["result"]["structuredContent"]["task"]["status"] == "CANCELLED"
    resumed = client.request("tools/call", {"name": "resume_task", "arguments": {"task": task}})
    again = resumed["result"]["taskId"]
    assert again != task
    client.wait_until(task, "COMPLETED")
    assert got(client, again)["status"] == "completed"
    assert got(client, task)["status"] == "cancelled"


def test_a_pause_that_ends_by_itself_asks_nothing(home: Path, repository: Path) -> None:
    """T2."""
    with LauncherClient(home, repository) as client:
        client.capabilities = ASKABLE
        client.open(MODERN)
        task = create(client, ONE_PAUSE)["taskId"]
        client.wait_until(task, "PAUSED")
        waits = got(client, task)
        assert (waits["status"], "inputRequests" in waits) == ("working", False)
        assert "It resumes automatically at 20" in waits["statusMessage"]


def test_the_news_that_came_with_a_handle_are_not_lost(client: LauncherClient) -> None:
    """A handle has no room for `attention`: the next result still tells it."""
    first = create(client, ONE_PAUSE)["taskId"]
    listen(client, taskIds=[first])
    told(client, first, "input_required")
    create(client, fix_after_credits(), workflow="swe")
    listed = client.tool("list_tasks")
    assert short_id(first) in [e["task"] for e in listed["attention"]]
