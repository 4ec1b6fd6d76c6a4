"""A real Docker engine for tests: DOCKER_HOST's, else a private one, shared by sessions at once.

In a conftest: `from tests.support.docker_env import docker_host`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from rover_mcp.sandbox.layout import home_label
from tests.e2e.processes import wait_until
from tests.support.hangs import HANG_SECONDS

BASE_IMAGE = "debian:bookworm-slim"
_SCRIPT = Path(__file__).with_name("start_docker.sh")


def cache_folder() -> Path:
    """Where the root file system, the engine's data and its socket are kept between runs."""
    return Path(os.environ.get("ROVER_TEST_CACHE") or Path.home() / ".cache" / "rover-tests")


@contextlib.contextmanager
def docker_engine() -> Iterator[str]:
    """The address of an engine that has the base image.

    Where DOCKER_HOST names one, that. Else a private one is started, or the one that another
    session of these tests started is used; the last session that uses it stops it.
    """
    if address := os.environ.get("DOCKER_HOST"):
        yield address
        return
    folder = cache_folder() / "docker"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "users.lock").open("w") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        started = subprocess.run(
            ["bash", str(_SCRIPT)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=2 * HANG_SECONDS,
            check=False,
            text=True,
        )
        if started.returncode != 0:
            raise RuntimeError(f"no Docker engine for tests:\n{started.stderr[-2000:]}")
        try:
            yield started.stdout.strip().splitlines()[-1]
        finally:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _stop(folder / "pid")


def _stop(pidfile: Path) -> None:
    """SIGTERM to the engine that these tests started, and wait until it has ended."""
    try:
        pid = int(pidfile.read_text())
        handle = os.pidfd_open(pid)
    except (OSError, ValueError):
        return
    try:
        if Path(f"/proc/{pid}/comm").read_text().strip() == "dockerd":
            signal.pidfd_send_signal(handle, signal.SIGTERM)
            _wait_for_end(handle)
    except OSError:
        return
    finally:
        os.close(handle)


def _wait_for_end(handle: int) -> None:
    import select

    poll = select.poll()
    poll.register(handle, select.POLLIN)
    poll.poll(HANG_SECONDS * 1000)


def docker_client(address: str | None = None) -> docker.DockerClient:
    """A client of the engine, or of DOCKER_HOST's, that waits: a busy engine takes its time, and a
    volume may hold a hundred thousand files."""
    return docker.DockerClient(
        base_url=address or os.environ["DOCKER_HOST"], timeout=int(HANG_SECONDS)
    )


def remove_sandboxes(home: Path, address: str) -> None:
    """What the tasks of this data folder left in the engine, which is kept between runs."""
    mine = {"label": f"dev.rover.home={home_label(home)}"}
    with contextlib.closing(docker_client(address)) as client:

        def are_gone() -> bool:
            containers = client.containers.list(all=True, filters=mine, ignore_removed=True)
            for container in containers:
                _remove(container)
            return not containers

        # The daemon, which has just ended, may have begun to remove one, and its volume is in use
        # until the engine has finished.
        wait_until(are_gone, "no container is left")
        for volume in client.volumes.list(filters=mine):
            _remove(volume)


def _remove(left: Any) -> None:
    try:
        left.remove(force=True)
    except docker.errors.APIError as error:
        if error.status_code not in (404, 409):
            raise


@pytest.fixture(scope="session")
def docker_host() -> Iterator[str]:
    """A Docker engine's address, for as long as the session runs."""
    with docker_engine() as address:
        yield address
