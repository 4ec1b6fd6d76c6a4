"""Runs each attempt in a container of its own, without a network, on a local Docker engine."""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, suppress
from pathlib import Path
from typing import Any, cast

from agent_runner.spec import Setup
from rover_mcp.domain.cancellation import CancelToken
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.sandbox import (
    agent_programs,
    containers,
    docker_api,
    docker_calls,
    docker_home,
    docker_setup,
    docker_spec,
    layout,
    mount_policy,
    runner_library,
)
from rover_mcp.sandbox.docker_api import NoSuchObject
from rover_mcp.sandbox.docker_calls import Volumes
from rover_mcp.sandbox.docker_images import DockerImages, ImageUnavailable, cannot_build_offline
from rover_mcp.sandbox.image import DEFAULT_IMAGE, ImageBuilder, ImageRequest
from rover_mcp.sandbox.protocol import (
    EngineStatus,
    ExecResult,
    ImageInfo,
    SandboxExit,
    SandboxFolders,
    SandboxInfo,
    SandboxSpec,
)

log = logging.getLogger("rover.sandbox")


class DockerEngine:
    """Runs sandboxes on a Docker engine: see protocol.Engine.

    `address` defaults to DOCKER_HOST or the local socket.

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
        """Ask the engine for its version; refuse one that cannot mount the task's folders."""
        # Bind mounts name folders of the engine's machine, where the data folder is not.
        if not self._address.startswith("unix://"):
            return EngineStatus(
                self.name, False, reason=f"the engine at {self._address} is not on this machine",
                hint="use a local engine: unset " + self._variable,
            )  # fmt: skip
        try:
            with docker_api.errors("ask for its version", self._address):
                self._reach()
                with closing(docker_api.connect(self._address, docker_api.CHECK_TIMEOUT)) as client:
                    facts = self._ask(client)
        except NoSuchObject:
            return EngineStatus(
                self.name, False, reason=f"{self._address} is not a {self.name} engine"
            )
        except EnvironmentFault as error:
            return EngineStatus(self.name, False, reason=error.message, hint=error.hint or "")
        return self._judge(facts)

    def base_image_present(self) -> bool:
        """Whether a sandbox could be made without a registry."""
        try:
            return self._images().id_of(self.base_image) is not None
        except EnvironmentFault:
            return False

    def check_agent(self, agent: str, binary: Path | None, image: str | None) -> None:
        """See protocol.Engine."""
        agent_programs.check_agent(agent, binary)

    def prepare(
        self, spec: SandboxSpec, progress: Callable[[str], None], stop: CancelToken | None = None
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
            with layout.sandbox_lock(spec.folders.spec):
                layout.prepare_late_spec(spec.folders.spec)
                self._start(self._create(spec, tag, wait), spec.name)
        except OSError as error:
            raise layout.disk_fault(spec.folders.spec, error) from error

    def ensure(self, spec: SandboxSpec) -> None:
        """See protocol.Engine."""
        known = self._find(spec.name) is not None
        ahead = known and layout.awaits_spec(spec.folders.spec)
        # Before the lock: a build may take minutes, and the lock is for starting alone.
        tag = "" if known and not ahead else self._image(spec, lambda _: None)
        try:
            with layout.sandbox_lock(spec.folders.spec):
                if ahead and self._deliver_spec(spec, tag):
                    return
                container = self._find(spec.name)
                if container is None:
                    self._write(spec, tag)
                    container = self._create(spec, tag)
                if container.status == "created":
                    self._start(self._filled(container, spec), spec.name)
        except OSError as error:
            raise layout.disk_fault(spec.folders.spec, error) from error

    def _deliver_spec(self, spec: SandboxSpec, tag: str) -> bool:
        """Give its spec to the sandbox that was made ready, if that is made as this one is to
        be."""
        container = self._find(spec.name)
        if (
            container is None
            or container.status != "running"
            or container.labels.get(f"{containers.LABELS}shape")
            != containers.shape(self._options(spec), tag)
        ):
            self.remove(spec.name)
            layout.drop_late_spec(spec.folders.spec)
            return False
        if not docker_home.begin(container, spec, self._address):
            self._empty(spec)
            layout.drop_late_spec(spec.folders.spec)
            return False
        self._write(spec, tag)
        layout.deliver_spec(spec.folders.spec)
        return True

    def follow(self, name: str) -> SandboxExit:
        """See protocol.Engine. Blocks in the wait call of the engine."""
        with self._errors(f"wait for {name}"):
            self._reach()
        return docker_calls.wait_until_ended(self._address, name)

    def stop(self, name: str, grace: float) -> None:
        """See protocol.Engine."""
        with suppress(NoSuchObject), self._errors(f"stop {name}"):
            self._connection().containers.get(name).stop(timeout=math.ceil(grace))

    def remove(self, name: str) -> None:
        """See protocol.Engine."""
        with suppress(NoSuchObject), self._errors(f"remove {name}"):
            container = self._connection().containers.get(name)
            # With root's engine, root inside is root outside, and owns what the runner wrote.
            if os.geteuid() != 0 and not self._rootless():
                docker_calls.take_run_folder(self._connection(), container)
            docker_calls.remove_container(container)
            self._volumes().remove(containers.names_of_image_volumes(name, container.attrs))

    def remove_task(self, task_id: str) -> None:
        """See protocol.Engine."""
        for info in self.list():
            if info.task_id == task_id:
                self.remove(info.name)
        name = containers.setup_name(self._home, task_id)
        with suppress(NoSuchObject), self._errors("remove the task's setup"):
            self._connection().containers.get(name).remove(force=True, v=True)
        volumes = self._volumes()
        volumes.remove(volumes.of_task(task_id))

    def drop_work(self, task_id: str) -> None:
        """See protocol.Engine."""
        self._volumes().remove([containers.volume(task_id, "work")])

    def holds_work(self, task_id: str) -> bool:
        """See protocol.Engine."""
        return self._volumes().exists(containers.volume(task_id, "work"))

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
            containers_facts = self._connection().api.containers(
                all=True, filters={"label": f"{containers.LABELS}home={self._home}"}
            )
        return [containers.info(facts) for facts in cast("list[dict[str, Any]]", containers_facts)]

    def exec(
        self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None
    ) -> ExecResult:
        """See protocol.Engine."""
        return docker_calls.run_as_agent(self._connection, self._address, name, argv, env or {})

    def disk_folders(self) -> Sequence[Path]:
        """See protocol.OwnDisk."""
        with suppress(NoSuchObject), self._errors("ask where it keeps its data"):
            return containers.data_folders(self._ask(self._connection()))
        return ()

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
        self, spec: SandboxSpec, progress: Callable[[str], None], stop: CancelToken
    ) -> tuple[str, str]:
        """See protocol.ImageKeeper."""
        self._builder.ask_again()
        tag = self._image(spec, progress, stop)
        return tag, self._images().id_of(tag) or ""

    def remove_image(self, tag: str) -> bool:
        """See protocol.ImageKeeper."""
        return self._images().remove(tag)

    # -- what another engine with the same API overrides ---------------------------------------

    def _reach(self) -> None:
        """Start the engine's service, for an engine where that is Rover's job."""

    def _ask(self, client: Any) -> Mapping[str, Any]:
        """Return what the engine says of itself."""
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
        """Whether the engine runs as this user, so that root inside is this user outside."""
        with self._errors("ask how it runs"):
            return "name=rootless" in (self._connection().info().get("SecurityOptions") or ())

    def _connection(self) -> Any:
        # The SDK's client is one connection pool, and threads that connect at once would each make
        # one that is never closed.
        with self._connecting:
            self._reach()
            if self._client is None:
                self._client = docker_api.connect(self._address)
            return self._client

    def _volumes(self) -> Volumes:
        return Volumes(self._connection, self._address)

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
        self, spec: SandboxSpec, progress: Callable[[str], None], stop: CancelToken | None = None
    ) -> str:
        stop = stop or CancelToken()
        agents = agent_programs.obtain_bundles(spec.agents, spec.agent_binary, progress)
        with self._errors("connect"):
            client = self._connection()
        setup, dockerfile = spec.run.setup, spec.project.build
        if dockerfile and dockerfile.offline and not self._builds_offline:
            raise cannot_build_offline(self.name, dockerfile.dockerfile)

        def set_up(image: str, tag: str) -> None:
            folder = self._cache / f"setup-{spec.task_id[:12]}"
            with docker_setup.specification(spec, folder) as inner:
                self._refuse_exposure(inner.folders)
                self._write(inner, image, setup)
                name = containers.setup_name(self._home, spec.task_id)
                how = docker_setup.Container(name, self._options(inner), self._command)
                images = docker_setup.SetupImages(image, tag)
                docker_setup.run(self._address, inner, images, how, progress, stop)

        wanted = ImageRequest(
            base=spec.image or self.base_image,
            agents=agents,
            project=spec.project,
            setup_key=setup.key if setup else None,
            set_up=set_up if setup else None,
        )
        return self._builder.build(client, self._address, wanted, progress, stop)

    def _write(self, spec: SandboxSpec, tag: str, setup: Setup | None = None) -> None:
        docker_spec.write(spec, self._images().environment(tag), tag, setup)

    def _create(self, spec: SandboxSpec, tag: str, wait: float | None = None) -> Any:
        self._refuse_exposure(spec.folders)
        labels = containers.labels(self._home, spec, containers.shape(self._options(spec), tag))
        image = containers.image_volumes(spec.name, self._images().config(tag))
        names = [containers.volume(spec.task_id, kind) for kind in ("work", "home")]
        # Volumes outlive attempts, so their labels must not name one.
        kept = {k: v for k, v in labels.items() if not k.endswith(("attempt", "shape"))}
        self._volumes().create([*names, *(str(mount["Source"]) for mount in image)], kept)
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
        """Fill the HOME of a new container; return it, or another in its place with an empty HOME.

        A HOME that holds only a part of an agent's session would make the agent resume a broken
        conversation, so that an empty one is better.
        """
        if docker_home.begin(container, spec, self._address):
            return container
        self._empty(spec)
        return self._create(spec, self._image(spec, lambda _: None))

    def _empty(self, spec: SandboxSpec) -> None:
        self.remove(spec.name)
        self._volumes().remove([containers.volume(spec.task_id, "home")])

    def _refuse_exposure(self, folders: SandboxFolders) -> None:
        mount_policy.refuse_exposure(self._data, folders.mounted(), folders.mounted())

    def _start(self, container: Any, name: str) -> None:
        try:
            with self._errors(f"start {name}"):
                container.start()
        except (NoSuchObject, EnvironmentFault) as error:
            # If only the answer was lost, the container may well be running.
            if isinstance(error, EnvironmentFault) and error.code != "engine_unreachable":
                self.remove(name)
            if isinstance(error, NoSuchObject):
                raise EnvironmentFault(f"{name} was removed while it started") from error
            raise
