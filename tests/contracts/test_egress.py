"""From inside real sandboxes to allowed hosts and no others. The hosts are stand-ins
on loopback: the gateway's look-ups and connections are the test's, and nothing is sent elsewhere.
"""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import ssl
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal

from rover_mcp.domain.network_policy import NetworkPolicy
from rover_mcp.gateway.gateway import Gateway
from rover_mcp.gateway.grant import GatewayGrant
from rover_mcp.gateway.refusals import RefusedHost
from rover_mcp.git.hub import Hub
from rover_mcp.git.repository import inspect_repository
from rover_mcp.sandbox.bubblewrap import BubblewrapEngine
from rover_mcp.sandbox.docker import DockerEngine
from rover_mcp.sandbox.protocol import Engine, SandboxSpec
from tests.contracts.engine_rigs import make_spec, new_task
from tests.integration.git.conftest import git
from tests.support.fake_internet import FakeInternet

HOSTS = ("pypi.org", "files.pythonhosted.org", "github.com", "registry.npmjs.org")
TOKEN = "token"
COMMIT = "a" * 40

WORKFLOW = """\
version: "1.0"
name: ask
description: ask
steps:
  - {id: ask, type: command, name: Ask, command: "sh ask.sh", timeout: 1500}
"""

# Each line of what a program says begins with the name of the question.
ASK = r"""
ask() { name=$1; shift; timeout 600 "$@" 2>&1 </dev/null | tail -n 40 | sed "s/^/$name: /"; }
export GIT_SSL_CAINFO=$PWD/ca.pem SSL_CERT_FILE=$PWD/ca.pem
fetch='import sys, urllib.request as u
try: print(u.urlopen(sys.argv[1], timeout=300).read().decode())
except OSError as error: print(error)'
try='import socket, sys
try: print(eval(sys.argv[1]))
except OSError as error: print(type(error).__name__, error.errno)'
ask python python3 -c "$fetch" https://pypi.org/hello
ask plain python3 -c "$fetch" http://deb.debian.org/hello
ask refused python3 -c "$fetch" https://example.org/
ask git git ls-remote https://github.com/a/b.git
ask dns python3 -c "$try" 'socket.getaddrinfo("pypi.org", 443)'
ask route python3 -c "$try" 'socket.create_connection(("192.0.2.1", 80), 5)'
ask route6 python3 -c "$try" 'socket.create_connection(("2001:db8::1", 80), 5)'
"""
MORE = r"""
ask curl curl -sS --cacert ca.pem https://pypi.org/hello
ask curl_refused curl -sSi https://example.org/
ask curl_plain curl -sSI http://deb.debian.org/hello
ask curl_direct curl -sS --noproxy '*' https://pypi.org/
ask pip python3 -m pip download -q --disable-pip-version-check --no-deps --no-cache-dir \
  --cert ca.pem -d /tmp/got tiny
ask pip sh -c 'ls /tmp/got'
ask pip_refused python3 -m pip download --disable-pip-version-check --retries 1 --no-deps \
  --index-url https://example.org/simple -d /tmp/got tiny
ask npm env npm_config_cafile=$PWD/ca.pem npm_config_update_notifier=false npm view tiny version
"""


class _Site(BaseHTTPRequestHandler):
    """All stand-in hosts, told apart by the Host header."""

    def do_GET(self) -> None:
        host = str(self.headers["host"]).partition(":")[0]
        body = self.answer(host, self.path.partition("?")[0])
        self.send_response(200 if body is not None else 404)
        kind = "application/json" if host == "registry.npmjs.org" else "text/html"
        self.send_header("content-type", "text/plain" if host == "github.com" else kind)
        self.send_header("content-length", str(len(body or b"")))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body or b"")

    do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

    def answer(self, host: str, path: str) -> bytes | None:
        """What a host has at a path."""
        wheel = "/tiny-1.0-py3-none-any.whl"
        found = {
            ("pypi.org", "/hello"): f"hello from {host}".encode(),
            ("deb.debian.org", "/hello"): f"hello from {host}".encode(),
            ("pypi.org", "/simple/tiny/"): (
                f'<a href="https://files.pythonhosted.org{wheel}">tiny-1.0-py3-none-any.whl</a>'
            ).encode(),
            ("files.pythonhosted.org", wheel): _wheel(),
            ("github.com", "/a/b.git/info/refs"): f"{COMMIT}\trefs/heads/main\n".encode(),
            ("github.com", "/a/b.git/HEAD"): b"ref: refs/heads/main\n",
            ("registry.npmjs.org", "/tiny"): json.dumps(
                {
                    "name": "tiny",
                    "dist-tags": {"latest": "4.5.6"},
                    "versions": {"4.5.6": {"name": "tiny", "version": "4.5.6", "dist": {}}},
                }
            ).encode(),
        }
        return found.get((host, path))

    def log_message(self, *_: object) -> None:
        """Quiet."""


def _wheel() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as wheel:
        wheel.writestr(
            "tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n"
        )
        wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")
    return data.getvalue()


