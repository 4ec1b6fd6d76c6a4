"""A real daemon: one for each module, and one of its own for the tests that ask for `home`."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import docker_host, end_daemon, engine_for_daemons, home, repository
from tests.support.docker_env import remove_sandboxes
from tests.support.repos import make_repository

__all__ = ["docker_host", "engine_for_daemons", "home", "repository"]


@pytest.fixture(scope="module")
def shared(engine_for_daemons: None) -> Iterator[Path]:
    """A data folder `data` and a repository `repo`, which the module's tests share."""
    folder = Path(tempfile.mkdtemp(prefix="rover-protocol-"))
    make_repository(folder / "repo")
    yield folder
    end_daemon(folder / "data")
    remove_sandboxes(folder / "data", os.environ["DOCKER_HOST"])
    shutil.rmtree(folder, ignore_errors=True)
