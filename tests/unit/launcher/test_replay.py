"""A daemon that dies under a launcher: what the client sees."""

from __future__ import annotations

from typing import Any

from tests.support.stub_daemon import LauncherProcess, StubConnection, StubDaemon
from tests.unit.launcher.conftest import Launch

LEGACY = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t"}}
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"


def opened(launcher: LauncherProcess, stub: StubDaemon) -> StubConnection:
    """A legacy session, open on both sides."""
    daemon = stub.accept().welcome()
    launcher.request(0, "initialize", **LEGACY)
    daemon.answer(daemon.read(), protocolVersion="2025-11-25")
    launcher.read()
    launcher.notify("notifications/initialized")
    daemon.read()
    return daemon


def call(launcher: LauncherProcess, daemon: StubConnection, number: int, method: str, **p: Any):
    launcher.request(number, method, **p)
    daemon.answer(daemon.read())
    assert launcher.read()["id"] == number


def reopened(stub: StubDaemon, client_id: str) -> StubConnection:
    """The next daemon, after the replay of `initialize` and `initialized`."""
    daemon = stub.accept()
    assert daemon.hello["client_id"] == client_id
    again = daemon.welcome().read()
    assert again["method"] == "initialize"
    assert again["params"] == LEGACY
    daemon.answer(again)
    assert daemon.read()["method"] == "notifications/initialized"
    return daemon


def test_a_lost_request_is_answered_with_an_error_and_the_session_goes_on(
    launch: Launch, stub: StubDaemon
) -> None:
    launcher = launch()
    first = opened(launcher, stub)
    launcher.request("call-1", "tools/call", name="wait_for_task")
    first.read()
    first.close()
    error = launcher.read()
    assert error["id"] == "call-1"
    assert error["error"]["code"] == -32603
    assert "restarted" in error["error"]["message"]
    assert "repeat the call" in error["error"]["message"]
    second = reopened(stub, first.hello["client_id"])
    call(launcher, second, 2, "tools/list")


def test_level_and_subscriptions_are_made_again_without_the_cancelled_ones(
    launch: Launch, stub: StubDaemon
) -> None:
    launcher = launch()
    first = opened(launcher, stub)
    call(launcher, first, 1, "logging/setLevel", level="debug")
    call(launcher, first, 2, "logging/setLevel", level="info")
    for number, uri in enumerate(("rover://tasks/a", "rover://tasks/b"), start=3):
        call(launcher, first, number, "resources/subscribe", uri=uri)
    call(launcher, first, 5, "resources/unsubscribe", uri="rover://tasks/a")
    launcher.request(6, "resources/subscribe", uri="rover://tasks/none")
    refused = first.read()
    first.send({"jsonrpc": "2.0", "id": 6, "error": {"code": -32602, "message": refused["method"]}})
    assert "error" in launcher.read()
    first.close()

    second = reopened(stub, first.hello["client_id"])
    level, subscription = second.read(), second.read()
    assert (level["method"], level["params"]) == ("logging/setLevel", {"level": "info"})
    assert subscription["method"] == "resources/subscribe"
    assert subscription["params"] == {"uri": "rover://tasks/b"}
    second.answer(level)
    second.answer(subscription)
    launcher.request(7, "ping")
    ping = second.read()
    assert ping["id"] == 7, "nothing else was replayed"
    second.answer(ping)
    assert launcher.read()["id"] == 7, "the answers to the replay were not for the client"


def test_nothing_is_sent_before_the_new_daemon_has_answered_initialize(
    launch: Launch, stub: StubDaemon
) -> None:
    launcher = launch()
    first = opened(launcher, stub)
    first.close()
    second = stub.accept().welcome()
    initialize = second.read()
    launcher.notify("early")
    second.sock.settimeout(0.1)
    try:
        early = second.sock.recv(1)
    except TimeoutError:
        early = b""
    assert early == b""
    second.sock.settimeout(300)
    second.answer(initialize)
    connection = second.sock.makefile("rb")
    assert b"initialized" in connection.readline()
    assert b"early" in connection.readline()
    connection.close()


def test_an_initialize_that_was_never_answered_is_asked_again(
    launch: Launch, stub: StubDaemon
) -> None:
    launcher = launch()
    first = stub.accept().welcome()
    launcher.request("i", "initialize", **LEGACY)
    first.read()
    first.close()
    second = stub.accept().welcome()
    request = second.read()
    assert request["id"] == "i"
    second.answer(request, protocolVersion="2025-11-25")
    assert launcher.read()["result"]["protocolVersion"] == "2025-11-25"


