"""A network of the test's own: two network namespaces with a cable between them, so that a host at
a private address is another machine's, and no packet leaves this one.

`python -m tests.support.private_network COMMAND...` runs a command in the first of them. In the
second a server answers on port 8080; NAME leads to its address, by the hosts file, in the first.
With ROVER_FAR_SITE the second has the servers of far_web.py instead, and names are looked up there.
Its cable has a public address too: that of nobody's machine, since no packet leaves this one.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from tests.support import far_web

NAME = "nexus.corp.example"
HERE, THERE, PORT = "10.213.7.1", "10.213.7.2", 8080
PUBLIC_HERE, PUBLIC_THERE = "93.184.216.33", "93.184.216.34"
SITE = "ROVER_FAR_SITE"
"""The variable that names the file for far_web.py."""
HELLO = b"hello from the registry"
_NEAR, _FAR, _PREFIX = "rover-near", "rover-far", 30

# rtnetlink(7): message types, flags, attributes.
_NEW_LINK, _NEW_ADDRESS = 16, 20
_REQUEST, _ACK, _CREATE, _EXCLUSIVE = 1, 4, 0x400, 0x200
_IFNAME, _NAMESPACE, _LINK_INFO, _KIND, _DATA, _PEER = 3, 19, 18, 1, 2, 1
_ADDRESS, _LOCAL, _UP = 1, 2, 1


def command(*words: str) -> list[str]:
    """The command line that runs a command in the first namespace."""
    rights = [] if os.geteuid() == 0 else ["--map-root-user"]
    inside = [sys.executable, "-m", __name__, *words]
    return ["unshare", "--net", "--mount", *rights, "--", *inside]


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("HH", len(data) + 4, kind) + data + b"\0" * (-len(data) % 4)


def _link(index: int = 0, flags: int = 0) -> bytes:
    return struct.pack("BxHiII", 0, 0, index, flags, flags)


def _ask_kernel(kind: int, body: bytes, flags: int = 0) -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as kernel:
        head = struct.pack("IHHII", 16 + len(body), kind, _REQUEST | _ACK | flags, 1, 0)
        kernel.send(head + body)
        (failure,) = struct.unpack_from("i", kernel.recv(65536), 16)
    if failure:
        raise OSError(-failure, os.strerror(-failure))


def _connect(process: int) -> None:
    """A cable from here to the network of another process."""
    far = _attribute(_IFNAME, f"{_FAR}\0".encode()) + _attribute(
        _NAMESPACE, struct.pack("I", process)
    )
    data = _attribute(_DATA, _attribute(_PEER, _link() + far))
    info = _attribute(_LINK_INFO, _attribute(_KIND, b"veth\0") + data)
    near = _attribute(_IFNAME, f"{_NEAR}\0".encode())
    _ask_kernel(_NEW_LINK, _link() + near + info, _CREATE | _EXCLUSIVE)


def _up(name: str, *addresses: str) -> None:
    index = socket.if_nametoindex(name)
    for address in addresses:
        packed = socket.inet_aton(address)
        head = struct.pack("BBBBI", socket.AF_INET, _PREFIX, 0, 0, index)
        body = head + _attribute(_LOCAL, packed) + _attribute(_ADDRESS, packed)
        _ask_kernel(_NEW_ADDRESS, body, _CREATE | _EXCLUSIVE)
    _ask_kernel(_NEW_LINK, _link(index, _UP))


class _Registry(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(HELLO)))
        self.end_headers()
        self.wfile.write(HELLO)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def serve() -> None:
    """The second namespace: says that it is there, waits for its cable, and answers."""
    print("ready", flush=True)
    sys.stdin.readline()
    _up("lo")
    _up(_FAR, THERE, PUBLIC_THERE)
    if site := os.environ.get(SITE):
        with far_web.serving(Path(site), (THERE, PUBLIC_THERE), THERE) as server:
            print("serving", flush=True)
            server.serve_forever()
    with HTTPServer((THERE, PORT), _Registry) as server:
        print("serving", flush=True)
        server.serve_forever()


def main(words: Sequence[str]) -> int:
    """The first namespace."""
    there = [sys.executable, "-c", f"from {__spec__.name} import serve; serve()"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with (
        tempfile.NamedTemporaryFile("w") as hosts,
        tempfile.NamedTemporaryFile("w") as resolver,
        subprocess.Popen(["unshare", "--net", "--", *there], **pipes) as registry,
    ):
        assert registry.stdin
        assert registry.stdout
        try:
            registry.stdout.readline()
            _up("lo")
            _connect(registry.pid)
            _up(_NEAR, HERE, PUBLIC_HERE)
            registry.stdin.write("\n")
            registry.stdin.flush()
            assert registry.stdout.readline() == "serving\n"
            hosts.write(f"127.0.0.1 localhost\n{THERE} {NAME}\n")
            hosts.flush()
            subprocess.run(["mount", "--bind", hosts.name, "/etc/hosts"], check=True)
            resolver.write(f"nameserver {THERE}\noptions timeout:30 attempts:1\n")
            resolver.flush()
            if os.environ.get(SITE):
                resolv = os.path.realpath("/etc/resolv.conf")
                subprocess.run(["mount", "--bind", resolver.name, resolv], check=True)
            return subprocess.run(words, check=False).returncode
        finally:
            registry.kill()


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(Path(__file__).parents[2]))
    sys.exit(main(sys.argv[1:]))
