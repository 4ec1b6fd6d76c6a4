"""The docker engine: one container per attempt, without a network, on a local Docker engine."""

from __future__ import annotations

import hashlib
import json
import math
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from agent_runner.spec import Paths, SwitchUser
from rover_mcp.errors import EnvironmentFault
from rover_mcp.sandbox import bundles, docker_api, layout, runner_library
from rover_mcp.sandbox.docker_api import NoSuchObject
from rover_mcp.sandbox.docker_images import DockerImages, unavailable
from rover_mcp.sandbox.image import DEFAULT_PATH, ImageBuilder
from rover_mcp.sandbox.protocol import (
    EngineStatus,
    ExecResult,
    SandboxExit,
    SandboxInfo,
    SandboxSpec,
    SandboxState,
)

DEFAULT_IMAGE = "debian:bookworm-slim"
LABELS = "dev.rover."
# What the runner, root inside, needs to hand files to the agent's user, to start it as that
# user with nothing, and to end it. The agent gets none of them.
RUNNER_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETPCAP", "SETUID")
ALIVE = frozenset({"created", "running", "restarting", "paused"})
"""The engine's states in which a sandbox has not ended; a paused one goes on when told to."""
_NOT_APPLIED = ("disk",)
_OUR_VARIABLES = frozenset({"HOME", "USER", "LOGNAME", "TMPDIR", "TERM", "PATH"})
_ENTRY = (
    f'chown {layout.AGENT_UID}:{layout.AGENT_GID} {layout.WORKSPACE} {layout.HOME} && exec "$@"'
)


