"""The log of operations in users' repositories, on both databases."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from rover_mcp.domain.operation import OperationKind, OperationState
from rover_mcp.store import operations, store_tables
from rover_mcp.store.store import Store
from tests.contracts.store.conftest import Clock

TASK = "a" * 32
PLAN = {"branch": "main", "old": "1" * 40, "new": "2" * 40}


def test_an_operation_is_open_until_it_is_closed(store: Store, clock: Clock) -> None:
    """N8."""
    log = store.operations("host-1")
    begun = log.begin(TASK, OperationKind.MERGE, PLAN)
    assert log.open() == [begun]
    assert (begun.plan, begun.ended_at) == (PLAN, None)
    clock.now += 5
    log.end(begun.id, OperationState.DONE)
    assert log.open() == []
    (ended,) = log.of_task(TASK)
    assert (ended.state, ended.ended_at) == ("done", clock.now)


def test_a_closed_operation_stays_as_it_ended(store: Store) -> None:
    log = store.operations("host-1")
    begun = log.begin(TASK, OperationKind.MERGE, PLAN)
    log.end(begun.id, OperationState.UNDONE, "the branch had moved")
    log.end(begun.id, OperationState.DONE)
    (ended,) = log.of_task(TASK)
    assert (ended.state, ended.error) == ("undone", "the branch had moved")


def test_a_daemon_finds_only_its_own_open_operations(store: Store) -> None:
    begun = store.operations("host-1").begin(TASK, OperationKind.PUSH, PLAN)
    assert store.operations("host-2").open() == []
    assert [o.id for o in store.operations("host-1").open()] == [begun.id]


def test_a_damaged_operation_hides_no_other(store: Store, database: sa.Engine) -> None:
    log = store.operations("host-1")
    broken, sound = (log.begin(TASK, OperationKind.MERGE, PLAN) for _ in range(2))
    with database.begin() as connection:
        mine = store_tables.operations.c.id == broken.id
        connection.execute(store_tables.operations.update().where(mine).values(kind="conquest"))
    assert [o.id for o in log.open()] == [sound.id]


def test_only_the_newest_closed_operations_are_kept(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "MOST_KEPT", 2)
    log = store.operations("host-1")
    still_open = log.begin(TASK, OperationKind.MERGE, PLAN)
    for _ in range(4):
        clock.now += 1
        log.end(log.begin(TASK, OperationKind.MERGE, PLAN).id, OperationState.DONE)
    kept = log.of_task(TASK)
    assert len(kept) == 3
    assert kept[0] == still_open
