"""`rover image build`: the image of a project's next task, with its setup, before there is one."""

from __future__ import annotations

import contextlib
import json
import secrets
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import docker
import pytest

from tests.e2e.conftest import daemon_pid
from tests.e2e.processes import kill, wait_until
from tests.e2e.test_any_image import CHECKS, SET_UP, run_look
from tests.support.docker_env import BASE_IMAGE, docker_client
from tests.support.frames import LauncherClient
from tests.support.hangs import HANG_SECONDS
from tests.support.podman_env import podman_host
from tests.support.repos import make_repository
from tests.support.scripts import script
from tests.support.trusting import trust

__all__ = ["podman_host"]

pytestmark = pytest.mark.docker

CONFIG = {".rover/config.yaml": "agent: scripted\nengine: docker\n"}
FAILS = "echo 'x509: certificate signed by unknown authority'; seq 40; exit 3"


def command(home: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "rover_mcp.cli.command_line", "--home", str(home), *words]


def build(home: Path, repository: Path, *words: str) -> list[dict[str, object]]:
    argv = command(home, "--json", "image", "build", *words)
    done = subprocess.run(argv, cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("engine", ["docker", pytest.param("podman", marks=pytest.mark.podman)])
def test_the_first_task_uses_the_image_built_with_the_projects_set_up(
    home: Path, engine: str, podman_host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTAINER_HOST", podman_host)
    # Another content than any earlier run's, so that nothing is in the engine's cache.
    version = secrets.token_hex(8)
    files = {**SET_UP, **CONFIG, "VERSION": f"{version}\n", ".rover/workflows/looks.yaml": CHECKS}
    repository = make_repository(home.parent / "prepared", files)
    trust(home, repository)
    *lines, last = build(home, repository, "--engine", engine)
    built = last["built"]
    assert isinstance(built, dict)
    assert built["cached"] is False
    assert built["bytes"]
    assert str(built["digest"]).startswith("sha256:")
    assert any("runArgs" in warning for warning in built["warnings"])
    said = [str(line["line"]) for line in lines]
    assert "building .devcontainer/Dockerfile" in said
    assert "setting up" in said
    # Nothing is left of what was made for it, and it is in the cache now.
    assert list((home / "tasks").iterdir()) == []
    *lines, last = build(home, repository, "--engine", engine)
    again = last["built"]
    assert isinstance(again, dict)
    assert lines == []
    assert (again["cached"], again["tag"]) == (True, built["tag"])
    with LauncherClient(home, repository) as client:
        client.open()
        task, seen = run_look(client, engine)
        assert seen[0] == version
        spec = home / "tasks" / task["id"] / "iterations" / "1" / "spec-1" / "image"
        assert spec.read_text() == built["tag"]


def test_an_engine_without_images_and_a_build_that_fails_say_what_to_do(home: Path) -> None:
    files = {
        **CONFIG,
        ".devcontainer/devcontainer.json": '{"build": {"dockerfile": "Dockerfile"}}',
        ".devcontainer/Dockerfile": f"FROM {BASE_IMAGE}\nRUN {FAILS}\n",
    }
    repository = make_repository(home.parent / "fails", files)
    trust(home, repository)

    def refused(*words: str) -> str:
        argv = command(home, "image", "build", *words)
        done = subprocess.run(argv, cwd=repository, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        return done.stderr

    said = refused("--engine", "bubblewrap")
    assert "bubblewrap has no images" in said
    assert "--engine docker" in said
    said = refused()
    assert "x509: certificate signed by unknown authority" in said
    assert "the project's .devcontainer/Dockerfile cannot be built" in said
    assert "docker pull" not in said


def test_hosts_refused_to_a_setup_are_named_with_the_setting_for_them(home: Path) -> None:
    fetch = "import urllib.request as u; u.urlopen('http://packages.example.test/x', timeout=600)"
    files = {**CONFIG, ".rover/setup.sh": f'python3 -c "{fetch}" 2>/dev/null || exit 7\n'}
    repository = make_repository(home.parent / "refused", files)
    trust(home, repository)
    argv = command(home, "image", "build")
    done = subprocess.run(argv, cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    said = " ".join(done.stdout.split())
    assert "the network policy refused packages.example.test:80" in said
    assert "to allow it:" in said


@pytest.mark.podman
def test_a_dockerfile_has_no_network_where_the_task_has_none(
    home: Path, podman_host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Podman's service cannot be told so: there it is not built."""
    monkeypatch.setenv("CONTAINER_HOST", podman_host)
    files = {
        ".rover/config.yaml": "agent: scripted\nnetwork: {mode: providers}\n",
        ".devcontainer/devcontainer.json": '{"build": {"dockerfile": "Dockerfile"}}',
        ".devcontainer/Dockerfile": (
            f"FROM {BASE_IMAGE}\nRUN echo {secrets.token_hex(8)}; cat /proc/net/dev; "
            'test "$(tail -n +3 /proc/net/dev | cut -d: -f1 | xargs)" = lo\n'
        ),
    }
    repository = make_repository(home.parent / "offline", files)
    trust(home, repository)
    argv = command(home, "image", "build", "--engine", "podman")
    done = subprocess.run(argv, cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "podman gives the RUN lines" in " ".join(done.stderr.split())
    *lines, last = build(home, repository, "--engine", "docker")
    assert "built" in last
    assert any("RUN lines have no network" in str(line["line"]) for line in lines)


@pytest.mark.parametrize("where", [".devcontainer/Dockerfile", ".rover/setup.sh"])
def test_an_interrupt_ends_the_build_also_while_it_says_nothing(home: Path, where: str) -> None:
    marker = f"sleep 600.{secrets.randbelow(10**9)}"
    files = {
        **CONFIG,
        ".devcontainer/devcontainer.json": '{"build": {"dockerfile": "Dockerfile"}}',
        ".devcontainer/Dockerfile": f"FROM {BASE_IMAGE}\n",
        ".rover/setup.sh": "true\n",
    }
    line = f"echo has begun; exec {marker}\n"
    files[where] += f"RUN {line}" if where.endswith("Dockerfile") else line
    repository = make_repository(home.parent / "slow", files)
    trust(home, repository)
    argv = command(home, "image", "build")
    with subprocess.Popen(argv, cwd=repository, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        for said in started.stdout:
            if said.endswith("s  has begun\n"):
                break
        wait_until(lambda: processes(marker), "the shell has become the command")
        started.send_signal(signal.SIGINT)
        assert started.wait(HANG_SECONDS) == 130
    wait_until(lambda: not (processes(marker) or any((home / "tasks").iterdir())), "it has ended")


def test_what_a_killed_daemon_leaves_of_a_build_goes_with_the_next_daemon(home: Path) -> None:
    marker = f"sleep 600.{secrets.randbelow(10**9)}"
    files = {**CONFIG, ".rover/setup.sh": f"exec {marker}\n"}
    repository = make_repository(home.parent / "slow", files)
    trust(home, repository)
    with subprocess.Popen(
        command(home, "image", "build"), cwd=repository,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as started:  # fmt: skip
        wait_until(lambda: processes(marker), "the setup has begun")
        [folder] = (home / "tasks").iterdir()
        kill(daemon_pid(home))
        assert started.wait(HANG_SECONDS) == 1
    assert setup_containers(folder.name)
    with LauncherClient(home, repository) as client:
        client.open()
        client.tool("get_status")
        wait_until(lambda: not setup_containers(folder.name), "its container is gone")
        wait_until(lambda: not list((home / "tasks").iterdir()), "its folder is gone")


@pytest.mark.parametrize(
    ("tool", "status"), [("cancel_task", "CANCELLED"), ("pause_task", "PAUSED")]
)
def test_a_task_that_is_stopped_ends_its_set_up(home: Path, tool: str, status: str) -> None:
    marker = f"sleep 600.{secrets.randbelow(10**9)}"
    files = {**CONFIG, ".rover/setup.sh": f"exec {marker}\n"}
    repository = make_repository(home.parent / "slow", files)
    trust(home, repository)
    with LauncherClient(home, repository) as client:
        client.open()
        task = client.tool("create_task", description="Look", workflow="quick", script=script())
        wait_until(lambda: processes(marker), "the setup has begun")
        client.tool(tool, task=task["task"]["id"])
        client.wait_until(task["task"]["id"], status)
        made = task["task"]["id"]
        wait_until(lambda: not (processes(marker) or setup_containers(made)), "the setup has ended")


def setup_containers(task_id: str) -> list[str]:
    with contextlib.closing(docker_client()) as client:
        rows = client.api.containers(all=True, filters={"name": "rover-setup-"})
        return [row["Names"][0] for row in rows if task_id[:12] in row["Names"][0]]


def processes(marker: str) -> Sequence[str]:
    """What runs with these words in any container of the engine."""
    with contextlib.closing(docker_client()) as client:
        found: list[str] = []
        for container in client.containers.list(ignore_removed=True):
            with contextlib.suppress(docker.errors.APIError):
                rows = container.top()["Processes"] or ()  # None: it is ending
                found += [row[-1] for row in rows if row[-1] == marker]
        return found
