"""What Attempts needs, with nothing real outside but the store, the folders and the journal."""

from __future__ import annotations

import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agent_runner.journal.journal import Journal, RecordType
from agent_runner.models import Pause, RunState, Snapshot
from rover_mcp.config.settings import RetrySettings, Settings
from rover_mcp.control.attempt_context import AttemptContext
from rover_mcp.control.attempt_runner import Attempts
from rover_mcp.control.control_ports import Account, HubFileChange, LoginExpiry
from rover_mcp.control.journal_watch import JournalWatch
from rover_mcp.control.warm_pool import WarmPool
from rover_mcp.domain.cancellation import CancelToken
from rover_mcp.domain.errors import EnvironmentFault, RoverError
from rover_mcp.domain.ids import sandbox_name
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.domain.source_tree import SourceFile
from rover_mcp.git.unfinished_commit import UnfinishedWork
from rover_mcp.store.migrations import open_database
from rover_mcp.store.records import AttemptRow, TaskRow
from rover_mcp.store.store import Store
from rover_mcp.testing.fake_engine import FakeEngine, FakeEngineState
from tests.support.desk import _empty_database
from tests.support.samples import TASK, new_task

NAME = sandbox_name(TASK, 1)
ENDINGS = ("task.completed", "task.failed", "task.paused", "task.cancelled", "task.resume_failed")
Record = tuple[RecordType, Mapping[str, object]]


@dataclass
class FakeAttemptGateway:
    """Which attempt of each task is served now, and all that was asked."""

    missing: str | None = None
    label: str | None = None
    more: tuple[str, ...] = ()
    """further accounts of the same provider"""
    fault: RoverError | None = None
    refused: list[str] = field(default_factory=list[str])
    expires: LoginExpiry | None = None
    served: dict[str, int] = field(default_factory=dict[str, int])
    opened: list[int] = field(default_factory=list[int])

    def open(self, task_id: str, attempt: int, socket: Path, token: str, agent: str) -> None:
        if self.fault:
            raise self.fault
        self.opened.append(attempt)
        self.served[task_id] = attempt

    def close(self, task_id: str) -> None:
        self.served.pop(task_id, None)

    def expiry(self, task_id: str, attempt: int, agent: str) -> LoginExpiry | None:
        return self.expires

    def refused_keys(self, task_id: str, attempt: int, agent: str) -> list[str]:
        return list(self.refused)

    def accounts(self, task_id: str, attempt: int, agent: str) -> list[Account]:
        if agent == "scripted":
            return [Account()]
        if self.missing:
            return [Account(missing=self.missing)]
        return [Account(label) for label in (self.label, *self.more)]

    def used(self, task_id: str, attempt: int, provider: str) -> str | None:
        return None


@dataclass(frozen=True)
class FakeTree:
    """A base commit that says nothing of its setup."""

    commit: str

    def files(self) -> list[SourceFile]:
        return []

    def read(self, path: str, limit: int) -> bytes | None:
        return None

    def pack(self, folder: str, archive: tarfile.TarFile) -> None: ...


