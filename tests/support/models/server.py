"""The HTTP side of tests/support/fake_models.py: which request is what, and its answer's bytes."""

from __future__ import annotations

import json
import re
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from tests.support.models.anthropic import Anthropic
from tests.support.models.chat import Chat
from tests.support.models.dialect import Body, Dialect, texts
from tests.support.models.errors import error_answer
from tests.support.models.gemini import Gemini
from tests.support.models.responses import Responses
from tests.support.models.tools import content_of, filled
from tests.support.models.turns import ERRORS, Behaviour, Content, Say

if TYPE_CHECKING:
    from tests.support.fake_models import FakeModels, Session

ANTHROPIC, RESPONSES, CHAT, GEMINI = Anthropic(), Responses(), Chat(), Gemini()
_PREFIX = re.compile(r"(?:/s/(?P<session>[\w.-]+))?(?:/(?P<api>anthropic|openai|google))?(?=/)")
_BY_API: Mapping[str, Dialect] = {"anthropic": ANTHROPIC, "openai": RESPONSES, "google": GEMINI}
_PATHS: tuple[tuple[re.Pattern[str], Dialect], ...] = (
    (re.compile(r"/v1/messages"), ANTHROPIC),
    (re.compile(r"/v1/responses"), RESPONSES),
    (re.compile(r"/v1/chat/completions"), CHAT),
    (re.compile(r"/v1(?:beta)?/models/[^/:]+:(?:stream)?[gG]enerateContent"), GEMINI),
)
_COUNTS: Mapping[str, str] = {"/v1/messages/count_tokens": "input_tokens"}
_GEMINI_COUNT = re.compile(r"/v1(?:beta)?/models/[^/:]+:countTokens")


@dataclass(frozen=True)
class ModelRequest:
    """A request as it came. `path` is without the prefixes and the query."""

    path: str
    session: str | None
    api: str | None
    query: Mapping[str, list[str]]


