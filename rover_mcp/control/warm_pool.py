"""Sandboxes that are started before their task is created, so that it begins at once.

After a task of a project has begun, a sandbox for the next one is prepared: its id is drawn, its
folders are created, and its container or runner starts and waits with everything imported. The next
task of that project and engine gets this id. At most `spare_sandboxes` wait at a time, each for
`spare_seconds`. They belong to this daemon; the next one removes those that it finds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from rover_mcp.config.settings import Settings
from rover_mcp.control.sandbox_spec import make_folders
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.domain.ids import new_task_id, sandbox_name
from rover_mcp.domain.paths import TaskFolders, warm_sandbox_markers
from rover_mcp.sandbox.attempt_folder import remove_tree
from rover_mcp.sandbox.protocol import Engine, SandboxFolders, SandboxSpec
from rover_mcp.store.damaged_records import DamagedRecord
from rover_mcp.store.store import Store

MARGIN_SECONDS = 60.0
"""How much longer a runner waits than its sandbox is kept, so that one that is taken still
waits."""

log = logging.getLogger("rover.warm_pool")


@dataclass(frozen=True)
class _WarmSandbox:
    task_id: str
    project_id: str
    engine: str
    until: float


@dataclass
class WarmPool:
    """The warm sandboxes of one daemon. Each has a marker, the file `spares/<task id>` with its
    engine's name, until its task is in the store. By it the next daemon finds what this one
    left."""

    settings: Settings
    store: Store
    engines: Mapping[str, Engine]
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _waiting: list[_WarmSandbox] = field(default_factory=list[_WarmSandbox])
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _left: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        # Listed before this daemon creates any: `recover` runs later, when clients are served
        # already.
        self._left = tuple(marker.name for marker in self._markers())

    def take(self, project_id: str, engine: str) -> str | None:
        """The id of a task whose sandbox is ready, or None. The caller creates that task, or calls
        `discard`."""
        with self._lock:
            for spare in self._waiting:
                wanted = (spare.project_id, spare.engine) == (project_id, engine)
                if wanted and spare.until > self.now():
                    self._waiting.remove(spare)
                    return spare.task_id
        return None

    def used(self, task_id: str) -> None:
        """Remove the marker of a sandbox whose task is in the store: it belongs to an attempt
        now."""
        self._marker(task_id).unlink(missing_ok=True)

    def follow(self, after: SandboxSpec, engine: str) -> None:
        """Prepare a sandbox for the next task, some time after a task has begun: not at once,
        because that would slow down its own start."""
        if self.settings.spare_sandboxes == 0:
            return

        def work() -> None:
            self.sleep(self.settings.spare_delay)
            self.make(after, engine)

        threading.Thread(target=work, daemon=True).start()

    def make(self, after: SandboxSpec, engine: str) -> None:
        """Prepare a sandbox for the task after `after`. It replaces the oldest one if there are
        enough. A failure is only logged: the next task then starts its own sandbox."""
        with self._lock:
            if any((s.project_id, s.engine) == (after.project_id, engine) for s in self._waiting):
                return
        spare = _WarmSandbox(
            new_task_id(), after.project_id, engine, self.now() + self.settings.spare_seconds
        )
        try:
            self.mark(spare.task_id, engine)
            folders = TaskFolders(self.settings.home, spare.task_id, 1)
            make_folders(folders, 1)
            wait = self.settings.spare_seconds + MARGIN_SECONDS
            self.engines[engine].ready(_specify(after, folders), wait)
        except (EnvironmentFault, OSError) as error:
            log.info("no sandbox can be prepared in advance: %s", error)
            self._remove(spare.task_id, engine)
            return
        with self._lock:
            self._waiting.append(spare)
        self._drop(keep=self.settings.spare_sandboxes)

    def expire(self) -> None:
        """Remove the sandboxes whose time is over."""
        with self._lock:
            old = [s for s in self._waiting if s.until <= self.now()]
            self._waiting = [s for s in self._waiting if s not in old]
        for spare in old:
            self._remove(spare.task_id, spare.engine)

    def forget(self, project_id: str) -> None:
        """Remove the sandboxes that wait for a task of one project."""
        with self._lock:
            own = [s for s in self._waiting if s.project_id == project_id]
            self._waiting = [s for s in self._waiting if s not in own]
        for spare in own:
            self._remove(spare.task_id, spare.engine)

    def clear(self) -> None:
        """Remove all sandboxes that wait, because the daemon ends."""
        self._drop(keep=0)

    def mark(self, task_id: str, engine: str) -> None:
        """Mark what is created for this id from now on as belonging to no task. `discard` removes
        it, or `recover` of the next daemon if this one dies."""
        marker = self._marker(task_id)
        marker.parent.mkdir(mode=0o700, exist_ok=True)
        marker.write_text(engine, "utf-8")

    def discard(self, task_id: str) -> None:
        """Remove the sandbox of a task that will not be created. Does nothing if there is none."""
        with suppress(FileNotFoundError):
            self._remove(task_id, self._marker(task_id).read_text("utf-8"))

    def recover(self) -> None:
        """Remove the sandboxes that an earlier daemon left, except those that belong to a task
        now."""
        for task_id in self._left:
            try:
                is_recorded = self.store.tasks.get(task_id) is not None
            except DamagedRecord:
                is_recorded = True
            if is_recorded:
                self.used(task_id)
            else:
                self.discard(task_id)

    def names(self) -> set[str]:
        """The names of the sandboxes that wait."""
        return {sandbox_name(marker.name, 1) for marker in self._markers()}

    def _drop(self, keep: int) -> None:
        with self._lock:
            most = max(0, len(self._waiting) - keep)
            old, self._waiting = self._waiting[:most], self._waiting[most:]
        for spare in old:
            self._remove(spare.task_id, spare.engine)

    def _remove(self, task_id: str, engine: str) -> None:
        """Remove a sandbox and its folders. The marker goes last, and stays if anything else
        stays."""
        try:
            if engine in self.engines:
                self.engines[engine].remove(sandbox_name(task_id, 1))
                self.engines[engine].remove_task(task_id)
            remove_tree(TaskFolders(self.settings.home, task_id, 1).root)
            self._marker(task_id).unlink(missing_ok=True)
        except (EnvironmentFault, OSError) as error:
            log.warning("parts of a sandbox that waited for a task could not be removed: %s", error)

    def _markers(self) -> list[Path]:
        folder = warm_sandbox_markers(self.settings.home)
        return list(folder.iterdir()) if folder.is_dir() else []

    def _marker(self, task_id: str) -> Path:
        return warm_sandbox_markers(self.settings.home) / task_id


def _specify(after: SandboxSpec, folders: TaskFolders) -> SandboxSpec:
    """The specification for the next task as far as it is known: the last task's, with its own
    names and folders."""
    return replace(
        after,
        name=sandbox_name(folders.task_id, 1),
        task_id=folders.task_id,
        attempt=1,
        folders=SandboxFolders(
            spec=folders.spec(1),
            run=folders.run,
            work=folders.work,
            home=folders.agent_home,
            base_objects=folders.base_objects,
            gateway_socket=folders.gateway_socket,
        ),
    )
