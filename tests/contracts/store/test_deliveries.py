"""What hooks have to be told: nothing lost, nothing made twice, nothing of before."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from rover_mcp.store import deliveries as d
from rover_mcp.store import store_tables
from rover_mcp.store.deliveries import Deliveries
from rover_mcp.store.records import EventRow
from rover_mcp.store.store import Store
from tests.contracts.store.conftest import Clock, Make
from tests.support.threads import together

TASK = "a" * 32


def of(*kinds: str) -> Callable[[EventRow], bool]:
    return lambda event: event.kind in kinds


@pytest.fixture
def hooks(store: Store, make: Make) -> Deliveries:
    """One hook, made after a task was."""
    make(TASK)
    made = store.deliveries("roverd")
    made.configure(["hook"])
    return made


def step(store: Store, kind: str = "task.x") -> int:
    store.events.add(TASK, kind, {})
    return store.events.last_seq()


def told(hooks: Deliveries) -> list[tuple[str, int]]:
    return [(row.hook, row.seq) for row in hooks.due("hook", 10_000)]


def test_a_hook_is_told_of_what_comes_after_it_was_made(store: Store, hooks: Deliveries) -> None:
    seq = step(store)
    step(store, "task.other")
    last = hooks.plan({"hook": of("task.created", "task.x")}, 0)
    assert last == store.events.last_seq()
    assert told(hooks) == [("hook", seq)]


def test_looking_again_from_before_makes_nothing_twice(store: Store, hooks: Deliveries) -> None:
    """As a daemon does that was killed between the plan and the next."""
    step(store)
    for _ in range(3):
        hooks.plan({"hook": of("task.x")}, 0)
    [first] = hooks.due("hook")
    assert hooks.due("hook") == [first]


def test_two_at_once_make_each_delivery_once(store: Store, hooks: Deliveries) -> None:
    seqs = [step(store) for _ in range(5)]
    together(4, lambda _: hooks.plan({"hook": of("task.x")}, 0))
    assert told(hooks) == [("hook", seq) for seq in seqs]


def test_a_hook_that_was_away_begins_anew(store: Store, hooks: Deliveries) -> None:
    step(store)
    hooks.plan({"hook": of("task.x")}, 0)
    hooks.configure([])
    assert hooks.places() == {}
    assert [(r.state, r.error) for r in hooks.dead()] == [
        ("dead", "no such hook is configured any more")
    ]
    step(store)
    hooks.configure(["hook"])
    assert hooks.plan({"hook": of("task.x")}, 0) == store.events.last_seq()
    assert told(hooks) == []


def test_what_nobody_wants_is_not_written(
    store: Store, hooks: Deliveries, database: sa.Engine
) -> None:
    """Steps come by the hundred; each write is a flush of the disk."""
    before = hooks.places()
    step(store)
    written: list[str] = []

    def note(*args: object) -> None:
        written.append(str(args[2]))

    sa.event.listen(database, "before_cursor_execute", note)
    last = hooks.plan({"hook": of("task.paused")}, before["hook"])
    sa.event.remove(database, "before_cursor_execute", note)
    assert last == store.events.last_seq()
    assert not [text for text in written if not text.startswith(("SELECT", "BEGIN"))]
    assert hooks.places() == before


def test_more_events_than_a_page_are_taken_page_by_page(
    store: Store, hooks: Deliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(d, "PAGE", 3)
    seqs = [step(store) for _ in range(7)]
    last = 0
    while (after := hooks.plan({"hook": of("task.x")}, last)) != last:
        last = after
    assert [seq for _, seq in told(hooks)] == seqs


def test_a_failed_one_is_due_again_at_its_time(
    store: Store, hooks: Deliveries, clock: Clock
) -> None:
    step(store)
    hooks.plan({"hook": of("task.x")}, 0)
    [row] = hooks.due("hook")
    hooks.failed(row, "refused", clock.now + 30)
    assert hooks.due("hook") == []
    assert hooks.next_at(["hook"]) == clock.now + 30
    assert hooks.next_at(["other"]) is None
    clock.now += 30
    [again] = hooks.due("hook")
    assert (again.id, again.attempts, again.error) == (row.id, 1, "refused")
    hooks.delivered(again)
    assert hooks.due("hook") == []
    assert hooks.next_at(["hook"]) is None
    assert hooks.counts() == {"hook": {"delivered": 1}}


def test_a_dead_one_can_be_tried_again(store: Store, hooks: Deliveries, clock: Clock) -> None:
    step(store)
    hooks.plan({"hook": of("task.x")}, 0)
    [row] = hooks.due("hook")
    hooks.failed(row, "gone", None)
    [dead] = hooks.dead()
    assert (dead.id, dead.state, dead.ended_at, dead.error) == (row.id, "dead", clock.now, "gone")
    assert not hooks.retry("msg_other", ["hook"])
    assert not hooks.retry(dead.id, ["another"])
    assert hooks.retry(dead.id, ["hook"])
    assert not hooks.retry(dead.id, ["hook"])
    assert [(r.id, r.attempts) for r in hooks.due("hook")] == [(row.id, 0)]


def test_each_daemon_has_its_own_hooks(store: Store, hooks: Deliveries) -> None:
    """Several share a database."""
    other = store.deliveries("other")
    other.configure(["theirs"])
    step(store)
    hooks.plan({"hook": of("task.x")}, 0)
    other.configure([])
    assert len(hooks.due("hook")) == 1
    assert other.due("hook") == []
    assert other.dead() == []


def test_what_is_kept_has_a_limit(
    store: Store, hooks: Deliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What grows has a limit, and says so there."""
    monkeypatch.setattr(d, "MOST_PENDING", 3)
    monkeypatch.setattr(d, "MOST_KEPT", 2)
    seqs = [step(store) for _ in range(5)]
    hooks.plan({"hook": of("task.x")}, 0)
    assert [row.seq for row in hooks.due("hook")] == seqs[2:]
    assert [(row.seq, row.error) for row in hooks.dead()] == [
        (seqs[1], "more than 3 were waiting"),
        (seqs[0], "more than 3 were waiting"),
    ]
    for row in hooks.due("hook"):
        hooks.delivered(row)
    step(store)
    hooks.plan({"hook": of("task.x")}, 0)
    assert hooks.counts() == {"hook": {"delivered": 2, "dead": 2, "pending": 1}}


def test_a_damaged_event_is_none(store: Store, hooks: Deliveries, database: sa.Engine) -> None:
    seq = step(store)
    event = hooks.event(seq)
    assert event is not None
    assert event.kind == "task.x"
    with database.begin() as connection:
        connection.execute(sa.update(store_tables.events).values(status="RUNNING"))
    assert hooks.event(seq) is None
    assert hooks.event(seq + 1) is None
