"""The durable control plane on the real DBOS and SQLite, with an engine that runs nothing.

What a crash leaves is made by taking DBOS's record away, or by a step that raises, as a bug would.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from dbos import DBOS
from sqlalchemy.exc import OperationalError

from agent_runner.models import PauseReason
from rover_mcp.config.settings import RetrySettings
from rover_mcp.control.plane import AGAIN
from rover_mcp.domain.ids import sandbox_name
from rover_mcp.domain.task_status import Event, TaskStatus
from rover_mcp.sandbox.protocol import SandboxSpec
from rover_mcp.store.migrations import database_url
from tests.support.planes import BOUND, Plane, completes, eventually, open_plane, pauses_first
from tests.support.samples import pause

S = TaskStatus
LIMIT = 2


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    home = tmp_path_factory.mktemp("plane") / "home"
    retry = RetrySettings(transient_first=0.3, credits_first=3600, jitter=0)
    with open_plane(home, database_url(home), concurrency=LIMIT, retry=retry) as made:
        yield made


def the_timer_is_due(plane: Plane, task_id: str, attempt: int) -> None:
    """DBOS's own, which nobody could move otherwise."""
    with plane.store.database.engine.begin() as connection:
        due = "UPDATE workflow_status SET delay_until_epoch_ms = 1 WHERE workflow_uuid = ?"
        connection.exec_driver_sql(due, (f"attempt-{task_id}-{attempt}",))


def test_a_task_goes_through_the_queue_to_its_end(plane: Plane) -> None:
    task_id = plane.create()
    plane.reaches(task_id, S.COMPLETED)
    eventually(lambda: plane.workflow(task_id, 1) == "SUCCESS")
    assert plane.starts(task_id) == [sandbox_name(task_id, 1)]


def test_an_attempt_that_is_enqueued_again_runs_once(plane: Plane) -> None:
    """L8: its workflow's id is its own."""
    task_id = plane.create()
    for _ in range(3):
        plane.enqueue(task_id, 1)
    plane.reaches(task_id, S.COMPLETED)
    plane.enqueue(task_id, 1)
    plane.plane.reconcile()
    assert len(plane.starts(task_id)) == 1


def test_a_paused_task_goes_on_by_itself_when_its_time_has_come(plane: Plane) -> None:
    """K1: the delayed attempt fires without anybody."""
    task_id = plane.create(pauses_first())
    task = plane.reaches(task_id, S.COMPLETED)
    assert task.attempt == 2
    events = plane.store.events.after(0, task_id=task_id)
    [paused] = [e for e in events if e.kind == "task.paused"]
    [resumed] = [e for e in events if e.kind == "task.resumed"]
    assert resumed.at - paused.at >= 0.25
    assert resumed.data["automatic"]


def test_a_resume_before_the_time_does_not_run_twice(plane: Plane) -> None:
    """K6: the timer finds that somebody was quicker."""
    gate = threading.Event()

    def play(spec: SandboxSpec) -> int:
        assert spec.attempt == 1 or gate.wait(BOUND)
        return pauses_first(PauseReason.CREDITS)(spec)

    task_id = plane.create(play)
    eventually(lambda: plane.workflow(task_id, 2) is not None)
    won = plane.store.transitions.resume(task_id, "client-2")
    assert won is not None
    plane.plane.enqueue(won[1])
    the_timer_is_due(plane, task_id, 2)
    eventually(lambda: plane.workflow(task_id, 2) == "SUCCESS")
    assert plane.task(task_id).status is S.IN_PROGRESS
    gate.set()
    task = plane.reaches(task_id, S.COMPLETED)
    assert (task.attempt, task.auto_retries) == (2, 0)
    assert plane.starts(task_id) == [sandbox_name(task_id, n) for n in (1, 2)]


def test_no_more_attempts_run_at_once_than_are_allowed(plane: Plane) -> None:
    """A4: the third waits for its turn, and gets it."""
    gates = {n: threading.Event() for n in range(3)}
    running: list[int] = []

    def blocked(number: int) -> Callable[[SandboxSpec], int]:
        def play(spec: SandboxSpec) -> int:
            running.append(number)
            assert gates[number].wait(BOUND)
            return completes(spec)

        return play

    tasks = [plane.create(blocked(n)) for n in range(3)]
    eventually(lambda: len(running) == LIMIT)
    # That something does not happen can only be given time: fifteen polls.
    threading.Event().wait(0.3)
    assert len(running) == LIMIT
    assert [plane.task(t).status for t in tasks].count(S.NEW) == 1
    gates[running[0]].set()
    eventually(lambda: len(running) == 3)
    for gate in gates.values():
        gate.set()
    for task_id in tasks:
        plane.reaches(task_id, S.COMPLETED)


def test_an_attempt_without_a_workflow_is_enqueued(plane: Plane) -> None:
    """L8: a crash between our record and DBOS's."""
    task_id = plane.create(enqueue=False)
    assert plane.workflow(task_id, 1) is None
    plane.plane.reconcile()
    plane.reaches(task_id, S.COMPLETED)


def test_a_scheduled_attempt_without_a_workflow_waits_for_its_time(plane: Plane) -> None:
    """L8, K1: it is enqueued with what is left of its delay."""
    task_id = plane.create(enqueue=False)
    plane.store.transitions.apply(
        task_id,
        Event.PAUSE,
        schedule=True,
        data=pause().model_dump(mode="json"),
        pause=pause(),
        retry_at=time.time() + 3600,
    )
    plane.plane.reconcile()
    assert plane.workflow(task_id, 2) == "DELAYED"
    assert plane.workflow(task_id, 1) is None, "a superseded attempt needs none"
    plane.store.transitions.apply(task_id, Event.CANCEL)


