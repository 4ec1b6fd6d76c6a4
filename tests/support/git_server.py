"""A real git server on loopback: `git http-backend` behind HTTP, with sign-in where asked for."""

from __future__ import annotations

import base64
import os
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.repos import git


def bare(folder: Path, source: Path | None = None) -> Path:
    """A bare repository, empty or with what `source` has."""
    if source is None:
        folder.mkdir(parents=True)
        git(folder, "init", "-q", "--bare", "-b", "main")
    else:
        folder.parent.mkdir(parents=True, exist_ok=True)
        git(folder.parent, "clone", "-q", "--bare", str(source), str(folder))
    git(folder, "config", "http.receivepack", "true")
    return folder


def pre_receive(remote: Path, *lines: str) -> None:
    """Have the server run a shell script before it takes a push."""
    hook = remote / "hooks/pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    hook.chmod(0o755)


@dataclass
class GitServer:
    """`people` by name: password. `refuse` maps a request's path to a status and a text."""

    root: Path
    people: dict[str, str] = field(default_factory=dict[str, str])
    refuse: dict[str, tuple[int, str]] = field(default_factory=dict[str, tuple[int, str]])
    signed_in: list[str] = field(default_factory=list[str])
    before: Callable[[str], None] = lambda _target: None
    """called with the target of each request"""
    port: int = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


@contextmanager
def git_server(root: Path, tls: ssl.SSLContext | None = None) -> Iterator[GitServer]:
    """Serve the repositories below `root`."""
    server = GitServer(root)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # An answer is two writes, the second of which would wait 40 ms for the client.
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._serve(b"")

        def do_POST(self) -> None:
            self._serve(self._body())

        def _body(self) -> bytes:
            if self.headers.get("transfer-encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("content-length") or 0))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def _serve(self, body: bytes) -> None:
            server.before(self.path)
            url = urlsplit(self.path)
            name = self._who()
            for end, (status, text) in server.refuse.items():
                if end in self.path:
                    return self._answer(status, text.encode(), "text/plain")
            if server.people and name is None:
                return self._answer(401, b"sign in", "text/plain")
            env = {
                **os.environ, "GIT_PROJECT_ROOT": str(root), "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": url.path, "QUERY_STRING": url.query, "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("content-type", ""),
                "CONTENT_LENGTH": str(len(body)), "REMOTE_USER": name or "nobody",
                "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding", ""),
                "GIT_PROTOCOL": self.headers.get("git-protocol", ""),
                "REMOTE_ADDR": "127.0.0.1", "GIT_CONFIG_GLOBAL": "/dev/null",
            }  # fmt: skip
            done = subprocess.run(
                ["git", "http-backend"], input=body, env=env, capture_output=True, check=False
            )
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            lines = [line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line]
            headers = {key.lower(): value for key, value in lines}
            status = int(headers.pop("status", "200").split()[0])
            return self._answer(status, content, headers.get("content-type", "text/plain"))

        def _who(self) -> str | None:
            kind, _, value = self.headers.get("authorization", "").partition(" ")
            if kind != "Basic":
                return None
            name, _, password = base64.b64decode(value).decode().partition(":")
            if server.people.get(name) != password:
                return None
            server.signed_in.append(name)
            return name

        def _answer(self, status: int, content: bytes, kind: str) -> None:
            self.send_response(status)
            if status == 401:
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    front = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    front.daemon_threads = True
    if tls is not None:
        front.socket = tls.wrap_socket(front.socket, server_side=True)
    server.port = front.server_address[1]
    thread = threading.Thread(target=front.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        front.shutdown()
        front.server_close()
        thread.join()
