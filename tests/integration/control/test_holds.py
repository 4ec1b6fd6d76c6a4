"""Many tasks on one closed account (K1, K5), on the real DBOS and both databases."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from agent_runner.models import PauseReason
from rover_mcp.config.settings import RetrySettings
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.sandbox.protocol import SandboxSpec
from rover_mcp.store import store_tables
from rover_mcp.store.migrations import database_url
from tests.support.attempts_site import Run
from tests.support.planes import BOUND, Plane, completes, eventually, open_plane, write
from tests.support.postgres import Cluster
from tests.support.samples import pause

S = TaskStatus
LIMIT = 4
MANY = 200
LONG = 900
"""Seconds; four hundred workflows take ten on an idle machine."""

ACCOUNT = "anthropic-1"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def plane(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Plane]:
    home = tmp_path_factory.mktemp("holds") / "home"
    url = database_url(home)
    if request.param == "postgresql":
        cluster: Cluster = request.getfixturevalue("cluster")
        url = cluster.new_database()
    retry = RetrySettings(credits_first=3600, jitter=0)
    with open_plane(home, url, concurrency=LIMIT, retry=retry) as made:
        made.door.label = ACCOUNT
        yield made


class Provider:
    """Refuses while it is closed; counts what runs, and lets it go on when `gate` is set."""

    def __init__(self) -> None:
        self.closed = True
        self.gate = threading.Event()
        self.lock = threading.Lock()
        self.running = self.most = 0
        self.asked: list[tuple[str, int]] = []

    def play(self, spec: SandboxSpec) -> int:
        with self.lock:
            self.asked.append((spec.task_id, spec.attempt))
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            if self.closed:
                told = pause(PauseReason.USAGE_WINDOW)
                write(spec, Run.begin(spec.attempt), Run.start("plan"), Run.pause(told))
                return 2
            assert self.gate.wait(BOUND)
            return completes(spec)
        finally:
            with self.lock:
                self.running -= 1


def the_hold_ends_soon(plane: Plane) -> None:
    """Its timer is made anew, as it is after a restart (K1)."""
    with plane.store.database.engine.begin() as connection:
        connection.execute(store_tables.holds.update().values(until=time.time() + 0.2))
    plane.plane.reconcile()


def count(plane: Plane, state: str) -> int:
    """Counted by the database: reading two hundred rows each time would keep what is waited for
    from running."""
    query = sa.select(sa.func.count()).where(store_tables.attempts.c.state == state)
    with plane.store.database.engine.connect() as connection:
        return connection.execute(query).scalar_one()


# The waits below have bounds of their own; it takes 20 seconds of a processor that others share.
@pytest.mark.timeout(2 * LONG + 5 * BOUND)
def test_one_of_two_hundred_waiting_tasks_probes_and_then_all_continue(
    plane: Plane,
) -> None:
    """K1, K4, K5: one probe goes out when the hold ends, then the others within the limit;
    none failed, and none was tried more often than it should be."""
    provider = Provider()
    first = plane.create(provider.play)
    plane.reaches(first, S.PAUSED)
    tasks = [first, *(plane.create(provider.play) for _ in range(MANY - 1))]
    eventually(lambda: count(plane, "held") == MANY, LONG)
    assert provider.asked == [(first, 1)], "nobody else has tried the account"

    elsewhere = plane.create(agent="scripted")
    plane.reaches(elsewhere, S.COMPLETED)

    the_hold_ends_soon(plane)
    eventually(lambda: (hold := plane.store.holds.get(ACCOUNT)) is not None and hold.refusals == 2)
    eventually(lambda: count(plane, "held") == MANY)
    assert provider.asked == [(first, 1), (first, 2)], "one probe, and it was refused"

    provider.closed = False
    the_hold_ends_soon(plane)
    eventually(lambda: len(provider.asked) == 3)
    # That something does not happen can only be given time: fifteen polls.
    threading.Event().wait(0.3)
    assert (len(provider.asked), count(plane, "held")) == (3, MANY - 1)

    plane.plane.answered(*provider.asked[-1], None)
    assert plane.store.holds.all() == []
    eventually(lambda: provider.running == LIMIT)
    provider.gate.set()
    eventually(lambda: plane.store.tasks.count([S.COMPLETED]) == MANY + 1, LONG)
    assert provider.most == LIMIT
    assert plane.store.tasks.count([S.FAILED, S.PAUSED]) == 0
    tries = Counter(task_id for task_id, _ in provider.asked)
    assert tries == {first: 3} | dict.fromkeys(tasks[1:], 1)
    assert {plane.task(t).auto_retries for t in tasks} == {0}
    assert count(plane, "held") == count(plane, "released") == 0
    query = sa.select(store_tables.events.c.kind).where(store_tables.events.c.kind == "task.failed")
    with plane.store.database.engine.connect() as connection:
        assert connection.execute(query).all() == []
