from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contracts.engine_rigs import BubblewrapRig, DockerRig, FakeRig, Rig
from tests.support.docker_env import docker_host

__all__ = ["docker_host"]

REAL = [pytest.param("bubblewrap"), pytest.param("docker", marks=pytest.mark.docker)]


def _make(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Rig:
    if kind == "fake":
        return FakeRig(tmp_path)
    if kind == "bubblewrap":
        return BubblewrapRig(tmp_path)
    return DockerRig(tmp_path, request.getfixturevalue("docker_host"))


@pytest.fixture(params=["fake", *REAL])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """Every engine, the fake too."""
    made = _make(request.param, tmp_path, request)
    yield made
    made.close()


@pytest.fixture(params=REAL)
def real_rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """Every engine that isolates."""
    made = _make(request.param, tmp_path, request)
    yield made
    made.close()


@pytest.fixture
def docker_rig(docker_host: str, tmp_path: Path) -> Iterator[DockerRig]:
    made = DockerRig(tmp_path, docker_host)
    yield made
    made.close()


@pytest.fixture
def bubblewrap_rig(tmp_path: Path) -> Iterator[BubblewrapRig]:
    made = BubblewrapRig(tmp_path)
    yield made
    made.close()