class DockerEngine:
    """See protocol.Engine. `address` defaults to DOCKER_HOST or the local socket.

    `runner_argv` replaces the runner, for tests; `{spec}` in it stands for the spec folder.
    """

    name = "docker"
    shares_disk = True

    def __init__(
        self,
        home: Path,
        *,
        base_image: str = DEFAULT_IMAGE,
        address: str | None = None,
        runner_argv: Sequence[str] | None = None,
    ) -> None:
        self._home = layout.home_label(home)
        self.base_image = base_image
        self._address = address or docker_api.engine_address()
        self._runner_argv = tuple(runner_argv or (runner_library.PYTHON, *layout.RUNNER_ARGV))
        self._client: Any = None
        self._connecting = threading.Lock()
        self._builder = ImageBuilder(home / "cache")

    def check(self) -> EngineStatus:
        """Ask the engine for its version; refuse one that cannot mount our folders."""
        if not self._address.startswith("unix://"):
            return EngineStatus(
                self.name, False, reason=f"the engine at {self._address} is not on this machine",
                hint="use a local engine: unset DOCKER_HOST",
            )  # fmt: skip
        try:
            with docker_api.errors("ask for its version", self._address):
                client = docker_api.connect(self._address, docker_api.CHECK_TIMEOUT)
                try:
                    facts = client.info()
                finally:
                    client.close()
        except NoSuchObject:
            return EngineStatus(self.name, False, reason=f"{self._address} is no Docker engine")
        except EnvironmentFault as error:
            return EngineStatus(self.name, False, reason=error.message, hint=error.hint or "")
        return _judge(self.name, facts)

    def base_image_present(self) -> bool:
        """Whether a sandbox could be made without a registry: its base image is here."""
        try:
            return self._images().id_of(self.base_image) is not None
        except EnvironmentFault:
            return False

    def check_agent(self, agent: str, binary: Path | None, image: str | None) -> None:
        """See protocol.Engine."""
        bundles.check_agent(agent, binary)

    def prepare(self, spec: SandboxSpec, progress: Callable[[str], None]) -> None:
        """Build the image if this content has not been built yet."""
        self._image(spec, progress)

    def ready(self, spec: SandboxSpec, wait: float) -> None:
        """See protocol.Engine."""
        tag = self._image(spec, lambda _: None)
        try:
            with layout.making(spec.folders.spec):
                layout.make_orders(spec.folders.spec)
                self._start(self._create(spec, tag, wait), spec.name)
        except OSError as error:
            raise layout.disk_fault(spec.folders.spec, error) from error

    def ensure(self, spec: SandboxSpec) -> None:
        """See protocol.Engine."""
        known = self._find(spec.name) is not None
        ahead = known and layout.awaits_orders(spec.folders.spec)
        tag = "" if known and not ahead else self._image(spec, lambda _: None)
        try:
            with layout.making(spec.folders.spec):
                if ahead and self._goes_on(spec, tag):
                    return
                container = self._find(spec.name)
                if container is None:
                    self._write(spec, tag)
                    container = self._create(spec, tag)
                if container.status == "created":
                    self._start(container, spec.name)
        except OSError as error:
            raise layout.disk_fault(spec.folders.spec, error) from error

    def _goes_on(self, spec: SandboxSpec, tag: str) -> bool:
        """Give orders to the sandbox that was made ready, if it is what this one is to be."""
        container = self._find(spec.name)
        if (
            container is None
            or container.status != "running"
            or container.labels.get(f"{LABELS}shape") != _shape(spec, tag)
        ):
            self.remove(spec.name)
            layout.drop_orders(spec.folders.spec)
            return False
        self._write(spec, tag)
        layout.give_orders(spec.folders.spec)
        return True

    def follow(self, name: str) -> SandboxExit:
        """See protocol.Engine. Blocks in the engine's wait call."""
        try:
            with self._errors(f"wait for {name}"):
                # None: for ever. The connection is the engine's to close.
                waiting = docker_api.connect(self._address)
                try:
                    state: dict[str, Any] = {"Running": True}
                    # Somebody may have restarted it (L4): then it has not ended.
                    while state["Running"] or state.get("Restarting"):
                        waiting.api.wait(name, timeout=None)
                        state = cast("dict[str, Any]", waiting.api.inspect_container(name)["State"])
                finally:
                    waiting.close()
        except NoSuchObject:
            return SandboxExit(None, detail="the container is gone")
        return SandboxExit(
            code=int(state["ExitCode"]),
            out_of_memory=bool(state["OOMKilled"]),
            detail=str(state.get("Error") or ""),
        )

    def stop(self, name: str, grace: float) -> None:
        """See protocol.Engine."""
        with suppress(NoSuchObject), self._errors(f"stop {name}"):
            self._connection().containers.get(name).stop(timeout=math.ceil(grace))

    def remove(self, name: str) -> None:
        """See protocol.Engine."""
        with suppress(NoSuchObject), self._errors(f"remove {name}"):
            container = self._connection().containers.get(name)
            self._return_run_folder(container)
            try:
                container.remove(force=True, v=True)
            except docker_api.APIError as error:
                if "already in progress" not in str(error):
                    raise

    def remove_task(self, task_id: str) -> None:
        """See protocol.Engine."""
        for info in self.list():
            if info.task_id == task_id:
                self.remove(info.name)
        for kind in ("work", "home"):
            with suppress(NoSuchObject), self._errors(f"remove the task's {kind} volume"):
                self._connection().volumes.get(_volume(task_id, kind)).remove(force=True)

    def holds_work(self, task_id: str) -> bool:
        """See protocol.Engine."""
        try:
            with self._errors("look for the task's work volume"):
                self._connection().volumes.get(_volume(task_id, "work"))
        except NoSuchObject:
            return False
        return True

    def logs(self, name: str, tail: int) -> str:
        """See protocol.Engine."""
        if tail <= 0:
            return ""
        try:
            with self._errors(f"read the log of {name}"):
                data = self._connection().containers.get(name).logs(tail=tail)
        except NoSuchObject:
            return ""
        return cast("bytes", data).decode("utf-8", "replace").rstrip("\n")

    def list(self) -> Sequence[SandboxInfo]:
        """See protocol.Engine."""
        with self._errors("list the sandboxes"):
            found = self._connection().api.containers(
                all=True, filters={"label": f"{LABELS}home={self._home}"}
            )
        return [_info(facts) for facts in cast("list[dict[str, Any]]", found)]

    def exec(
        self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None
    ) -> ExecResult:
        """See protocol.Engine."""
        command = [runner_library.PYTHON, "-I", "-S", "-c", layout.AS_AGENT, *argv]
        try:
            with self._errors(f"run a command in {name}"):
                api = self._connection().api
                made = api.exec_create(
                    name, command, user="0:0", workdir=str(layout.WORKSPACE),
                    environment={"HOME": str(layout.HOME), **(env or {})},
                )  # fmt: skip
                out, err = api.exec_start(made["Id"], demux=True)
                code = api.exec_inspect(made["Id"])["ExitCode"]
        except NoSuchObject as error:
            raise EnvironmentFault(f"the sandbox {name} is gone", code="not_running") from error
        return ExecResult(int(code), out or b"", err or b"")

    # -- parts -------------------------------------------------------------------------------

    def _connection(self) -> Any:
        with self._connecting:
            if self._client is None:
                self._client = docker_api.connect(self._address)
            return self._client

    def _images(self) -> DockerImages:
        return DockerImages(self._connection(), self._address)

    def _errors(self, what: str) -> Any:
        return docker_api.errors(what, self._address)

    def _find(self, name: str) -> Any:
        try:
            with self._errors(f"look for {name}"):
                return self._connection().containers.get(name)
        except NoSuchObject:
            return None

    def _image(self, spec: SandboxSpec, progress: Callable[[str], None]) -> str:
        agents = bundles.obtain_bundles(spec.agents, spec.agent_binary, progress)
        with self._errors("connect"):
            client = self._connection()
        base = spec.image or self.base_image
        return self._builder.build(client, self._address, base, agents, progress)

    def _write(self, spec: SandboxSpec, tag: str) -> None:
        own = self._images().environment(tag)
        programs = bundles.search_path([a for a in spec.agents if bundles.has_program(a)])
        path = ":".join((*programs, own.get("PATH", DEFAULT_PATH)))
        socket = layout.GATEWAY / spec.folders.gateway_socket.name
        layout.write_spec(
            spec,
            paths=Paths(spec=layout.SPEC, run=layout.RUN),
            gateway=socket,
            isolation=SwitchUser(uid=layout.AGENT_UID, gid=layout.AGENT_GID),
            environment={**kept_environment(own), "PATH": path, "ROVER_PATH": path},
        )
        # Read by the agent's user, and the journal's folder not: whatever the umask here.
        spec.folders.run.chmod(0o700)
        spec.folders.spec.chmod(0o755)
        for file in spec.folders.spec.iterdir():
            file.chmod(0o644)

    def _create(self, spec: SandboxSpec, tag: str, wait: float | None = None) -> Any:
        labels = self._labels(spec, tag)
        for kind in ("work", "home"):
            with self._errors(f"make the task's {kind} volume"):
                kept = {
                    k: v
                    for k, v in labels.items()
                    if k not in (f"{LABELS}attempt", f"{LABELS}shape")
                }
                self._connection().volumes.create(_volume(spec.task_id, kind), labels=kept)
        runner = layout.runner_command(self._runner_argv, layout.SPEC, wait)
        try:
            with self._errors(f"create {spec.name}"):
                return self._connection().containers.create(
                    tag,
                    runner,
                    name=spec.name,
                    labels=labels,
                    mounts=_mounts(spec),
                    **container_options(spec),
                )
        except NoSuchObject as error:
            raise unavailable(tag, "it was removed just now") from error

    def _start(self, container: Any, name: str) -> None:
        try:
            with self._errors(f"start {name}"):
                container.start()
        except (NoSuchObject, EnvironmentFault) as error:
            if isinstance(error, EnvironmentFault) and error.code != "engine_unreachable":
                self.remove(name)
            if isinstance(error, NoSuchObject):
                raise EnvironmentFault(f"{name} was removed while it started") from error
            raise

    def _labels(self, spec: SandboxSpec, tag: str) -> dict[str, str]:
        return {
            f"{LABELS}home": self._home,
            f"{LABELS}task": spec.task_id,
            f"{LABELS}project": spec.project_id,
            f"{LABELS}attempt": str(spec.attempt),
            f"{LABELS}shape": _shape(spec, tag),
        }

    def _return_run_folder(self, container: Any) -> None:
        """Give what the runner wrote as root to the user that this daemon runs as, who could
        not remove it otherwise."""
        if os.geteuid() == 0:
            return
        source = next(
            m["Source"] for m in container.attrs["Mounts"] if m["Destination"] == "/rover/run"
        )
        owner = f"{os.geteuid()}:{os.getegid()}"
        self._connection().containers.run(
            container.attrs["Image"], ["chown", "-R", owner, "/rover/run"], remove=True,
            network_mode="none", user="0:0", mounts=[_bind(Path(source), layout.RUN, False)],
        )  # fmt: skip


