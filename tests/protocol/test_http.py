"""Streamable HTTP with the real `rover-mcp --http` and its daemon: who may come, what each sees,
and how much of it. docs/http.md; facts: mcp.md, sections 2 and 3.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rover_mcp.domain.ids import short_id
from tests.e2e.conftest import daemon_pid
from tests.e2e.processes import kill, wait_until
from tests.support.frames import LEGACY, MODERN, Frame, LauncherClient, ToolError
from tests.support.gates import GATE, open_gate
from tests.support.http_front import HttpClient, HttpFront, token_of
from tests.support.listeners import descendants, listeners
from tests.support.scripts import CREDITS, script

EXTENSION = "io.modelcontextprotocol/tasks"
ASKABLE = {"extensions": {EXTENSION: {}}, "elicitation": {"form": {}}}
ONE_PAUSE = script(implement=[{"error": CREDITS}, {"say": "done"}])
GATED_PAUSE = script(implement=[{"run": GATE, "error": CREDITS}, {"say": "done"}])
ERAS = pytest.mark.parametrize("era", [LEGACY, MODERN])


@dataclass
class HttpService:
    front: HttpFront
    tokens: dict[str, str]
    repository: Path

    def client(self, name: str, era: str = MODERN, *, open_: bool = True) -> HttpClient:
        client = HttpClient(self.front.url, self.tokens[name], era)
        client.capabilities = ASKABLE
        if open_:
            client.open()
        return client


@pytest.fixture
def site(home: Path, repository: Path) -> Iterator[HttpService]:
    home.mkdir(mode=0o700)
    (home / "config.yaml").write_text(json.dumps({"http": {"projects": [str(repository)]}}))
    tokens = {name: token_of(home, name) for name in ("ann", "bob")}
    tokens["reader"] = token_of(home, "ann", "read")
    with HttpFront(home) as front:
        yield HttpService(front, tokens, repository)


def create(client: HttpClient, text: str = ONE_PAUSE, **more: Any) -> Frame:
    """The result of a create_task call, as it came."""
    arguments = {
        "description": "Fix calc.add",
        "agent": "scripted",
        "engine": "bubblewrap",
        "workflow": "quick",
        "script": text,
        **more,
    }
    return client.request("tools/call", {"name": "create_task", "arguments": arguments})["result"]


def made(result: Frame) -> str:
    """The id of the task that was made."""
    return result.get("taskId") or result["structuredContent"]["task"]["id"]


def tools_of(client: HttpClient) -> set[str]:
    return {tool["name"] for tool in client.request("tools/list")["result"]["tools"]}


# Who may come


@ERAS
def test_a_task_from_creation_to_its_end(site: HttpService, era: str) -> None:
    ann = site.client("ann", era)
    task = made(create(ann))
    assert ann.wait_until(task, "PAUSED")["pause"]["reason"] == "credits"
    ann.request("tools/call", {"name": "resume_task", "arguments": {"task": task}})
    assert ann.wait_until(task, "COMPLETED")["repo_path"] == str(site.repository)


@ERAS
def test_without_a_right_token_nobody_gets_past_401(site: HttpService, era: str) -> None:
    token = site.tokens["ann"]
    for wrong in (None, "", token[:-1], token + "x", token.upper(), "é" * 40):
        client = HttpClient(site.front.url, None, era)
        headers = {} if wrong is None else {"Authorization": f"Bearer {wrong}"}
        body, more = client.message("tools/list", None)
        encoded = {k: v.encode().decode("latin-1") for k, v in headers.items()}
        for method in ("POST", "GET", "DELETE"):
            answer = client.send(body, {**more, **encoded}, method=method)
            assert answer.status == 401
            challenge = answer.headers["www-authenticate"]
            assert challenge.startswith("Bearer ")
            assert "/.well-known/oauth-protected-resource/mcp" in challenge
    basic = client.send(body, {**more, "Authorization": f"Basic {token}"})
    assert basic.status == 401


def test_the_metadata_that_401_names_say_what_there_is(site: HttpService) -> None:
    nobody = HttpClient(site.front.url, None)
    path = "/.well-known/oauth-protected-resource/mcp"
    told = json.loads(nobody.send(None, method="GET", path=path).body)
    assert told["resource"] == site.front.url
    assert told["scopes_supported"] == ["read", "write"]
    origin = site.front.url.removesuffix("/mcp")
    assert [url.rstrip("/") for url in told["authorization_servers"]] == [origin], "MCP demands one"
    assert nobody.send(None, method="GET", path="/other").status == 404


def test_an_issuer_is_named_in_the_metadata(home: Path, repository: Path) -> None:
    home.mkdir(mode=0o700)
    config = {
        "http": {"issuer": "https://login.example.org", "public_url": "https://r.example/mcp"}
    }
    (home / "config.yaml").write_text(json.dumps(config))
    token_of(home, "ann")
    with HttpFront(home, "127.0.0.1:0") as front:
        assert front.url == "https://r.example/mcp"


def named_calls(actions: list[dict[str, Any]]) -> set[str]:
    return {action["tool"] for action in actions}


@ERAS
def test_a_token_without_write_reads_and_no_more(site: HttpService, era: str) -> None:
    task = made(create(site.client("ann", era)))
    reader = site.client("reader", era)
    every = tools_of(site.client("ann", era))
    some = tools_of(reader)
    assert some < every
    assert {"list_tasks", "inspect", "get_diff"} <= some
    assert not {"create_task", "resume_task", "cancel_task"} & some
    assert reader.tool("inspect", task=task)["task"]["id"] == task
    for tool in sorted(every - some):
        answer = reader.answer("tools/call", {"name": tool, "arguments": {"task": task}})
        assert answer.status == 403, tool
        assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
        assert 'scope="read write"' in answer.headers["www-authenticate"]
    if era == MODERN:
        for method in ("tasks/cancel", "tasks/update"):
            told = {"taskId": task, "inputResponses": {}}
            assert reader.answer(method, told).status == 403
    assert site.client("ann", era).wait_until(task, "PAUSED")
    assert named_calls(reader.tool("inspect", task=task)["task"]["next_actions"]) <= some


CLIENTS, CALLS = 100, int(os.environ.get("ROVER_HTTP_CALLS", "6"))
"""Calls of each client. 102 make 10,200, which take two minutes: a call costs the server 12 ms."""


@pytest.mark.known_escape(12)
def test_a_hundred_clients_of_two_users_never_get_each_others_answers(site: HttpService) -> None:
    """Anchor 12: CVE-2026-25536 (answers of one client to another)."""
    makers = {name: site.client(name) for name in ("ann", "bob")}
    tasks = {n: made(create(c, description=f"{n}s secret")) for n, c in makers.items()}
    names = [("ann", "bob")[n % 2] for n in range(CLIENTS)]
    clients = [
        site.client(name, (LEGACY, MODERN)[n // 2 % 2], open_=False) for n, name in enumerate(names)
    ]

    def work(number: int) -> str:
        """One client's calls; what of the other's it saw."""
        mine, client = names[number], clients[number]
        other = "bob" if mine == "ann" else "ann"
        client.open()
        seen: list[Frame] = []
        for turn in range(CALLS // 3):
            own = client.request("tools/call", named("inspect", task=tasks[mine]))["result"]
            assert own["structuredContent"]["task"]["id"] == tasks[mine], (number, turn)
            theirs = client.request("tools/call", named("inspect", task=tasks[other]))["result"]
            assert theirs["structuredContent"]["error"]["code"] == "unknown_task"
            seen += [own, client.request("tools/call", named("list_tasks"))]
        return f"{other}s secret" if f"{other}s secret" in json.dumps(seen) else ""

    with ThreadPoolExecutor(24) as pool:
        assert set(pool.map(work, range(CLIENTS))) == {""}


def named(tool: str, **arguments: Any) -> Frame:
    return {"name": tool, "arguments": arguments}


@ERAS
def test_the_methods_of_this_machine_are_for_its_user(site: HttpService, era: str) -> None:
    methods = ("images", "hooks", "trust", "forget", "patch")
    for method in (f"rover/{name}" for name in methods):
        assert site.client("ann", era).request(method)["error"]["code"] == -32601


@pytest.mark.known_escape(12)
@ERAS
def test_host_and_origin_are_checked_before_anything_else(site: HttpService, era: str) -> None:
    ann = site.client("ann", era)
    nobody = HttpClient(site.front.url, None, era)
    for client in (ann, nobody):
        body, headers = client.message("tools/list", None)
        for host in ("evil.example", "evil.example:8765", "127.0.0.1.evil.example:80"):
            assert client.send(body, {**headers, "Host": host}).status == 421
        for origin in ("https://evil.example", "null", "http://localhost.evil.example:1"):
            assert client.send(body, {**headers, "Origin": origin}).status == 403
    body, headers = ann.message("tools/list", None)
    assert ann.send(body, {**headers, "Origin": "http://localhost:3000"}).status == 200


def test_a_revoked_token_counts_no_longer_and_its_streams_end(
    site: HttpService, home: Path
) -> None:
    from rover_mcp.config.http_tokens import revoke

    ann, bob = site.client("ann"), site.client("bob")
    task = made(create(bob))
    with bob.stream("subscriptions/listen", {"notifications": {"taskIds": [task]}}) as stream:
        stream.wait_for(_paused(task))
        assert revoke(home, "bob") == 1
        assert bob.answer("tools/list").status == 401
        with LauncherClient(home, site.repository) as own:
            own.open()
            own.tool("cancel_task", task=task)
        assert not [f for f in stream.rest() if f["params"]["status"] == "cancelled"]
    assert ann.answer("tools/list").status == 200
    assert bob.send(b"{}").status == 401
    assert token_of(home, "bob") not in (home / "http-tokens.json").read_text()


# What each sees


@ERAS
def test_two_users_do_not_see_each_other(site: HttpService, home: Path, era: str) -> None:
    ann, bob = site.client("ann", era), site.client("bob", era)
    task = made(create(ann))
    ann.wait_until(task, "PAUSED")
    uri = f"rover://tasks/{task}"
    assert bob.tool("list_tasks")["tasks"] == []
    assert bob.tool("list_tasks")["attention"] == []
    assert task not in json.dumps(bob.request("resources/list"))
    assert task in json.dumps(ann.request("resources/list"))
    assert json.loads(_text(bob, "rover://tasks"))["tasks"] == []
    for ref, argument in (
        ({"type": "ref/resource", "uri": "rover://tasks/{id}"}, "id"),
        ({"type": "ref/prompt", "name": "review_task"}, "task"),
    ):
        asked = {"ref": ref, "argument": {"name": argument, "value": ""}}
        assert bob.request("completion/complete", asked)["result"]["completion"]["values"] == []
        assert ann.request("completion/complete", asked)["result"]["completion"]["values"]
    unknown = "f" * 32
    for tool in sorted(tools_of(ann) - {"create_task", "get_status", "list_workflows"}):
        if "task" not in _schema(ann, tool)["properties"]:
            continue
        arguments = {"task": task, **({"enabled": False} if tool == "set_auto_resume" else {})}
        told = _without_id(bob, "tools/call", tool, arguments, task)
        assert told == _without_id(bob, "tools/call", tool, {**arguments, "task": unknown}, unknown)
        assert "there is no task" in told, tool
    asked = [("resources/read", end) for end in ("", "/journal", "/diff", "/logs/implement")]
    for method, end in [*asked, *([("resources/subscribe", "")] if era == LEGACY else [])]:
        told = json.dumps(bob.request(method, {"uri": uri + end})["error"]).replace(task, "X")
        other = bob.request(method, {"uri": f"rover://tasks/{unknown}{end}"})["error"]
        assert told == json.dumps(other).replace(unknown, "X")
    if era == MODERN:
        for method in ("tasks/get", "tasks/cancel", "tasks/update"):
            params = {"taskId": task, "inputResponses": {}}
            told = json.dumps(bob.request(method, params)["error"]).replace(task, "X")
            other = bob.request(method, {**params, "taskId": unknown})["error"]
            assert told == json.dumps(other).replace(unknown, "X")
    with LauncherClient(home, site.repository) as own:
        own.open()
        assert [t["id"] for t in own.tool("list_tasks")["tasks"]] == [short_id(task)]
    assert ann.tool("inspect", task=task)["task"]["status"] == "PAUSED"


def _text(client: HttpClient, uri: str) -> str:
    return client.request("resources/read", {"uri": uri})["result"]["contents"][0]["text"]


def _schema(client: HttpClient, tool: str) -> Frame:
    tools = client.request("tools/list")["result"]["tools"]
    return next(t["inputSchema"] for t in tools if t["name"] == tool)


def _without_id(client: HttpClient, method: str, tool: str, arguments: Frame, task: str) -> str:
    frame = client.request(method, {"name": tool, "arguments": arguments})
    return json.dumps(frame["result"]).replace(task, "X")


def test_a_repository_that_is_not_served_is_refused(site: HttpService) -> None:
    ann = site.client("ann")
    ann.capabilities = {}
    for path in ("/", "/etc", str(site.repository.parent), f"{site.repository}/../repo"):
        told = create(ann, repo_path=path)["structuredContent"]["error"]
        assert told["code"] == "unknown_project"
    told = create(ann, engine="process")["structuredContent"]["error"]
    assert told["code"] == "not_allowed"


def _paused(task: str) -> Any:
    return lambda f: (
        f.get("method") == "notifications/tasks"
        and f["params"]["taskId"] == task
        and "paused" in f["params"].get("statusMessage", "")
    )


def test_a_listen_stream_tells_of_ones_own_tasks_alone(site: HttpService) -> None:
    ann, bob = site.client("ann"), site.client("bob")
    hers, his = made(create(ann)), made(create(bob))
    uris = [f"rover://tasks/{t}" for t in (hers, his, "0" * 32)]
    wanted = {"taskIds": [hers, his, "0" * 32], "resourceSubscriptions": uris}
    with bob.stream("subscriptions/listen", {"notifications": wanted}) as stream:
        told = stream.wait_for(lambda f: f["method"] == "notifications/subscriptions/acknowledged")
        honoured = told["params"]["notifications"]
        # As of tasks that there are not, nothing is ever heard of hers.
        assert honoured == {"taskIds": [his], "resourceSubscriptions": uris}
        stream.wait_for(_paused(his))
        ann.wait_until(hers, "PAUSED")
        bob.request("tasks/cancel", {"taskId": his})
        stream.wait_for(
            lambda f: f["method"] == "notifications/tasks" and f["params"]["status"] == "cancelled",
        )
    assert hers not in json.dumps(stream.frames[1:])
    only = {
        "notifications": {
            "resourceSubscriptions": [uris[0], "rover://tasks"],
            "resourcesListChanged": True,
        }
    }
    with bob.stream("subscriptions/listen", only) as stream:
        ann.request("tasks/cancel", {"taskId": hers})
        stream.wait_for(lambda f: f["method"] == "notifications/subscriptions/acknowledged")
        last = made(create(bob))
        stream.wait_for(lambda f: f["method"] == "notifications/resources/list_changed")
    assert hers not in json.dumps(stream.frames[1:])
    assert last not in json.dumps(stream.frames)


def test_notifications_of_the_older_era_are_ones_own(site: HttpService, home: Path) -> None:
    ann, bob = site.client("ann", LEGACY), site.client("bob", LEGACY)
    with ann.standalone() as hers, bob.standalone() as his:
        assert (hers.status, his.status) == (200, 200)
        task = made(create(ann, GATED_PAUSE))
        ann.request("resources/subscribe", {"uri": f"rover://tasks/{task}"})
        open_gate(home, task)
        told = hers.wait_for(lambda f: f["method"] == "notifications/message"
                             and f["params"]["data"]["event"] == "task.paused")  # fmt: skip
        assert told["params"]["data"]["reason"] == "credits"
        hers.wait_for(lambda f: f["method"] == "notifications/resources/updated")
        other = made(create(bob))
        his.wait_for(lambda f: f.get("method") == "notifications/message"
                     and f["params"]["data"]["event"] == "task.paused")  # fmt: skip
        assert {f["params"]["data"]["task"] for f in his.frames} == {other}
        assert ann.send(None, method="DELETE").status == 200
        hers.rest()
    assert ann.answer("tools/list").status == 404


def test_a_session_that_asks_nothing_hears_of_its_users_tasks(site: HttpService) -> None:
    quiet, bob = site.client("ann", LEGACY), site.client("bob", LEGACY)
    with quiet.standalone() as hers, bob.standalone() as his:
        task = made(create(site.client("ann")))
        told = hers.wait_for(_message("task.paused"))
        assert told["params"]["data"]["task"] == task
        other = made(create(bob))
        his.wait_for(_message("task.paused"))
        assert {f["params"]["data"]["task"] for f in his.frames} == {other}


@pytest.mark.known_escape(12)
def test_a_session_is_of_no_use_to_another_user(site: HttpService) -> None:
    ann, bob = site.client("ann", LEGACY), site.client("bob", LEGACY)
    bob.session = ann.session
    assert bob.answer("tools/list").status == 404
    assert bob.send(None, method="DELETE").status == 404
    assert ann.answer("tools/list").status == 200


def test_news_are_told_once_to_a_user_and_client_name(site: HttpService) -> None:
    """A request of 2026-07-28 stands alone; what it was told is remembered by name."""
    ann = site.client("ann")
    task = made(create(ann))
    with ann.stream("subscriptions/listen", {"notifications": {"taskIds": [task]}}) as stream:
        stream.wait_for(_paused(task))
    assert [e["task"] for e in ann.tool("list_tasks")["attention"]] == [short_id(task)]
    assert ann.tool("list_tasks")["attention"] == []
    again = site.client("ann")
    assert again.tool("list_tasks")["attention"] == []
    other = site.client("bob")
    assert other.tool("list_tasks")["attention"] == []


# The wire


def test_headers_that_differ_from_the_body_are_refused(site: HttpService) -> None:
    ann = site.client("ann")
    task = made(create(ann))
    for method, params in (
        ("tasks/get", {"taskId": task}),
        ("tools/call", {"name": "list_tasks", "arguments": {}}),
    ):
        body, headers = ann.message(method, params)
        for wrong in ({"Mcp-Name": "other"}, {"Mcp-Method": "tools/list"}):
            answer = ann.send(body, {**headers, **wrong})
            assert (answer.status, answer.frame["error"]["code"]) == (400, -32020)
    body, headers = ann.message("tasks/get", {"taskId": task})
    del headers["Mcp-Name"]  # as fastmcp's client does; what nothing is routed by does no harm
    assert ann.send(body, headers).frame["result"]["taskId"] == task


def test_who_does_not_declare_the_extension_is_told_what_to_declare(site: HttpService) -> None:
    ann = site.client("ann")
    task = made(create(ann))
    ann.capabilities = {}
    for method, params in (
        ("tasks/get", {"taskId": task}),
        ("subscriptions/listen", {"notifications": {"taskIds": [task]}}),
    ):
        answer = ann.answer(method, params)
        assert (answer.status, answer.frame["error"]["code"]) == (400, -32021)


@ERAS
def test_what_is_no_message_is_refused_and_the_server_lives(site: HttpService, era: str) -> None:
    ann = site.client("ann", era)
    for body in (
        b"",
        b"nonsense",
        b"\xff\xfe\x00\x01",
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\xed\xa0\x80"}}',
        b"[" * 10_000 + b"]" * 10_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b"x" * 1_000_000,
        b'{"jsonrpc":"2.0","id":' + b"9" * 5000 + b',"method":"ping"}',
        b"[]",
        b"null",
    ):
        answer = ann.send(body, {"Mcp-Method": "tools/call"} if era == MODERN else None)
        assert 400 <= answer.status < 500, body[:80]
    # Unlike the launcher's frames, HTTP's may be of any shape in between.
    assert tools_of(ann)


@ERAS
def test_a_thousand_wrong_calls_change_nothing(site: HttpService, era: str) -> None:
    ann = site.client("ann", era)
    connection = ann.connect()
    for number in range(1000):
        params: Frame = {"name": ("nothing", "inspect", "create_task")[number % 3],
                         "arguments": {"task": number, "x": "y" * (number % 100)}}  # fmt: skip
        body, headers = ann.message("tools/call", params)
        own = {"Content-Type": "application/json", "Accept": "*/*", **ann._own(), **headers}
        connection.request("POST", ann.path, body, own)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status in (200, 400)
        assert b"error" in text.lower()
    connection.close()
    assert ann.tool("list_tasks")["tasks"] == []


# How much


def test_a_body_that_is_too_large_is_refused_before_it_is_read(site: HttpService) -> None:
    ann = site.client("ann")
    size = 8 * 1024**2 + 1
    connection = ann.connect()
    connection.putrequest("POST", ann.path)
    for name, value in {"Content-Length": str(size), **ann._own()}.items():
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()

    def chunks() -> Iterator[bytes]:
        for _ in range(9):
            yield b"x" * 1024**2

    connection = ann.connect()
    connection.request("POST", ann.path, chunks(), ann._own(), encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()
    assert tools_of(ann)


def limited(home: Path, repository: Path, **limits: int) -> str:
    home.mkdir(mode=0o700)
    config = {"http": {"projects": [str(repository)], **limits}}
    (home / "config.yaml").write_text(json.dumps(config))
    return token_of(home, "ann")


def test_too_many_connections_are_told_when_to_come_back(home: Path, repository: Path) -> None:
    token = limited(home, repository, max_connections=5)
    with HttpFront(home) as front:
        ann = HttpClient(front.url, token)
        held = [ann.connect() for _ in range(5)]
        for connection in held:
            connection.connect()
        answer = ann.answer("tools/list")
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        for connection in held:
            connection.close()
        more = [ann.connect() for _ in range(60)]
        for connection in more:
            connection.connect()
        for connection in more:
            connection.close()
        wait_until(lambda: _answered(ann), "the server is there for who comes next")


def _answered(client: HttpClient) -> bool:
    with suppress(ConnectionError):
        return client.answer("tools/list").status == 200
    return False


def test_a_user_has_so_many_requests_and_sessions_at_a_time(home: Path, repository: Path) -> None:
    token = limited(home, repository, max_requests=2, max_sessions=2)
    other = token_of(home, "bob")
    with HttpFront(home) as front:
        ann = HttpClient(front.url, token)
        ann.capabilities = ASKABLE
        wanted = {"notifications": {"resourcesListChanged": True}}
        with ann.stream("subscriptions/listen", wanted), ann.stream("subscriptions/listen", wanted):
            answer = ann.answer("tools/list")
            assert (answer.status, answer.headers["retry-after"]) == (429, "2")
            bob = HttpClient(front.url, other)
            assert tools_of(bob)
        # Its streams count until the server has noticed that they are gone.
        wait_until(lambda: ann.answer("tools/list").status == 200, "it may ask again")
        for _ in range(2):
            HttpClient(front.url, token, LEGACY).open()
        body, headers = HttpClient(front.url, token, LEGACY).message("initialize", {})
        assert HttpClient(front.url, token, LEGACY).send(body, headers).status == 429
        HttpClient(front.url, other, LEGACY).open()


def test_a_client_that_does_not_read_holds_up_nobody(site: HttpService, home: Path) -> None:
    ann, bob = site.client("ann", LEGACY), site.client("bob", LEGACY)
    before = resident_bytes(daemon_pid(home))
    with unread(ann, b"GET", b""), unread(ann, b"POST", ann.message("tools/list", None)[0]):
        made(create(ann, script(implement=[{"say": "done"}])))
        with bob.standalone() as his:
            task = made(create(bob))
            his.wait_for(_message("task.paused"))
            assert bob.wait_until(task, "PAUSED")
        assert resident_bytes(daemon_pid(home)) - before < 64 * 1024**2


@contextmanager
def unread(client: HttpClient, method: bytes, body: bytes) -> Iterator[None]:
    """A connection whose client sends as much as is taken from it, and reads nothing."""
    headers = {**client._own(), "Content-Type": "application/json", "Accept": "*/*"}
    if body:
        headers["Content-Length"] = str(len(body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    start = f"{client.path} HTTP/1.1\r\nHost: localhost:1\r\n{lines}\r\n".encode()
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(client.address)
        sock.settimeout(1)
        with suppress(TimeoutError):
            for _ in range(3000 if body else 1):
                sock.sendall(method + b" " + start + body)
        yield


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _message(event: str) -> Any:
    return lambda f: (
        f.get("method") == "notifications/message" and f["params"]["data"]["event"] == event
    )


# Beginning and end


def test_without_a_token_it_says_how_to_make_one(home: Path) -> None:
    home.mkdir(mode=0o700)
    front = HttpFront(home)
    assert "rover token new" in front.wait_for_line("rover token new")
    assert front.ended() == 1


def test_an_address_that_others_reach_has_to_be_allowed(home: Path) -> None:
    home.mkdir(mode=0o700)
    token_of(home, "ann")
    front = HttpFront(home, "0.0.0.0:0")
    front.wait_for_line("is not loopback")
    front.wait_for_line("allow_remote")
    assert front.ended() == 1


@pytest.mark.known_escape(13)
def test_a_server_on_loopback_listens_nowhere_else(site: HttpService, home: Path) -> None:
    """By the kernel's tables, of both processes and of all that they started."""
    hosts, _ = listeners(descendants([site.front.process.pid, daemon_pid(home)]))
    port = site.front.url.split(":")[2].split("/")[0]
    assert hosts == {f"127.0.0.1 {port}"}


