"""What an image says of itself changes nothing about the sandbox that is made from it."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from typing import Any

import docker
import pytest

from rover_mcp.sandbox import runner_library
from rover_mcp.sandbox.podman import PodmanEngine
from rover_mcp.sandbox.protocol import SandboxSpec
from tests.contracts.engine_rigs import RUNNER, DockerRig, PodmanRig, SandboxShell
from tests.support.hostile_images import (
    ANNOTATED,
    ANNOTATIONS,
    HOSTILE,
    VOLUMES,
    build_hostile,
    load_annotated,
)

pytestmark = pytest.mark.known_escape(8)

_PER_SANDBOX = frozenset({"Mounts", "Binds", "ContainerIDFile"})
_OF_CONFIG = ("User", "Entrypoint", "Cmd", "Healthcheck", "WorkingDir", "StopSignal", "Hostname")


def _started(rig: DockerRig, image: str) -> SandboxShell:
    plain = rig.spec

    def spec(task_id: str, attempt: int = 1) -> SandboxSpec:
        return replace(plain(task_id, attempt), image=image)

    rig.spec = spec  # type: ignore[method-assign]
    try:
        return SandboxShell(rig)
    finally:
        rig.spec = plain  # type: ignore[method-assign]


def _facts(rig: DockerRig, inside: SandboxShell) -> dict[str, Any]:
    return json.loads(rig.docker("inspect", inside.spec.name))[0]


def _writable(inside: SandboxShell) -> set[str]:
    """Where the agent can make a file, of all that is mounted."""
    _, said = inside.sh(
        "cut -d' ' -f5 /proc/self/mountinfo | while read -r place; do [ -d $place ] && "
        "(: > $place/.tried) 2>/dev/null && rm $place/.tried && echo $place; done"
    )
    return set(said.split())


def test_no_instruction_of_an_image_weakens_its_sandbox(container_rig: DockerRig) -> None:
    """Succeeded at 700cc57: a VOLUME was a folder of the disk's to write to, without a limit."""
    build_hostile(container_rig.address)
    plain = SandboxShell(container_rig)
    hostile = _started(container_rig, HOSTILE)
    usual, facts = _facts(container_rig, plain), _facts(container_rig, hostile)
    assert {k: v for k, v in facts["HostConfig"].items() if k not in _PER_SANDBOX} == {
        k: v for k, v in usual["HostConfig"].items() if k not in _PER_SANDBOX
    }
    for name in _OF_CONFIG:
        assert facts["Config"].get(name) == usual["Config"].get(name), name
    assert facts["Config"]["Labels"]["dev.rover.task"] == hostile.spec.task_id
    assert _writable(hostile) == _writable(plain)
    for look in ("id", "grep -E 'Cap|Seccomp|NoNew' /proc/self/status", "ulimit -a"):
        assert hostile.sh(look) == plain.sh(look)
    # What the image holds there is seen; neither its entry point nor its check ran.
    assert hostile.sh("ls /scratch") == (0, "there\n")
    written = {m["Destination"] for m in facts["Mounts"] if m["RW"]}
    assert written == {m["Destination"] for m in usual["Mounts"] if m["RW"]}


def test_what_an_image_declares_goes_with_its_sandbox(container_rig: DockerRig) -> None:
    build_hostile(container_rig.address)
    inside = _started(container_rig, HOSTILE)
    told = f"label=dev.rover.task={inside.spec.task_id}"
    made = container_rig.docker("volume", "ls", "-q", "-f", told).split()
    assert len(made) == 2 + len(set(VOLUMES) - {"/rover/run", "/workspace"}) + 1  # ONBUILD's own
    inside.engine.remove(inside.spec.name)
    left = container_rig.docker("volume", "ls", "-q", "-f", told).split()
    assert sorted(name.rpartition("-")[2] for name in left) == ["home", "work"]
    inside.engine.remove_task(inside.spec.task_id)
    assert container_rig.docker("volume", "ls", "-q", "-f", told).split() == []


@pytest.mark.podman
def test_annotations_of_an_image_do_not_reach_its_sandbox(podman_rig: PodmanRig) -> None:
    """Podman takes them for the container's own (CVE-2026-94603): in what we build there are none."""
    load_annotated(podman_rig.address)
    root, address = podman_rig.root, podman_rig.address
    argv = [runner_library.PYTHON, *RUNNER]
    podman_rig.engine = lambda: PodmanEngine(root, address=address, runner_argv=argv)  # type: ignore[method-assign]
    inside = _started(podman_rig, ANNOTATED)
    with closing(docker.DockerClient(base_url=address, timeout=600)) as client:

        def annotations(name: str) -> dict[str, str]:
            libpod = f"{client.api.base_url}/v4.0.0/libpod/containers/{name}/json"
            return client.api.get(libpod).json()["Config"]["Annotations"]

        direct = client.containers.create(ANNOTATED, ["true"])
        reached = annotations(direct.id)
        direct.remove()
        ours = annotations(inside.spec.name)
    assert reached["com.example.mark"] == "seen", "without our image they do"
    assert [n for n, v in ANNOTATIONS.items() if ours.get(n) == v] == []
    code, said = inside.sh("grep -E '^(Cap|Seccomp:|NoNew)' /proc/self/status")
    assert code == 0
    found = dict(line.split(":\t") for line in said.splitlines())
    assert found.pop("Seccomp") == "2"
    assert found.pop("NoNewPrivs") == "1"
    assert {int(value, 16) for value in found.values()} == {0}
