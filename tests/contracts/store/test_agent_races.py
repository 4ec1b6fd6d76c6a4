"""Tasks that race are created together, and all but the chosen one go together."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import IntegrityError

from agent_runner.models import PauseReason
from rover_mcp.domain.task_links import Racer, TaskLinks
from rover_mcp.domain.task_status import Event, TaskStatus
from rover_mcp.store.records import TaskRow
from rover_mcp.store.store import Store
from tests.contracts.store.conftest import Clock
from tests.support.samples import new_task, pause

S = TaskStatus
IDS = ("a" * 32, "b" * 32, "c" * 32)
LINKS = TaskLinks(race=tuple(Racer(task=task, agent="claude") for task in IDS))


def race(store: Store) -> list[TaskRow]:
    store.projects.register("p1", "/repo")
    news = [new_task(task, links=LINKS) for task in IDS]
    rows, are_new = store.tasks.create_all(news, frozenset())
    assert are_new
    return rows


def end(store: Store, task: TaskRow, event: Event = Event.COMPLETE) -> None:
    assert store.transitions.apply(task.id, Event.START) is not None
    why = {"pause": pause(PauseReason.USAGE_WINDOW)} if event is Event.PAUSE else {}
    schedule = event is Event.PAUSE
    assert store.transitions.apply(task.id, event, schedule=schedule, **why) is not None


def statuses(store: Store) -> list[TaskStatus | None]:
    rows = [store.tasks.get(task) for task in IDS]
    return [row.status if row else None for row in rows]


def test_the_tasks_of_a_race_are_created_together_or_not_at_all(store: Store) -> None:
    """N15."""
    rows = race(store)
    assert [row.number for row in rows] == [1, 2, 3]
    assert len({row.branch for row in rows}) == 3
    assert all(row.links == LINKS for row in rows)
    assert [store.attempts.get(task, 1) is not None for task in IDS] == [True] * 3
    # The second of these exists already, so the first is not created either.
    with pytest.raises(IntegrityError):
        store.tasks.create_all([new_task("d" * 32), new_task(IDS[1])], frozenset())
    assert store.tasks.get("d" * 32) is None


def test_all_but_the_chosen_one_go_together(store: Store) -> None:
    """N15: the pause of one that waits ends with it, and so does its next attempt."""
    first, second, third = race(store)
    end(store, first)
    end(store, second, Event.PAUSE)
    end(store, third, Event.FAIL)
    assert store.deletions.choose(first.id, [second.id, third.id])
    assert statuses(store) == [S.COMPLETED, None, None]
    gone = store.tasks.get(second.id, deleted=True)
    assert gone is not None
    assert (gone.status, gone.pause, gone.retry_at) == (S.CANCELLED, None, None)
    assert store.attempts.resuming_automatically([second.id]) == set()
    kinds = [event.kind for event in store.events.last(second.id)]
    assert kinds[-2:] == ["task.cancelled", "task.deleted"]
    assert store.deletions.choose(first.id, [second.id, third.id]), "once more is harmless"


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [(Event.FAIL, Event.COMPLETE), (Event.PAUSE, Event.COMPLETE), (Event.COMPLETE, None)],
)
def test_nothing_goes_where_the_choice_cannot_be_made(
    store: Store, mine: Event, theirs: Event | None
) -> None:
    """N15: the chosen one is not done, or another one is still at work."""
    first, second, third = race(store)
    end(store, first, mine)
    end(store, second, Event.PAUSE)
    if theirs is None:
        store.transitions.apply(third.id, Event.START)
    else:
        end(store, third, theirs)
    before = statuses(store)
    assert store.deletions.choose(first.id, [second.id, third.id]) is False
    assert statuses(store) == before
    assert store.deletions.list() == []


def test_a_task_of_the_trash_is_not_chosen(store: Store) -> None:
    first, second, _ = race(store)
    end(store, first)
    end(store, second)
    store.deletions.put(first.id)
    assert store.deletions.choose(first.id, [second.id]) is False
    assert store.tasks.get(second.id) is not None


def test_the_time_at_work_is_that_of_all_attempts(store: Store, clock: Clock) -> None:
    first, *_ = race(store)
    assert store.attempts.seconds_at_work(first.id) == 0
    begun = clock.now
    store.attempts.move(first.id, 1, ("queued",), state="ended", started_at=begun,
                        ended_at=begun + 30)  # fmt: skip
    assert store.attempts.seconds_at_work(first.id) == 30
    store.attempts.move(first.id, 1, ("ended",), state="running", ended_at=None)
    clock.now += 45
    assert store.attempts.seconds_at_work(first.id) == 45
