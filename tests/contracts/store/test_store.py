"""Tasks, their status and their attempts in the store (A1, H1 to H3, I4, J1, K6)."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import sqlalchemy as sa

from agent_runner.models import PauseReason
from rover_mcp.domain.errors import Conflict
from rover_mcp.domain.task_status import TRANSITIONS, Event, TaskStatus, sources
from rover_mcp.store import store_tables
from rover_mcp.store.damaged_records import DamagedRecord
from rover_mcp.store.records import TaskRow
from rover_mcp.store.store import Store
from tests.contracts.store.conftest import Clock, Make
from tests.support.samples import new_task, pause, run_state

S = TaskStatus
T = store_tables.tasks


def kinds(store: Store, task_id: str) -> list[str]:
    return [e.kind for e in store.events.after(0, task_id=task_id)]


def put(database: sa.Engine, task_id: str, **columns: object) -> None:
    """Write columns past every guard."""
    with database.begin() as connection:
        connection.execute(T.update().where(T.c.id == task_id).values(**columns))


# Projects and tasks


def test_a_repository_is_one_project(store: Store) -> None:
    assert store.projects.register("other", "/repo") == store.projects.at("/repo")
    assert store.projects.register("p2", "/elsewhere").id == "p2"
    assert store.projects.at("/nowhere") is None


def test_a_folder_belongs_to_the_innermost_project_around_it(store: Store) -> None:
    store.projects.register("outer", "/work")
    store.projects.register("inner", "/work/vendor/lib")
    found = [store.projects.around(Path(p)) for p in ("/work/src", "/work/vendor/lib/x", "/worked")]
    assert [p and p.id for p in found] == ["outer", "inner", None]


def test_a_new_task_is_kept_whole(store: Store, make: Make, clock: Clock) -> None:
    inputs = {"description": "ünïcödé \U0001f680", "empty": ""}
    task = make(inputs=inputs, warnings=["dirty"], model="opus", request_key="k")
    assert store.tasks.get(task.id) == task
    assert (
        asdict(task).items()
        >= asdict(
            new_task(task.id, inputs=inputs, warnings=["dirty"], model="opus", request_key="k")
        ).items()
    )
    assert (task.number, task.branch) == (1, "rover/1-fix-the-sum")
    assert (task.status, task.iteration, task.attempt) == (S.NEW, 1, 1)
    assert (task.created_at, task.started_at, task.pause) == (clock.now, None, None)


def test_its_first_attempt_is_queued_and_its_creation_is_news(
    store: Store, make: Make, rung: list[str]
) -> None:
    task = make()
    attempt = store.attempts.get(task.id, 1)
    assert attempt is not None
    assert (attempt.state, attempt.client_id) == ("queued", "client-1")
    assert attempt.workflow_id == f"attempt-{task.id}-1"
    assert attempt.sandbox == f"rover-{task.id[:12]}-1"
    assert kinds(store, task.id) == ["task.created"]
    assert rung == ["events"]


def test_numbers_count_in_each_project(store: Store, make: Make) -> None:
    store.projects.register("p2", "/other")
    first, second = make(), make()
    other = make(project_id="p2", project_path="/other")
    assert (first.number, second.number, other.number) == (1, 2, 1)
    assert store.tasks.named("number", "2", project_id="p1") == [second]
    assert store.tasks.named("number", "2", project_id="p2") == []
    assert {t.id for t in store.tasks.named("number", "1")} == {first.id, other.id}


def test_a_task_is_named_by_the_beginning_of_its_id_and_by_its_branch(
    store: Store, make: Make
) -> None:
    first, second = make("a" * 9 + "0" * 23), make("a" * 8 + "b" * 24)
    assert store.tasks.named("prefix", "a" * 9) == [first]
    assert {t.id for t in store.tasks.named("prefix", "a" * 8)} == {first.id, second.id}
    assert store.tasks.named("prefix", "%") == store.tasks.named("prefix", "_" * 8) == []
    assert store.tasks.named("branch", second.branch, project_id="p1") == [second]
    assert store.tasks.named("id", second.id) == [second]


def test_a_branch_that_the_repository_has_gets_a_counter(store: Store) -> None:
    task, _ = store.tasks.create(new_task(), frozenset({"rover/1-fix-the-sum"}))
    assert task.branch == "rover/1-fix-the-sum-2"


def test_the_same_request_key_gives_the_same_task_and_uses_no_number(
    store: Store, make: Make, rung: list[str]
) -> None:
    first = make(request_key="k")
    again, is_new = store.tasks.create(new_task("f" * 32, request_key="k"), frozenset())
    assert (again, is_new, len(rung)) == (first, False, 1)
    assert make().number == 2
    assert store.tasks.get("f" * 32) is None


def test_a_key_counts_in_its_own_project_and_no_key_is_no_key(store: Store, make: Make) -> None:
    store.projects.register("p2", "/other")
    tasks = [make(request_key="k"), make(project_id="p2", request_key="k"), make(), make()]
    assert len({t.id for t in tasks}) == 4


def test_a_task_of_no_project_is_refused(store: Store, make: Make) -> None:
    with pytest.raises(Conflict, match="forgotten"):
        make(project_id="nowhere")
    assert store.tasks.page() == []


def test_lists_are_newest_first_and_a_page_follows_the_other(
    store: Store, make: Make, clock: Clock
) -> None:
    for second in range(7):
        clock.now += second % 2
        make()
    everything = store.tasks.page(limit=100)
    assert [t.created_at for t in everything] == sorted(
        (t.created_at for t in everything), reverse=True
    )
    seen: list[TaskRow] = []
    while page := store.tasks.page(
        before=(seen[-1].created_at, seen[-1].id) if seen else None, limit=3
    ):
        seen += page
    assert seen == everything


def test_lists_are_by_status_and_project(store: Store, make: Make, running: TaskRow) -> None:
    store.projects.register("p2", "/other")
    waiting, elsewhere = make(), make(project_id="p2")
    assert [t.id for t in store.tasks.page(statuses=[S.IN_PROGRESS])] == [running.id]
    assert {t.id for t in store.tasks.page(project_id="p1")} == {running.id, waiting.id}
    assert [t.id for t in store.tasks.page(statuses=[S.NEW], project_id="p2")] == [elsewhere.id]
    assert (
        store.tasks.count([S.NEW]),
        store.tasks.count([S.NEW, S.IN_PROGRESS]),
        store.tasks.count([]),
    ) == (2, 3, 0)


# Damage


@pytest.mark.parametrize(
    "columns",
    [
        {"status": "RUNNING"},
        {"status": ""},
        {"pause": {"reason": "bored", "message": "m", "since": "2026-01-01T00:00:00Z"}},
        {"pause": {"reason": "credits"}},
        {"run_state": {"status": "asleep"}},
        {"run_state": {"unknown": 1}},
    ],
)
def test_a_record_with_something_unknown_is_an_error_that_names_it(
    store: Store, database: sa.Engine, make: Make, columns: dict[str, object]
) -> None:
    """A1: never a silent NEW."""
    task, sound = make(), make()
    put(database, task.id, **columns)
    with pytest.raises(DamagedRecord, match=task.id) as caught:
        store.tasks.get(task.id)
    assert caught.value.code == "damaged_record"
    listed = {
        row.task.key for row in store.tasks.page() if isinstance(row, DamagedRecord) and row.task
    }
    assert listed == {task.id}
    assert store.tasks.get(sound.id) == sound


def test_no_event_moves_a_task_whose_status_is_unknown(
    store: Store, database: sa.Engine, make: Make
) -> None:
    """A1."""
    task = make()
    put(database, task.id, status="RUNNING")
    assert all(store.transitions.apply(task.id, event) is None for event in Event)
    assert store.transitions.resume(task.id, None) is None
    assert kinds(store, task.id) == ["task.created"]


# Transitions


@pytest.mark.parametrize("status", TaskStatus)
def test_a_transition_lands_only_where_the_table_allows_it(
    store: Store, database: sa.Engine, make: Make, status: TaskStatus
) -> None:
    """A1: with its event, in one transaction."""
    for event in Event:
        task = make()
        put(database, task.id, status=status)
        moved = store.transitions.apply(task.id, event)
        if status in sources(event):
            assert moved is not None
            assert moved.status is TRANSITIONS[status, event]
            assert store.events.last(task.id)[-1].status == moved.status
            assert kinds(store, task.id) == ["task.created", event]
        else:
            assert moved is None
            assert kinds(store, task.id) == ["task.created"]


def test_a_lost_race_writes_nothing_and_is_no_exception(
    store: Store, running: TaskRow, rung: list[str]
) -> None:
    rung.clear()
    assert store.transitions.apply(running.id, Event.PAUSE, expected=[S.NEW]) is None
    assert store.transitions.apply(running.id, Event.PAUSE, attempt=2) is None
    assert store.transitions.apply("0" * 32, Event.PAUSE) is None
    assert (store.tasks.get(running.id), rung) == (running, [])


def test_a_pause_keeps_its_reason_and_its_time(store: Store, paused: TaskRow, clock: Clock) -> None:
    """H1, D1."""
    assert paused.status is S.PAUSED
    assert paused.pause == pause()
    assert paused.run_state == run_state()
    assert (paused.paused_at, paused.retry_at) == (clock.now, clock.now + 900)
    assert store.tasks.get(paused.id) == paused


@pytest.mark.parametrize("event", [Event.RESUME, Event.RESUME_ITERATION, Event.CANCEL])
def test_leaving_a_pause_clears_what_belongs_to_it(
    store: Store, paused: TaskRow, event: Event
) -> None:
    """H2, H3: paused_at, reason, provider, retry and error."""
    store.tasks.update(paused.id, error="credit balance is too low")
    after = store.transitions.apply(paused.id, event)
    assert after is not None
    assert (after.pause, after.paused_at, after.retry_at, after.error) == (None,) * 4
    assert (after.ended_at is None) == (event is not Event.CANCEL)


def test_every_ending_clears_the_error_of_before_unless_it_brings_one(
    store: Store, running: TaskRow, clock: Clock
) -> None:
    """H2."""
    failed = store.transitions.apply(running.id, Event.FAIL, error="tests fail")
    assert failed is not None
    assert (failed.error, failed.ended_at) == ("tests fail", clock.now)
    won = store.transitions.resume(running.id, None)
    assert won is not None
    assert (won[0].error, won[0].ended_at) == (None, None)
    for event in (Event.COMPLETE, Event.PUSH, Event.MERGE):
        store.tasks.update(running.id, error="old")
        after = store.transitions.apply(running.id, event)
        assert after is not None
        assert after.error is None


def test_the_next_pause_records_its_own_provider_or_none(store: Store, paused: TaskRow) -> None:
    """H3."""
    for provider in ("openai", None):
        assert store.transitions.resume(paused.id, None) is not None
        again = store.transitions.apply(
            paused.id, Event.PAUSE, pause=pause(PauseReason.AUTH, provider=provider)
        )
        assert again is not None
        assert again.pause is not None
        assert again.pause.provider == provider


def test_the_next_attempt_is_scheduled_with_the_pause(store: Store, paused: TaskRow) -> None:
    """K1."""
    [waiting] = store.attempts.in_states(["scheduled"])
    assert (waiting.task_id, waiting.attempt, waiting.iteration) == (paused.id, 2, 1)
    assert paused.attempt == 1


def test_a_pause_whose_schedule_cannot_be_written_has_not_happened(
    store: Store, database: sa.Engine, running: TaskRow, rung: list[str]
) -> None:
    """K1: one transaction: never paused for ever because of a crash in between."""

    def refuse(_c: object, _cur: object, statement: str, *_: object) -> None:
        if statement.startswith("INSERT INTO rover_attempts"):
            raise OSError("no space left on device")

    before = kinds(store, running.id)
    rung.clear()
    sa.event.listen(database, "before_cursor_execute", refuse)
    with pytest.raises(OSError, match="no space left"):
        store.transitions.apply(running.id, Event.PAUSE, schedule=True, pause=pause())
    sa.event.remove(database, "before_cursor_execute", refuse)
    assert store.tasks.get(running.id) == running
    assert (kinds(store, running.id), rung) == (before, [])


def test_a_pause_or_a_cancellation_ends_attempts_that_wait(store: Store, make: Make) -> None:
    for event in (Event.PAUSE, Event.CANCEL):
        task = make()
        store.transitions.apply(task.id, event)
        attempt = store.attempts.get(task.id, 1)
        assert attempt is not None
        assert attempt.state == "superseded"
        assert store.claims.start(task.id, 1, f"attempt-{task.id}-1") is None


def test_a_damaged_record_hides_no_other_in_a_page(
    store: Store, database: sa.Engine, make: Make
) -> None:
    """L6, A1: it is named, in its place."""
    tasks = [make() for _ in range(3)]
    put(database, tasks[1].id, status="NONSENSE")
    newest, damaged, oldest = store.tasks.page()
    assert (newest, oldest) == (tasks[2], tasks[0])
    assert isinstance(damaged, DamagedRecord)
    assert tasks[1].id in damaged.message
    assert store.tasks.page(before=damaged.place) == [tasks[0]]


def test_a_task_that_waits_for_an_attempt_that_is_over_is_found(store: Store, make: Make) -> None:
    """L8."""
    sound, stranded = make(), make()
    assert store.tasks.stranded() == []
    store.attempts.move(stranded.id, 1, ("queued",), state="ended")
    assert store.tasks.stranded() == [(stranded.id, 1)]
    assert sound.id != stranded.id
