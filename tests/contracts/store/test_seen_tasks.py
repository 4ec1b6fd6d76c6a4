"""Which ends of tasks a person has seen, on both databases."""

from __future__ import annotations

from rover_mcp.domain.task_status import Event
from rover_mcp.store.store import Store
from tests.contracts.store.conftest import Make


def test_the_latest_end_that_was_seen_counts(store: Store) -> None:
    """An old page that is still open says what it shows, which is an earlier end."""
    assert store.seen.all() == {}
    assert store.seen.end_seen("a") is None
    for ended_at in (5.0, 9.0, 7.0):
        store.seen.mark("a", ended_at)
    store.seen.mark("b", 1.0)
    assert store.seen.all() == {"a": 9.0, "b": 1.0}
    assert store.seen.end_seen("a") == 9.0


def test_nothing_is_kept_of_a_task_that_is_gone(store: Store, make: Make) -> None:
    task = make()
    store.seen.mark(task.id, 5.0)
    store.transitions.apply(task.id, Event.CANCEL)
    store.tasks.delete(task.id)
    assert store.seen.all() == {}