def test_an_address_that_is_taken_is_a_clear_error(site: HttpService, home: Path) -> None:
    port = site.front.url.split(":")[2].split("/")[0]
    front = HttpFront(home, f"127.0.0.1:{port}")
    front.wait_for_line("Address already in use")
    assert front.ended() == 1
    wrong = HttpFront(home, "127.0.0.1:nonsense")
    wrong.wait_for_line("invalid address")
    assert wrong.ended() == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_streams_with_their_last_frames(site: HttpService, number: int) -> None:
    ann, bob = site.client("ann"), site.client("bob", LEGACY)
    task = made(create(ann))
    with (
        ann.stream("subscriptions/listen", {"notifications": {"taskIds": [task]}}) as tasks,
        ann.stream("subscriptions/listen", {"notifications": {"resourcesListChanged": True}}) as of,
        bob.standalone() as his,
    ):
        tasks.wait_for(_paused(task))
        of.wait_for(lambda f: True)
        site.front.process.send_signal(number)
        for stream in (tasks, of):
            last = stream.rest()[-1]
            assert last["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == last["id"]
            assert stream.whole
        his.rest()
    assert site.front.ended() == 0


def test_the_daemons_own_end_ends_streams_too_and_another_takes_over(
    site: HttpService, home: Path
) -> None:
    ann = site.client("ann")
    wanted = {"notifications": {"resourcesListChanged": True}}
    with ann.stream("subscriptions/listen", wanted) as stream:
        stream.wait_for(lambda f: True)
        os.kill(daemon_pid(home), signal.SIGTERM)
        assert "result" in stream.rest()[-1]
    assert tools_of(ann)


def test_a_killed_daemon_is_replaced_and_clients_only_reconnect(
    site: HttpService, home: Path
) -> None:
    ann = site.client("ann")
    task = made(create(ann))
    ann.wait_until(task, "PAUSED")
    first = daemon_pid(home)
    kill(first)
    # The address is still there: who connects now waits for the next daemon.
    assert ann.tool("inspect", task=task)["task"]["status"] == "PAUSED"
    assert daemon_pid(home) != first
    site.front.wait_for_line("again")
    with pytest.raises(ToolError):
        site.client("bob").tool("inspect", task=task)


def test_no_token_is_in_what_is_kept_or_logged(site: HttpService, home: Path) -> None:
    ann = site.client("ann")
    site.client("ann", LEGACY)
    ann.wait_until(made(create(ann)), "PAUSED")
    ann.send(b"{}", {"Authorization": f"Bearer {site.tokens['bob']}x"})
    for path in home.rglob("*"):
        if path.is_file() and not path.is_symlink():
            # What is written for a moment may be gone by now.
            with suppress(FileNotFoundError):
                held = path.read_bytes()
                for token in site.tokens.values():
                    assert token.encode() not in held, path
    assert (home / "http-tokens.json").stat().st_mode & 0o777 == 0o600
