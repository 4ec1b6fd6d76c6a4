"""Where the agents' programs renew their logins, on loopback: a proxy that all of a program's own
traffic goes to, and that is the host which it asks for, whichever that is."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOSTS = ("platform.claude.com", "api.anthropic.com")
"""The others get no answer."""


@dataclass
class SignIn:
    """`renewed` makes the answer to a renewal; `asked` are the renewal tokens that came."""

    address: str
    authority: Path
    renewed: Callable[[], Mapping[str, Any]]
    asked: list[str] = field(default_factory=list[str])
    others: list[str] = field(default_factory=list[str])

    def environment(self) -> dict[str, str]:
        """Of a daemon whose programs know no other way out."""
        return {
            "HTTPS_PROXY": self.address,
            "https_proxy": self.address,
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            "NODE_EXTRA_CA_CERTS": str(self.authority),
            "CODEX_REFRESH_TOKEN_URL_OVERRIDE": f"{self.address}/oauth/token",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        }

    def answer(self, path: str, body: bytes) -> Mapping[str, Any] | None:
        if not path.endswith("/oauth/token"):
            self.others.append(path)
            return None
        self.asked.append(str(json.loads(body)["refresh_token"]))
        return self.renewed()


@contextmanager
def sign_in(folder: Path, renewed: Callable[[], Mapping[str, Any]]) -> Iterator[SignIn]:
    authority = folder / "authority.pem"
    context = _context(authority, folder / "authority.key")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_CONNECT(self) -> None:  # its name
            self.close_connection = True
            if self.path.partition(":")[0] not in HOSTS:
                self.send_error(502)
                return
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            with suppress(OSError), context.wrap_socket(self.connection, server_side=True) as inner:
                Handler(inner, self.client_address, self.server)

        def do_GET(self) -> None:  # its name
            self._reply(None)

        def do_POST(self) -> None:  # its name
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            self._reply(server.answer(self.path, body))

        def _reply(self, told: Mapping[str, Any] | None) -> None:
            data = json.dumps(told or {}).encode()
            self.send_response(200 if told else 404)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None: ...

        def handle(self) -> None:
            with suppress(OSError):
                super().handle()

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = SignIn(f"http://127.0.0.1:{listener.server_port}", authority, renewed)
    thread = threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()


def _context(authority: Path, private: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test's authority")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(h) for h in HOSTS]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    authority.write_bytes(made.public_bytes(pem))
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, private)
    return context
