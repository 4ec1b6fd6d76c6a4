"""The docker engine: one container per attempt, without a network, on a local Docker engine."""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from agent_runner.spec import Paths, Setup, SwitchUser
from rover_mcp.domain.cancellation import Stop
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.sandbox import (
    agent_programs,
    containers,
    docker_api,
    docker_home,
    docker_setup,
    layout,
    mount_policy,
    node_bundle,
    runner_library,
)
from rover_mcp.sandbox.docker_api import NoSuchObject
from rover_mcp.sandbox.docker_images import DockerImages, ImageUnavailable
from rover_mcp.sandbox.image import DEFAULT_IMAGE, DEFAULT_PATH, ImageBuilder, Wanted
from rover_mcp.sandbox.protocol import (
    IMAGE_FILE,
    EngineStatus,
    ExecResult,
    ImageInfo,
    SandboxExit,
    SandboxFolders,
    SandboxInfo,
    SandboxSpec,
)

log = logging.getLogger("rover.sandbox")

_OUR_VARIABLES = frozenset({"HOME", "USER", "LOGNAME", "TMPDIR", "TERM", "PATH"})


class DockerEngine:
    """See protocol.Engine. `address` defaults to DOCKER_HOST or the local socket.

    `runner_argv` replaces the runner, for tests; `{spec}` in it stands for the spec folder.
    """

    name = "docker"
    shares_disk = True
    warning = ""
    programs = None
    _builds_offline = True
    _variable = "DOCKER_HOST"

    def __init__(
        self,
        home: Path,
        *,
        base_image: str = DEFAULT_IMAGE,
        address: str | None = None,
        runner_argv: Sequence[str] | None = None,
    ) -> None:
        self._data = home
        self._home = layout.home_label(home)
        self.base_image = base_image
        self._address = address or docker_api.engine_address()
        self._runner_argv = tuple(runner_argv or (runner_library.PYTHON, *layout.RUNNER_ARGV))
        self._client: Any = None
        self._connecting = threading.Lock()
        self._cache = home / "cache"
        self._builder = ImageBuilder(home)

    def check(self) -> EngineStatus:
        """Ask the engine for its version; refuse one that cannot mount our folders."""
        if not self._address.startswith("unix://"):
            return EngineStatus(
                self.name, False, reason=f"the engine at {self._address} is not on this machine",
                hint="use a local engine: unset " + self._variable,
            )  # fmt: skip
        try:
            with docker_api.errors("ask for its version", self._address):
                self._reach()
                client = docker_api.connect(self._address, docker_api.CHECK_TIMEOUT)
                try:
                    facts = self._ask(client)
                finally:
                    client.close()
        except NoSuchObject:
            return EngineStatus(
                self.name, False, reason=f"{self._address} is no {self.name} engine"
            )
        except EnvironmentFault as error:
            return EngineStatus(self.name, False, reason=error.message, hint=error.hint or "")
        return self._judge(facts)

    def base_image_present(self) -> bool:
        """Whether a sandbox could be made without a registry: its base image is here."""
        try:
            return self._images().id_of(self.base_image) is not None
        except EnvironmentFault:
            return False

    def check_agent(self, agent: str, binary: Path | None, image: str | None) -> None:
        """See protocol.Engine."""
        agent_programs.check_agent(agent, binary)

    def prepare(
        self, spec: SandboxSpec, progress: Callable[[str], None], stop: Stop | None = None
    ) -> None:
        """Build the image if this content has not been built yet."""
        self._image(spec, progress, stop)

    def image_for(self, spec: SandboxSpec) -> str:
        """The tag of the image that a sandbox would be made from now; built where it is missing."""
        return self._image(spec, lambda _: None)

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
                    self._start(self._filled(container, spec), spec.name)
        except OSError as error:
            raise layout.disk_fault(spec.folders.spec, error) from error

    def _goes_on(self, spec: SandboxSpec, tag: str) -> bool:
        """Give orders to the sandbox that was made ready, if it is what this one is to be."""
        container = self._find(spec.name)
        if (
            container is None
            or container.status != "running"
            or container.labels.get(f"{containers.LABELS}shape")
            != containers.shape(self._options(spec), tag)
        ):
            self.remove(spec.name)
            layout.drop_orders(spec.folders.spec)
            return False
        if not self._fill(container, spec):
            self._empty(spec)
            layout.drop_orders(spec.folders.spec)
            return False
        self._write(spec, tag)
        layout.give_orders(spec.folders.spec)
        return True

    def follow(self, name: str) -> SandboxExit:
        """See protocol.Engine. Blocks in the engine's wait call."""
        try:
            with self._errors(f"wait for {name}"):
                self._reach()
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
            self._remove_volumes(containers.names_of_image_volumes(name, container.attrs))

    def remove_task(self, task_id: str) -> None:
        """See protocol.Engine."""
        for info in self.list():
            if info.task_id == task_id:
                self.remove(info.name)
        with suppress(NoSuchObject), self._errors("remove the task's set-up"):
            self._connection().containers.get(self._set_up_name(task_id)).remove(force=True, v=True)
        with self._errors("list the task's volumes"):
            found = self._connection().volumes.list(
                filters={"label": f"{containers.LABELS}task={task_id}"}
            )
        self._remove_volumes([str(volume.name) for volume in found])

    def drop_work(self, task_id: str) -> None:
        """See protocol.Engine."""
        self._remove_volumes([containers.volume(task_id, "work")])

    def holds_work(self, task_id: str) -> bool:
        """See protocol.Engine."""
        try:
            with self._errors("look for the task's work volume"):
                self._connection().volumes.get(containers.volume(task_id, "work"))
        except NoSuchObject:
            return False
        return True

    def logs(self, name: str, tail: int) -> str:
        """See protocol.Engine."""
        if tail <= 0:
            return ""
        try:
            with self._errors(f"read the log of {name}"):
                data = self._read_log(self._connection().containers.get(name), tail)
        except NoSuchObject:
            return ""
        return data.decode("utf-8", "replace").rstrip("\n")

    def list(self) -> Sequence[SandboxInfo]:
        """See protocol.Engine."""
        with self._errors("list the sandboxes"):
            found = self._connection().api.containers(
                all=True, filters={"label": f"{containers.LABELS}home={self._home}"}
            )
        return [containers.info(facts) for facts in cast("list[dict[str, Any]]", found)]

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
        if code is None:
            raise EnvironmentFault(f"the sandbox {name} ended meanwhile", code="not_running")
        return ExecResult(int(code), out or b"", err or b"")

    def home_archive(
        self, name: str, folder: str
    ) -> AbstractContextManager[Iterator[bytes] | None]:
        """See protocol.KeepsHomes."""
        return docker_home.archive(self._address, name, folder)

    def images(self) -> Sequence[ImageInfo]:
        """See protocol.ImageKeeper."""
        with self._errors("connect"):
            return self._images().made()

    def build_image(
        self, spec: SandboxSpec, progress: Callable[[str], None], stop: Stop
    ) -> tuple[str, str]:
        """See protocol.ImageKeeper."""
        self._builder.ask_again()
        tag = self._image(spec, progress, stop)
        return tag, self._images().id_of(tag) or ""

    def remove_image(self, tag: str) -> bool:
        """See protocol.ImageKeeper."""
        return self._images().remove(tag)

    # -- parts -------------------------------------------------------------------------------

    # What an engine with the same API does otherwise:
    def _reach(self) -> None:
        """Have the engine answer, where that is ours to do."""

    def _ask(self, client: Any) -> Mapping[str, Any]:
        """What the engine says of itself."""
        return cast("Mapping[str, Any]", client.info())

    def _judge(self, facts: Mapping[str, Any]) -> EngineStatus:
        return containers.judge(self.name, facts)

    def _options(self, spec: SandboxSpec) -> dict[str, Any]:
        return containers.container_options(spec)

    def _command(self, runner: Sequence[str]) -> list[str]:
        return list(runner)

    def _read_log(self, container: Any, tail: int) -> bytes:
        return cast("bytes", container.logs(tail=tail))

    def _rootless(self) -> bool:
        """Whether root inside is this user outside."""
        with self._errors("ask how it runs"):
            return "name=rootless" in (self._connection().info().get("SecurityOptions") or ())

    def _connection(self) -> Any:
        with self._connecting:
            self._reach()
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

    def _image(
        self, spec: SandboxSpec, progress: Callable[[str], None], stop: Stop | None = None
    ) -> str:
        stop = stop or Stop()
        agents = agent_programs.obtain_bundles(spec.agents, spec.agent_binary, progress)
        with self._errors("connect"):
            client = self._connection()
        setup, dockerfile = spec.run.setup, spec.project.build
        if dockerfile and dockerfile.offline and not self._builds_offline:
            raise EnvironmentFault(
                f"{self.name} gives the RUN lines of {dockerfile.dockerfile} this machine's "
                "network, and the network policy of the task allows none",
                hint="base_image in config.yaml; or engine: docker, or network: allowlist, which "
                "the user's config.yaml has to allow",
                code="image_unavailable",
            )

        def set_up(image: str, tag: str) -> None:
            folder = self._cache / f"setup-{spec.task_id[:12]}"
            with docker_setup.specification(spec, folder) as inner:
                self._refuse_exposure(inner.folders)
                self._write(inner, image, setup)
                name = self._set_up_name(spec.task_id)
                how = docker_setup.Container(name, self._options(inner), self._command)
                made = docker_setup.Images(image, tag)
                docker_setup.run(self._address, inner, made, how, progress, stop)

        wanted = Wanted(
            base=spec.image or self.base_image,
            agents=agents,
            project=spec.project,
            setup_key=setup.key if setup else None,
            set_up=set_up if setup else None,
        )
        return self._builder.build(client, self._address, wanted, progress, stop)

    def _set_up_name(self, task_id: str) -> str:
        return f"rover-setup-{self._home}-{task_id[:12]}"

    def _write(self, spec: SandboxSpec, tag: str, setup: Setup | None = None) -> None:
        # In the image of a task it has been run.
        seed = docker_setup.SEED if spec.run.setup else None
        spec = replace(spec, run=spec.run.model_copy(update={"setup": setup}))
        own = self._images().environment(tag)
        programs = agent_programs.search_path(agent_programs.programs(spec.agents))
        path = ":".join((*programs, own.get("PATH", DEFAULT_PATH), node_bundle.BIN))
        socket = layout.GATEWAY / spec.folders.gateway_socket.name
        layout.write_spec(
            spec,
            paths=Paths(spec=layout.SPEC, run=layout.RUN, seed=seed),
            gateway=socket,
            isolation=SwitchUser(uid=layout.AGENT_UID, gid=layout.AGENT_GID),
            environment={**kept_environment(own), "PATH": path, "ROVER_PATH": path},
        )
        (spec.folders.spec / IMAGE_FILE).write_text(tag, "utf-8")
        # Read by the agent's user, and the journal's folder not: whatever the umask here.
        spec.folders.run.chmod(0o700)
        spec.folders.spec.chmod(0o755)
        for path in spec.folders.spec.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)

    def _create(self, spec: SandboxSpec, tag: str, wait: float | None = None) -> Any:
        self._refuse_exposure(spec.folders)
        labels = self._labels(spec, tag)
        image = containers.image_volumes(spec.name, self._images().config(tag))
        names = [containers.volume(spec.task_id, kind) for kind in ("work", "home")]
        for volume in [*names, *(str(mount["Source"]) for mount in image)]:
            with self._errors(f"make the volume {volume}"):
                kept = {k: v for k, v in labels.items() if not k.endswith(("attempt", "shape"))}
                self._connection().volumes.create(volume, labels=kept)
        runner = layout.runner_command(self._runner_argv, layout.SPEC, wait)
        try:
            with self._errors(f"create {spec.name}"):
                return self._connection().containers.create(
                    tag,
                    self._command(runner),
                    name=spec.name,
                    labels=labels,
                    mounts=[*containers.mounts(spec), *image],
                    **self._options(spec),
                )
        except NoSuchObject as error:
            raise ImageUnavailable(tag, "it was removed just now") from error

    def _filled(self, container: Any, spec: SandboxSpec) -> Any:
        """The container, or another in its place whose HOME is empty."""
        if self._fill(container, spec):
            return container
        self._empty(spec)
        return self._create(spec, self._image(spec, lambda _: None))

    def _fill(self, container: Any, spec: SandboxSpec) -> bool:
        """Put into the HOME what it begins with. False: it holds a part of it."""
        if spec.home_seed is None:
            return True
        try:
            docker_home.fill(container, spec.home_seed, self._address)
        except (EnvironmentFault, NoSuchObject) as error:
            log.warning("%s begins with an empty HOME: %s", spec.name, error)
            return False
        return True

    def _empty(self, spec: SandboxSpec) -> None:
        self.remove(spec.name)
        self._remove_volumes([containers.volume(spec.task_id, "home")])

    def _refuse_exposure(self, folders: SandboxFolders) -> None:
        mount_policy.refuse_exposure(self._data, folders.mounted(), folders.mounted())

    def _remove_volumes(self, names: Sequence[str]) -> None:
        for name in names:
            with suppress(NoSuchObject), self._errors(f"remove the volume {name}"):
                self._connection().volumes.get(name).remove(force=True)

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
            f"{containers.LABELS}home": self._home,
            f"{containers.LABELS}task": spec.task_id,
            f"{containers.LABELS}project": spec.project_id,
            f"{containers.LABELS}attempt": str(spec.attempt),
            f"{containers.LABELS}shape": containers.shape(self._options(spec), tag),
        }

    def _return_run_folder(self, container: Any) -> None:
        """Give what the runner wrote as root to the user that this daemon runs as, who could
        not remove it otherwise."""
        if os.geteuid() == 0 or self._rootless():
            return
        source = next(
            m["Source"] for m in container.attrs["Mounts"] if m["Destination"] == "/rover/run"
        )
        owner = f"{os.geteuid()}:{os.getegid()}"
        self._connection().containers.run(
            container.attrs["Image"], ["chown", "-R", owner, "/rover/run"], remove=True,
            network_mode="none", user="0:0",
            mounts=[containers.bind(Path(source), layout.RUN, False)],
        )  # fmt: skip


def kept_environment(image: Mapping[str, str]) -> dict[str, str]:
    """What an image sets, for the agent and the commands, without what a sandbox sets itself."""
    return {k: v for k, v in image.items() if k not in _OUR_VARIABLES}
