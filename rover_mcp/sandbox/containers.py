"""Decides what a container is made of, for the engines that speak Docker's API. Pure."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from rover_mcp.domain.resource_limits import ResourceLimits
from rover_mcp.sandbox import docker_api, layout, runner_library
from rover_mcp.sandbox.protocol import EngineStatus, SandboxInfo, SandboxSpec, SandboxState

LABELS = "dev.rover."
# What the runner, root inside, needs to hand files to the agent's user, to start it as that
# user with nothing, and to end it. The agent gets none of them.
RUNNER_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETPCAP", "SETUID")
ALIVE = frozenset({"created", "running", "restarting", "paused"})
"""The engine's states in which a sandbox has not ended; `docker unpause` resumes a paused one."""
# A new volume belongs to root. Only these two folders are changed: the agent's own files in them
# are its own already, and a recursive chown would take minutes in a large work tree.
_ENTRY = (
    f'chown {layout.AGENT_UID}:{layout.AGENT_GID} {layout.WORKSPACE} {layout.HOME} && exec "$@"'
)


def container_options(spec: SandboxSpec) -> dict[str, Any]:
    """How a container is closed, bounded and started, as arguments of the SDK."""
    return {**_isolation(), **_limits(spec.limits), **_process()}


def _isolation() -> dict[str, Any]:
    return {
        # No interface but loopback: the gateway's socket, a mounted file, is the only way out.
        "network_mode": "none",
        # Nothing of the agent's outlives the container outside of its volumes, and nobody can
        # replace a program that root inside starts later.
        "read_only": True,
        "cap_drop": ["ALL"],
        "cap_add": list(RUNNER_CAPABILITIES),
        # Set-user-ID programs of the image give no rights then.
        "security_opt": ["no-new-privileges"],
        # The runner is root inside and gives the agent a user of its own: an image's USER would
        # put both under one, where the agent could read the journal.
        "user": "0:0",
        # A shared IPC namespace would share /dev/shm with other containers.
        "ipc_mode": "private",
        "hostname": "rover",
    }


def _process() -> dict[str, Any]:
    return {
        # The kernel ignores signals of a process 1 that has no handler for them, and leaves
        # orphans for it to reap: an init does both.
        "init": True,
        # The image's own entry point and health check are not for a sandbox.
        "entrypoint": ["/bin/sh", "-c", _ENTRY, "sh"],
        "healthcheck": {"test": ["NONE"]},
        "working_dir": "/",
        "stop_signal": "SIGTERM",
        "environment": {
            "PYTHONPATH": runner_library.LIBRARY,
            "PYTHONUNBUFFERED": "1",
            "LANG": "C.UTF-8",
        },
        # Attempts are repeated in one place, the control plane: the engine must not as well.
        "restart_policy": {"Name": "no"},
    }


def _limits(limits: ResourceLimits) -> dict[str, Any]:
    return {
        "tmpfs": {"/tmp": f"rw,exec,nosuid,nodev,mode=1777,size={limits.tmp_bytes}"},  # noqa: S108
        "shm_size": limits.shm_bytes,
        "pids_limit": limits.pids,
        "mem_limit": limits.memory_bytes,
        # The sum of memory and swap. Docker's default is twice the memory: a sandbox at its limit
        # would swap for hours instead of ending.
        "memswap_limit": limits.memory_bytes,
        "nano_cpus": int(limits.cpus * 1e9),
        "ulimits": [
            # A core dump would fill the work tree, and holds whatever the program held.
            docker_api.types.Ulimit(name="core", soft=0, hard=0),
            docker_api.types.Ulimit(name="fsize", soft=limits.file_bytes, hard=limits.file_bytes),
        ],
        # Docker's default log grows without a limit, on the disk of the engine.
        "log_config": docker_api.types.LogConfig(
            type="json-file", config={"max-size": "5m", "max-file": "2"}
        ),
    }


def shape(options: Mapping[str, Any], tag: str) -> str:
    """Hash all that a container is made of and that cannot be changed once it exists.

    It holds no name of a task, so that a sandbox that was started ahead fits any task of a project.
    """
    return hashlib.sha256(json.dumps([tag, options], sort_keys=True).encode()).hexdigest()[:16]


def labels(home: str, spec: SandboxSpec, container_shape: str) -> dict[str, str]:
    """The labels that say whose a container or a volume is; `home` stands for the data folder."""
    return {
        f"{LABELS}home": home,
        f"{LABELS}task": spec.task_id,
        f"{LABELS}project": spec.project_id,
        f"{LABELS}attempt": str(spec.attempt),
        f"{LABELS}shape": container_shape,
    }


