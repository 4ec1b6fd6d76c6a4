"""What an agent or a client opens never ends the daemon (U8)."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from rover_mcp.launcher.handshake import socket_path
from tests.e2e.conftest import (
    client,
    daemon_pid,
    docker_host,
    end_daemon,
    engine_for_daemons,
    home,
    repository,
)
from tests.e2e.processes import wait_until
from tests.support.frames import LauncherClient, StartingClient
from tests.support.scripts import script

__all__ = ["client", "docker_host", "engine_for_daemons", "home", "repository"]

FEW = 256
# Five processes open 200 connections each and keep them, and say how they were answered.
FLOOD = r"""
import os, select, socket, sys, time
path = [f"/rover/gateway/{n}" for n in os.listdir("/rover/gateway") if n.endswith(".sock")][0]
home = os.path.expanduser("~")

def flood():
    held, answers = [], set()
    for _ in range(200):
        one = socket.socket(socket.AF_UNIX)
        one.settimeout(5)
        try:
            one.connect(path)
        except OSError as error:
            answers.add(f"errno {error.errno}")
        held.append(one)
    select.select(held, [], [], 300)
    for one in held:
        one.settimeout(0.01)
        try:
            if said := one.recv(200):
                answers.add(said.split(b"\r\n")[0].decode())
        except OSError:
            pass
    print("ANSWERS", sorted(answers), flush=True)
    open(f"{home}/flooded-{os.getpid()}", "w").close()
    while not os.path.exists(f"{home}/enough"):
        time.sleep(0.02)

for _ in range(5):
    if os.fork() == 0:
        flood()
        os._exit(0)
for _ in range(5):
    os.wait()
"""
ASK = r"""
import os, socket
path = [f"/rover/gateway/{n}" for n in os.listdir("/rover/gateway") if n.endswith(".sock")][0]
one = socket.socket(socket.AF_UNIX)
one.settimeout(300)
one.connect(path)
one.sendall(b"GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n")
print("SERVED", one.recv(100).split(b"\r\n")[0].decode())
"""


def python(text: str) -> str:
    """A shell command that runs it."""
    return f"python3 -c '{text}'"


def with_few_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW, FEW))


@pytest.fixture
def few(home: Path, repository: Path) -> Iterator[LauncherClient]:
    """A daemon that may open 256 files, and a client of it."""
    home.mkdir(parents=True)
    (home / "config.yaml").write_text("concurrency: 3\nidle_exit: 600\nspare_sandboxes: 0\n")
    environment = {**os.environ, "ROVER_HOME": str(home)}
    daemon = subprocess.Popen(
        [sys.executable, "-m", "rover_mcp.daemon"], env=environment, start_new_session=True,
        stdin=subprocess.DEVNULL, preexec_fn=with_few_descriptors,  # noqa: PLW1509
    )  # fmt: skip
    path = socket_path(home)
    wait_until(path.exists, "the daemon listens")
    try:
        with StartingClient(home, repository) as opened:
            opened.open()
            yield opened
    finally:
        end_daemon(home)
        daemon.wait(300)


def create(client: LauncherClient, steps: str) -> dict[str, Any]:
    return client.tool(
        "create_task", description="flood", workflow="flood", agent="scripted",
        engine="bubblewrap", script=steps,
    )["task"]  # fmt: skip


def workflow(repository: Path, name: str) -> None:
    folder = repository / ".rover" / "workflows"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.yaml").write_text(
        f'version: "1.0"\nname: {name}\nsteps: [{{id: a, type: agent, prompt: a}}]\n'
    )


@pytest.mark.known_escape(18)
def test_a_thousand_connections_of_an_agent_leave_the_others_served(
    few: LauncherClient, home: Path, repository: Path
) -> None:
    """U8, with two agents at once. Succeeded at 700cc57: 128 connections each took all of the
    daemon's open files, and whoever came afterwards found a daemon that had the lock and answered
    nothing. Who comes too often is told so, and it is recorded."""
    workflow(repository, "flood")
    pid = daemon_pid(home)
    floods = [create(few, script(a=[{"run": python(FLOOD)}])) for _ in range(2)]
    inside = [home / "tasks" / flood["id"] / "home" for flood in floods]
    flooded = lambda: [file for folder in inside for file in folder.glob("flooded-*")]  # noqa: E731
    wait_until(lambda: len(flooded()) == 10, "all of them were opened")
    with StartingClient(home, repository) as other:
        other.open()
        assert other.tool("list_tasks")["tasks"]
        asks = other.wait_until(create(other, script(a=[{"run": python(ASK)}]))["id"], "COMPLETED")
    assert "SERVED HTTP/1.1 " in str(few.tool("get_logs", task=asks["id"], step="a"))
    for folder, flood in zip(inside, floods, strict=True):
        (folder / "enough").touch()
        few.wait_until(flood["id"], "COMPLETED")
        said = str(few.tool("get_logs", task=flood["id"], step="a"))
        assert "503 Service Unavailable (Rover: this sandbox has" in said
        refused = few.tool("inspect", task=flood["id"], detail="full")["task"]
        assert "connections open already" in json.dumps(refused)
    assert daemon_pid(home) == pid


def test_a_client_that_opens_hundreds_of_connections_ends_nothing(
    few: LauncherClient, home: Path
) -> None:
    """U8: the daemon's own socket."""
    pid = daemon_pid(home)
    with ExitStack() as stack:
        for _ in range(FEW * 2):
            one = stack.enter_context(socket.socket(socket.AF_UNIX))
            one.settimeout(1)
            try:
                one.connect(str(socket_path(home)))
            except OSError:
                break
        assert daemon_pid(home) == pid
    assert few.tool("list_tasks")["tasks"] == []
    assert daemon_pid(home) == pid


def test_a_daemon_whose_loop_ends_gives_its_place_to_another(
    home: Path, repository: Path, tmp_path: Path
) -> None:
    """U8: whatever ends the loop, and with a thread that never ends. Succeeded at 700cc57: the
    process stayed, held the lock and answered nobody."""
    broken = tmp_path / "broken.py"
    broken.write_text(
        "import threading, sys\n"
        "from rover_mcp.daemon import daemon, __main__\n"
        "threading.Thread(target=threading.Event().wait).start()\n"
        "async def accept(self):\n"
        "    raise RuntimeError('the loop is broken')\n"
        "daemon.Daemon._accept = accept\n"
        "sys.exit(__main__.main())\n"
    )
    environment = {**os.environ, "ROVER_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, str(broken)], env=environment, stdin=subprocess.DEVNULL,
        capture_output=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 70, done.stderr
    assert "the loop is broken" in (home / "daemon.log").read_text()
    with StartingClient(home, repository) as opened:
        opened.open()
        assert opened.tool("list_tasks")["tasks"] == []