@dataclass
class FakeHub:
    """Remembers what it was given; each fault is raised by one kind of call."""

    import_fault: RoverError | None = None
    publish_fault: RoverError | None = None
    imported: list[int] = field(default_factory=list[int])
    exported: list[Path] = field(default_factory=list[Path])
    published: list[str] = field(default_factory=list[str])
    unfinished: list[str] = field(default_factory=list[str])
    held: dict[int, str] = field(default_factory=dict[int, str])
    kept: dict[str, str] = field(default_factory=dict[str, str])
    lent: list[Path] = field(default_factory=list[Path])
    changed: dict[tuple[str, str], list[HubFileChange]] = field(default_factory=dict)
    listed: dict[str, list[str]] = field(default_factory=dict)

    def tree(self, commit: str) -> FakeTree:
        return FakeTree(commit)

    def lend(
        self,
        user_repo: Path,
        commit: str,
        objects: Path,
        tell: Callable[[str], None],
        stop: CancelToken,
    ) -> None:
        self.lent.append(objects)

    def name(self, user_repo: Path, commit: str, branch: str | None, folder: Path) -> None: ...

    def lend_lfs(self, user_repo: Path, commit: str, objects: Path) -> list[str]:
        return []

    def lend_submodules(
        self, user_repo: Path, commit: str, objects: Path, folder: Path
    ) -> list[str]:
        return []

    def secure(self, user_repo: Path, commit: str, objects: Path) -> None: ...

    def is_whole(self, task_id: str, base_commit: str) -> bool:
        return True

    def renew(self) -> None: ...

    def snapshots(self, task_id: str) -> dict[int, str]:
        return dict(self.held)

    def keep(self, task_id: str, name: str, commit: str) -> str:
        self.kept[name] = commit
        return f"refs/rover/{task_id}/kept/{name}"

    def import_bundle(
        self, task_id: str, base_commit: str, bundle_path: Path, snapshot: Snapshot, branch: str
    ) -> None:
        if self.import_fault:
            raise self.import_fault
        assert bundle_path.name == snapshot.bundle
        self.imported.append(snapshot.sequence)
        self.held[snapshot.sequence] = snapshot.commit

    def export_restore(
        self, task_id: str, snapshot: Snapshot, base_commit: str, dest: Path
    ) -> None:
        dest.write_text(snapshot.commit)
        self.exported.append(dest)

    def changes(self, task_id: str, base_commit: str, old: str, new: str) -> list[HubFileChange]:
        return self.changed.get((old, new), [])

    def files(self, task_id: str, base_commit: str, commit: str) -> list[str]:
        return self.listed.get(commit, [])

    def publish(
        self,
        task_id: str,
        user_repo: Path,
        branch: str,
        unfinished: UnfinishedWork | None = None,
    ) -> None:
        if self.publish_fault:
            raise self.publish_fault
        if unfinished is None:
            self.published.append(branch)
        else:
            self.unfinished.append(unfinished.message)


class SimulatedCrash(BaseException):
    """The daemon died here."""


class CrashingStore(Store):
    """Dies instead of making one write; `writes_left` of None: never."""

    writes_left: int | None = None

    def __init__(self, engine: sa.Engine) -> None:
        super().__init__(engine)
        for part, writes in (
            (self.claims, ("start",)),
            (self.transitions, ("apply", "undo_resume")),
            (self.tasks, ("update",)),
            (self.attempts, ("move", "drop_schedule")),
            (self.events, ("add",)),
        ):
            for write in writes:
                setattr(part, write, self._counted(getattr(part, write)))

    def _counted(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **named: Any) -> Any:
            if self.writes_left is not None:
                if self.writes_left == 0:
                    raise SimulatedCrash
                self.writes_left -= 1
            return write(*args, **named)

        return counted