def mounts(spec: SandboxSpec) -> list[Any]:
    """The task's volumes and folders, at the places of layout.py."""
    folders = spec.folders
    volumes = [
        docker_api.types.Mount(str(target), volume(spec.task_id, kind), type="volume")
        for kind, target in (("work", layout.WORKSPACE), ("home", layout.HOME))
    ]
    return [
        *volumes,
        bind(folders.spec, layout.SPEC, True),
        bind(folders.run, layout.RUN, False),
        bind(folders.base_objects, layout.BASE_OBJECTS, True),
        bind(folders.gateway_socket.parent, layout.GATEWAY, True),
    ]


def image_volumes(name: str, image: Mapping[str, Any]) -> list[Any]:
    """What an image declares as VOLUME, mounted read-only, with what the image holds there; `name`
    is the sandbox's, with which they go.

    The engine would otherwise mount a folder of the disk's for writing, in a sandbox whose root is
    read-only, and beyond every limit.
    """
    ours = {layout.WORKSPACE, layout.HOME, layout.SPEC, layout.RUN, layout.BASE_OBJECTS}
    ours |= {layout.GATEWAY, Path("/tmp")}  # noqa: S108
    declared = {Path(os.path.normpath(target)) for target in image.get("Volumes") or ()}
    return [
        docker_api.types.Mount(
            str(target), f"{name}-{hashlib.sha256(bytes(target)).hexdigest()[:8]}",
            type="volume", read_only=True,
        )
        for target in sorted(declared - ours)
    ]  # fmt: skip


def names_of_image_volumes(name: str, facts: Mapping[str, Any]) -> list[str]:
    """Those of a sandbox's volumes that `image_volumes` named."""
    mounted = cast("list[dict[str, Any]]", facts.get("Mounts") or [])
    volumes = [str(mount.get("Name") or "") for mount in mounted]
    return [volume for volume in volumes if volume.startswith(f"{name}-")]


def bind(source: Path, target: Path, read_only: bool) -> Any:
    """A folder of the host's, mounted."""
    return docker_api.types.Mount(
        str(target), str(source.resolve()), type="bind", read_only=read_only
    )


def volume(task_id: str, kind: str) -> str:
    """The name of a task's volume."""
    return f"rover-{task_id[:12]}-{kind}"


def setup_name(home: str, task_id: str) -> str:
    """The name of the container in which a task's setup runs."""
    return f"rover-setup-{home}-{task_id[:12]}"


def judge(name: str, facts: Mapping[str, Any]) -> EngineStatus:
    """Whether an engine can be used, from what it says of itself."""
    version = str(facts.get("ServerVersion", ""))
    system = str(facts.get("OperatingSystem", ""))
    if "Docker Desktop" in system or facts.get("OSType") != "linux":
        return EngineStatus(
            name, False, version, reason=f"{system} cannot mount the gateway's socket",
            hint="use a Docker engine that runs on this machine's own Linux kernel",
        )  # fmt: skip
    lacking = [
        what
        for what, key in (
            ("memory", "MemoryLimit"), ("cpu", "CpuCfsQuota"), ("processes", "PidsLimit"),
        )
        if facts.get(key) is False
    ]  # fmt: skip
    return EngineStatus(name, True, version, limits_not_applied=tuple(lacking))


def data_folders(facts: Mapping[str, Any]) -> list[Path]:
    """The folder of an engine's images and volumes, from what it says of itself, as far as it can
    be seen from here. Docker and podman name it differently."""
    store = cast("Mapping[str, Any]", facts.get("store") or {})
    root = str(facts.get("DockerRootDir") or store.get("graphRoot") or "")
    try:
        return [Path(root)] if root and Path(root).is_dir() else []
    except PermissionError:
        return []  # a folder above it is closed to this user


def info(facts: Mapping[str, Any]) -> SandboxInfo:
    """One line of the engine's list."""
    own_labels = cast("dict[str, str]", facts["Labels"])
    alive = facts["State"] in ALIVE
    return SandboxInfo(
        name=str(facts["Names"][0]).removeprefix("/"),
        task_id=own_labels.get(f"{LABELS}task", ""),
        attempt=int(own_labels.get(f"{LABELS}attempt", "0")),
        state=SandboxState.RUNNING if alive else SandboxState.EXITED,
        started_at=datetime.fromtimestamp(int(facts["Created"]), UTC),
    )