def kept_environment(image: Mapping[str, str]) -> dict[str, str]:
    """What an image sets, for the agent and the commands, without what a sandbox sets itself."""
    return {k: v for k, v in image.items() if k not in _OUR_VARIABLES}


def container_options(spec: SandboxSpec) -> dict[str, Any]:
    """How a container is closed and bounded: DESIGN.md 9, as arguments of the SDK."""
    limits = spec.limits
    return {
        "network_mode": "none",
        "read_only": True,
        "cap_drop": ["ALL"],
        "cap_add": list(RUNNER_CAPABILITIES),
        "security_opt": ["no-new-privileges"],
        "user": "0:0",
        "init": True,
        "hostname": "rover",
        "ipc_mode": "private",
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
        "tmpfs": {"/tmp": f"rw,exec,nosuid,nodev,mode=1777,size={limits.tmp_bytes}"},  # noqa: S108
        "pids_limit": limits.pids,
        "mem_limit": limits.memory_bytes,
        "memswap_limit": limits.memory_bytes,
        "nano_cpus": int(limits.cpus * 1e9),
        "ulimits": [
            docker_api.types.Ulimit(name="core", soft=0, hard=0),
            docker_api.types.Ulimit(name="fsize", soft=limits.file_bytes, hard=limits.file_bytes),
        ],
        "restart_policy": {"Name": "no"},
        "log_config": docker_api.types.LogConfig(
            type="json-file", config={"max-size": "5m", "max-file": "2"}
        ),
    }


