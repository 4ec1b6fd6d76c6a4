"""The host that is attacked: a daemon of its own, a user's repository, home and keys, a second
project, and a canary wherever something could leak, be changed or be reached."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import secrets
import shutil
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from rover_mcp.sandbox.attempt_folder import remove_tree
from tests.e2e.conftest import end_daemon
from tests.support.docker_env import remove_sandboxes
from tests.support.frames import LauncherClient, StartingClient
from tests.support.repos import FIXED, git, make_repository
from tests.support.scripts import CREDITS, script

Json = dict[str, Any]

SETTINGS: Json = {
    "idle_exit": 600,
    "concurrency": 3,
    # The most that a task may be given; those of the tests name less.
    "network": {"mode": "open"},
    "sandbox_memory_bytes": 384 * 1024**2,
    "sandbox_pids": 256,
    "sandbox_disk_bytes": 64 * 1024**2,
    "limits": {"log_bytes": 2_000_000, "stop_grace": 1},
}


@dataclass
class Canaries:
    """Secrets by the place where they lie: none may be in what an agent printed or made."""

    secrets: dict[str, str] = field(default_factory=dict[str, str])

    def new(self, place: str) -> str:
        self.secrets[place] = f"canary-{place}-{secrets.token_hex(12)}"
        return self.secrets[place]

    def found_in(self, text: str) -> list[str]:
        return [place for place, secret in self.secrets.items() if secret in text]


class Listener:
    """Counts who connects: nobody may."""

    def __init__(self, server: socket.socket) -> None:
        self.seen: list[str] = []
        self._server = server
        self._server.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                client.settimeout(2)
                with client, contextlib.suppress(OSError):
                    client.sendall(b"PWNED\n")
                    self.seen.append(client.recv(200).decode("latin-1"))

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


class Provider:
    """A provider on loopback, which answers every call and remembers its headers and path."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        seen = self.requests

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {k.lower(): v for k, v in self.headers.items()}
                seen.append((self.command, self.path, headers))
                said = (
                    b'{"type":"message","content":[],"usage":{"input_tokens":1,"output_tokens":1}}'
                )
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            do_GET = do_POST  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def state_of(folder: Path) -> dict[str, str]:
    """Every file beneath a folder: kind, mode and a hash of what it holds."""
    found: dict[str, str] = {}
    for path in sorted([folder, *folder.rglob("*")]):
        facts = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        digest = hashlib.sha256(content).hexdigest()[:16]
        found[str(path.relative_to(folder))] = f"{facts.st_mode:o} {facts.st_uid} {digest}"
    return found


def repository_state(repository: Path) -> dict[str, bytes | dict[str, str]]:
    """What of a user's repository a task may never change."""
    inside = repository / ".git"
    files = {name: (inside / name).read_bytes() for name in ("config", "index", "HEAD")}
    work = {k: v for k, v in state_of(repository).items() if not k.startswith(".git")}
    return {
        **files,
        "hooks": state_of(inside / "hooks"),
        "info": state_of(inside / "info"),
        "work": work,
    }


def programs() -> dict[str, tuple[int, ...]]:
    """Owner, mode and times of the programs of the host that sandboxes are made with."""
    names = ("bwrap", "runc", "crun", "podman", "conmon", "docker-init", "containerd-shim-runc-v2")
    found = {path: Path(path).stat() for path in map(shutil.which, names) if path}
    return {p: (f.st_uid, f.st_mode, f.st_size, f.st_mtime_ns) for p, f in found.items()}


