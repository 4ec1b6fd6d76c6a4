"""A fake of the model providers on loopback: Anthropic Messages, OpenAI Responses, OpenAI Chat
Completions and Gemini, streamed and plain.

In a test:

    with FakeModels() as provider:
        provider.session("a").push(write("hello.txt", "hi"), credit(times=50))
        ...  # ANTHROPIC_BASE_URL=provider.session("a").anthropic, OPENAI_BASE_URL=....openai,
             # GOOGLE_GEMINI_BASE_URL=....google; any key
        assert provider.session("a").main_requests[-1].messages == 5

A session has a plan and a log of its own, so that agents do not disturb each other. Whose a request
is, its path tells (`/s/NAME/anthropic/...`), else a `[session:NAME]` in its text (in a task's
description, say); else it is the session without a name, whose methods the server has as well.

A plan may also be a function: `session.play(model)` asks `model` what to answer each main request
with, by the request's body, so that it can look at what its tools have returned.

Behaviours are in tests/support/models/turns.py. Each main request (one that offers tools) takes the
next one, and an empty plan answers "Done.". Side requests (titles, probes, token counts, lists of
models) take none: they are answered by themselves, but with the error that is next, if one is, as
an account that is empty is empty for all. Any behaviour may have "times": n, "delay": seconds
before the answer, and "headers": {...} of the answer.

From another process (it ends when its standard input is closed):

    python -m tests.support.fake_models --plan plan.json --port-file F [--log requests.jsonl]

`plan.json` is a list of behaviours. F gets the port, written atomically, once it listens. A running
server takes more through `POST /__fake/push` (a list) and tells what it saw through
`GET /__fake/requests`; both take `?session=NAME`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from tests.support.hangs import HANG_SECONDS
from tests.support.models.server import Handler
from tests.support.models.turns import ERRORS, Behaviour, text

_MARKER = re.compile(r"\[session:([\w.-]+)\]")
_FAILS = ERRORS | {"stream_error", "reset"}
Model = Callable[[dict[str, Any]], Behaviour]


@dataclass(frozen=True)
class Request:
    """What the provider saw of one request. `key` is the credential, however it was sent. `texts`
    are the user's own texts, for asserting that an earlier prompt is part of a resumed
    conversation; `at` is when it came, by time.time."""

    method: str
    path: str
    session: str
    dialect: str
    key: str | None
    api_key: str | None
    authorization: str | None
    model: str | None
    main: bool
    messages: int
    texts: list[str]
    answered: str
    at: float
    headers: dict[str, str] = field(repr=False)
    body: dict[str, Any] = field(repr=False)

    def as_json(self) -> dict[str, Any]:
        return {k: v for k, v in asdict(self).items() if k not in ("headers", "body")}


class Session:
    """One plan, and what was asked of it."""

    def __init__(self, name: str, url: str, *, side_errors: bool) -> None:
        self.name = name
        self._url = f"{url}/s/{name}" if name else url
        self._side_errors = side_errors
        self._changed = threading.Condition()
        self._plan: deque[Behaviour] = deque()
        self._model: Model | None = None
        self._go_on = threading.Event()
        self.held = 0
        """streams that stopped in the middle so far"""
        self.requests: list[Request] = []

    @property
    def anthropic(self) -> str:
        """For ANTHROPIC_BASE_URL."""
        return f"{self._url}/anthropic"

    @property
    def openai(self) -> str:
        """For OPENAI_BASE_URL."""
        return f"{self._url}/openai/v1"

    @property
    def google(self) -> str:
        """For GOOGLE_GEMINI_BASE_URL."""
        return f"{self._url}/google"

    def environment(self, key: str = "sk-the-real-key") -> dict[str, str]:
        """A user's environment that leads every agent here."""
        return {
            "ANTHROPIC_BASE_URL": self.anthropic,
            "ANTHROPIC_API_KEY": key,
            "OPENAI_BASE_URL": self.openai,
            "OPENAI_API_KEY": key,
            "GOOGLE_GEMINI_BASE_URL": self.google,
            "GEMINI_API_KEY": key,
        }

    def push(self, *behaviours: Behaviour) -> None:
        """Append to the plan."""
        with self._changed:
            for behaviour in behaviours:
                single = {k: v for k, v in behaviour.items() if k != "times"}
                self._plan.extend([single] * behaviour.get("times", 1))

    def play(self, model: Model) -> None:
        """Let `model` answer each main request from now on, by its body. It may take its time."""
        self._model = model

    def clear(self) -> None:
        """Forget what is left of the plan."""
        with self._changed:
            self._plan.clear()

    @property
    def main_requests(self) -> list[Request]:
        """Those that offered tools: the agent's own turns."""
        return [r for r in self.requests if r.main]

    def wait_for(
        self, wanted: Callable[[Session], bool], timeout: float = HANG_SECONDS
    ) -> list[Request]:
        """The main requests, once something is true of them."""
        with self._changed:
            assert self._changed.wait_for(lambda: wanted(self), timeout), (
                f"session {self.name!r}: {[r.answered for r in self.requests]}"
            )
            return self.main_requests

    def hold(self) -> None:
        """A stream is in the middle: wait until it is told to go on."""
        with self._changed:
            self.held += 1
            self._changed.notify_all()
        self._go_on.wait()

    def go_on(self) -> None:
        """Let the streams go on that were held, and all later ones."""
        self._go_on.set()

    def take(self, body: dict[str, Any], *, main: bool) -> Behaviour:
        """What to answer a request with."""
        if main and self._model is not None:
            return self._model(body)
        with self._changed:
            if main:
                return self._plan.popleft() if self._plan else text()
            coming = self._plan[0] if self._plan else text()
            return coming if self._side_errors and coming["do"] in _FAILS else text()

    def record(self, request: Request) -> None:
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()


