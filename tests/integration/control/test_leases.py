"""Daemons that share one PostgreSQL: who is alive, and who takes over what a dead one had."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa

from rover_mcp.config.settings import Settings
from rover_mcp.control.daemon_lease import EMBEDDED, Leases
from rover_mcp.domain.ids import new_task_id
from rover_mcp.store import store_tables
from rover_mcp.store.executors import Executors
from rover_mcp.store.migrations import database_url, open_database
from rover_mcp.store.records import AttemptRow
from rover_mcp.store.row_changes import next_workflow
from rover_mcp.store.store import Store
from tests.support.postgres import Cluster
from tests.support.samples import new_task

LEASE = 60.0
WORKFLOW = "attempt-{}-1"


@dataclass
class Clock:
    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class SharedDatabase:
    """One database, and daemons that use it."""

    engine: sa.Engine
    folder: Path
    clock: Clock = field(default_factory=Clock)

    def daemon(self, name: str, host: str = "host-a") -> Leases:
        home = self.folder / name
        home.mkdir(exist_ok=True)
        executors = Executors(self.engine, self.clock)
        return Leases(home, executors, lease=LEASE, now=self.clock, boot=host)

    def running_at(self, daemon: Leases) -> AttemptRow:
        """An attempt that a daemon has claimed."""
        store, task = Store(self.engine), new_task_id()
        store.projects.register("p1", "/repo")
        store.tasks.create(new_task(task), frozenset())
        workflow = WORKFLOW.format(task)
        daemon.mark(task, 1, workflow)
        assert store.claims.start(task, 1, workflow)
        row = store.attempts.get(task, 1)
        assert row is not None
        assert row.executor == daemon.executor
        return row

    def adopt(self, attempt: AttemptRow, by: Leases) -> AttemptRow | None:
        """What a control plane does about an attempt that nobody follows."""
        if by.another_has(attempt.executor):
            return None
        again = next_workflow(attempt.workflow_id)
        return Executors(self.engine, self.clock).take(attempt, attempt.state, again, by.executor)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    made = Cluster()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def shared(cluster: Cluster, tmp_path: Path) -> Iterator[SharedDatabase]:
    engine = open_database(cluster.new_database())
    yield SharedDatabase(engine, tmp_path)
    engine.dispose()


def test_a_daemon_that_lives_keeps_what_it_has(shared: SharedDatabase) -> None:
    """J2: it renews every third of its lease."""
    one, other = shared.daemon("one", "host-a"), shared.daemon("other", "host-b")
    one.begin()
    attempt = shared.running_at(one)
    for _ in range(10):
        shared.clock.now += LEASE / 3
        one.renew()
        assert other.another_has(one.executor)
        assert shared.adopt(attempt, other) is None
    one.end()


def test_on_another_host_a_daemon_that_died_is_free_after_its_lease(shared: SharedDatabase) -> None:
    """J2."""
    one, other = shared.daemon("one", "host-a"), shared.daemon("other", "host-b")
    one.begin()
    attempt = shared.running_at(one)
    one.end()
    shared.clock.now += LEASE - 1
    assert shared.adopt(attempt, other) is None
    shared.clock.now += 2
    taken = shared.adopt(attempt, other)
    assert taken is not None
    assert taken.executor == other.executor
    assert taken.workflow_id != attempt.workflow_id
    assert not Store(shared.engine).claims.start(attempt.task_id, 1, attempt.workflow_id), (
        "the dead one's workflow has lost it"
    )


def test_on_the_same_host_a_daemon_that_died_is_free_at_once(shared: SharedDatabase) -> None:
    """J2: the kernel lets go of its lock; the lease has not run out."""
    one, other = shared.daemon("one"), shared.daemon("other")
    one.begin()
    attempt = shared.running_at(one)
    assert shared.adopt(attempt, other) is None
    one.end()
    assert shared.adopt(attempt, other) is not None


def test_on_the_same_host_a_daemon_that_lives_is_believed_beyond_its_lease(
    shared: SharedDatabase,
) -> None:
    """J2: it may have been stopped for a while; its lock says that it is there."""
    one, other = shared.daemon("one"), shared.daemon("other")
    one.begin()
    shared.clock.now += 10 * LEASE
    assert other.another_has(one.executor)
    one.end()


def test_a_lock_that_cannot_be_asked_leaves_it_to_the_lease(shared: SharedDatabase) -> None:
    """J2: who may be alive is alive."""
    one, other = shared.daemon("one"), shared.daemon("other")
    one.begin()
    (shared.folder / "one" / "executor.lock").unlink()
    assert other.another_has(one.executor)
    shared.clock.now += LEASE + 1
    assert not other.another_has(one.executor)
    one.end()


def test_a_killed_process_holds_nothing_and_its_process_id_is_not_asked(
    shared: SharedDatabase,
) -> None:
    """J2: whoever has its process id now."""
    one, other = shared.daemon("one"), shared.daemon("other")
    one.renew()
    lock = shared.folder / "one" / "executor.lock"
    program = (
        "import fcntl, os, sys, time\n"
        "fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)\n"
        "fcntl.flock(fd, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(lock)], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert other.another_has(one.executor)
        holder.kill()
        holder.wait()
    lock.write_text(str(os.getpid()))
    assert not other.another_has(one.executor)


def test_of_many_that_take_over_one_wins(shared: SharedDatabase) -> None:
    """J1, J3: in each of 20 rounds, with 8 contenders at once."""
    dead = shared.daemon("dead", "host-gone")
    dead.begin()
    dead.end()
    contenders = [shared.daemon(f"c{n}", "host-b") for n in range(8)]
    attempts = [shared.running_at(dead) for _ in range(20)]
    shared.clock.now += LEASE + 1
    for attempt in attempts:
        start, winners = threading.Barrier(len(contenders)), list[str]()

        def contend(
            me: Leases, attempt: AttemptRow = attempt, start: threading.Barrier = start,
            winners: list[str] = winners,
        ) -> None:  # fmt: skip
            start.wait()
            if shared.adopt(attempt, me):
                winners.append(me.executor)

        threads = [threading.Thread(target=contend, args=(c,)) for c in contenders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        row = Store(shared.engine).attempts.get(attempt.task_id, 1)
        assert row is not None
        assert winners == [row.executor]


def test_a_daemon_is_the_same_executor_in_its_next_life(shared: SharedDatabase) -> None:
    """J2: so that it finds what it had."""
    assert shared.daemon("one").executor == shared.daemon("one").executor
    assert shared.daemon("one").executor != shared.daemon("other").executor


def test_with_an_embedded_database_nothing_is_written(tmp_path: Path) -> None:
    """J2: the data folder's lock alone decides."""
    database = open_database(database_url(tmp_path))
    leases = Leases(tmp_path, None, lease=LEASE)
    before = sorted(tmp_path.iterdir())
    leases.begin()
    leases.renew()
    leases.mark("t", 1, "w")
    assert leases.executor == EMBEDDED
    assert not leases.another_has("roverd-somebody")
    with database.connect() as connection:
        rows = connection.execute(sa.select(sa.func.count()).select_from(store_tables.executors))
        assert rows.scalar() == 0
    assert sorted(tmp_path.iterdir()) == before
    database.dispose()