def handle_of(path: Path) -> str:
    """What opens a file by its number: name_to_handle_at(2), as kind:hex."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer((128).to_bytes(4, sys.byteorder), 136)
    mount = ctypes.c_int()
    done = libc.name_to_handle_at(-100, os.fsencode(path), buffer, ctypes.byref(mount), 0)
    assert done == 0, os.strerror(ctypes.get_errno())
    size, kind = struct.unpack_from("Ii", buffer.raw)
    return f"{kind}:{buffer.raw[8 : 8 + size].hex()}"


class AttackedHost:
    """One data folder with its daemon, kept for all tests of a session."""

    def __init__(self, docker_host: str, podman_host: str) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="rover-attacks-", dir="/var/tmp"))
        self.root.chmod(0o755)
        self.data = self.root / "data"
        self.canaries = Canaries()
        self.trophies = self.root / "trophies"
        self.trophies.mkdir(mode=0o777)
        self.trophies.chmod(0o777)
        self._docker_host, self._podman_host = docker_host, podman_host
        self._make_home()
        self._make_listeners()
        self.provider = Provider()
        self.repository = make_repository(self.root / "project" / "repo")
        self.other_repository = make_repository(self.root / "other" / "repo")
        self._make_user_files()
        self.data.mkdir(mode=0o700)
        (self.data / "config.yaml").write_text(yaml.safe_dump(SETTINGS))
        self.env = {
            "HOME": str(self.home),
            "DOCKER_HOST": docker_host,
            "CONTAINER_HOST": podman_host,
            "ANTHROPIC_API_KEY": self.canaries.new("api-key"),
            "ANTHROPIC_BASE_URL": self.provider.url,
            "GH_TOKEN": self.canaries.new("gh-token"),
            "UNRELATED_SECRET": self.canaries.new("environment"),
            "SSH_AUTH_SOCK": str(self.root / "ssh.sock"),
        }
        # A process that was forked shows its parent's environment, so no daemon of the tests shows
        # this one; a program of the user's does.
        self._program = subprocess.Popen(["sleep", "infinity"], env={**os.environ, **self.env})
        self.client = self.connect(self.repository)
        self.other_client = self.connect(self.other_repository)
        self.victims: dict[str, Json] = {}

    def address(self, engine: str) -> str:
        """Of an engine of containers."""
        return {"docker": self._docker_host, "podman": self._podman_host}[engine]

    def connect(self, repository: Path) -> LauncherClient:
        client = StartingClient(self.data, repository, self.env)
        client.open()
        return client

    def _make_home(self) -> None:
        self.home = self.root / "home"
        for name in (".ssh/id_ed25519", ".aws/credentials", ".netrc"):
            path = self.home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.canaries.new("home") + "\n")
        self.public = self.root / "public.txt"
        self.public.write_text(self.canaries.new("public") + "\n")

    def _make_listeners(self) -> None:
        ssh = socket.socket(socket.AF_UNIX)
        ssh.bind(str(self.root / "ssh.sock"))
        (self.root / "ssh.sock").chmod(0o777)
        abstract = socket.socket(socket.AF_UNIX)
        self.abstract = f"rover-attacks-{secrets.token_hex(8)}"
        abstract.bind("\0" + self.abstract)
        loopback = socket.create_server(("127.0.0.1", 0))
        self.port = loopback.getsockname()[1]
        loopback6 = socket.create_server(("::1", self.port), family=socket.AF_INET6)
        self.listeners = [Listener(s) for s in (ssh, abstract, loopback, loopback6)]

    def _make_user_files(self) -> None:
        git(self.repository, "config", "http.extraHeader", self.canaries.new("git-config"))
        (self.repository / ".git/info/exclude").write_text(".env\n")
        (self.repository / ".env").write_text(self.canaries.new("dot-env"))
        (self.repository / ".git/hooks/pre-commit").write_text("#!/bin/sh\nexit 0\n")

    # What is attacked

    def victim(self, engine: str) -> Json:
        """A paused task of another project on the same engine, with a secret in its work tree."""
        if engine not in self.victims:
            secret = self.canaries.new(f"other-task-{engine}")
            turn = {
                "edits": [{"path": "secret.txt", "content": secret}],
                "run": f"echo {secret} > $HOME/secret.txt",
                "error": CREDITS,
            }
            made = self.create("demo", engine, script(plan=[turn]), other=True)
            self.victims[engine] = self.other_client.wait_until(made["id"], "PAUSED")
        return self.victims[engine]

    def token_of(self, task_id: str) -> str:
        with contextlib.closing(sqlite3.connect(self.data / "rover.db")) as database:
            return database.execute(
                "select gateway_token from rover_tasks where id = ?", (task_id,)
            ).fetchone()[0]

    def places(self, engine: str) -> dict[str, str]:
        """Where an attacker who knows the host would look."""
        victim = self.victim(engine)
        return {
            "HOME": str(self.home),
            "PUBLIC": str(self.public),
            "HANDLE": handle_of(self.public),
            "DATA": str(self.data),
            "REPO": str(self.repository),
            "TROPHIES": str(self.trophies),
            "VICTIM": victim["id"],
            "VICTIM_TOKEN": self.token_of(victim["id"]),
            "PORT": str(self.port),
            "ABSTRACT": self.abstract,
            "SSH_SOCK": self.env["SSH_AUTH_SOCK"],
            "DOCKER_SOCK": self._docker_host.removeprefix("unix://"),
            "PODMAN_SOCK": self._podman_host.removeprefix("unix://"),
            "ROVERD_SOCK": str(self.data / "roverd.sock"),
        }

    # Tasks

    def create(
        self, workflow: str, engine: str, turns: str, *, other: bool = False, title: str = "Fix add"
    ) -> Json:
        client = self.other_client if other else self.client
        return client.tool(
            "create_task", description=title, workflow=workflow, agent="scripted",
            engine=engine, script=turns, auto_resume=False, network="allowlist",
        )["task"]  # fmt: skip

    def workflow(self, name: str, steps: list[Json]) -> None:
        """Put a workflow into the user's folder."""
        text = yaml.safe_dump({"version": "1.0", "name": name, "steps": steps})
        (self.data / "workflows").mkdir(exist_ok=True)
        (self.data / "workflows" / f"{name}.yaml").write_text(text)

    def ended(self, task: Json, timeout: float = 900) -> Json:
        """The task as soon as nothing of it runs, whatever its status."""
        end = time.monotonic() + timeout
        while True:
            view = self.client.tool("wait_for_task", task=task["id"], timeout_s=10)["task"]
            if view["status"] not in ("NEW", "IN_PROGRESS", "ITERATING"):
                return view
            assert time.monotonic() < end, f"it runs on: {view}"

    def log(self, task: Json, step: str) -> str:
        """A step's log as it lies on the host, uncut."""
        path = self.data / "tasks" / task["id"] / "iterations/1/run/logs" / f"{step}.log"
        return path.read_text(errors="replace")

    def assert_all_is_well(self, engine: str) -> None:
        """The rest of the system works on: another project's task is done."""
        turn = {"edits": [{"path": "calc.py", "content": FIXED}], "outputs": {"summary": "s"}}
        done = self.create("demo", engine, script(implement=[turn]), other=True)
        assert self.other_client.wait_until(done["id"], "COMPLETED")["progress"] == 100

    def rover(self, *argv: str) -> subprocess.CompletedProcess[bytes]:
        """The CLI, as a user runs it."""
        return subprocess.run(
            [str(Path(sys.executable).parent / "rover"), *argv],
            env={**os.environ, **self.env, "ROVER_HOME": str(self.data)},
            cwd=self.repository, capture_output=True, check=False, timeout=300,
        )  # fmt: skip

    # What was hit

    def hits(self) -> list[str]:
        """Files that attacks made on the host, and connections that they got through."""
        made = [p.name for p in self.trophies.iterdir()]
        return [*made, *(f"connection: {said}" for one in self.listeners for said in one.seen)]

    def forget_hits(self) -> None:
        for path in self.trophies.iterdir():
            path.unlink()
        for one in self.listeners:
            one.seen.clear()

    def close(self) -> None:
        self.client.close()
        self.other_client.close()
        end_daemon(self.data)
        self._program.kill()
        self._program.wait()
        for address in (self._docker_host, self._podman_host):
            remove_sandboxes(self.data, address)
        for one in self.listeners:
            one.close()
        self.provider.close()
        remove_tree(self.root)


def strays(marker: str) -> list[str]:
    """Command lines of processes on this machine that carry a marker in theirs."""
    found: list[str] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if marker in (text := path.read_bytes().decode("utf-8", "replace")):
                found.append(text.replace("\0", " "))
    return found


@contextlib.contextmanager
def open_stage(docker_host: str, podman_host: str) -> Iterator[AttackedHost]:
    stage = AttackedHost(docker_host, podman_host)
    try:
        yield stage
    finally:
        stage.close()
