"""The outbox and what sessions have been told of it."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from rover_mcp.domain.task_status import Event
from rover_mcp.store import events, store_tables
from rover_mcp.store.damaged_records import DamagedRecord
from rover_mcp.store.records import EventRow, TaskRow
from rover_mcp.store.store import Store
from tests.contracts.store.conftest import Clock, Make


def news(events: list[EventRow]) -> list[tuple[str, str]]:
    return [(e.task_id, e.kind) for e in events]


def test_numbers_grow_and_are_never_used_again(
    store: Store, database: sa.Engine, make: Make
) -> None:
    first, second = make(), make()
    store.events.add(first.id, "task.step", {})
    before = store.events.after(0)
    assert [e.seq for e in before] == sorted({e.seq for e in before})
    assert store.events.last_seq() == before[-1].seq
    with database.begin() as connection:
        connection.execute(sa.delete(store_tables.events))
    assert store.events.last_seq() == 0
    store.events.add(second.id, "task.step", {})
    assert store.events.last_seq() > before[-1].seq


def test_an_event_is_kept_whole(store: Store, make: Make, clock: Clock, rung: list[str]) -> None:
    task = make()
    rung.clear()
    clock.now += 3
    data = {"step": "s", "position": 1, "text": "ünïcödé\U0001f680", "nested": {"a": [None, True]}}
    store.events.add(task.id, "task.step", data)
    [event] = store.events.after(store.events.last_seq() - 1)
    assert (event.kind, event.status, event.notable, event.at) == (
        "task.step",
        "NEW",
        False,
        clock.now,
    )
    assert event.data == data
    assert rung == ["events"]


def test_news_of_an_unknown_task_are_dropped(store: Store) -> None:
    store.events.add("0" * 32, "task.step", {})
    assert store.events.after(0) == []
    assert store.events.last_seq() == 0


def test_reading_goes_on_after_a_number_within_a_limit_or_a_task(store: Store, make: Make) -> None:
    first, second = make(), make()
    for n in range(3):
        store.events.add(first.id, f"task.{n}", {})
    everything = store.events.after(0)
    assert store.events.after(everything[1].seq) == everything[2:]
    assert store.events.after(0, limit=2) == everything[:2]
    assert news(store.events.after(0, task_id=second.id)) == [(second.id, "task.created")]
    assert [e.kind for e in store.events.last(first.id, limit=2)] == ["task.1", "task.2"]


def test_only_pauses_and_endings_are_notable(store: Store, paused: TaskRow) -> None:
    """What `attention` shows."""
    assert news(store.events.notable_after(0)) == [(paused.id, "task.paused")]
    store.transitions.apply(paused.id, Event.CANCEL)
    told = store.events.notable_after(0)
    assert [e.kind for e in told] == ["task.paused", "task.cancelled"]
    assert store.events.notable_after(told[0].seq) == told[1:]


def test_a_new_session_begins_with_what_nobody_was_told(
    store: Store, make: Make, paused: TaskRow
) -> None:
    """Paused or ended, unseen; the last news of each, oldest first."""
    make()
    failed = make()
    store.transitions.apply(failed.id, Event.FAIL, error="boom")
    unseen = store.events.unseen()
    assert news(unseen) == [(paused.id, "task.paused"), (failed.id, "task.failed")]
    assert store.events.unseen(limit=1) == unseen[1:]
    store.events.acknowledge(unseen[:1])
    assert store.events.unseen() == unseen[1:]
    store.events.acknowledge(unseen)
    store.events.acknowledge([])
    assert store.events.unseen() == []


def test_what_happens_after_an_acknowledgement_is_unseen_again(
    store: Store, paused: TaskRow
) -> None:
    store.events.acknowledge(store.events.unseen())
    store.transitions.apply(paused.id, Event.CANCEL)
    assert news(store.events.unseen()) == [(paused.id, "task.cancelled")]


def test_an_older_acknowledgement_takes_nothing_back(store: Store, paused: TaskRow) -> None:
    old = store.events.unseen()
    store.transitions.apply(paused.id, Event.CANCEL)
    store.events.acknowledge(store.events.unseen())
    store.events.acknowledge(old)
    assert store.events.unseen() == []


def test_a_task_that_goes_on_is_no_longer_unseen(store: Store, paused: TaskRow) -> None:
    assert store.transitions.resume(paused.id, None) is not None
    assert store.events.unseen() == []


def test_an_event_with_an_unknown_status_is_an_error_that_names_it(
    store: Store, database: sa.Engine, make: Make
) -> None:
    """A1."""
    task = make()
    seq = store.events.last_seq()
    with database.begin() as connection:
        connection.execute(sa.update(store_tables.events).values(status="RUNNING"))
    with pytest.raises(DamagedRecord, match=f"event {seq} of task {task.id}"):
        store.events.after(0)


def test_a_damaged_event_hides_no_other_from_who_follows_the_sequence(
    store: Store, database: sa.Engine, make: Make
) -> None:
    """L6: it is passed by, and never met again."""
    for _ in range(3):
        make()
    seqs = [e.seq for e in store.events.after(0)]
    with database.begin() as connection:
        second = store_tables.events.c.seq == seqs[1]
        connection.execute(sa.update(store_tables.events).where(second).values(status="RUNNING"))
    events, last = store.events.tail(0)
    assert [e.seq for e in events] == [seqs[0], seqs[2]]
    assert last == seqs[2]
    assert store.events.tail(last) == ([], last)


def test_what_is_unseen_can_be_one_owners_and_one_projects(
    store: Store, make: Make, paused: TaskRow
) -> None:
    """A hundred of another project's must not push out one's own."""
    store.projects.register("p2", "/other")
    other = make(project_id="p2", project_path="/other")
    anns = make(owner="ann")
    for task in (other, anns):
        store.transitions.apply(task.id, Event.FAIL, error="boom")

    def unseen(**which: object) -> list[str]:
        return [e.task_id for e in store.events.unseen(**which)]  # pyright: ignore[reportArgumentType]

    assert unseen() == [paused.id, other.id]
    assert unseen(project="p1") == [paused.id]
    assert unseen(project="p1", limit=1) == [paused.id]
    assert unseen(project="p1", besides=[other.id]) == [paused.id, other.id]
    assert unseen(owner="ann") == [anns.id]


def test_it_is_remembered_over_which_channels_an_event_was_told(
    store: Store, paused: TaskRow, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    [event] = store.events.notable_after(0)
    began = clock.now
    store.events.record_reported(
        [(event.seq, "attention"), (event.seq, "wait_for_task")], clock.now
    )
    clock.now += 5
    store.events.record_reported([(event.seq, "attention")], clock.now)
    store.events.record_reported([], clock.now)
    deliveries = store.deliveries("roverd")
    deliveries.configure(["desktop"])
    assert store.events.reported([event.seq, 99]) == {
        event.seq: {"attention": began, "wait_for_task": began}
    }
    store.transitions.apply(paused.id, Event.CANCEL)
    deliveries.plan({"desktop": lambda e: e.kind == "task.cancelled"}, 0)
    [delivery] = deliveries.due("desktop")
    deliveries.delivered(delivery)
    assert store.events.reported([delivery.seq]) == {delivery.seq: {"hook desktop": clock.now}}
    assert store.events.reported([]) == {}
    monkeypatch.setattr(events, "MOST_NOTICES", 1)
    store.events.record_reported([(delivery.seq, "attention")], clock.now)
    assert set(store.events.reported([event.seq, delivery.seq])) == {delivery.seq}
