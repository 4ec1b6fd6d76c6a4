"""A small MCP client: JSON-RPC lines over a socket or a pair of pipes, one thread, no SDK. It
speaks the protocol of 2025-11-25, in which a server may push notifications. Standard library
only."""

from __future__ import annotations

import json
import os
import select
import socket
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from agent_runner.json_object import Json
from rover_mcp import __version__
from rover_mcp.launcher.daemon_client import dial
from rover_mcp.launcher.handshake import CLI

PROTOCOL_VERSION = "2025-11-25"
# The daemon may have just been started and still be opening a large database.
ANSWER_TIMEOUT = 120.0
ELICIT = "elicitation/create"


class ClientError(Exception):
    """An error for a person or a script: as text, or as `as_json`."""

    def __init__(
        self,
        message: str,
        *,
        code: str = "error",
        hint: str | None = None,
        next_call: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.hint = hint
        self.next_call = next_call

    def as_json(self) -> Json:
        return {
            "error": {
                "code": self.code,
                "message": self.message,
                "hint": self.hint,
                "next_call": self.next_call,
            }
        }


class ToolFailed(ClientError):
    """A tool's own error: what failed, why, and a call that would work."""


class ConnectionLost(ClientError):
    """The other side has gone. The tasks continue."""


class Channel(Protocol):
    """Two byte streams."""

    def send(self, data: bytes) -> None: ...

    def receive(self, timeout: float) -> bytes | None:
        """Some bytes; empty at the end, None if nothing arrived in time."""
        ...

    def close(self) -> None: ...


class SocketChannel:
    """The daemon's socket."""

    def __init__(self, sock: socket.socket, rest: bytes = b"") -> None:
        self._sock = sock
        self._rest = rest
        # For sending: a daemon that is stopped would otherwise keep this process for ever.
        sock.settimeout(ANSWER_TIMEOUT)

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def receive(self, timeout: float) -> bytes | None:
        if self._rest:
            rest, self._rest = self._rest, b""
            return rest
        ready, _, _ = select.select([self._sock], [], [], timeout)
        return self._sock.recv(1 << 18) if ready else None

    def close(self) -> None:
        self._sock.close()


class PipeChannel:
    """A subprocess's stdin and stdout, by descriptor."""

    def __init__(self, stdin: int, stdout: int) -> None:
        self._stdin = stdin
        self._stdout = stdout

    def send(self, data: bytes) -> None:
        view = memoryview(data)
        # A pipe takes only as much as there is room for in it.
        while view:
            view = view[os.write(self._stdin, view) :]

    def receive(self, timeout: float) -> bytes | None:
        ready, _, _ = select.select([self._stdout], [], [], timeout)
        return os.read(self._stdout, 1 << 18) if ready else None

    def close(self) -> None:
        os.close(self._stdin)


# The SDK takes 0.9 s of processor time to import, which every command would pay.
class McpClient:
    """One session. `on_notification` receives each notification, `on_frame` each line as it
    arrived."""

    def __init__(self, channel: Channel, name: str = "rover") -> None:
        self.on_notification: Callable[[Json], None] = lambda _message: None
        self.on_frame: Callable[[str, bytes], None] = lambda _direction, _line: None
        self.ask: Callable[[str], bool] | None = None
        """asks the person at the terminal; None where there is no person"""
        self.server: Json = {}
        self.answer: Json | None = None
        """what was asked with the preamble, where that was answered at once"""
        self._channel = channel
        self._name = name
        self._partial = b""
        self._lines: list[bytes] = []
        self._next_id = 0
        self._thinking_seconds = 0.0  # seconds in which a person thought about a question
        self._answers: dict[int, Json] = {}

    @classmethod
    def connect(
        cls,
        home: str | None = None,
        ask: Callable[[str], bool] | None = None,
        asks: Mapping[str, object] | None = None,
    ) -> McpClient:
        """A session with the daemon, which is started if none is running. `ask` asks the person at
        the terminal. `asks` is a tool call that the daemon may answer before it can serve; then
        that is `answer`, and nothing else was sent.

        Raises:
            DaemonUnavailable: no daemon can be reached or started.
            ClientError: it does not answer as it should.
        """
        connection = dial(CLI, home=home, asks=asks)
        client = cls(SocketChannel(connection.sock, connection.rest))
        client.ask = ask
        if connection.answered:
            client.answer = client._first_line()["result"]
            return client
        client.initialize()
        client.server["notice"] = connection.notice
        return client

    def _first_line(self) -> Json:
        end = time.monotonic() + ANSWER_TIMEOUT
        while not self._lines:
            if time.monotonic() > end:
                raise _lost()
            self._read(ANSWER_TIMEOUT)
        return json.loads(self._lines.pop(0))

    def initialize(self) -> Json:
        """Open the session. The server's answer is stored as `server`."""
        self.server = self.request(
            "initialize",
            {
                "protocolVersion": PROTOCOL_VERSION,
                # Without a person the daemon must not ask: it refuses what needs consent at once,
                # and says how to give it.
                "capabilities": {"elicitation": {}} if self.ask else {},
                "clientInfo": {"name": self._name, "version": __version__},
            },
        )
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return self.server

    def close(self) -> None:
        self._channel.close()

    def call(self, tool: str, **arguments: object) -> Json:
        """Call a tool and return its structured content. Arguments that are None are left out.

        Raises:
            ToolFailed: the tool refused, and says what to do.
            ConnectionLost: the daemon has gone.
            ClientError: a protocol error, or no answer in time.
        """
        return self.result_of(self.start_call(tool, **arguments))

    def call_for_long(self, tool: str, **arguments: object) -> Json:
        """As `call`, however long it takes: what the tool does depends on another machine."""
        request_id = self.start_call(tool, **arguments)
        while not self.answered(request_id):
            self.pump(ANSWER_TIMEOUT)
        return self.result_of(request_id)

    def start_call(self, tool: str, **arguments: object) -> int:
        """Call a tool without waiting: returns the request's id, for `answered` and `result_of`."""
        # None stands for an option that was not given, and the tools know their defaults.
        given = {k: v for k, v in arguments.items() if v is not None}
        return self.start("tools/call", {"name": tool, "arguments": given})

    def answered(self, request_id: int) -> bool:
        return request_id in self._answers

    def result_of(self, request_id: int) -> Json:
        """Wait for a tool call's structured content. Raises as `call` does."""
        result = self._wait(request_id)
        content: Json | None = result.get("structuredContent")
        # Each tool of Rover's has structured content, so something else has answered.
        if content is None:
            raise ClientError("the daemon's answer cannot be understood", code="protocol")
        if result.get("isError"):
            error: Json = content.get("error") or {}
            raise ToolFailed(
                str(error.get("message", "it failed without a message")),
                code=str(error.get("code", "error")),
                hint=error.get("hint"),
                next_call=error.get("next_call"),
            )
        return content

    def request(self, method: str, params: Json) -> Json:
        """The result of any request. Raises as `call` does."""
        return self._wait(self.start(method, params))

    def request_for_long(self, method: str, params: Json) -> Json:
        """The result of a request, however long it takes; what it reports in the meantime is
        progress. Raises as `call` does."""
        # The token equals the id that the request is about to get: a number that is unique in this
        # session.
        request_id = self.start(method, {**params, "_meta": {"progressToken": self._next_id + 1}})
        while not self.answered(request_id):
            self.pump(ANSWER_TIMEOUT)
        return self._wait(request_id)

    def start(self, method: str, params: Json) -> int:
        self._next_id += 1
        self.send({"jsonrpc": "2.0", "id": self._next_id, "method": method, "params": params})
        return self._next_id

    def send(self, message: Json) -> None:
        line = json.dumps(message, separators=(",", ":")).encode()
        self.on_frame("->", line)
        try:
            self._channel.send(line + b"\n")
        except OSError as error:
            raise _lost() from error

    def pump(self, timeout: float) -> bool:
        """Receive what arrives within `timeout` seconds; whether anything did."""
        if not self._lines:
            self._read(timeout)
        if not self._lines:
            return False
        for line in self._lines:
            self._take(line)
        self._lines = []
        return True

    def _wait(self, request_id: int) -> Json:
        # The time that the person takes to answer a question is not the daemon's.
        end = time.monotonic() + ANSWER_TIMEOUT - self._thinking_seconds
        while request_id not in self._answers:
            left = end + self._thinking_seconds - time.monotonic()
            if left <= 0:
                raise ClientError(
                    f"no answer within {ANSWER_TIMEOUT:.0f} s",
                    code="timeout",
                    hint="tasks keep running; try again, or see daemon.log in the data folder",
                )
            self.pump(left)
        answer = self._answers.pop(request_id)
        if "error" in answer:
            error: Json = answer["error"]
            data: Json = error["data"] if isinstance(error.get("data"), dict) else {}
            code = str(data.get("code") or f"protocol {error.get('code')}")
            raise ClientError(str(error.get("message")), code=code, hint=data.get("hint"))
        return answer["result"]

    def _read(self, timeout: float) -> None:
        try:
            data = self._channel.receive(timeout)
        except OSError as error:
            raise _lost() from error
        if data is None:
            return
        if not data:
            raise _lost()
        # A read may end in the middle of a line, or have several.
        *self._lines, self._partial = (self._partial + data).split(b"\n")

    def _take(self, line: bytes) -> None:
        self.on_frame("<-", line)
        try:
            message: Json = json.loads(line)
        except ValueError:
            raise ClientError("the daemon's answer cannot be read", code="protocol") from None
        if "method" not in message:
            if isinstance(message.get("id"), int):
                self._answers[message["id"]] = message
        elif message["method"] == ELICIT and self.ask is not None:
            self._elicit(message, self.ask)
        elif "id" in message:
            # Answered all the same: the daemon would wait for it.
            error = {"code": -32601, "message": "this client answers no requests"}
            self.send({"jsonrpc": "2.0", "id": message["id"], "error": error})
        else:
            self.on_notification(message)

    def _elicit(self, message: Json, ask: Callable[[str], bool]) -> None:
        """Answer a question of the daemon's to the user, who may take as long as they like."""
        params: Json = message.get("params") or {}
        question = str(params.get("message"))
        begun = time.monotonic()
        # Declined, and not cancelled: a person has read the question and did not agree.
        answer: Json = {"action": "decline"}
        if ask(question):
            answer = {"action": "accept", "content": {"choice": "allow"}}
        self._thinking_seconds += time.monotonic() - begun
        self.send({"jsonrpc": "2.0", "id": message["id"], "result": answer})


def _lost() -> ConnectionLost:
    return ConnectionLost(
        "the connection to the daemon was lost",
        code="connection_lost",
        hint="no task is lost: run the command again, which starts the daemon if it is needed",
    )
