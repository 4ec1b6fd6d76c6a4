"""A step of the scripted agent that waits until the test lets it go on: however slow the machine is,
nothing that comes after the step happens before what the test does meanwhile."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from rover_mcp.sandbox import layout
from tests.e2e.processes import wait_until
from tests.support.docker_env import docker_client

GATE = "until test -e $HOME/go; do sleep 0.1; done"
"""The `run` of a scripted turn."""
SECOND_GATE = GATE.replace("/go;", "/go-on;")


def open_gate(home: Path, task: str, gate: str = GATE) -> None:
    """Let a task of bubblewrap's go on, in the data folder `home`."""
    folder = home / "tasks" / task / "home"
    wait_until(folder.is_dir, "the task has its HOME")
    (folder / ("go" if gate == GATE else "go-on")).touch()


def open_gate_in_container(task: str) -> None:
    """Let the first attempt of a task of Docker's go on."""
    with closing(docker_client()) as engine:
        container = engine.containers.get(f"rover-{task[:12]}-1")
        done = container.exec_run(["touch", f"{layout.HOME}/go"])
        assert done.exit_code == 0, done.output