def _shape(spec: SandboxSpec, tag: str) -> str:
    """All that a container is made of and that cannot be changed any more; no name of a task."""
    folders = replace(spec.folders, **{f.name: Path() for f in fields(spec.folders)})
    options = container_options(replace(spec, name="", folders=folders))
    return hashlib.sha256(json.dumps([tag, options], sort_keys=True).encode()).hexdigest()[:16]


def _mounts(spec: SandboxSpec) -> list[Any]:
    folders = spec.folders
    volumes = [
        docker_api.types.Mount(str(target), _volume(spec.task_id, kind), type="volume")
        for kind, target in (("work", layout.WORKSPACE), ("home", layout.HOME))
    ]
    return [
        *volumes,
        _bind(folders.spec, layout.SPEC, True),
        _bind(folders.run, layout.RUN, False),
        _bind(folders.base_objects, layout.BASE_OBJECTS, True),
        _bind(folders.gateway_socket.parent, layout.GATEWAY, True),
    ]


def _bind(source: Path, target: Path, read_only: bool) -> Any:
    return docker_api.types.Mount(
        str(target), str(source.resolve()), type="bind", read_only=read_only
    )


def _volume(task_id: str, kind: str) -> str:
    return f"rover-{task_id[:12]}-{kind}"


def _judge(name: str, facts: Mapping[str, Any]) -> EngineStatus:
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
    return EngineStatus(name, True, version, limits_not_applied=(*lacking, *_NOT_APPLIED))


def _info(facts: Mapping[str, Any]) -> SandboxInfo:
    labels = cast("dict[str, str]", facts["Labels"])
    alive = facts["State"] in ALIVE
    return SandboxInfo(
        name=str(facts["Names"][0]).removeprefix("/"),
        task_id=labels.get(f"{LABELS}task", ""),
        attempt=int(labels.get(f"{LABELS}attempt", "0")),
        state=SandboxState.RUNNING if alive else SandboxState.EXITED,
        started_at=datetime.fromtimestamp(int(facts["Created"]), UTC),
    )
