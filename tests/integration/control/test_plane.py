"""The durable control plane on the real DBOS and SQLite, with an engine that runs nothing.

DBOS is one per process: it is launched once for this module. What a crash leaves is made by
taking DBOS's record away, or by a step that raises, as a bug would.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dbos import DBOS

from agent_runner.journal import Journal, RecordType
from agent_runner.models import PauseReason
from rover_mcp.control.attempts import Attempts
from rover_mcp.control.live import LiveStates
from rover_mcp.control.plane import AGAIN, ControlPlane, database_url
from rover_mcp.sandbox.protocol import SandboxSpec
from rover_mcp.settings import RetrySettings, Settings
from rover_mcp.store.migrations import open_database
from rover_mcp.store.rows import TaskRow
from rover_mcp.store.store import Store
from rover_mcp.tasks.identifiers import new_task_id, sandbox_name
from rover_mcp.tasks.models import TaskStatus
from rover_mcp.tasks.transitions import Event
from rover_mcp.testing.fake_engine import FakeEngine, FakeWorld
from tests.support.attempts_site import FakeDoor, FakeHub, Run
from tests.support.samples import new_task, pause

S = TaskStatus
LIMIT = 2
BOUND = 30


@dataclass
class Plane:
    store: Store
    world: FakeWorld
    attempts: Attempts
    plane: ControlPlane
    play: dict[str, Callable[[SandboxSpec], int | None]] = field(default_factory=dict)
    """What the runner does, by the task's id; without one it completes."""

    def runner(self, spec: SandboxSpec) -> int | None:
        return self.play.get(spec.task_id, completes)(spec)

    def create(
        self, play: Callable[[SandboxSpec], int | None] | None = None, *, enqueue: bool = True
    ) -> str:
        task_id = new_task_id()
        if play is not None:
            self.play[task_id] = play
        self.store.create_task(new_task(task_id), frozenset())
        if enqueue:
            self.enqueue(task_id, 1)
        return task_id

    def enqueue(self, task_id: str, attempt: int, delay: float = 0) -> None:
        row = self.store.attempt(task_id, attempt)
        assert row is not None
        self.plane.enqueue(row, delay)

    def task(self, task_id: str) -> TaskRow:
        task = self.store.task(task_id)
        assert task is not None
        return task

    def reaches(self, task_id: str, status: TaskStatus) -> TaskRow:
        eventually(lambda: self.task(task_id).status is status)
        return self.task(task_id)

    def starts(self, task_id: str) -> list[str]:
        return [
            name for name in self.world.starts if name.startswith(sandbox_name(task_id, 1)[:-1])
        ]

    def workflow(self, task_id: str, attempt: int, suffix: str = "") -> str | None:
        status = DBOS.get_workflow_status(f"attempt-{task_id}-{attempt}{suffix}")
        return status.status if status else None


def eventually(holds: Callable[[], bool]) -> None:
    """Wait, with a bound, for what other threads bring about."""
    pace, end = threading.Event(), time.monotonic() + BOUND
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        pace.wait(0.02)


def write(spec: SandboxSpec, *records: tuple[RecordType, Mapping[str, object]]) -> None:
    path = spec.folders.run / "journal.jsonl"
    journal = Journal.open(path, lambda: datetime.now(UTC), sync=lambda _: None)
    for kind, data in records:
        journal.append(kind, data)
    journal.close()


def completes(spec: SandboxSpec) -> int:
    write(spec, Run.begin(spec.attempt), Run.start("plan"), Run.done("plan"), Run.COMPLETE)
    return 0