class FakeModels:
    """The server, in threads of its own, on a free loopback port. What is asked of it without a
    session's name is asked of the one that has none."""

    def __init__(
        self,
        plan: list[Behaviour] | None = None,
        log: Path | None = None,
        *,
        side_errors: bool = True,
    ) -> None:
        self._lock = threading.Lock()
        self._log = log
        self._side_errors = side_errors
        self._ids = itertools.count(1)
        self.closing = threading.Event()
        fake = self

        class OurHandler(Handler):
            provider = fake

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), OurHandler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._sessions: dict[str, Session] = {}
        self.push(*(plan or []))
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        for session in self._sessions.values():
            session.go_on()
        self._server.shutdown()
        self._thread.join(HANG_SECONDS)
        self._server.server_close()

    def session(self, name: str = "") -> Session:
        """The session of that name; made when it is first asked for."""
        with self._lock:
            if name not in self._sessions:
                self._sessions[name] = Session(name, self.url, side_errors=self._side_errors)
            return self._sessions[name]

    def session_of(self, named: str | None, body: object) -> Session:
        """Whose a request is: by the name in its path, else by what its text says."""
        if named is not None:
            return self.session(named)
        found = _MARKER.search(json.dumps(body))
        return self.session(found[1] if found else "")

    def push(self, *behaviours: Behaviour) -> None:
        """Append to the plan of the session without a name."""
        self.session().push(*behaviours)

    def clear(self) -> None:
        """Forget what is left of that plan."""
        self.session().clear()

    @property
    def requests(self) -> list[Request]:
        """What was asked in the session without a name."""
        return self.session().requests

    @property
    def main_requests(self) -> list[Request]:
        """Those of them that offered tools."""
        return self.session().main_requests

    def next_id(self) -> str:
        return f"{next(self._ids):024d}"

    def record(self, session: Session, **fields: Any) -> None:
        request = Request(session=session.name, at=time.time(), **fields)
        session.record(request)
        if self._log:
            with self._lock, self._log.open("a") as stream:
                stream.write(json.dumps(request.as_json()) + "\n")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="A fake of the model providers on loopback.")
    parser.add_argument("--plan", type=Path, help="JSON list of behaviours")
    parser.add_argument("--port-file", type=Path, required=True)
    parser.add_argument("--log", type=Path, help="JSON lines of what was asked")
    options = parser.parse_args(arguments)
    plan = json.loads(options.plan.read_text()) if options.plan else []
    with FakeModels(plan, options.log) as provider:
        temporary = options.port_file.with_name(options.port_file.name + ".new")
        temporary.write_text(str(provider.port))
        temporary.replace(options.port_file)
        sys.stdin.read()


if __name__ == "__main__":
    main()
