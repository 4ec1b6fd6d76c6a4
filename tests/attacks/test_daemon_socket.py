"""The daemon's socket, mounted into a container by mistake: it takes no commands from there (U4)."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import docker
import pytest

from tests.attacks.conftest import ENGINES
from tests.attacks.stage import AttackedHost
from tests.support.docker_env import BASE_IMAGE

_HELLO = json.dumps({"rover": 1, "client_id": "c" * 32, "version": "", "cwd": "/", "env": {}})
_SAY = (
    "import socket, sys; s = socket.socket(socket.AF_UNIX); s.settimeout(300); "
    "s.connect(sys.argv[1]); s.sendall(sys.argv[2].encode() + bytes([10])); "
    "print(s.makefile().readline())"
)


def _from_inside(engine: str, stage: AttackedHost) -> str:
    """The daemon's answer to a client in a container of that engine, as the same user."""
    if engine == "bubblewrap":
        argv = ["bwrap", "--dev-bind", "/", "/", "--unshare-all", "--unshare-user"]
        socket_ = str(stage.data / "roverd.sock")
        argv += ["python3", "-c", _SAY, socket_, _HELLO]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    with closing(docker.DockerClient(base_url=stage.address(engine), timeout=600)) as client:
        said = client.containers.run(
            BASE_IMAGE, ["python3", "-c", _SAY, "/data/roverd.sock", _HELLO], remove=True,
            user="0:0", network_mode="none", volumes={str(stage.data): {"bind": "/data"}},
        )  # fmt: skip
    return said.decode()


@pytest.mark.parametrize("engine", ENGINES)
def test_from_a_container_the_daemon_takes_no_commands(stage: AttackedHost, engine: str) -> None:
    """Succeeded at 700cc57: the same user was enough, wherever it ran."""
    told = json.loads(_from_inside(engine, stage))
    assert told["status"] == "refused"
    assert "container or sandbox" in told["reason"]
    assert "ROVER_HOME" in told["hint"]
    assert stage.client.tool("get_status")["version"]


def test_a_person_in_a_container_is_told_what_to_do(stage: AttackedHost) -> None:
    """The command line says why, at once, and does not wait for an answer that never comes."""
    argv = ["unshare", "--mount", sys.executable, "-m", "rover_mcp.cli.command_line"]
    argv += ["--home", str(stage.data), "list"]
    done = subprocess.run(
        argv, cwd=Path("/"), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode != 0
    assert "container or sandbox" in done.stderr
    assert "rover-mcp --http" in done.stderr
