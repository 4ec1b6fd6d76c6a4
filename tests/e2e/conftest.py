"""A data folder of its own for each test, with a real daemon that ends with it."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.processes import wait_until
from tests.support.docker_env import docker_host, remove_sandboxes
from tests.support.frames import LauncherClient
from tests.support.repos import make_repository

__all__ = ["docker_host"]


def daemon_pid(home: Path) -> int:
    """The process that holds the data folder's lock. One that has just taken it writes who it is."""
    lock = home / "daemon.lock"
    wait_until(lambda: lock.read_text().strip(), "the daemon has said who it is")
    return int(lock.read_text())


def end_daemon(home: Path) -> None:
    """SIGTERM, then wait until the lock is free."""
    import fcntl

    lock = home / "daemon.lock"
    if not lock.exists():
        return
    try:
        # Empty where none could write who it is.
        os.kill(int(lock.read_text()), signal.SIGTERM)
    except (ProcessLookupError, ValueError):
        return
    with lock.open() as file:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.02)
            else:
                return
    os.kill(daemon_pid(home), signal.SIGKILL)
    raise AssertionError("the daemon does not end on SIGTERM")


@pytest.fixture(scope="session", autouse=True)
def engine_for_daemons(docker_host: str) -> Iterator[None]:
    """Every daemon that these tests start finds the Docker engine for tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", docker_host)
        yield


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="rover-e2e-"))
    yield folder / "data"
    end_daemon(folder / "data")
    remove_sandboxes(folder / "data", os.environ["DOCKER_HOST"])
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def repository(home: Path) -> Path:
    return make_repository(home.parent / "repo")


@pytest.fixture
def client(home: Path, repository: Path) -> Iterator[LauncherClient]:
    with LauncherClient(home, repository) as opened:
        opened.open()
        yield opened
