"""A step of the scripted agent that waits until the test lets it go on: however slow the machine is,
nothing that comes after the step happens before what the test does meanwhile."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from rover_mcp.sandbox import layout
from tests.e2e.processes import wait_until

GATE = "until test -e $HOME/go; do sleep 0.1; done"
"""The `run` of a scripted turn."""
SECOND_GATE = GATE.replace("/go;", "/go-on;")


def open_gate(home: Path, task: str, gate: str = GATE) -> None:
    """Let a task of bubblewrap's go on, in the data folder `home`."""
    folder = home / "tasks" / task / "home"
    wait_until(folder.is_dir, "the task has its HOME")
    (folder / ("go" if gate == GATE else "go-on")).touch()


def open_gate_in_container(task: str) -> None:
    """Let the first attempt of a task of Docker's go on, which is at its gate."""
    name = f"rover-{task[:12]}-1"
    argv = ["docker", "exec", "--user", str(layout.AGENT_UID), name, "touch", f"{layout.HOME}/go"]
    subprocess.run(argv, env=dict(os.environ), check=True, capture_output=True)
