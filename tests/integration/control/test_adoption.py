"""Two daemons' control planes on one PostgreSQL: one died, the other sees its work through.

DBOS is one per process, so the one that died is what it left: its rows and its lease.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from agent_runner.journal.journal import Journal
from agent_runner.journal.record_lines import RecordType
from rover_mcp.config.settings import Settings
from rover_mcp.control.attempt_context import AttemptContext
from rover_mcp.control.attempt_runner import Attempts
from rover_mcp.control.daemon_lease import Leases
from rover_mcp.control.journal_watch import JournalWatch
from rover_mcp.control.plane import ControlPlane
from rover_mcp.control.reconciler import Reconciler
from rover_mcp.control.warm_pool import WarmPool
from rover_mcp.domain.ids import new_task_id, sandbox_name
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.sandbox.protocol import SandboxSpec
from rover_mcp.store.executors import Executors
from rover_mcp.store.migrations import open_database
from rover_mcp.store.records import AttemptRow
from rover_mcp.store.store import Store
from rover_mcp.testing.fake_engine import FakeEngine, FakeEngineState
from tests.support.attempts_site import FakeAttemptGateway, FakeHub, Run
from tests.support.hangs import HANG_SECONDS
from tests.support.planes import end_dbos
from tests.support.postgres import Cluster
from tests.support.samples import new_task

LEASE = 60.0
BOUND = HANG_SECONDS


@dataclass
class Clock:
    now: float = field(default_factory=time.time)

    def __call__(self) -> float:
        return self.now


@dataclass
class TwoDaemons:
    """The daemon that lives, and the one that died with what it had."""

    store: Store
    world: FakeEngineState
    plane: ControlPlane
    sweeper: Reconciler
    dead: Leases
    clock: Clock

    def left_by_the_dead(self) -> AttemptRow:
        task = new_task_id()
        self.store.tasks.create(new_task(task), frozenset())
        workflow = f"attempt-{task}-1"
        self.dead.mark(task, 1, workflow)
        assert self.store.claims.start(task, 1, workflow)
        self.store.attempts.move(task, 1, ("starting",), state="running", started_at=time.time())
        row = self.store.attempts.get(task, 1)
        assert row is not None
        return row

    def status(self, attempt: AttemptRow) -> TaskStatus:
        task = self.store.tasks.get(attempt.task_id)
        assert task is not None
        return task.status


def completes(spec: SandboxSpec) -> int:
    path = spec.folders.run / "journal.jsonl"
    journal = Journal.open(path, lambda: datetime.now(UTC), sync=lambda _: None)
    records: list[tuple[RecordType, Mapping[str, object]]] = [
        Run.begin(spec.attempt), Run.start("plan"), Run.done("plan"), Run.COMPLETE,
    ]  # fmt: skip
    for kind, data in records:
        journal.append(kind, data)
    journal.close()
    return 0


def eventually(holds: Callable[[], bool]) -> None:
    pace, end = threading.Event(), time.monotonic() + BOUND
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        pace.wait(0.02)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoDaemons]:
    cluster = Cluster()
    cluster.start()
    url = cluster.new_database()
    home = tmp_path_factory.mktemp("living")
    database, clock = open_database(url), Clock()
    store, world = Store(database), FakeEngineState(on_start=completes)
    store.projects.register("p1", "/repo")
    settings = Settings(home=home, database=url, queue_poll=0.02, spare_sandboxes=0)
    leases = Leases(home, Executors(database, clock), lease=LEASE, now=clock, boot="here")
    other = tmp_path_factory.mktemp("dead")
    dead = Leases(other, Executors(database, clock), lease=LEASE, now=clock, boot="elsewhere")
    attempts = Attempts(
        AttemptContext(
            settings=settings,
            store=store,
            engines={"docker": FakeEngine(world, "docker")},
            hub_of=lambda _: FakeHub(),
            gateway=FakeAttemptGateway(),
            live=JournalWatch(home, store),
            warm_pool=WarmPool(settings, store, {}),
        )
    )
    plane = ControlPlane(settings, store, url, leases)
    plane.set_eager(True)
    with warnings.catch_warnings():
        # What DBOS and what it imports say of themselves is not ours to mend.
        warnings.simplefilter("ignore")
        plane.start(attempts)
    yield TwoDaemons(store, world, plane, Reconciler(attempts, plane), dead, clock)
    end_dbos()
    leases.end()
    database.dispose()
    cluster.stop()


def test_a_dead_daemons_attempts_are_adopted_once_after_its_lease(two: TwoDaemons) -> None:
    """J2, L8: not before; the attempt carries its new holder."""
    two.dead.renew()
    attempt = two.left_by_the_dead()
    two.clock.now += LEASE - 1
    two.sweeper.sweep()
    assert two.store.attempts.get(attempt.task_id, 1) == attempt
    assert two.world.starts == []
    two.clock.now += 2
    two.sweeper.sweep()
    two.sweeper.sweep()
    eventually(lambda: two.status(attempt) is TaskStatus.COMPLETED)
    assert two.world.starts == [sandbox_name(attempt.task_id, 1)]
    now = two.store.attempts.get(attempt.task_id, 1)
    assert now is not None
    assert now.executor not in (None, two.dead.executor)
    assert now.workflow_id != attempt.workflow_id


def test_a_task_of_its_own_goes_through(two: TwoDaemons) -> None:
    """J2: the same control plane on PostgreSQL as on the embedded database."""
    task = new_task_id()
    two.store.tasks.create(new_task(task), frozenset())
    row = two.store.attempts.get(task, 1)
    assert row is not None
    two.plane.enqueue(row)
    eventually(lambda: two.status(row) is TaskStatus.COMPLETED)


def test_an_attempt_whose_workflow_is_lost_is_found_and_seen_through(two: TwoDaemons) -> None:
    """L7, L8: its thread died, and DBOS says that it has ended."""
    task = new_task_id()
    two.store.tasks.create(new_task(task), frozenset())
    row = two.store.attempts.get(task, 1)
    assert row is not None
    assert two.store.claims.start(task, 1, row.workflow_id)
    going = two.store.attempts.get(task, 1)
    assert going is not None
    assert not two.plane.followed(going)
    assert two.plane.adopt(going)
    assert not two.plane.adopt(going), "another was quicker"
    eventually(lambda: two.status(row) is TaskStatus.COMPLETED)
