"""Building the image that a new task of a project would use, without creating the task."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from rover_mcp.config.settings import Settings
from rover_mcp.config.task_config import TaskConfig
from rover_mcp.config.task_options import TaskOptions
from rover_mcp.control.checkpoint import Checkpoint
from rover_mcp.control.control_ports import HubOf
from rover_mcp.control.repository_setup import project_setup
from rover_mcp.control.sandbox_spec import make_folders, sandbox_spec
from rover_mcp.domain.cancellation import CancelToken
from rover_mcp.domain.errors import UserFixable
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.sandbox.protocol import ImageKeeper, SandboxSpec, Shortcoming
from rover_mcp.store.records import NewTask, TaskRow
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.create import CheckedTask, CreateRequest, CreateTask
from rover_mcp.tasks.images import BuildRequest


class SetupGateway(Protocol):
    """The gateway, for a setup without a task."""

    def open_for_setup(self, task: NewTask, socket: Path, environment: Mapping[str, str]) -> None:
        """Serve a socket with the project's network policy, and no provider."""
        ...

    def close_setup(self, task_id: str) -> list[str]:
        """Close the socket; the refused requests, a line each."""
        ...


class Markers(Protocol):
    """The part of warm_pool.WarmPool that removes folders and sandboxes which belong to no task."""

    def mark(self, task_id: str, engine: str) -> None: ...

    def discard(self, task_id: str) -> None: ...


@dataclass
class _BuildReport:
    """Takes the lines of a build: passes them on, and keeps those that are warnings."""

    progress: Callable[[str], None]
    stop: CancelToken
    warnings: list[str] = field(default_factory=list[str])

    def __call__(self, line: str) -> None:
        self.stop.check()
        if isinstance(line, Shortcoming):
            self.warnings.append(str(line))
        self.progress(line)


@dataclass
class ImageBuilds:
    """`keepers` are the engines that keep images, by name."""

    settings: Settings
    create: CreateTask
    keepers: Mapping[str, ImageKeeper]
    hub_of: HubOf
    gateway: SetupGateway
    markers: Markers

    def __call__(
        self,
        caller: Caller,
        request: BuildRequest,
        progress: Callable[[str], None],
        stop: CancelToken,
    ) -> dict[str, Any]:
        """Build the image, with the project's setup, and return facts about it.

        Raises:
            UserFixable: no task could be created here, or the engine has no images.
            EnvironmentFault: the build failed.
            Stopped: `stop` was cancelled.
        """
        begun = time.monotonic()
        options = TaskOptions(engine=request.engine)
        plan = self.create.plan(
            caller, CreateRequest("Build the image", request.repo_path, options)
        )
        keeper = self._keeper(plan.new.engine)
        # Before the build, to say afterwards whether the image existed already.
        known = {image.tag for image in keeper.images()}
        report = _BuildReport(progress, stop)
        tag, digest = self._build(caller, request, plan, keeper, report)
        return {
            "engine": plan.new.engine,
            **_image_facts(keeper, tag, digest),
            "cached": tag in known,
            "seconds": round(time.monotonic() - begun, 1),
            "warnings": list(dict.fromkeys(report.warnings)),
        }

    def _build(
        self,
        caller: Caller,
        request: BuildRequest,
        plan: CheckedTask,
        keeper: ImageKeeper,
        report: _BuildReport,
    ) -> tuple[str, str]:
        """Build with the folders and the gateway's socket of a task that is never stored; the
        image's tag and digest."""
        new = plan.new
        self.markers.mark(new.id, new.engine)
        try:
            spec, notes = self._specify(new, request, plan.entry.data, report)
            report.warnings += notes
            # A setup fetches packages, so it has the project's network, and no provider: a build
            # must not spend money.
            socket = TaskFolders(self.settings.home, new.id, 1).gateway_socket
            self.gateway.open_for_setup(new, socket, caller.env)
            return keeper.build_image(spec, report, report.stop)
        finally:
            # Reported after a failure, too: a refused request is often what made the build fail.
            refused = self.gateway.close_setup(new.id)
            self.markers.discard(new.id)
            for line in refused:
                report.progress(line)
            report.warnings += refused

    def _keeper(self, engine: str) -> ImageKeeper:
        keeper = self.keepers.get(engine)
        if keeper is None:
            raise UserFixable(
                f"the engine {engine} has no images: its sandboxes see this machine's programs",
                code="no_images",
                hint=f"name one that has: --engine {' or '.join(sorted(self.keepers))}",
            )
        return keeper

    def _specify(
        self,
        new: NewTask,
        request: BuildRequest,
        workflow: bytes,
        report: _BuildReport,
    ) -> tuple[SandboxSpec, list[str]]:
        config = new.config or TaskConfig()
        if request.image is not None:
            config = config.model_copy(update={"image": request.image})
        task = _as_row(new, config)
        folders = TaskFolders(self.settings.home, new.id, 1)
        hub = self.hub_of(new.project_id)
        folders.input.mkdir(parents=True)
        (folders.input / "workflow.yaml").write_bytes(workflow)
        make_folders(folders, 1)
        repository = Path(task.project_path)
        hub.lend(repository, task.base_commit, folders.base_objects, report, report.stop)
        spec = sandbox_spec(self.settings, task, 1, Checkpoint())
        tree = hub.tree(new.base_commit)
        return project_setup(self.settings, task, spec, tree)


def _image_facts(keeper: ImageKeeper, tag: str, digest: str) -> dict[str, Any]:
    size = next((image.bytes for image in keeper.images() if image.tag == tag), 0)
    return {"tag": tag, "digest": digest, "bytes": size}


def _as_row(new: NewTask, config: TaskConfig) -> TaskRow:
    """A task's record for the specification, which is never stored."""
    facts: dict[str, Any] = {**vars(new), "config": config}
    return TaskRow(
        **facts, number=1, branch="rover/1-image", status=TaskStatus.NEW, iteration=1, attempt=1,
        auto_retries=0, created_at=0, updated_at=0, started_at=None, paused_at=None, ended_at=None,
        pause=None, retry_at=None, error=None, run_state=None,
    )  # fmt: skip
