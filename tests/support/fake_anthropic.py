"""A fake provider on loopback that speaks the Anthropic Messages API, as Claude Code 2.1 uses it.

In a test:

    with FakeAnthropic([write("hello.txt", "hi"), credit()]) as provider:
        ...  # ANTHROPIC_BASE_URL=provider.url, any key
        provider.push(text("Done."))         # more behaviours, at any time
        assert provider.requests[-1].messages == 5

From another process (it ends when its standard input is closed or on SIGTERM):

    python -m tests.support.fake_anthropic --plan plan.json --port-file F [--log requests.jsonl]

`plan.json` is a list of behaviours. F gets the port, written atomically, once it listens. A
running server takes more through `POST /__fake/push` (a list) and tells what it saw through
`GET /__fake/requests` (a list, as in `Request.as_json`).

A behaviour is a dict, made by the functions below; each main request (one that offers tools)
takes the next one. Side requests (no tools: titles, quota probes, count_tokens, models) are
answered by themselves and take none. An empty plan answers "Done.". Any behaviour may have
"times": n, "delay": seconds before the answer, and "headers": {...} of the answer.

    {"do": "text", "text": "..."}                      a final message
    {"do": "write", "path": "x", "content": "..."}     the agent's own Write tool; the path may be
                                                       relative to the agent's working directory
    {"do": "bash", "command": "..."}                   the agent's own Bash tool
    {"do": "tool", "name": "...", "input": {...}}      any tool
    {"do": "error", "status": 400, "type": "invalid_request_error", "message": "..."}
    {"do": "credit"} {"do": "rate_limit", "retry_after": 7} {"do": "overloaded"} {"do": "auth"}
    {"do": "stream_error", "type": "overloaded_error", "message": "..."}   after a first delta
    {"do": "slow", "text": "...", "chunks": 20, "interval": 0.05}
    {"do": "reset"}                                    the connection is reset, no answer
    {"do": "hang"}                                     no answer until the server is closed
"""

from __future__ import annotations

import argparse
import itertools
import json
import socket
import struct
import sys
import threading
from collections import deque
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from tests.support.fake_messages import Behaviour, events, message, stream_error, user_texts

CREDIT_MESSAGE = (
    "Your credit balance is too low to access the Anthropic API. "
    "Please go to Plans & Billing to upgrade or purchase credits."
)


def text(answer: str = "Done.", **more: Any) -> Behaviour:
    return {"do": "text", "text": answer, **more}


def write(path: str, content: str, **more: Any) -> Behaviour:
    return {"do": "write", "path": path, "content": content, **more}


def bash(command: str, **more: Any) -> Behaviour:
    return {"do": "bash", "command": command, **more}


def tool(name: str, **arguments: Any) -> Behaviour:
    return {"do": "tool", "name": name, "input": arguments}


def error(status: int, kind: str, message: str, **more: Any) -> Behaviour:
    return {"do": "error", "status": status, "type": kind, "message": message, **more}


def credit(**more: Any) -> Behaviour:
    return error(400, "invalid_request_error", CREDIT_MESSAGE, **more)


def rate_limit(retry_after: float = 7, **more: Any) -> Behaviour:
    message = "This request would exceed your organization's rate limit."
    headers = {"retry-after": f"{retry_after:g}"} | more.pop("headers", {})
    return error(429, "rate_limit_error", message, headers=headers, **more)


def overloaded(**more: Any) -> Behaviour:
    return error(529, "overloaded_error", "Overloaded", **more)


def auth(**more: Any) -> Behaviour:
    return error(401, "authentication_error", "invalid x-api-key", **more)


_PRESETS = {"credit": credit, "rate_limit": rate_limit, "overloaded": overloaded, "auth": auth}


@dataclass(frozen=True)
class Request:
    """What the provider saw of one request. `texts` are the user's own texts, for asserting that
    an earlier prompt is part of a resumed conversation; `body` is the whole request."""

    method: str
    path: str
    api_key: str | None
    authorization: str | None
    model: str | None
    main: bool
    messages: int
    texts: list[str]
    answered: str
    headers: dict[str, str] = field(repr=False)
    body: dict[str, Any] = field(repr=False)

    def as_json(self) -> dict[str, Any]:
        return {k: v for k, v in asdict(self).items() if k not in ("headers", "body")}


