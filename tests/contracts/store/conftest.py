"""The same suite on both databases: SQLite for one machine, PostgreSQL for a team."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from agent_runner.models import PauseReason
from rover_mcp.domain.task_status import Event
from rover_mcp.store import store_tables
from rover_mcp.store.migrations import open_database
from rover_mcp.store.records import TaskRow
from rover_mcp.store.store import Store
from tests.support.postgres import Cluster
from tests.support.samples import NOW, new_task, pause, run_state


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = NOW.timestamp()

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    made = Cluster()
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def postgres(cluster: Cluster) -> Iterator[sa.Engine]:
    engine = open_database(cluster.new_database())
    yield engine
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new, empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'rover.db'}"
    return request.getfixturevalue("cluster").new_database()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Engine]:
    """An empty, migrated database. PostgreSQL's is emptied, for making one takes a second."""
    if request.param == "sqlite":
        engine = open_database(f"sqlite:///{tmp_path / 'rover.db'}")
        yield engine
        engine.dispose()
        return
    engine = request.getfixturevalue("postgres")
    names = ", ".join(
        t.name for t in store_tables.metadata.sorted_tables if t is not store_tables.meta
    )
    with engine.begin() as connection:
        connection.execute(sa.text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))
    yield engine


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rung() -> list[str]:
    """One entry for each time that the store said: there are new events."""
    return []


@pytest.fixture
def store(database: sa.Engine, clock: Clock, rung: list[str]) -> Store:
    """A store with one project, p1, at /repo."""
    made = Store(database, clock, lambda: rung.append("events"))
    made.projects.register("p1", "/repo")
    return made


Make = Callable[..., TaskRow]


@pytest.fixture
def make(store: Store) -> Make:
    """Make a task; `make("a" * 32)` names its id, keywords change its fields."""
    serial = iter(range(1, 1000))

    def make_task(task_id: str | None = None, **changes: object) -> TaskRow:
        new = new_task(task_id or f"{next(serial):032x}", **changes)
        task, is_new = store.tasks.create(new, frozenset())
        assert is_new
        return task

    return make_task


@pytest.fixture
def running(store: Store, make: Make) -> TaskRow:
    """A task whose first attempt is claimed and has a sandbox."""
    task = make()
    assert store.claims.start(task.id, 1, f"attempt-{task.id}-1") is not None
    assert store.attempts.move(task.id, 1, ("starting",), state="running")
    found = store.tasks.get(task.id)
    assert found is not None
    return found


@pytest.fixture
def paused(store: Store, running: TaskRow, clock: Clock) -> TaskRow:
    """The running task, paused for credits, with attempt 2 scheduled in 15 minutes."""
    clock.now += 60
    store.attempts.move(running.id, 1, ("running",), state="ended")
    after = store.transitions.apply(
        running.id,
        Event.PAUSE,
        attempt=1,
        schedule=True,
        data=pause().model_dump(mode="json"),
        pause=pause(PauseReason.CREDITS),
        retry_at=clock.now + 900,
        run_state=run_state(),
    )
    assert after is not None
    return after