@dataclass
class ControlHarness:
    """A daemon's life on a data folder; `restart` begins another on the same one."""

    home: Path
    settings: Settings
    store: CrashingStore
    world: FakeEngineState
    hub: FakeHub
    door: FakeAttemptGateway = field(default_factory=FakeAttemptGateway)
    slept: list[float] = field(default_factory=list[float])

    def __post_init__(self) -> None:
        self.restart()

    def restart(self, **settings: Any) -> None:
        """Nothing that was in memory is left."""
        self.settings = self.settings.model_copy(update=settings)
        self.store.writes_left = None
        self.door = FakeAttemptGateway(self.door.missing, self.door.label)
        self.live = JournalWatch(self.home, self.store)
        engines = {"docker": FakeEngine(self.world, "docker")}
        self.attempts = Attempts(
            AttemptContext(
                settings=self.settings,
                store=self.store,
                engines=engines,
                hub_of=lambda _: self.hub,
                gateway=self.door,
                live=self.live,
                warm_pool=WarmPool(self.settings, self.store, engines),
                sleep=self.slept.append,
                uniform=lambda: 0.0,
            )
        )

    def crash(self, writes: int, call: Callable[[], object]) -> None:
        """The daemon dies at a write of `call`, if it comes that far; then another one lives."""
        self.store.writes_left = writes
        with suppress(SimulatedCrash):
            call()
        self.restart()

    def refuse(self, monkeypatch: pytest.MonkeyPatch, method: str = "ensure") -> None:
        """From now on no sandbox can be started."""

        def fail(*_: object) -> None:
            raise EnvironmentFault("no image", hint="pull it", code="image_unavailable")

        monkeypatch.setattr(type(self.attempts.context.engines["docker"]), method, fail)

    # Tasks

    def due(self) -> None:
        """The time of the next automatic attempt has come."""
        self.store.tasks.update(TASK, retry_at=time.time() - 1)

    def create(self, task_id: str = TASK, **changes: Any) -> TaskRow:
        self.store.projects.register("p1", "/repo")
        task, _ = self.store.tasks.create(new_task(task_id, **changes), frozenset())
        return task

    def started(self, **changes: Any) -> TaskRow:
        """A task whose first attempt runs."""
        self.create(**changes)
        assert self.claim(1)
        assert self.attempts.launch.bring_up(TASK, 1)
        return self.task()

    def claim(self, attempt: int) -> bool:
        return self.attempts.launch.claim(TASK, attempt, self.attempt(attempt).workflow_id)

    def paused(self, pause: Pause, **changes: Any) -> TaskRow:
        """A task that the runner paused in its first attempt."""
        self.started(**changes)
        self.record(Run.begin(1), Run.start("plan"), Run.pause(pause))
        self.settle(2)
        return self.task()

    def settle(self, code: int | None, attempt: int = 1, **exit_: Any) -> int | None:
        self.world.end(sandbox_name(TASK, attempt), code, **exit_)
        return self.attempts.finish.settle(TASK, attempt, self.attempts.wait.follow(TASK, attempt))

    def task(self, task_id: str = TASK) -> TaskRow:
        task = self.store.tasks.get(task_id)
        assert task is not None
        return task

    def attempt(self, attempt: int) -> AttemptRow:
        row = self.store.attempts.get(TASK, attempt)
        assert row is not None
        return row

    def kinds(self, *wanted: str) -> list[str]:
        """The kinds of the task's events, in order; those wanted, if any are named."""
        events = self.store.events.after(0, task_id=TASK)
        return [e.kind for e in events if not wanted or e.kind in wanted]

    def data(self, kind: str) -> list[dict[str, Any]]:
        return [e.data for e in self.store.events.after(0, task_id=TASK) if e.kind == kind]

    def running(self) -> list[str]:
        return [name for name, s in self.world.sandboxes.items() if s.exit is None]

    # Files

    @property
    def folders(self) -> TaskFolders:
        return TaskFolders(self.home, TASK, 1)

    def record(self, *records: Record) -> None:
        """What the runner writes."""
        self.folders.run.mkdir(parents=True, exist_ok=True)
        journal = Journal.open(self.folders.journal, lambda: datetime.now(UTC), sync=lambda _: None)
        for kind, data in records:
            journal.append(kind, data)
        journal.close()

    def state(self) -> RunState:
        state = self.task().run_state
        assert state is not None
        return state


class Run:
    """Records as the runner writes them."""

    @staticmethod
    def begin(attempt: int) -> Record:
        steps = [{"id": i, "name": i, "type": "agent", "digest": i} for i in ("plan", "code")]
        return RecordType.RUN_START, {"attempt": attempt, "workflow": "swe", "steps": steps}

    @staticmethod
    def resume(attempt: int, skipped: int = 0) -> Record:
        return RecordType.WORKFLOW_RESUME, {"attempt": attempt, "skipped": skipped}

    @staticmethod
    def start(step: str) -> Record:
        return RecordType.STEP_START, {"step": step}

    @staticmethod
    def done(step: str, snapshot: Snapshot | None = None) -> Record:
        named = snapshot.model_dump(mode="json") if snapshot else None
        return RecordType.STEP_COMPLETE, {"step": step, "outputs": {}, "snapshot": named}

    @staticmethod
    def pause(pause: Pause) -> Record:
        return RecordType.WORKFLOW_PAUSE, {"pause": pause.model_dump(mode="json")}

    @staticmethod
    def fail(error: str) -> Record:
        return RecordType.WORKFLOW_FAIL, {"step": "plan", "error": error}

    COMPLETE: Record = (RecordType.WORKFLOW_COMPLETE, {})


STARTED = [Run.begin(1), Run.start("plan")]


def unreachable() -> EnvironmentFault:
    return EnvironmentFault("no engine", hint="start it", code="engine_unreachable")


@contextmanager
def open_site(folder: Path) -> Iterator[ControlHarness]:
    home = folder / "home"
    (home / "tasks").mkdir(parents=True)
    (home / "rover.db").write_bytes(_empty_database())
    database = open_database(f"sqlite:///{home / 'rover.db'}")
    # What is tested is what was committed, not what a power loss would leave.
    sa.event.listen(database, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=OFF"))
    database.dispose()
    settings = Settings(
        home=home, min_free_bytes=0, spare_sandboxes=0, retry=RetrySettings(jitter=0)
    )
    yield ControlHarness(home, settings, CrashingStore(database), FakeEngineState(), FakeHub())
    database.dispose()