class FakeAnthropic:
    """The server, in threads of its own. `url` is its base URL, on a free loopback port."""

    def __init__(self, plan: list[Behaviour] | None = None, log: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._plan: deque[Behaviour] = deque()
        self._log = log
        self._message_ids = itertools.count(1)
        self.requests: list[Request] = []
        self.closing = threading.Event()
        self.push(*(plan or []))
        fake = self

        class Handler(_Handler):
            provider = fake

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join(5)
        self._server.server_close()

    def push(self, *behaviours: Behaviour) -> None:
        """Append to the plan."""
        with self._lock:
            for behaviour in behaviours:
                more = {k: v for k, v in behaviour.items() if k not in ("do", "times")}
                preset = _PRESETS.get(behaviour["do"])
                single = preset(**more) if preset else {"do": behaviour["do"], **more}
                self._plan.extend([single] * behaviour.get("times", 1))

    @property
    def main_requests(self) -> list[Request]:
        """Those that offered tools: the agent's own turns."""
        return [r for r in self.requests if r.main]

    def next_behaviour(self, *, main: bool) -> Behaviour:
        with self._lock:
            return self._plan.popleft() if main and self._plan else text()

    def next_id(self) -> str:
        return f"{next(self._message_ids):024d}"

    def record(self, request: Request) -> None:
        with self._lock:
            self.requests.append(request)
            if self._log:
                with self._log.open("a") as stream:
                    stream.write(json.dumps(request.as_json()) + "\n")


class _Handler(BaseHTTPRequestHandler):
    provider: FakeAnthropic
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else an answer waits 40 ms for a delayed acknowledgement

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing is printed."""

    def do_HEAD(self) -> None:
        self._json(200, {})

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/__fake/requests":
            self._json(200, [r.as_json() for r in self.provider.requests])
            return
        self._record({}, main=False, answered="models")
        model = {"type": "model", "id": "claude-fake", "display_name": "Fake"}
        if path == "/v1/models":
            self._json(200, {"data": [model], "has_more": False})
        elif path.startswith("/v1/models/"):
            self._json(200, model | {"id": path.rsplit("/", 1)[1]})
        else:
            self._error(404, "not_found_error", f"no such path: {path}")

    def do_POST(self) -> None:
        body = json.loads(self._read_body() or b"{}")
        path = self.path.partition("?")[0]
        if path == "/__fake/push":
            self.provider.push(*body)
            self._json(200, {})
        elif path == "/v1/messages/count_tokens":
            self._record(body, main=False, answered="count_tokens")
            self._json(200, {"input_tokens": 1 + len(json.dumps(body)) // 4})
        elif path == "/v1/messages":
            self._messages(body)
        else:
            self._record(body, main=False, answered="not_found")
            self._error(404, "not_found_error", f"no such path: {path}")

    def _read_body(self) -> bytes:
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        parts: list[bytes] = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _record(self, body: Any, *, main: bool, answered: str) -> None:
        messages = body.get("messages", [])
        self.provider.record(
            Request(
                method=self.command,
                path=self.path,
                api_key=self.headers.get("x-api-key"),
                authorization=self.headers.get("authorization"),
                model=body.get("model"),
                main=main,
                messages=len(messages),
                texts=list(user_texts(messages)),
                answered=answered,
                headers={k.lower(): v for k, v in self.headers.items()},
                body=body,
            )
        )

    def _messages(self, body: dict[str, Any]) -> None:
        main = bool(body.get("tools"))
        behaviour = self.provider.next_behaviour(main=main)
        self._record(body, main=main, answered=behaviour["do"])
        if delay := behaviour.get("delay"):
            self.provider.closing.wait(delay)
        kind = behaviour["do"]
        if kind == "hang":
            self.provider.closing.wait()
        if kind in ("hang", "reset"):
            self._reset()
        elif kind == "error":
            self._error(
                behaviour["status"],
                behaviour["type"],
                behaviour["message"],
                behaviour.get("headers"),
            )
        elif body.get("stream"):
            self._stream(body, behaviour)
        elif kind == "stream_error":
            # Claude Code falls back to a request without streaming: the failure goes on there.
            self._error(529, *stream_error(behaviour).values())
        else:
            self._json(200, message(self.provider.next_id(), body, behaviour))

    def _reset(self) -> None:
        # A zero linger time makes close send RST instead of FIN.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True
        self.wfile = open("/dev/null", "wb")  # noqa: SIM115, PTH123

    def _json(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.send_header("request-id", "req_fake")
        for name, header in (headers or {}).items():
            self.send_header(name, header)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _error(
        self, status: int, kind: str, message: str, headers: dict[str, str] | None = None
    ) -> None:
        value = {"type": "error", "error": {"type": kind, "message": message}}
        self._json(status, value, headers)

    def _stream(self, body: dict[str, Any], behaviour: Behaviour) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("transfer-encoding", "chunked")
        self.send_header("request-id", "req_fake")
        for name, header in behaviour.get("headers", {}).items():
            self.send_header(name, header)
        self.end_headers()
        whole = message(self.provider.next_id(), body, behaviour)
        try:
            for event in events(whole, behaviour):
                if interval := behaviour.get("interval"):
                    self.provider.closing.wait(interval)
                data = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
                self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="A fake Anthropic API on loopback.")
    parser.add_argument("--plan", type=Path, help="JSON list of behaviours")
    parser.add_argument("--port-file", type=Path, required=True)
    parser.add_argument("--log", type=Path, help="JSON lines of what was asked")
    options = parser.parse_args(arguments)
    plan = json.loads(options.plan.read_text()) if options.plan else []
    with FakeAnthropic(plan, options.log) as provider:
        temporary = options.port_file.with_name(options.port_file.name + ".new")
        temporary.write_text(str(provider.port))
        temporary.replace(options.port_file)
        sys.stdin.read()


if __name__ == "__main__":
    main()
