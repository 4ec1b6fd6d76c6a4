from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.contracts.engine_rigs import (
    BubblewrapRig,
    DockerRig,
    FakeRig,
    PodmanRig,
    ProcessRig,
    Rig,
    RootlessPodmanRig,
    SandboxShell,
)
from tests.support.docker_env import docker_host
from tests.support.podman_env import folder_of_user, podman_host, podman_rootless_host

__all__ = ["docker_host", "podman_host", "podman_rootless_host"]

ISOLATING = [
    pytest.param("bubblewrap"),
    pytest.param("docker", marks=pytest.mark.docker),
    pytest.param("podman", marks=pytest.mark.podman),
]
ROOTLESS = pytest.param("podman-rootless", marks=pytest.mark.podman)
NOT_ISOLATING = [pytest.param("fake"), pytest.param("process")]


def _make(kind: str, folder: Path, ask: Callable[[str], str], stack: ExitStack) -> Rig:
    match kind:
        case "fake":
            return FakeRig(folder)
        case "process":
            return ProcessRig(folder)
        case "bubblewrap":
            return BubblewrapRig(folder)
        case "docker":
            return DockerRig(folder, ask("docker_host"))
        case "podman":
            return PodmanRig(folder, ask("podman_host"))
        case _:
            address = ask("podman_rootless_host")
            return RootlessPodmanRig(stack.enter_context(folder_of_user()), address)


def _rig(request: pytest.FixtureRequest, folder: Path) -> Iterator[Rig]:
    with ExitStack() as stack:
        made = _make(request.param, folder, request.getfixturevalue, stack)
        stack.callback(made.close)
        yield made


@pytest.fixture(params=[*NOT_ISOLATING, *ISOLATING])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """Every engine, the fake too. The rootless podman is the root's with another user: where
    that could make a difference, a test takes `any_rig`."""
    yield from _rig(request, tmp_path)


@pytest.fixture(params=[*NOT_ISOLATING, *ISOLATING, ROOTLESS])
def any_rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """Every engine, the fake and the rootless podman too."""
    yield from _rig(request, tmp_path)


@pytest.fixture(params=[*ISOLATING, ROOTLESS])
def real_rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """Every engine that isolates."""
    yield from _rig(request, tmp_path)


@pytest.fixture(params=[*ISOLATING, ROOTLESS], scope="module")
def inside(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SandboxShell]:
    """A running sandbox of every engine that isolates, one for all tests that look into it."""
    for made in _rig(request, tmp_path_factory.mktemp("inside")):
        yield SandboxShell(made)


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


@pytest.fixture
def podman_rig(podman_host: str, tmp_path: Path) -> Iterator[PodmanRig]:
    made = PodmanRig(tmp_path, podman_host)
    yield made
    made.close()


@pytest.fixture(params=ISOLATING[1:])
def container_rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DockerRig]:
    """Docker's and podman's containers, looked at from outside."""
    for made in _rig(request, tmp_path):
        assert isinstance(made, DockerRig)
        yield made