def pauses_first(reason: PauseReason = PauseReason.TRANSIENT) -> Callable[[SandboxSpec], int]:
    def play(spec: SandboxSpec) -> int:
        if spec.attempt > 1:
            return completes(spec)
        write(spec, Run.begin(1), Run.start("plan"), Run.pause(pause(reason)))
        return 2

    return play


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    home = tmp_path_factory.mktemp("plane") / "home"
    (home / "tasks").mkdir(parents=True)
    database = open_database(database_url(home))
    store, world = Store(database), FakeWorld()
    store.project("p1", "/repo")
    settings = Settings(
        home=home,
        concurrency=LIMIT,
        queue_poll=0.02,
        retry=RetrySettings(transient_first=0.3, credits_first=2, jitter=0),
    )
    attempts = Attempts(
        settings=settings,
        store=store,
        engines={"docker": FakeEngine(world, "docker")},
        hub_of=lambda _: FakeHub(Path("/objects")),
        gateway=FakeDoor(),
        live=LiveStates(home, store),
    )
    made = Plane(store, world, attempts, ControlPlane(settings, store, database_url(home)))
    world.on_start = made.runner
    with warnings.catch_warnings():
        # What DBOS and what it imports say of themselves is not ours to mend.
        warnings.simplefilter("ignore")
        made.plane.start(attempts)
    yield made
    DBOS.destroy(destroy_registry=True)
    database.dispose()


def test_a_task_goes_through_the_queue_to_its_end(plane: Plane) -> None:
    """Issue 2."""
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
    won = plane.store.resume(task_id, "client-2")
    assert won is not None, "the timer of 2 s was quicker than this machine"
    plane.plane.enqueue(won[1])
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
    plane.store.transition(
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
    plane.store.transition(task_id, Event.CANCEL)


@dataclass
class Broken:
    """A step that raises what no step should, so many times."""

    times: int
    asked: int = 0

    def __call__(self, real: Callable[..., object]) -> Callable[..., object]:
        def step(*args: object) -> object:
            self.asked += 1
            if self.asked <= self.times:
                raise RuntimeError("a bug")
            return real(*args)

        return step


@pytest.mark.parametrize("step", ["claim", "launch", "follow", "settle"])
def test_a_workflow_that_failed_is_revived_once(
    plane: Plane, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """L8: the attempt goes on where it is, in the sandbox that it has."""
    broken = Broken(1)
    monkeypatch.setattr(plane.attempts, step, broken(getattr(plane.attempts, step)))
    task_id = plane.create()
    eventually(lambda: plane.workflow(task_id, 1) == "ERROR")
    plane.plane.reconcile()
    plane.reaches(task_id, S.COMPLETED)
    eventually(lambda: plane.workflow(task_id, 1, AGAIN) == "SUCCESS")
    assert len(plane.starts(task_id)) == 1
    assert not [a for a in plane.store.attempts_in(["starting", "running"]) if a.task_id == task_id]


@pytest.mark.parametrize("step", ["claim", "follow", "settle"])
def test_a_workflow_that_failed_twice_fails_its_task_with_a_hint(
    plane: Plane, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """L8: nothing is left running, and a person can go on from there."""
    broken = Broken(2)
    monkeypatch.setattr(plane.attempts, step, broken(getattr(plane.attempts, step)))
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
    won = plane.store.resume(task_id, None)
    assert won is not None
    plane.plane.enqueue(won[1])
    plane.reaches(task_id, S.COMPLETED)


def test_a_timer_that_failed_twice_leaves_the_task_to_a_person(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K1, L8: the pause stands, and no time is promised."""
    real, asked = plane.attempts.claim, list[int]()

    def claim(task_id: str, attempt: int, workflow_id: str) -> bool:
        if attempt == 1:
            return real(task_id, attempt, workflow_id)
        asked.append(attempt)
        raise RuntimeError("a bug")

    monkeypatch.setattr(plane.attempts, "claim", claim)
    task_id = plane.create(pauses_first())
    eventually(lambda: plane.workflow(task_id, 2) == "ERROR")
    plane.plane.reconcile()
    eventually(lambda: plane.workflow(task_id, 2, AGAIN) == "ERROR")
    plane.plane.reconcile()
    task = plane.task(task_id)
    assert (task.status, task.retry_at, asked) == (S.PAUSED, None, [2, 2])
    assert "failed twice" in task.warnings[0]
    assert plane.attempts.scheduled(task_id) is None


def test_polling_is_quick_only_while_somebody_waits(plane: Plane) -> None:
    """A4: DBOS cannot be woken."""
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
