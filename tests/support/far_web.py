"""Another machine of private_network.py: web servers over TLS and a name server, by one file.

The file is JSON: `pages` by "host/path", with the query where that counts, each a status, headers,
a text, and how often the text is repeated (-1: without end); `names`, each with the addresses that
it leads to at the first lookup, at the second, and so on; `certificate`, and `log`, a file that
gets a line for each request.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Json = dict[str, Any]
_ANSWER = b"\x84\x00\x00\x01"
_UNKNOWN = b"\x84\x03\x00\x01"


def page(text: str = "", kind: str = "text/html", status: int = 200, **headers: str) -> Json:
    return {"status": status, "text": text, "headers": {"content-type": kind, **headers}}


def as_json(value: object, **headers: str) -> Json:
    return page(json.dumps(value), "application/json", **headers)


def redirect(to: str) -> Json:
    return page(status=302, location=to)


@contextmanager
def serving(path: Path, web: Sequence[str], names: str) -> Generator[ThreadingHTTPServer]:
    """The servers of the file at `path`: on port 443 of each address in `web`, and for names on
    port 53 of the address `names`. The last web server is for the caller to run."""
    site: Json = json.loads(path.read_text())
    servers = [_web_server(site, address) for address in web]
    lookups = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    lookups.bind((names, 53))
    threading.Thread(target=_answer_names, args=(lookups, site["names"]), daemon=True).start()
    for server in servers[:-1]:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield servers[-1]


def _web_server(site: Json, address: str) -> ThreadingHTTPServer:
    log = Path(site["log"])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host, target = self.headers.get("host", ""), self.path
            sent = {name.lower(): value for name, value in self.headers.items()}
            with log.open("a") as file:
                file.write(json.dumps({"at": f"{host}{target}", "headers": sent}) + "\n")
            self._send(_page_at(site["pages"], host, target, sent.get("accept", "")))

        def _send(self, reply: Json) -> None:
            text, times = str(reply["text"]).encode(), int(reply.get("times", 1))
            self.send_response(reply["status"])
            for name, value in reply["headers"].items():
                self.send_header(name, value)
            if times >= 0:
                self.send_header("content-length", str(len(text) * times))
            self.end_headers()
            with suppress(OSError):
                while times:
                    self.wfile.write(text)
                    times -= 1
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer((address, 443), Handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(site["certificate"])
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return server


def _page_at(pages: Json, host: str, target: str, accept: str) -> Json:
    """A page by its address with the query, or without; a diff has a place of its own."""
    path = f"{host}{urlsplit(target).path}"
    kind = ".diff" if accept.endswith("diff") else ""
    for name in (f"{path}{kind}", f"{host}{target}", path):
        if name in pages:
            return pages[name]
    return as_json({"message": "Not Found", "documentation_url": "", "status": "404"}) | {
        "status": 404
    }


def _answer_names(lookups: socket.socket, names: dict[str, list[list[str]]]) -> None:
    """RFC 1035, for addresses of version 4 alone, which nobody may remember."""
    asked: Counter[str] = Counter()
    while True:
        query, sender = lookups.recvfrom(512)
        end = query.index(b"\0", 12)
        labels: list[str] = []
        at = 12
        while at < end:
            labels.append(query[at + 1 : at + 1 + query[at]].decode())
            at += 1 + query[at]
        name, question = ".".join(labels).lower(), query[12 : end + 5]
        addresses: list[str] = []
        if name in names and query[end + 1 : end + 3] == b"\0\1":
            addresses = names[name][min(asked[name], len(names[name]) - 1)]
            asked[name] += 1
        head = query[:2] + (_ANSWER if name in names else _UNKNOWN)
        head += len(addresses).to_bytes(2) + bytes(4)
        records = b"".join(
            b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + socket.inet_aton(one) for one in addresses
        )
        lookups.sendto(head + question + records, sender)
