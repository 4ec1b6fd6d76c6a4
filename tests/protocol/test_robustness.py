"""Clients that send nonsense, too much, or do not read: each is answered, and nobody else notices.

Streamable HTTP has the like in test_http.py; here it is stdio, and of HTTP what the Tasks extension
does there.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import daemon_pid
from tests.protocol.test_http import resident_bytes
from tests.support.frames import LEGACY, MODERN, Frame, LauncherClient
from tests.support.http_front import HttpClient, HttpFront, token_of
from tests.support.repos import make_repository
from tests.support.scripts import CREDITS, script

ERAS = pytest.mark.parametrize("era", [LEGACY, MODERN])
MB = 1024**2
ARGUMENTS = {
    "description": "Do it", "workflow": "quick", "agent": "scripted", "engine": "bubblewrap",
}  # fmt: skip
TWO_PAUSES = script(implement=[{"error": CREDITS}, {"error": CREDITS}, {"say": "done"}])
NO_MESSAGES = (
    b"nonsense",
    b"\xff\xfe\x00\x01",
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\xed\xa0\x80"}}',
    b"[" * 10_000 + b"]" * 10_000,
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    b'{"jsonrpc":"2.0","id":8,"method":"ping","params":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001,
    b"x" * MB,
    b'{"jsonrpc":"2.0","id":' + b"9" * 5000 + b',"method":"ping"}',
    b"[]",
    b"null",
)


@pytest.fixture(params=[LEGACY, MODERN])
def client(request: pytest.FixtureRequest, shared: Path) -> Iterator[LauncherClient]:
    with LauncherClient(shared / "data", shared / "repo") as opened:
        opened.open(request.param)
        yield opened


def raw(client: LauncherClient, data: bytes) -> None:
    """Bytes as they are."""
    assert client.process.stdin
    client.process.stdin.write(data)
    client.process.stdin.flush()


def complaints(client: LauncherClient) -> list[Frame]:
    """Every error so far."""
    return [f["error"] for f in client.frames if "error" in f]


def lives(client: LauncherClient) -> None:
    assert client.request("tools/list")["result"]["tools"]


def test_what_is_no_message_is_told_and_the_session_goes_on(client: LauncherClient) -> None:
    each_is_told(client)


@ERAS
def test_in_the_foreground_too(home: Path, repository: Path, era: str) -> None:
    with LauncherClient(home, repository, arguments=["--foreground"]) as client:
        client.open(era)
        each_is_told(client)
        task = client.tool("create_task", **ARGUMENTS)["task"]["id"]
        client.wait_until(task, "COMPLETED")
        assert client.close() == 0


def each_is_told(client: LauncherClient) -> None:
    for count, line in enumerate(NO_MESSAGES, 1):
        raw(client, line + b"\n")
        client.wait_for(lambda _, count=count: len(complaints(client)) == count)
        lives(client)
    assert {e["code"] for e in complaints(client)} == {-32700, -32600}


def test_a_line_without_an_end_holds_up_nobody(client: LauncherClient, shared: Path) -> None:
    raw(client, b"x" * 1_000_000)
    with LauncherClient(shared / "data", shared / "repo") as other:
        other.open()
        lives(other)
    raw(client, b"\n")
    client.wait_for(lambda f: f.get("id") is None and f.get("error", {}).get("code") == -32700)
    lives(client)
    raw(client, b"x" * 1_000_000)
    assert client.close() == 0


def test_a_message_of_10_mb_is_answered_and_one_of_20_is_refused(client: LauncherClient) -> None:
    arguments = {**ARGUMENTS, "description": "x" * 10 * MB}
    called = {"name": "create_task", "arguments": arguments}
    answer = client.request("tools/call", called)["result"]
    assert answer["structuredContent"]["error"]["code"] == "invalid_arguments"
    assert len(json.dumps(answer)) < 8000
    client.start_request("tools/call", {**called, "arguments": {"description": "x" * 20 * MB}})
    client.wait_for(lambda f: f.get("id") is None and f.get("error", {}).get("code") == -32700)
    lives(client)


def test_a_thousand_wrong_calls_change_nothing(client: LauncherClient) -> None:
    before = client.tool("list_tasks")["tasks"]
    for _ in range(10):
        numbers = [
            client.start_request(
                "tools/call",
                {"name": ("nothing", "inspect", "create_task")[n % 3],
                 "arguments": {"task": n, "x": "y" * n}},
            )
            for n in range(100)
        ]  # fmt: skip
        for number in numbers:
            answer = client.answer(number)
            assert "error" in answer or answer["result"]["isError"]
    assert client.tool("list_tasks")["tasks"] == before


# Who does not read


class StalledClient(LauncherClient):
    """A client that reads until it is told to `go_deaf`, and then nothing more until it is to
    `hear`."""

    def __init__(self, home: Path, cwd: Path) -> None:
        self._may_read = threading.Event()
        self._may_read.set()
        super().__init__(home, cwd)

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            # When it leaves with much unread, the launcher's last line may be cut.
            if line.endswith(b"\n"):
                self._new.put(json.loads(line))
            self._may_read.wait()
        self._new.put(None)

    def go_deaf(self) -> None:
        self._may_read.clear()

    def hear(self) -> None:
        self._may_read.set()

    def close(self) -> int:
        self.hear()
        return super().close()


FLOOD = 1000
"""Requests, with answers of some 25 kB each."""


@ERAS
def test_a_client_that_asks_on_without_reading_costs_little_and_recovers(
    shared: Path, era: str
) -> None:
    home, repository = shared / "data", shared / "repo"
    with StalledClient(home, repository) as deaf, LauncherClient(home, repository) as other:
        other.open(era)
        lives(other)
        deaf.open(era)
        deaf.go_deaf()
        before = resident_bytes(daemon_pid(home))
        numbers = [deaf.start_request("tools/list") for _ in range(FLOOD)]
        task = other.tool("create_task", **ARGUMENTS)["task"]["id"]
        other.wait_until(task, "COMPLETED")
        assert resident_bytes(daemon_pid(home)) - before < 64 * MB
        assert resident_bytes(deaf.process.pid) < 64 * MB
        deaf.hear()
        answers = [deaf.answer(number) for number in numbers]
        refused = [a["error"] for a in answers if "error" in a]
        assert 0 < len(refused) < FLOOD
        assert all("not answered yet" in e["message"] for e in refused)
        lives(deaf)


def test_requests_that_are_withdrawn_are_not_waited_for(shared: Path) -> None:
    """More of them than may be unanswered at a time."""
    with LauncherClient(shared / "data", shared / "repo") as client:
        client.open(MODERN)
        wanted = {"notifications": {"resourceSubscriptions": ["rover://tasks"]}}
        for _ in range(300):
            number = client.start_request("subscriptions/listen", wanted)
            client.notify("notifications/cancelled", {"requestId": number})
        lives(client)


def test_who_does_not_read_keeps_no_other_from_hearing(shared: Path) -> None:
    home, repository = shared / "data", shared / "repo"
    with StalledClient(home, repository) as deaf, LauncherClient(home, repository) as other:
        other.open(LEGACY)
        deaf.open(LEGACY)
        deaf.request("logging/setLevel", {"level": "debug"})
        deaf.request("resources/subscribe", {"uri": "rover://tasks"})
        deaf.go_deaf()
        numbers = [deaf.start_request("tools/list") for _ in range(100)]
        steps = {"workflow": "demo", "inputs": {"test_command": "true"}}
        task = other.tool("create_task", **{**ARGUMENTS, **steps})["task"]["id"]
        other.wait_until(task, "COMPLETED")
        # Had each of its events waited two seconds for the other, this would take twenty.
        other.wait_for(lambda f: _event(f) == "task.completed")
        deaf.hear()
        deaf.wait_for(lambda f: f.get("method") == "notifications/resources/updated")
        assert all("result" in deaf.answer(number) for number in numbers)


def _event(frame: Frame) -> str | None:
    told = frame.get("method") == "notifications/message"
    return frame["params"]["data"]["event"] if told else None


# Between sessions


def test_a_session_in_another_repository_hears_nothing(shared: Path) -> None:
    home, elsewhere = shared / "data", make_repository(shared / "elsewhere")
    with (
        LauncherClient(home, shared / "repo") as mine,
        LauncherClient(home, elsewhere) as legacy,
        LauncherClient(home, elsewhere) as modern,
    ):
        mine.open(LEGACY)
        legacy.open(LEGACY)
        legacy.request("logging/setLevel", {"level": "debug"})
        own = legacy.tool("create_task", **ARGUMENTS)["task"]["id"]
        modern.open(MODERN)
        wanted = {"notifications": {"resourceSubscriptions": [f"rover://tasks/{own}"]}}
        modern.start_request("subscriptions/listen", wanted)
        modern.wait_for(lambda f: f.get("method") == "notifications/subscriptions/acknowledged")
        task = mine.tool("create_task", **ARGUMENTS, script=TWO_PAUSES)["task"]["id"]
        mine.wait_for(lambda f: _event(f) == "task.paused")
        for one in (legacy, modern):
            one.wait_until(own, "COMPLETED")
            assert len(one.tool("list_tasks", repo_path=".")["tasks"]) == 1
            assert task not in json.dumps(one.frames)


# The Tasks extension over HTTP


@pytest.fixture(scope="module")
def front(shared: Path) -> Iterator[HttpFront]:
    home = shared / "data"
    home.mkdir(mode=0o700, exist_ok=True)
    (home / "config.yaml").write_text(json.dumps({"http": {"projects": [str(shared / "repo")]}}))
    token_of(home, "somebody")
    with HttpFront(home) as serving:
        yield serving


@pytest.fixture
def ann(front: HttpFront, shared: Path) -> HttpClient:
    made = HttpClient(front.url, token_of(shared / "data", "ann"), MODERN)
    extension = {"io.modelcontextprotocol/tasks": {}}
    made.capabilities = {"extensions": extension, "elicitation": {"form": {}}}
    made.open()
    return made


def create(client: HttpClient, text: str, **more: Any) -> Frame:
    asked = {"name": "create_task", "arguments": {**ARGUMENTS, "script": text, **more}}
    return client.request("tools/call", asked)["result"]


def is_told(task: str, status: str) -> Any:
    return lambda f: (
        f.get("method") == "notifications/tasks"
        and (f["params"]["taskId"], f["params"]["status"]) == (task, status)
    )


def test_over_http_a_handle_has_null_on_the_wire(ann: HttpClient) -> None:
    made = create(ann, script(implement=[{"say": "done"}]))
    assert (made["resultType"], made["ttlMs"]) == ("task", None)
    got = ann.request("tasks/get", {"taskId": made["taskId"]})["result"]
    assert (got["resultType"], got["ttlMs"]) == ("complete", None)


def test_over_http_the_state_follows_the_acknowledgement(
    ann: HttpClient,
) -> None:
    """The first pause is between creation and listening."""
    task = create(ann, TWO_PAUSES, auto_resume=False)["taskId"]
    ann.wait_until(task, "PAUSED")
    wanted = {"notifications": {"taskIds": ["0" * 32, task, task], "toolsListChanged": False}}
    with ann.stream("subscriptions/listen", wanted) as stream:
        first = stream.wait_for(is_told(task, "input_required"))["params"]
        acknowledged, state = stream.frames
        assert acknowledged["params"]["notifications"] == {"taskIds": [task]}
        assert state["params"] == first
        answer_pause(ann, task, first)
        second = stream.wait_for(
            lambda f: is_told(task, "input_required")(f) and f["params"] != first
        )["params"]
        assert set(second["inputRequests"]).isdisjoint(first["inputRequests"])
        answer_pause(ann, task, second)
        stream.wait_for(is_told(task, "completed"))
        assert "result" in stream.rest()[-1]


def answer_pause(client: HttpClient, task: str, told: Frame) -> None:
    (key,) = told["inputRequests"]
    response = {key: {"action": "accept", "content": {"choice": "now"}}}
    answer = client.request("tasks/update", {"taskId": task, "inputResponses": response})
    assert answer["result"]["resultType"] == "complete"
