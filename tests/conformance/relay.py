"""The suite sends no bearer token: a relay on loopback puts one into each request, and passes the
rest on as it is, Host and Origin included."""

from __future__ import annotations

import re
import socket
import socketserver
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress

HEAD_LIMIT = 64 * 1024


@contextmanager
def with_token(address: tuple[str, int], token: str) -> Generator[str]:
    """The URL of the relay, which serves until the block is left."""

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError), socket.create_connection(address) as server:
                relay(self.request, server, token)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 64

    with Server(("127.0.0.1", 0), Relay) as relaying:
        threading.Thread(target=relaying.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{relaying.server_address[1]}/mcp"
        finally:
            relaying.shutdown()


def relay(client: socket.socket, server: socket.socket, token: str) -> None:
    """One request on each connection: so no body's end has to be found."""
    told = b""
    while b"\r\n\r\n" not in told and len(told) < HEAD_LIMIT:
        data = client.recv(65536)
        if not data:
            return
        told += data
    head, _, body = told.partition(b"\r\n\r\n")
    head = re.sub(rb"(?im)^connection:.*\r?\n?", b"", head).rstrip(b"\r\n")
    own = f"\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n".encode()
    server.sendall(head + own + body)
    back = threading.Thread(target=_pass_on, args=(server, client), daemon=True)
    back.start()
    _pass_on(client, server)
    back.join()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for sock, how in ((sink, socket.SHUT_WR), (source, socket.SHUT_RD)):
        with suppress(OSError):
            sock.shutdown(how)
