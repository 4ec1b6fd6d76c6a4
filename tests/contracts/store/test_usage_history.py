"""What `rover usage` reads, on both databases."""

from __future__ import annotations

from dataclasses import replace

import sqlalchemy as sa

from rover_mcp.domain.task_status import Event
from rover_mcp.store import store_tables
from rover_mcp.store.records import CallRow, TaskLabel, TaskRow
from rover_mcp.store.store import Store
from tests.contracts.store.conftest import Make

CALL = CallRow("t", "1", 1, 5.0, "openai", "gpt-5", 1, 10, 2, 3, 0, 0.5)


def test_calls_are_read_in_their_order_and_without_damaged_ones(
    store: Store, database: sa.Engine
) -> None:
    later, nothing = replace(CALL, id="2", at=9.0), replace(CALL, id="3", calls=0)
    store.usage.write([later, CALL, nothing, replace(CALL, id="4", at=1.0)])
    store.usage.write([replace(CALL, id="5")])
    with database.begin() as connection:
        c = store_tables.calls
        connection.execute(c.update().where(c.c.id == "5").values(input_tokens=-1))
    assert store.usage_history.calls(2.0) == [CALL, later]


def test_a_task_in_the_trash_keeps_its_name(store: Store, make: Make) -> None:
    kept, gone = make(title="Kept"), make(title="Gone")
    assert store.transitions.apply(gone.id, Event.CANCEL) is not None
    assert store.deletions.put(gone.id)
    assert store.usage_history.labels() == {
        kept.id: TaskLabel(kept.id, kept.number, "Kept", "/repo", "claude"),
        gone.id: TaskLabel(gone.id, gone.number, "Gone", "/repo", "claude", in_trash=True),
    }


def test_the_usage_of_a_task_whose_record_is_gone_stays(store: Store, make: Make) -> None:
    task = make()
    store.usage.write([replace(CALL, task_id=task.id)])
    store.transitions.apply(task.id, Event.CANCEL)
    store.tasks.delete(task.id)
    assert task.id not in store.usage_history.labels()
    assert [call.task_id for call in store.usage_history.calls(0)] == [task.id]


def test_the_events_are_those_of_waits_and_of_agents(store: Store, paused: TaskRow) -> None:
    store.events.add(paused.id, "task.step", {"message": "a step"})
    kinds = [event.kind for event in store.usage_history.events()]
    assert kinds == ["task.started", "task.paused"]
    assert store.usage_history.events()[-1].data["reason"] == "credits"
