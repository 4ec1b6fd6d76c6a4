"""Many at once: nothing is lost, and of contenders one wins (J1)."""

from __future__ import annotations

import threading

import sqlalchemy as sa

from rover_mcp.domain.task_status import Event, TaskStatus
from rover_mcp.store import store_tables
from rover_mcp.store.migrations import open_database
from rover_mcp.store.records import TaskRow
from rover_mcp.store.store import Store
from tests.contracts.store.conftest import Make
from tests.support.contenders import contend, resume
from tests.support.samples import new_task, pause
from tests.support.threads import together


def test_fifty_tasks_at_once_get_fifty_numbers(store: Store) -> None:
    """None lost, none twice."""

    def create(index: int) -> int:
        task, is_new = store.tasks.create(new_task(f"{index:032x}"), frozenset())
        assert is_new
        return task.number

    assert sorted(together(50, create)) == list(range(1, 51))
    assert store.tasks.count([TaskStatus.NEW]) == 50
    assert len(store.attempts.in_states(["queued"])) == 50
    assert [e.seq for e in store.events.after(0)] == sorted({e.seq for e in store.events.after(0)})


def test_the_same_request_at_once_makes_one_task(store: Store) -> None:
    """One key, one task, whoever asks."""

    def create(index: int) -> tuple[str, bool]:
        task, is_new = store.tasks.create(new_task(f"{index:032x}", request_key="k"), frozenset())
        return task.id, is_new

    made = together(20, create)
    assert len({task_id for task_id, _ in made}) == 1
    assert [is_new for _, is_new in made].count(True) == 1
    assert len(store.tasks.page(limit=100)) == len(store.events.after(0)) == 1


def test_one_project_is_made_however_many_ask(store: Store) -> None:
    assert (
        len(
            {
                store_id.id
                for store_id in together(20, lambda n: store.projects.register(f"n{n}", "/new"))
            }
        )
        == 1
    )


def test_of_twenty_who_resume_exactly_one_wins(store: Store, paused: TaskRow) -> None:
    """J1: the others are told by None."""
    won = [
        w for w in together(20, lambda n: store.transitions.resume(paused.id, f"client-{n}")) if w
    ]
    assert len(won) == 1
    [attempt] = store.attempts.in_states(["queued"])
    assert attempt == won[0][1]
    assert [e.kind for e in store.events.after(0, task_id=paused.id)].count("task.resumed") == 1


def test_of_twenty_who_resume_what_is_not_scheduled_exactly_one_wins(
    store: Store, paused: TaskRow
) -> None:
    """J1: twenty new attempts would be twenty sandboxes."""
    store.attempts.drop_schedule(paused.id)
    won = [w for w in together(20, lambda _: store.transitions.resume(paused.id, None)) if w]
    assert len(won) == len(store.attempts.in_states(["queued"])) == 1


def test_of_a_timer_and_a_person_one_starts_the_task(store: Store, make: Make) -> None:
    """J1, K6: round after round."""
    for _ in range(10):
        task = make()
        timer = f"attempt-{task.id}-2"
        store.claims.start(task.id, 1, f"attempt-{task.id}-1")
        store.transitions.apply(task.id, Event.PAUSE, schedule=True, pause=pause(), retry_at=1.0)

        def contend(index: int, task: TaskRow = task, timer: str = timer) -> bool:
            if index == 0:
                return store.claims.start(task.id, 2, timer) is not None
            return store.transitions.resume(task.id, "person") is not None

        assert sum(together(2, contend)) == 1
        kinds = [e.kind for e in store.events.after(0, task_id=task.id)]
        assert kinds.count("task.resumed") == 1


def test_of_twenty_transitions_exactly_one_lands(store: Store, running: TaskRow) -> None:
    """Losing a race is a normal answer."""
    events = [Event.COMPLETE, Event.FAIL, Event.PAUSE] * 7
    landed = [
        t for t in together(20, lambda n: store.transitions.apply(running.id, events[n])) if t
    ]
    final = store.tasks.get(running.id)
    assert final is not None
    assert [t.status for t in landed] == [final.status]


def test_a_task_is_not_paused_as_unstarted_once_it_is_claimed(store: Store, make: Make) -> None:
    """I7: else its sandbox would run on behind a pause."""
    for _ in range(10):
        task = make()

        def contend(index: int, task: TaskRow = task) -> bool:
            if index == 0:
                return store.claims.start(task.id, 1, f"attempt-{task.id}-1") is not None
            unstarted = store.transitions.apply(task.id, Event.PAUSE, attempt=1, unstarted=True)
            return unstarted is not None

        assert sum(together(2, contend)) == 1


def test_who_follows_the_sequence_misses_nothing(
    store: Store, database: sa.Engine, make: Make
) -> None:
    """The outbox. A number that is seen later than a higher one would be lost."""
    tasks = [make() for _ in range(8)]
    start, done = store.events.last_seq(), threading.Event()
    seen: list[int] = []

    def follow() -> None:
        while not done.is_set():
            seen.extend(e.seq for e in store.events.after(seen[-1] if seen else start))

    def write(index: int) -> None:
        for n in range(15):
            store.events.add(tasks[index].id, "task.step", {"n": n})

    follower = threading.Thread(target=follow)
    follower.start()
    try:
        together(8, write)
    finally:
        done.set()
        follower.join(300)
    seen.extend(e.seq for e in store.events.after(seen[-1] if seen else start))
    assert seen == [e.seq for e in store.events.after(start)]
    assert len(seen) == 8 * 15


def test_sessions_that_acknowledge_at_once_leave_the_newest(store: Store, paused: TaskRow) -> None:
    events = store.events.after(0, task_id=paused.id)
    together(20, lambda n: store.events.acknowledge(events[n % len(events) :]))
    assert store.events.unseen() == []


def test_of_eight_processes_one_resumes_in_each_of_five_hundred_rounds(url: str) -> None:
    """J1, I3: the others are told that they lost; one new attempt and one event each."""
    engine = open_database(url)
    store, rounds = Store(engine), 500
    store.projects.register("p1", "/repo")
    task, _ = store.tasks.create(new_task(), frozenset())
    store.claims.start(task.id, 1, f"attempt-{task.id}-1")
    store.transitions.apply(task.id, Event.PAUSE, pause=pause())
    copies = copied(engine, task.id, rounds)
    won = contend(url, copies, resume)
    kinds = [e.kind for e in store.events.after(0, limit=10 * rounds)]
    attempts = store.attempts.in_states(["queued"])
    engine.dispose()
    assert won == [1] * rounds
    assert kinds.count("task.resumed") == rounds
    assert sorted((a.task_id, a.attempt) for a in attempts) == [(c, 2) for c in copies]


def copied(engine: sa.Engine, task_id: str, count: int) -> list[str]:
    """Tasks just like one, with its attempts; their ids in order."""
    ids = [f"{number:032x}" for number in range(count)]
    with engine.begin() as connection:
        for table, key in ((store_tables.tasks, "id"), (store_tables.attempts, "task_id")):
            query = sa.select(table).where(table.c[key] == task_id)
            row = dict(connection.execute(query).one()._mapping)
            for number, copy in enumerate(ids):
                names = {key: copy, "number": 100 + number, "workflow_id": f"attempt-{copy}-1"}
                values = row | {k: v for k, v in names.items() if k in row}
                connection.execute(table.insert().values(**values))
    return ids
