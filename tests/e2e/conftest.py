"""A data folder of its own for each test, with a real daemon that ends with it."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import pytest

from tests.e2e.processes import wait_until
from tests.support.docker_env import cache_folder, docker_host, remove_sandboxes
from tests.support.fake_models import FakeModels
from tests.support.frames import LauncherClient
from tests.support.real_claude import claude_binary
from tests.support.repos import make_repository

__all__ = ["docker_host"]


def daemon_pid(home: Path) -> int:
    """The process that holds the data folder's lock. One that has just taken it empties the file and
    writes its id."""
    lock = home / "daemon.lock"
    found: list[str] = []

    def is_written() -> bool:
        found[:] = lock.read_text().split() if lock.exists() else []
        return bool(found)

    wait_until(is_written, "the daemon has written its process id")
    return int(found[0])


def end_daemon(home: Path) -> None:
    """SIGTERM, then wait until the lock is free."""
    lock = home / "daemon.lock"
    if not lock.exists():
        return
    try:
        # Empty where none could write who it is.
        os.kill(int(lock.read_text()), signal.SIGTERM)
    except (ProcessLookupError, ValueError):
        return
    with lock.open() as file:
        try:
            wait_until(lambda: _is_free(file), "the daemon ends on SIGTERM")
        except AssertionError:
            os.kill(daemon_pid(home), signal.SIGKILL)
            raise


def _is_free(file: IO[str]) -> bool:
    """Whether nobody holds the lock; from then on, this process does."""
    with suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


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


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeModels]:
    with FakeModels() as fake:
        yield fake


def client_of_real_agents(files: Mapping[str, str]) -> Any:
    """A module's fixture `client`: of a daemon of its own, in a repository with these files. The
    agents are the real programs, and their requests lead to `provider`."""

    @pytest.fixture(scope="module")
    def client(
        tmp_path_factory: pytest.TempPathFactory, provider: FakeModels
    ) -> Iterator[LauncherClient]:
        folder = tmp_path_factory.mktemp("real")
        (folder / "bin").mkdir()
        (folder / "bin" / "claude").symlink_to(claude_binary())
        environment = {
            **provider.session("").environment("sk-user"),
            "ROVER_AGENT_CACHE": str(cache_folder() / "agents"),
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        }
        repository = make_repository(folder / "repo", dict(files))
        with LauncherClient(folder / "data", repository, environment) as opened:
            opened.open()
            yield opened
        end_daemon(folder / "data")

    return client