@dataclass
class BrokenStep:
    """A step that raises what no step should, so many times."""

    times: int
    error: Exception = field(default_factory=lambda: RuntimeError("a bug"))
    asked: int = 0

    def __call__(self, real: Callable[..., object]) -> Callable[..., object]:
        def step(*args: object) -> object:
            self.asked += 1
            if self.asked <= self.times:
                raise self.error
            return real(*args)

        return step


def break_step(
    plane: Plane, monkeypatch: pytest.MonkeyPatch, step: str, broken: BrokenStep
) -> None:
    part = {
        "claim": plane.attempts.launch,
        "bring_up": plane.attempts.launch,
        "follow": plane.attempts.wait,
        "settle": plane.attempts.finish,
    }[step]
    monkeypatch.setattr(part, step, broken(getattr(part, step)))


@pytest.mark.parametrize("step", ["claim", "bring_up", "follow", "settle"])
def test_a_workflow_that_failed_is_revived_once(
    plane: Plane, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """L8: the attempt goes on where it is, in the sandbox that it has."""
    break_step(plane, monkeypatch, step, BrokenStep(1))
    task_id = plane.create()
    eventually(lambda: plane.workflow(task_id, 1) == "ERROR")
    plane.plane.reconcile()
    plane.reaches(task_id, S.COMPLETED)
    eventually(lambda: plane.workflow(task_id, 1, AGAIN) == "SUCCESS")
    assert len(plane.starts(task_id)) == 1
    assert not [
        a for a in plane.store.attempts.in_states(["starting", "running"]) if a.task_id == task_id
    ]


@pytest.mark.parametrize("step", ["claim", "follow", "settle"])
def test_a_workflow_that_failed_twice_fails_its_task_with_a_hint(
    plane: Plane, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """L8: nothing is left running, and a person can go on from there."""
    break_step(plane, monkeypatch, step, BrokenStep(2))
    task_id = plane.create(lambda _: None) if step == "follow" else plane.create()
    eventually(lambda: plane.workflow(task_id, 1) == "ERROR")
    plane.plane.reconcile()
    eventually(lambda: plane.workflow(task_id, 1, AGAIN) == "ERROR")
    plane.plane.reconcile()
    task = plane.task(task_id)
    assert task.status is S.FAILED
    assert "failed twice" in str(task.error)
    assert "resume_task" in str(task.error)
    [failed] = [e for e in plane.store.events.after(0, task_id=task_id) if e.kind == "task.failed"]
    assert "failed twice" in failed.data["error"]
    assert sandbox_name(task_id, 1) not in plane.world.sandboxes
    plane.plane.reconcile()
    plane.play.pop(task_id, None)
    won = plane.store.transitions.resume(task_id, None)
    assert won is not None
    plane.plane.enqueue(won[1])
    plane.reaches(task_id, S.COMPLETED)


@pytest.mark.parametrize("step", ["claim", "bring_up", "follow", "settle"])
def test_a_workflow_that_the_database_ended_is_revived_each_time(
    plane: Plane, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """L7, L8: on a full disk SQLite also reports "disk I/O error", and that is no fault of the
    task."""
    trouble = OperationalError("INSERT", {}, sqlite3.OperationalError("disk I/O error"))
    break_step(plane, monkeypatch, step, BrokenStep(3, trouble))
    task_id = plane.create()

    def completed() -> bool:
        plane.plane.reconcile()
        return plane.task(task_id).status is S.COMPLETED

    eventually(completed)
    assert len(plane.starts(task_id)) == 1


def test_a_timer_that_failed_twice_leaves_the_task_to_a_person(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K1, L8: the pause stands, and no time is promised."""
    real, asked = plane.attempts.launch.claim, list[int]()

    def claim(task_id: str, attempt: int, workflow_id: str) -> bool:
        if attempt == 1:
            return real(task_id, attempt, workflow_id)
        asked.append(attempt)
        raise RuntimeError("a bug")

    monkeypatch.setattr(plane.attempts.launch, "claim", claim)
    task_id = plane.create(pauses_first())
    eventually(lambda: plane.workflow(task_id, 2) == "ERROR")
    plane.plane.reconcile()
    eventually(lambda: plane.workflow(task_id, 2, AGAIN) == "ERROR")
    plane.plane.reconcile()
    task = plane.task(task_id)
    assert (task.status, task.retry_at, asked) == (S.PAUSED, None, [2, 2])
    assert "failed twice" in task.warnings[0]
    assert plane.attempts.finish.scheduled(task_id) is None


def test_polling_is_quick_only_while_somebody_waits(plane: Plane) -> None:
    """A4: DBOS cannot be woken."""
    queue = DBOS.retrieve_queue("attempts")
    assert queue is not None
    assert queue.polling_interval_sec == 0.02  # a client came before DBOS was launched
    plane.plane.set_eager(False)
    queue = DBOS.retrieve_queue("attempts")
    assert queue is not None
    assert queue.polling_interval_sec == 1.0
    plane.plane.set_eager(True)
    queue = DBOS.retrieve_queue("attempts")
    assert queue is not None
    assert queue.polling_interval_sec == 0.02
    task_id = plane.create()
    plane.reaches(task_id, S.COMPLETED)