def test_a_frame_that_was_not_sent_as_a_whole_is_sent_again_as_a_whole(
    launch: Launch, stub: StubDaemon
) -> None:
    launcher = launch()
    first = stub.accept().welcome()
    text = "z" * 5_000_000
    launcher.request(1, "tools/call", text=text)
    assert first.sock.recv(10_000)
    first.close()
    second = stub.accept().welcome()
    assert second.read()["params"]["text"] == text


def test_open_listens_are_made_again_under_their_own_id(launch: Launch, stub: StubDaemon) -> None:
    launcher = launch()
    first = stub.accept().welcome()
    for number in (1, 2, 3):
        launcher.request(number, "subscriptions/listen", notifications={})
        first.read()
    ended = {"jsonrpc": "2.0", "id": 2, "result": {}}
    first.send(ended)
    assert launcher.read() == ended
    launcher.notify("notifications/cancelled", requestId=3)
    first.read()
    acknowledged = {
        "jsonrpc": "2.0",
        "method": "notifications/subscriptions/acknowledged",
        "params": {"notifications": {}, "_meta": {SUBSCRIPTION: 1}},
    }
    first.send(acknowledged)
    assert launcher.read() == acknowledged
    first.close()

    second = stub.accept().welcome()
    again = second.read()
    assert (again["id"], again["method"]) == (1, "subscriptions/listen")
    second.send(acknowledged)
    news = {"jsonrpc": "2.0", "method": "notifications/resources/updated"}
    second.send(news)
    assert launcher.read() == news, "the client knows already that it is acknowledged"
    launcher.notify("end")
    assert second.read()["method"] == "end", "neither the ended nor the cancelled one came again"


def test_what_the_daemon_asked_the_client_is_withdrawn(launch: Launch, stub: StubDaemon) -> None:
    launcher = launch()
    first = opened(launcher, stub)
    launcher.request(1, "tools/call")
    first.read()
    first.send({"jsonrpc": "2.0", "id": 0, "method": "elicitation/create", "params": {}})
    assert launcher.read()["method"] == "elicitation/create"
    first.close()
    withdrawn = launcher.read()
    assert withdrawn["method"] == "notifications/cancelled"
    assert withdrawn["params"]["requestId"] == 0
    assert launcher.read()["id"] == 1


def test_numbers_and_texts_as_ids_are_different_requests(launch: Launch, stub: StubDaemon) -> None:
    launcher = launch()
    daemon = stub.accept().welcome()
    for request_id in (1, "1", "ü", 'a"b'):
        launcher.request(request_id, "tools/call")
        daemon.read()
    daemon.send({"jsonrpc": "2.0", "id": 1, "result": {}})
    daemon.send({"jsonrpc": "2.0", "id": "ü", "result": {}})
    assert [launcher.read()["id"], launcher.read()["id"]] == [1, "ü"]
    daemon.close()
    assert [launcher.read()["id"], launcher.read()["id"]] == ["1", 'a"b']


def test_a_daemon_that_always_dies_is_not_restarted_for_ever(
    launch: Launch, stub: StubDaemon
) -> None:
    launcher = launch()
    for _ in range(5):
        stub.accept().welcome().close()
    assert b"5 times" in launcher.stderr.readline()
    launcher.request(1, "ping")
    daemon = stub.accept().welcome()
    assert daemon.read()["id"] == 1, "the next call tries once more"


def test_a_retiring_daemon_is_asked_again_until_another_one_is_there(
    launch: Launch, stub: StubDaemon
) -> None:
    launcher = launch()
    for _ in range(3):
        stub.accept().welcome("retiring")
    daemon = stub.accept().welcome(notice="the daemon is of version 0.0.9 and busy")
    launcher.request(1, "ping")
    daemon.answer(daemon.read())
    assert launcher.read()["id"] == 1
    assert b"0.0.9" in launcher.stderr.readline()


def test_a_refusal_is_an_error_that_says_what_to_do(launch: Launch, stub: StubDaemon) -> None:
    refused = {"status": "refused", "reason": "too many clients", "hint": "close some"}
    stub.greet_all({"rover": 1, "version": "0.1.0", **refused})
    launcher = launch()
    launcher.request(1, "initialize", **LEGACY)
    message = launcher.read()["error"]["message"]
    assert "too many clients" in message
    assert "close some" in message


def test_what_is_no_rover_daemon_is_said_so(launch: Launch, stub: StubDaemon) -> None:
    stub.greet_all({"rover": 99, "status": "ok"})
    launcher = launch()
    launcher.request(1, "initialize", **LEGACY)
    assert "not a daemon of a known version" in launcher.read()["error"]["message"]
