"""The image that a task of a project would be made from now, built without a task."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
from rover_mcp.tasks.create import CreateRequest, CreateTask
from rover_mcp.tasks.images import BuildRequest


class SetupGateway(Protocol):
    """The gateway, for a setup that belongs to no task."""

    def open_for_setup(self, task: NewTask, socket: Path, environment: Mapping[str, str]) -> None:
        """Serve a socket with the project's network policy and no provider at all."""
        ...

    def close_setup(self, task_id: str) -> list[str]:
        """End it; what it was refused, a line each."""
        ...


class Markers(Protocol):
    """warm_pool.WarmPool, as far as it keeps what belongs to no task from staying for ever."""

    def mark(self, task_id: str, engine: str) -> None: ...

    def discard(self, task_id: str) -> None: ...


@dataclass
class ImageBuilds:
    """`keepers` are the engines that keep images, by name."""

    settings: Settings
    create: CreateTask
    keepers: Mapping[str, ImageKeeper]
    hub_of: HubOf
    door: SetupGateway
    markers: Markers

    def __call__(
        self,
        caller: Caller,
        request: BuildRequest,
        progress: Callable[[str], None],
        stop: CancelToken,
    ) -> dict[str, Any]:
        """Build it, with the project's setup; what came out.

        Raises:
            UserFixable: no task could be made here, or the engine has no images.
            EnvironmentFault: what failed, as for a task.
            Stopped: `stop` was asked for.
        """
        begun = time.monotonic()
        options = TaskOptions(engine=request.engine)
        image_request = CreateRequest("Build the image", request.repo_path, options)
        plan = self.create.plan(caller, image_request)
        new = plan.new
        keeper = self._keeper(new.engine)
        warnings: list[str] = []

        def tell(line: str) -> None:
            stop.check()
            if isinstance(line, Shortcoming):
                warnings.append(str(line))
            progress(line)

        folders = TaskFolders(self.settings.home, new.id, 1)
        known = {image.tag for image in keeper.images()}
        self.markers.mark(new.id, new.engine)
        try:
            spec, notes = self._specify(new, request, folders, plan.entry.data, tell, stop)
            warnings += notes
            self.door.open_for_setup(new, folders.gateway_socket, caller.env)
            tag, digest = keeper.build_image(spec, tell, stop)
        finally:
            refused = self.door.close_setup(new.id)
            self.markers.discard(new.id)
            for line in refused:
                progress(line)
        warnings += refused
        size = next((i.bytes for i in keeper.images() if i.tag == tag), 0)
        return {
            "engine": new.engine,
            "tag": tag,
            "digest": digest,
            "bytes": size,
            "cached": tag in known,
            "seconds": round(time.monotonic() - begun, 1),
            "warnings": list(dict.fromkeys(warnings)),
        }

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
        folders: TaskFolders,
        workflow: bytes,
        tell: Callable[[str], None],
        stop: CancelToken,
    ) -> tuple[SandboxSpec, list[str]]:
        config = new.config or TaskConfig()
        if request.image is not None:
            config = config.model_copy(update={"image": request.image})
        task = _as_row(new, config)
        hub = self.hub_of(new.project_id)
        folders.input.mkdir(parents=True)
        (folders.input / "workflow.yaml").write_bytes(workflow)
        make_folders(folders, 1)
        repository = Path(task.project_path)
        hub.lend(repository, task.base_commit, folders.base_objects, tell, stop)
        spec = sandbox_spec(self.settings, task, 1, Checkpoint())
        tree = hub.tree(new.base_commit)
        return project_setup(self.settings, task, spec, tree)


def _as_row(new: NewTask, config: TaskConfig) -> TaskRow:
    """The first task's record, which no store ever sees."""
    facts: dict[str, Any] = {**vars(new), "config": config}
    return TaskRow(
        **facts, number=1, branch="rover/1-image", status=TaskStatus.NEW, iteration=1, attempt=1,
        auto_retries=0, created_at=0, updated_at=0, started_at=None, paused_at=None, ended_at=None,
        pause=None, retry_at=None, error=None, run_state=None,
    )  # fmt: skip
