"""The durable control plane on the real DBOS, with an engine that runs nothing.

DBOS is one per process: one plane is open at a time.
"""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dbos import DBOS

from agent_runner.journal.journal import Journal, RecordType
from agent_runner.models import PauseReason
from rover_mcp.config.settings import Settings
from rover_mcp.control.attempt_context import AttemptContext
from rover_mcp.control.attempt_runner import Attempts
from rover_mcp.control.journal_watch import JournalWatch
from rover_mcp.control.plane import ControlPlane
from rover_mcp.control.warm_pool import WarmPool
from rover_mcp.domain.ids import new_task_id, sandbox_name
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.sandbox.protocol import SandboxSpec
from rover_mcp.store.migrations import open_database
from rover_mcp.store.records import TaskRow
from rover_mcp.store.store import Store
from rover_mcp.testing.fake_engine import FakeEngine, FakeEngineState
from tests.e2e.processes import pause_after_look
from tests.support.attempts_site import FakeAttemptGateway, FakeHub, Run
from tests.support.hangs import HANG_SECONDS
from tests.support.samples import new_task, pause

BOUND = HANG_SECONDS


@dataclass
class Plane:
    store: Store
    world: FakeEngineState
    attempts: Attempts
    plane: ControlPlane
    door: FakeAttemptGateway
    play: dict[str, Callable[[SandboxSpec], int | None]] = field(default_factory=dict)
    """What the runner does, by the task's id; without one it completes."""

    def runner(self, spec: SandboxSpec) -> int | None:
        return self.play.get(spec.task_id, completes)(spec)

    def create(
        self,
        play: Callable[[SandboxSpec], int | None] | None = None,
        *,
        enqueue: bool = True,
        **changes: Any,
    ) -> str:
        task_id = new_task_id()
        if play is not None:
            self.play[task_id] = play
        self.store.tasks.create(new_task(task_id, **changes), frozenset())
        if enqueue:
            self.enqueue(task_id, 1)
        return task_id

    def enqueue(self, task_id: str, attempt: int, delay: float = 0) -> None:
        row = self.store.attempts.get(task_id, attempt)
        assert row is not None
        self.plane.enqueue(row, delay)

    def task(self, task_id: str) -> TaskRow:
        task = self.store.tasks.get(task_id)
        assert task is not None
        return task

    def reaches(self, task_id: str, status: TaskStatus) -> TaskRow:
        eventually(lambda: self.task(task_id).status is status)
        return self.task(task_id)

    def starts(self, task_id: str) -> list[str]:
        return [
            name for name in self.world.starts if name.startswith(sandbox_name(task_id, 1)[:-1])
        ]

    def workflow(self, task_id: str, attempt: int, suffix: str = "") -> str | None:
        status = DBOS.get_workflow_status(f"attempt-{task_id}-{attempt}{suffix}")
        return status.status if status else None


def eventually(holds: Callable[[], bool], bound: float = BOUND) -> None:
    """Wait, with a bound, for what other threads bring about, and leave them most of the time."""
    end = time.monotonic() + bound
    while True:
        began = time.monotonic()
        if holds():
            return
        assert began < end, "it did not come about"
        pause_after_look(began)


def write(spec: SandboxSpec, *records: tuple[RecordType, Mapping[str, object]]) -> None:
    path = spec.folders.run / "journal.jsonl"
    journal = Journal.open(path, lambda: datetime.now(UTC), sync=lambda _: None)
    for kind, data in records:
        journal.append(kind, data)
    journal.close()


def completes(spec: SandboxSpec) -> int:
    write(spec, Run.begin(spec.attempt), Run.start("plan"), Run.done("plan"), Run.COMPLETE)
    return 0


def pauses_first(reason: PauseReason = PauseReason.TRANSIENT) -> Callable[[SandboxSpec], int]:
    def play(spec: SandboxSpec) -> int:
        if spec.attempt > 1:
            return completes(spec)
        write(spec, Run.begin(1), Run.start("plan"), Run.pause(pause(reason)))
        return 2

    return play


def end_dbos() -> None:
    """End it once its workflows are over, and collect here what it leaves open on PostgreSQL (its
    listener's connection). A workflow ends after its task, with connections of its own: those too
    would be collected in another test, which is told of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=BOUND)
        gc.collect()


@contextmanager
def open_plane(home: Path, url: str, **changes: Any) -> Iterator[Plane]:
    """A daemon's control plane on the data folder and the database; `changes` are settings."""
    (home / "tasks").mkdir(parents=True)
    database = open_database(url)
    store, world, door = Store(database), FakeEngineState(), FakeAttemptGateway()
    store.projects.register("p1", "/repo")
    settings = Settings(home=home, queue_poll=0.02, spare_sandboxes=0, **changes)
    attempts = Attempts(
        AttemptContext(
            settings=settings,
            store=store,
            engines={"docker": FakeEngine(world, "docker")},
            hub_of=lambda _: FakeHub(),
            gateway=door,
            live=JournalWatch(home, store),
            warm_pool=WarmPool(settings, store, {}),
        )
    )
    made = Plane(store, world, attempts, ControlPlane(settings, store, url), door)
    made.plane.set_eager(True)
    world.on_start = made.runner
    with warnings.catch_warnings():
        # What DBOS and what it imports say of themselves is not ours to mend.
        warnings.simplefilter("ignore")
        made.plane.start(attempts)
    yield made
    end_dbos()
    database.dispose()