def asked(target: str) -> ModelRequest:
    """Take a request's target apart."""
    parts = urlsplit(target)
    found = _PREFIX.match(parts.path)
    assert found
    path = parts.path[found.end() :]
    return ModelRequest(path, found["session"], found["api"], parse_qs(parts.query))


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    provider: FakeModels
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else an answer waits 40 ms for a delayed acknowledgement

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing is printed."""

    def do_HEAD(self) -> None:
        self._json(200, {})

    def do_GET(self) -> None:
        self._asked = asked(self.path)
        path = self._asked.path
        if path == "/__fake/requests":
            self._json(200, [r.as_json() for r in self._named_session().requests])
            return
        session = self.provider.session_of(self._asked.session, {})
        self._record(session, None, {}, main=False, answered="models")
        if path.startswith(("/v1/models", "/v1beta/models")):
            self._json(200, self._models(path))
        else:
            self._not_found(path)

    def do_POST(self) -> None:
        body = json.loads(self._read_body() or b"{}")
        self._asked = asked(self.path)
        path = self._asked.path
        if path == "/__fake/push":
            self._named_session().push(*body)
            self._json(200, {})
            return
        session = self.provider.session_of(self._asked.session, body)
        dialect = next((d for pattern, d in _PATHS if pattern.fullmatch(path)), None)
        if dialect is not None:
            self._model_call(dialect, session, body)
        elif path in _COUNTS or _GEMINI_COUNT.fullmatch(path):
            self._record(session, None, body, main=False, answered="count_tokens")
            self._json(200, {_COUNTS.get(path, "totalTokens"): 1 + len(json.dumps(body)) // 4})
        else:
            self._record(session, None, body, main=False, answered="not_found")
            self._not_found(path)

    def _named_session(self) -> Session:
        return self.provider.session(self._asked.query.get("session", [""])[0])

    def _models(self, path: str) -> dict[str, Any]:
        last = path.rsplit("/", 1)[1]
        named = None if last == "models" else last
        if self._asked.api == "openai":
            model = {"id": named or "gpt-fake", "object": "model", "owned_by": "fake"}
            return model if named else {"object": "list", "data": [model]}
        if self._asked.api == "google":
            model = {"name": f"models/{named or 'gemini-fake'}"}
            return model if named else {"models": [model]}
        model = {"type": "model", "id": named or "claude-fake", "display_name": "Fake"}
        return model if named else {"data": [model], "has_more": False}

    def _read_body(self) -> bytes:
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        parts: list[bytes] = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _record(
        self, session: Session, dialect: Dialect | None, body: Body, *, main: bool, answered: str
    ) -> None:
        headers = {k.lower(): v for k, v in self.headers.items()}
        messages = dialect.messages(body) if dialect else []
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        query = self._asked.query.get("key", [""])[0]
        key = headers.get("x-api-key") or headers.get("x-goog-api-key") or bearer or query
        self.provider.record(
            session,
            method=self.command,
            path=self.path,
            dialect=dialect.name if dialect else "",
            key=key or None,
            api_key=headers.get("x-api-key"),
            authorization=headers.get("authorization"),
            model=body.get("model") or _model_in(self._asked.path),
            main=main,
            messages=len(messages),
            texts=list(texts(messages)),
            answered=answered,
            headers=headers,
            body=body,
        )

    def _model_call(self, dialect: Dialect, session: Session, body: Body) -> None:
        main = bool(dialect.tools(body))
        behaviour = session.take(body, main=main)
        kind = behaviour["do"]
        self._record(session, dialect, body, main=main, answered=kind)
        if delay := behaviour.get("delay"):
            self.provider.closing.wait(delay)
        streams = dialect.streams(body, self._asked.path)
        if kind == "hang":
            self.provider.closing.wait()
        if kind in ("hang", "reset"):
            self._reset()
        elif kind in ERRORS or (kind == "stream_error" and not streams):
            # Claude Code falls back to a request without streaming: the failure goes on there.
            self._error(dialect, behaviour)
        elif streams:
            content = self._content(dialect, body, behaviour, main)
            self._stream(session, dialect, body, behaviour, content)
        else:
            content = self._content(dialect, body, behaviour, main)
            self._json(200, dialect.whole(self.provider.next_id(), body, content))

    def _content(self, dialect: Dialect, body: Body, behaviour: Behaviour, main: bool) -> Content:
        schema = None if main else dialect.schema(body)
        if schema is not None:
            return Say(json.dumps(filled(schema)))
        return content_of(behaviour, dialect.tools(body), body)

    def _error(self, dialect: Dialect, behaviour: Behaviour) -> None:
        answer = error_answer(dialect.provider, behaviour, time.time())
        self._json(answer.status, answer.body, answer.headers)

    def _not_found(self, path: str) -> None:
        behaviour = {"do": "error", "status": 404, "type": "not_found_error"}
        dialect = _BY_API[self._asked.api or "anthropic"]
        self._error(dialect, {**behaviour, "message": f"no such path: {path}"})

    def _reset(self) -> None:
        # A zero linger time makes close send RST instead of FIN.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True
        self.wfile = open("/dev/null", "wb")  # noqa: SIM115, PTH123

    def _json(self, status: int, value: Any, headers: Mapping[str, str] | None = None) -> None:
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

    def _stream(
        self,
        session: Session,
        dialect: Dialect,
        body: Body,
        behaviour: Behaviour,
        content: Content,
    ) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("transfer-encoding", "chunked")
        self.send_header("request-id", "req_fake")
        for name, header in behaviour.get("headers", {}).items():
            self.send_header(name, header)
        self.end_headers()
        frames = dialect.stream(self.provider.next_id(), body, content, behaviour)
        if broken := behaviour["do"] in ("stream_error", "cut"):
            frames = islice(frames, dialect.opening)
        try:
            if behaviour.get("hold"):
                self._send(islice(frames, dialect.opening), 0)
                session.hold()
            self._send(frames, behaviour.get("interval", 0))
            if broken and behaviour["do"] == "cut":
                self._reset()
                return
            if broken:
                error = error_answer(dialect.provider, behaviour, time.time()).error
                self._send(iter([dialect.stream_error(error)]), 0)
            self.wfile.write(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _send(self, frames: Iterator[str], interval: float) -> None:
        for each in frames:
            if interval:
                self.provider.closing.wait(interval)
            data = each.encode()
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.wfile.flush()


def _model_in(path: str) -> str | None:
    found = re.search(r"/models/([^/:]+)", path)
    return found[1] if found else None
