"""Starts a sandbox for a person's shell, on a copy of a task's last snapshot.

It is made as the sandbox of an attempt is, under an id of its own that no task has: with the task's
image, limits and network, but with an empty HOME, and without any provider, copied file or token of
an agent. Like a spare sandbox it has a marker, by which the next daemon removes it if this one
dies.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from agent_runner.models import Snapshot
from agent_runner.run.shell_session import SOCKET
from agent_runner.spec import Restore, ShellSpec
from rover_mcp.config.settings import Settings
from rover_mcp.config.task_config import TaskConfig
from rover_mcp.control.checkpoint import Checkpoint
from rover_mcp.control.control_ports import HubOf
from rover_mcp.control.image_build import Markers, SetupGateway
from rover_mcp.control.repository_setup import project_setup
from rover_mcp.control.sandbox_spec import make_folders, sandbox_spec
from rover_mcp.domain.cancellation import CancelToken
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.domain.ids import new_task_id
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.sandbox.protocol import Engine, SandboxExit, SandboxSpec
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.shell import ShellPlace, ShellRequest

POLL_SECONDS = 0.05
LOG_LINES = 20

log = logging.getLogger("rover.shells")

ImportSnapshots = Callable[[TaskRow], Snapshot | None]


class _WatchedShell:
    """A sandbox whose end is waited for in a thread, which cleans up after it."""

    def __init__(self, engine: Engine, name: str, clean_up: Callable[[], None]) -> None:
        self.ended = threading.Event()
        self.exit: SandboxExit | None = None
        self.printed = ""
        self._engine, self._name, self._clean_up = engine, name, clean_up
        threading.Thread(target=self._follow, name="shell", daemon=True).start()

    def _follow(self) -> None:
        try:
            self.exit = self._engine.follow(self._name)
            self.printed = self._engine.logs(self._name, LOG_LINES)
        except EnvironmentFault as fault:
            log.warning("the shell %s is not followed any more: %s", self._name, fault.message)
            self.printed = fault.message
        finally:
            self.ended.set()
            self._clean_up()


@dataclass
class TaskShells:
    """See tasks.shell.Shells. `import_snapshots` brings a task's newest snapshot into the hub."""

    settings: Settings
    engines: Mapping[str, Engine]
    hub_of: HubOf
    gateway: SetupGateway
    markers: Markers
    import_snapshots: ImportSnapshots
    sleep: Callable[[float], None] = time.sleep

    def start(self, task: TaskRow, request: ShellRequest, environ: Mapping[str, str]) -> ShellPlace:
        """See Shells.start."""
        engine = self.engines[task.engine]
        snapshot = self.import_snapshots(task)
        stand_in = _stand_in(task)
        folders = TaskFolders(self.settings.home, stand_in.id, 1)
        self.markers.mark(stand_in.id, task.engine)
        try:
            spec, warnings = self._specify(task, stand_in, snapshot, request)
            self.gateway.open_for_setup(stand_in, folders.gateway_socket, environ)
            engine.prepare(spec, lambda _: None, CancelToken())
            engine.ensure(spec)
        except BaseException:
            self._clean_up(stand_in.id)
            raise
        watched = _WatchedShell(engine, spec.name, lambda: self._clean_up(stand_in.id))
        socket = folders.run / SOCKET
        while not socket.exists():
            if watched.ended.is_set():
                why = watched.printed[-1000:] or "it printed nothing"
                raise EnvironmentFault(
                    f"the sandbox of the shell could not be prepared: {why}", code="shell_failed"
                )
            self.sleep(POLL_SECONDS)
        return ShellPlace(str(socket), snapshot, warnings)

    def _specify(
        self, task: TaskRow, stand_in: TaskRow, snapshot: Snapshot | None, request: ShellRequest
    ) -> tuple[SandboxSpec, list[str]]:
        folders = TaskFolders(self.settings.home, stand_in.id, 1)
        make_folders(folders, 1)
        hub, repository = self.hub_of(task.project_id), Path(task.project_path)
        hub.lend(repository, task.base_commit, folders.base_objects, lambda _: None, CancelToken())
        restore = None
        if snapshot is not None:
            bundle = folders.spec(1) / "restore.bundle"
            hub.export_restore(task.id, snapshot, task.base_commit, bundle)
            restore = Restore(commit=snapshot.commit, head=snapshot.head)
        spec = sandbox_spec(self.settings, stand_in, 1, Checkpoint(restore))
        shell = ShellSpec(
            argv=tuple(request.argv), terminal=request.terminal, term=request.term,
            rows=request.rows, columns=request.columns,
        )  # fmt: skip
        spec = replace(spec, run=spec.run.model_copy(update={"shell": shell}))
        return project_setup(self.settings, task, spec, hub.tree(task.base_commit))

    def _clean_up(self, shell_id: str) -> None:
        self.gateway.close_setup(shell_id)
        self.markers.discard(shell_id)


def _stand_in(task: TaskRow) -> TaskRow:
    """The record of a task that is never stored, for the shell's sandbox."""
    config = (task.config or TaskConfig()).model_copy(update={"copies": (), "context": ()})
    return replace(
        task,
        id=new_task_id(),
        gateway_token=f"rover-{secrets.token_hex(24)}",
        iteration=1,
        attempt=1,
        iteration_input=None,
        budget=None,
        config=config,
    )
