"""A sandbox while it runs, seen from the host: who listens where, and what of a user's text stands in
the engine's fields."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.attacks.conftest import ENGINES
from tests.attacks.stage import AttackedHost, strays
from tests.e2e.conftest import daemon_pid
from tests.e2e.processes import wait_until
from tests.support.listeners import descendants, listeners
from tests.support.repos import git, make_repository
from tests.support.scripts import script

MARK = "field-mark"
HOSTILE = f"{MARK}=x\n--privileged\ndev.rover.task={MARK},type=bind,src=/,dst=/host:rw'\"$({MARK})"
LARGE = HOSTILE + f"\n{MARK}" * 4000


@dataclass(frozen=True)
class RunningTask:
    """A task that waits, with the container that it is in where it is in one."""

    engine: str
    task: dict[str, Any]
    container: dict[str, Any] | None
    daemon: int


@pytest.fixture(scope="module", params=ENGINES)
def running(request: pytest.FixtureRequest, stage: AttackedHost) -> Iterator[RunningTask]:
    """Its title, description, branch, base branch and project are as bad as they can be."""
    engine: str = request.param
    stage.workflow("waits", [{"id": "wait", "type": "agent", "prompt": "x", "name": MARK}])
    folder = stage.root / f"{engine}-{MARK}=x,src=:rw '\"$(x)\n--privileged"
    repository = make_repository(folder)
    git(repository, "branch", f"{MARK}=x,dst=/h'$(x)")
    client = stage.connect(repository)
    made = client.tool(
        "create_task", description=LARGE, workflow="waits", agent="scripted", engine=engine,
        base_branch=f"{MARK}=x,dst=/h'$(x)", script=script(wait=[{"run": "echo up; sleep 3000"}]),
        auto_resume=False, network="allowlist",
    )["task"]  # fmt: skip
    log = stage.data / "tasks" / made["id"] / "iterations/1/run/logs/wait.log"
    wait_until(lambda: log.exists() and "up" in log.read_text(), "its command runs")
    view = client.tool("inspect", task=made["id"])["task"]
    assert view["status"] == "IN_PROGRESS", view
    yield RunningTask(engine, made, container_of(stage, engine, made["id"]), daemon_pid(stage.data))
    client.tool("cancel_task", task=made["id"])
    client.close()


def container_of(stage: AttackedHost, engine: str, task: str) -> dict[str, Any] | None:
    """What the engine itself says of the task's container."""
    if engine == "bubblewrap":
        return None
    address = stage.env["DOCKER_HOST" if engine == "docker" else "CONTAINER_HOST"]
    with contextlib.closing(docker.DockerClient(base_url=address, timeout=600)) as client:
        (found,) = client.containers.list(filters={"label": f"dev.rover.task={task}"})
        return found.attrs


@pytest.mark.known_escape(19)
def test_no_text_of_a_users_is_in_a_field_of_the_engine(running: RunningTask) -> None:
    """Nor in an argument of any process, where other users of the machine could read it."""
    assert [line for line in strays(MARK) if "echo up" not in line] == []
    if running.container is None:
        return
    assert MARK not in json.dumps(running.container)
    assert not running.container["HostConfig"]["Privileged"]
    labels = running.container["Config"]["Labels"]
    # The image's own labels stand beside them.
    ours = [labels[f"dev.rover.{name}"] for name in ("home", "task", "project", "attempt", "shape")]
    assert ours[1] == running.task["id"]
    assert all(value.isalnum() for value in ours), ours
    assert (
        running.container["Name"].removeprefix("/").startswith(f"rover-{running.task['id'][:12]}")
    )


@pytest.mark.known_escape(13)
def test_daemon_and_sandbox_listen_on_this_machine_alone(
    running: RunningTask, stage: AttackedHost
) -> None:
    inside = [] if running.container is None else [running.container["State"]["Pid"]]
    ours = [int(p.parent.name) for p in Path("/proc").glob("[0-9]*/cmdline") if of(stage, p)]
    hosts, paths = listeners(descendants([running.daemon, *ours, *inside]))
    assert [host for host in hosts if not ip_address(host.split()[0]).is_loopback] == []
    assert any(path.endswith("roverd.sock") for path in paths), "the daemon was not looked at"
    assert any("/proc/self/fd/" in path for path in paths), "the gateway was not looked at"
    # A gateway's socket is bound beneath a descriptor of its folder, which is in the data folder.
    assert not [p for p in paths if not p.startswith(("/proc/self/fd/", f"{stage.data}/"))]
    assert stage.data.stat().st_mode & 0o077 == 0


def of(stage: AttackedHost, cmdline: Path) -> bool:
    """Whether a process of this machine has to do with this stage's daemon."""
    try:
        return str(stage.data).encode() in cmdline.read_bytes()
    except OSError:
        return False
