"""Sandboxes that are started before their task is asked for, so that it begins at once.

After a task of a project has begun, the sandbox of the next one is made ready: its id is drawn,
its folders are made, its container or runner starts and waits with everything imported. The next
task of that project and engine takes the id over. At most `spare_sandboxes` wait at a time, each
for `spare_seconds`; they are this daemon's own, and another removes what it finds of them.
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
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.sandbox.attempt_folder import remove_tree
from rover_mcp.sandbox.protocol import Engine, SandboxFolders, SandboxSpec
from rover_mcp.store.damaged_records import DamagedRecord
from rover_mcp.store.store import Store

MARGIN_SECONDS = 60.0
"""How much longer a runner waits than its spare is kept: one that is taken is still there."""

log = logging.getLogger("rover.spares")


@dataclass(frozen=True)
class _WarmSandbox:
    task_id: str
    project_id: str
    engine: str
    until: float


@dataclass
class WarmPool:
    """Those of one daemon. Each has a marker, `spares/<task id>` with its engine's name, until
    its task is in the store: by it the next daemon finds what this one left."""

    settings: Settings
    store: Store
    engines: Mapping[str, Engine]
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _spares: list[_WarmSandbox] = field(default_factory=list[_WarmSandbox])
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _left: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        # Before anything is made here: `recover` comes when clients are served already.
        self._left = tuple(marker.name for marker in self._markers())

    def take(self, project_id: str, engine: str) -> str | None:
        """The id of a task whose sandbox is ready; the caller makes that task, or gives it
        back with `discard`."""
        with self._lock:
            for spare in self._spares:
                wanted = (spare.project_id, spare.engine) == (project_id, engine)
                if wanted and spare.until > self.now():
                    self._spares.remove(spare)
                    return spare.task_id
        return None

    def used(self, task_id: str) -> None:
        """The task is in the store: its sandbox is now an attempt's like any other."""
        self._marker(task_id).unlink(missing_ok=True)

    def follow(self, after: SandboxSpec, engine: str) -> None:
        """A task has begun: the next one's sandbox is made beside its first steps, and not in
        the way of its start."""
        if self.settings.spare_sandboxes == 0:
            return

        def work() -> None:
            self.sleep(self.settings.spare_delay)
            self.make(after, engine)

        threading.Thread(target=work, daemon=True).start()

    def make(self, after: SandboxSpec, engine: str) -> None:
        """Make one ready for the task that follows `after`, in place of the oldest if there are
        as many as may be. That it cannot be had is no failure of anything."""
        with self._lock:
            if any((s.project_id, s.engine) == (after.project_id, engine) for s in self._spares):
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
            log.info("no sandbox is made ready: %s", error)
            self._remove(spare.task_id, engine)
            return
        with self._lock:
            self._spares.append(spare)
        self._drop(keep=self.settings.spare_sandboxes)

    def expire(self) -> None:
        """Remove those that have waited long enough."""
        with self._lock:
            old = [s for s in self._spares if s.until <= self.now()]
            self._spares = [s for s in self._spares if s not in old]
        for spare in old:
            self._remove(spare.task_id, spare.engine)

    def forget(self, project_id: str) -> None:
        """Remove those that wait for a task of one project."""
        with self._lock:
            own = [s for s in self._spares if s.project_id == project_id]
            self._spares = [s for s in self._spares if s not in own]
        for spare in own:
            self._remove(spare.task_id, spare.engine)

    def clear(self) -> None:
        """Remove them all: the daemon ends."""
        self._drop(keep=0)

    def mark(self, task_id: str, engine: str) -> None:
        """What is made for this id from now on belongs to no task: it goes with `discard`, or,
        should the daemon die, with the next one's `recover`."""
        marker = self._marker(task_id)
        marker.parent.mkdir(mode=0o700, exist_ok=True)
        marker.write_text(engine, "utf-8")

    def discard(self, task_id: str) -> None:
        """The task that was to have this is not to be. Nothing where there is none."""
        with suppress(FileNotFoundError):
            self._remove(task_id, self._marker(task_id).read_text("utf-8"))

    def recover(self) -> None:
        """Remove what an earlier daemon left, but for what has become a task meanwhile."""
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
        """The sandboxes that wait, by name."""
        return {sandbox_name(marker.name, 1) for marker in self._markers()}

    def _drop(self, keep: int) -> None:
        with self._lock:
            most = max(0, len(self._spares) - keep)
            old, self._spares = self._spares[:most], self._spares[most:]
        for spare in old:
            self._remove(spare.task_id, spare.engine)

    def _remove(self, task_id: str, engine: str) -> None:
        """All of it; the marker goes last, and stays where something else does."""
        try:
            if engine in self.engines:
                self.engines[engine].remove(sandbox_name(task_id, 1))
                self.engines[engine].remove_task(task_id)
            remove_tree(TaskFolders(self.settings.home, task_id, 1).root)
            self._marker(task_id).unlink(missing_ok=True)
        except (EnvironmentFault, OSError) as error:
            log.warning("what is left of a spare sandbox stays for now: %s", error)

    def _markers(self) -> list[Path]:
        folder = self.settings.home / "spares"
        return list(folder.iterdir()) if folder.is_dir() else []

    def _marker(self, task_id: str) -> Path:
        return self.settings.home / "spares" / task_id


def _specify(after: SandboxSpec, folders: TaskFolders) -> SandboxSpec:
    """The next task's sandbox, as far as it is known: like the last one's, but its own."""
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
