"""A web server over TLS on loopback, which answers by a table and records what it was asked."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from .certificates import server_context


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    endless: bool = False
    """the body is sent again and again, until the client leaves"""


def as_json(value: object, status: int = 200, **headers: str) -> Reply:
    return Reply(
        status, json.dumps(value).encode(), {"content-type": "application/json", **headers}
    )


def as_html(text: str) -> Reply:
    return Reply(200, text.encode(), {"content-type": "text/html; charset=utf-8"})


@dataclass(frozen=True)
class WebRequest:
    host: str
    target: str
    headers: Mapping[str, str]


@dataclass
class WebServer:
    """`replies` by target, or by path where the target has a query that is not listed."""

    port: int
    trusted: ssl.SSLContext
    replies: dict[str, Reply | Callable[[WebRequest], Reply]] = field(
        default_factory=dict[str, "Reply | Callable[[WebRequest], Reply]"]
    )
    requests: list[WebRequest] = field(default_factory=list[WebRequest])

    def reply(self, asked: WebRequest) -> Reply:
        self.requests.append(asked)
        path = urlsplit(asked.target).path
        known = self.replies.get(asked.target, self.replies.get(path))
        if known is None:
            return as_json({"message": "Not Found"}, 404)
        return known(asked) if callable(known) else known


@contextmanager
def web_server(folder: Path, *names: str) -> Iterator[WebServer]:
    """A server with a certificate for `names`, which `trusted` accepts."""
    context = server_context(folder / "server.pem", *names)
    served: list[WebServer] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = served[0].reply(WebRequest(headers.get("host", ""), self.path, headers))
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if not reply.endless:
                self.send_header("content-length", str(len(reply.body)))
            self.end_headers()
            try:
                self.wfile.write(reply.body)
                while reply.endless:
                    self.wfile.write(reply.body)
            except OSError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that leaves is no fault of the server's."""

    server = Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    trusted = ssl.create_default_context(cafile=str(folder / "server.pem"))
    served.append(WebServer(server.server_address[1], trusted))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served[0]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
