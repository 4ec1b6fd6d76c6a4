"""The CLI is a thin MCP client of the daemon."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from rover_mcp.cli.client import ClientError, ConnectionLost, McpClient, SocketChannel, ToolFailed

Json = dict[str, Any]


class Peer:
    """A client, and the daemon's end of its connection; what it will get may be sent ahead."""

    def __init__(self) -> None:
        ours, self.sock = socket.socketpair()
        self.client = McpClient(SocketChannel(ours))
        self.file = self.sock.makefile("rb")

    def send(self, message: Json) -> None:
        self.sock.sendall(json.dumps(message).encode() + b"\n")

    def answer(self, request_id: int, result: Json) -> None:
        self.send({"jsonrpc": "2.0", "id": request_id, "result": result})

    def read(self) -> Json:
        return json.loads(self.file.readline())

    def close(self) -> None:
        self.file.close()
        self.sock.close()


@pytest.fixture
def peer() -> Iterator[Peer]:
    it = Peer()
    yield it
    it.close()
    it.client.close()


def test_it_opens_a_session_of_the_legacy_era(peer: Peer) -> None:
    peer.answer(1, {"protocolVersion": "2025-11-25", "serverInfo": {"name": "rover"}})
    assert peer.client.initialize()["serverInfo"]["name"] == "rover"
    assert peer.read()["params"]["protocolVersion"] == "2025-11-25"
    assert peer.read()["method"] == "notifications/initialized"


def test_a_call_gives_the_structured_content_and_leaves_nones_out(peer: Peer) -> None:
    peer.answer(1, {"content": [], "structuredContent": {"task": {"number": 1}}})
    assert peer.client.call("inspect", task="1", detail=None) == {"task": {"number": 1}}
    assert peer.read()["params"] == {"name": "inspect", "arguments": {"task": "1"}}


def test_a_tool_error_keeps_all_its_parts(peer: Peer) -> None:
    error = {"code": "c", "message": "m", "hint": "h", "next_call": {"tool": "list_tasks"}}
    peer.answer(1, {"content": [], "isError": True, "structuredContent": {"error": error}})
    with pytest.raises(ToolFailed) as caught:
        peer.client.call("inspect", task="1")
    assert caught.value.as_json() == {"error": error}


def test_a_protocol_error_is_an_error_with_its_number(peer: Peer) -> None:
    peer.send({"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": "no"}})
    with pytest.raises(ClientError, match="no") as caught:
        peer.client.request("resources/read", {})
    assert caught.value.code == "protocol -32602"


def test_notifications_come_while_a_call_waits_and_answers_in_any_order(peer: Peer) -> None:
    heard: list[str] = []
    peer.client.on_notification = lambda m: heard.append(m["method"])
    first = peer.client.start_call("wait_for_task", task="1")
    second = peer.client.start_call("inspect", task="1")
    peer.send({"jsonrpc": "2.0", "method": "notifications/message"})
    peer.answer(second, {"structuredContent": {"n": 2}})
    peer.answer(first, {"structuredContent": {"n": 1}})
    assert peer.client.result_of(first) == {"n": 1}
    assert peer.client.result_of(second) == {"n": 2}
    assert heard == ["notifications/message"]


def test_a_frame_in_pieces_and_frames_in_one_piece_are_read(peer: Peer) -> None:
    whole = b'{"jsonrpc":"2.0","id":1,"result":{"structuredContent":{"a":1}}}\n'
    peer.sock.sendall(b'{"jsonrpc":"2.0","method":"x"}\n' + whole[:20])
    request = peer.client.start_call("t")
    assert peer.client.pump(1)
    peer.sock.sendall(whole[20:])
    assert peer.client.result_of(request) == {"a": 1}


def test_a_daemon_that_goes_is_told_as_a_loss_of_the_connection_only(peer: Peer) -> None:
    peer.close()
    with pytest.raises(ConnectionLost) as caught:
        peer.client.call("inspect", task="1")
    assert "no task is lost" in str(caught.value.hint)


def test_a_request_of_the_server_is_declined(peer: Peer) -> None:
    peer.send({"jsonrpc": "2.0", "id": 9, "method": "roots/list"})
    peer.client.pump(1)
    assert peer.read()["error"]["code"] == -32601