@contextmanager
def served(context: ssl.SSLContext | None) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of all stand-in hosts and its key, in one file."""
    folder = tmp_path_factory.mktemp("tls")
    names = ",".join(f"DNS:{host}" for host in HOSTS)
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=stand-in", "-addext"]
    command += [f"subjectAltName={names}", "-keyout", "key.pem", "-out", "ca.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def internet(certificate: Path) -> Iterator[FakeInternet]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "ca.pem", certificate / "key.pem")
    found = FakeInternet()
    with served(context) as https, served(None) as http:
        for number, host in enumerate(HOSTS, 1):
            found.host(host, 443, https, f"93.184.216.{number}")
        found.host("deb.debian.org", 80, http, "93.184.216.100")
        yield found


@pytest.fixture(params=["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    if request.param == "bubblewrap":
        return BubblewrapEngine(tmp_path)
    return DockerEngine(tmp_path, address=request.getfixturevalue("docker_host"))


def spec_of(root: Path, certificate: Path, script: str, *, proxy: bool = True) -> SandboxSpec:
    """A task whose one step asks."""
    repo = root / "repo"
    repo.mkdir()
    git(repo, "init", "-q", "-b", "main")
    (repo / "ask.sh").write_text(script)
    (repo / "ca.pem").write_text((certificate / "ca.pem").read_text())
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "first")
    base = inspect_repository(repo).head_commit
    hub = Hub(root / "project")
    hub.lend(repo, base, root / "lent")
    made = make_spec(root, new_task(), 1)
    (made.folders.spec / "workflow.yaml").write_text(WORKFLOW)
    gateway = made.run.gateway.model_copy(update={"proxy": proxy, "token": TOKEN})
    run = made.run.model_copy(update={"base_commit": base, "gateway": gateway})
    folders = dataclasses.replace(made.folders, base_objects=root / "lent")
    limits = dataclasses.replace(made.limits, memory_bytes=2**30, pids=256, tmp_bytes=2**27)
    return dataclasses.replace(made, run=run, folders=folders, limits=limits)


def answers_of(engine: Engine, spec: SandboxSpec) -> dict[str, str]:
    """Run the task; what each question was answered with."""
    engine.prepare(spec, lambda _: None)
    engine.ensure(spec)
    code = engine.follow(spec.name).code
    assert code == 0, engine.logs(spec.name, 50)
    engine.remove_task(spec.task_id)
    found: dict[str, str] = {}
    for line in (spec.folders.run / "logs" / "ask.log").read_text().splitlines():
        name, _, text = line.partition(": ")
        found[name] = found.get(name, "") + text + "\n"
    return found


@contextmanager
def gateway_for(
    spec: SandboxSpec, internet: FakeInternet, policy: NetworkPolicy
) -> Iterator[list[RefusedHost]]:
    refused: list[RefusedHost] = []
    lease = GatewayGrant(
        task_id=spec.task_id, attempt=1, socket_path=spec.folders.gateway_socket, token=TOKEN,
        providers=frozenset(), credentials=lambda _: None, on_bell=lambda _: None,
        on_answer=lambda *_: None, network=policy, on_refused=lambda _, r: refused.append(r),
    )  # fmt: skip
    gateway = Gateway(network=internet)
    with start_blocking_portal() as portal:
        portal.call(gateway.open, lease)
        try:
            yield refused
        finally:
            portal.call(gateway.aclose)


def test_programs_inside_reach_allowed_hosts_and_are_told_of_others(
    engine: Engine, internet: FakeInternet, certificate: Path, tmp_path: Path
) -> None:
    on_host_system = isinstance(engine, BubblewrapEngine)
    spec = spec_of(tmp_path, certificate, ASK + (MORE if on_host_system else ""))
    with gateway_for(spec, internet, NetworkPolicy()) as refused:
        said = answers_of(engine, spec)
    assert "hello from pypi.org" in said["python"]
    assert "hello from deb.debian.org" in said["plain"]
    assert f"{COMMIT}\trefs/heads/main" in said["git"]
    assert (
        "403 Forbidden (Rover: example.org is not on the allow-list; to allow it: "
        in said["refused"]
    )
    assert "network: open" in said["refused"]
    assert "gaierror" in said["dns"]
    assert said["route"] == f"OSError {errno.ENETUNREACH}\n"
    assert said["route6"] in [f"OSError {n}\n" for n in (errno.ENETUNREACH, errno.EADDRNOTAVAIL)]
    assert {r.host for r in refused} == {"example.org:443"}
    assert set(internet.looked_up) <= {*HOSTS, "deb.debian.org"}
    if on_host_system:
        assert "hello from pypi.org" in said["curl"]
        assert "403 Forbidden (Rover: example.org is not on" in said["curl_refused"]
        assert "200 OK" in said["curl_plain"]
        assert "Could not resolve host" in said["curl_direct"]
        assert "tiny-1.0-py3-none-any.whl" in said["pip"]
        assert "example.org is not on the allow-list" in said["pip_refused"]
        assert "4.5.6" in said["npm"]


def test_without_the_proxy_there_is_no_way_out(
    internet: FakeInternet, certificate: Path, tmp_path: Path
) -> None:
    """The policy providers: nothing is offered, and asking all the same is refused."""
    asked_anyway = (
        'ask anyway curl -sSi -x "http://rover:token@127.0.0.1:8377" https://pypi.org/hello\n'
        "ask environment env\n"
    )
    spec = spec_of(tmp_path, certificate, ASK + asked_anyway, proxy=False)
    with gateway_for(spec, internet, NetworkPolicy.model_validate({"mode": "providers"})):
        said = answers_of(BubblewrapEngine(tmp_path), spec)
    for question in ("python", "plain", "refused"):
        assert "Errno -" in said[question]  # of getaddrinfo(3): there is nobody to ask
    assert "Could not resolve host" in said["git"]
    assert "Couldn't connect" in said["anyway"] or "Failed to connect" in said["anyway"]
    assert "PROXY" not in said["environment"].upper()
    assert internet.looked_up == []