def test_a_lease_is_renewed_although_the_database_was_away(
    shared: SharedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """J2: every third of it."""
    one = shared.daemon("one")
    waits, stop = list[float](), threading.Event()
    asked = iter([sa.exc.OperationalError("x", {}, Exception("away")), None])

    def wait(seconds: float | None = None) -> bool:
        waits.append(seconds or 0)
        return len(waits) > 2

    def renew() -> None:
        if error := next(asked):
            raise error

    monkeypatch.setattr(stop, "wait", wait)
    monkeypatch.setattr(one, "renew", renew)
    one.keep_renewing(stop)
    assert waits == [LEASE / 3] * 3


def test_the_databases_address_is_never_shown(tmp_path: Path) -> None:
    """A4: it may hold a password."""
    url = "postgresql://rover:s3cret@db/rover"
    settings = Settings(home=tmp_path, database=url)
    assert "s3cret" not in repr(settings)
    assert database_url(tmp_path, settings.database).endswith("rover:s3cret@db/rover")
    with pytest.raises(ValueError, match="postgresql://") as caught:
        Settings(home=tmp_path, database="mysql://rover:s3cret@db/rover")
    assert "s3cret" not in caught.value.errors(include_input=False, include_url=False)[0]["msg"]  # type: ignore[attr-defined]
