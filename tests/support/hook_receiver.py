"""A webhook's receiver on loopback, that answers as it is told to."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class ReceivedRequest:
    """One request; header names in lower case."""

    headers: Mapping[str, str]
    body: bytes


@dataclass
class HookReceiver:
    """`answers` are the next statuses, then always `always`; 0 answers nothing until the end."""

    answers: list[int] = field(default_factory=list[int])
    always: int = 204
    location: str | None = None
    requests: list[ReceivedRequest] = field(default_factory=list[ReceivedRequest])
    port: int = 0

    def __enter__(self) -> HookReceiver:
        receiver, self._over = self, threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # the library's name
                body = self.rfile.read(int(self.headers["content-length"]))
                told = {k.lower(): v for k, v in self.headers.items()}
                receiver.requests.append(ReceivedRequest(told, body))
                status = receiver.answers.pop(0) if receiver.answers else receiver.always
                if not status:
                    receiver._over.wait(30)
                    return
                self.send_response(status)
                if receiver.location:
                    self.send_header("location", receiver.location)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"
