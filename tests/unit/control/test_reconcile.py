"""The slow sweep on a real store and an engine that runs nothing: what it finds, it mends."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_runner.models import PauseReason
from rover_mcp.control.disk_full_wait import DiskFullWait
from rover_mcp.control.followed_attempts import FollowerCounts
from rover_mcp.control.reconciler import Reconciler
from rover_mcp.domain.attempt_state import AttemptState
from rover_mcp.domain.errors import EnvironmentFault, RoverError
from rover_mcp.domain.ids import new_task_id, sandbox_name
from rover_mcp.domain.task_status import RUNNING, TaskStatus
from rover_mcp.sandbox.protocol import SandboxExit, SandboxSpec
from rover_mcp.store import store_tables
from rover_mcp.store.damaged_records import DamagedRecord
from rover_mcp.store.records import AttemptRow
from rover_mcp.testing.fake_engine import FakeEngine, FakeSandbox
from tests.support.attempts_site import NAME, STARTED, ControlHarness, Run
from tests.support.samples import NOW, TASK, snapshot

S = TaskStatus
LATER = 10_000.0


@dataclass
class LostWorkflows:
    """A control plane whose workflows are lost, but for those named."""

    alive: set[str] = field(default_factory=set[str])
    adopted: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    following: FollowerCounts = field(default_factory=FollowerCounts)
    reconciled: int = 0
    disk_full_wait: DiskFullWait = field(default_factory=DiskFullWait)

    def followed(self, attempt: AttemptRow) -> bool:
        mine = self.following.has(attempt.task_id, attempt.attempt)
        return mine or attempt.workflow_id in self.alive

    def foreign(self, attempt: AttemptRow) -> bool:
        return False

    def adopt(self, attempt: AttemptRow) -> bool:
        self.adopted.append((attempt.task_id, attempt.attempt))
        return True

    def reconcile(self) -> None:
        self.reconciled += 1


def sweep(
    site: ControlHarness, plane: LostWorkflows | None = None, *, ahead: float = 0
) -> LostWorkflows:
    plane = plane or LostWorkflows()
    clock = time.time() + ahead
    Reconciler(site.attempts, plane, now=lambda: clock, spawn=lambda work: work()).sweep()
    return plane


def followed(site: ControlHarness, attempt: int = 1) -> LostWorkflows:
    return LostWorkflows(alive={site.attempt(attempt).workflow_id})


@pytest.mark.parametrize(
    ("code", "ending", "status"),
    [(0, Run.COMPLETE, S.COMPLETED), (1, Run.fail("no"), S.FAILED), (137, None, S.PAUSED)],
)
def test_a_task_whose_follower_died_is_settled_by_its_journal(
    site: ControlHarness, code: int, ending: tuple[object, object] | None, status: TaskStatus
) -> None:
    """L1, L7."""
    site.started()
    site.record(*STARTED)
    if ending is not None:
        site.record(ending)  # pyright: ignore[reportArgumentType]
    site.world.end(NAME, code)
    plane = sweep(site)
    assert site.task().status is status
    assert site.attempt(1).state == "ended"
    assert site.world.sandboxes == {}
    assert plane.reconciled == (status is S.PAUSED), "what resumes automatically gets its timer"


def test_a_removed_sandbox_pauses_a_task_with_a_checkpoint(
    site: ControlHarness,
) -> None:
    """L2: as interrupted, with a hint."""
    site.started()
    site.record(*STARTED, Run.done("plan"))
    site.world.sandboxes.clear()
    sweep(site)
    task = site.task()
    assert task.status is S.PAUSED
    assert task.pause is not None
    assert task.pause.reason is PauseReason.INTERRUPTED
    assert "kept up to the last checkpoint" in task.pause.message


def test_without_a_checkpoint_and_a_retry_it_fails_with_a_hint(site: ControlHarness) -> None:
    """L2."""
    site.restart(auto_resume=False)
    site.started()
    site.world.sandboxes.clear()
    sweep(site)
    assert site.task().status is S.FAILED
    assert "resume_task" in str(site.task().error)


def test_what_runs_and_is_followed_is_left_alone(site: ControlHarness) -> None:
    """L4: also one that has only just ended."""
    site.started()
    site.record(*STARTED)
    before = site.task()
    for code in (None, 0):
        if code is not None:
            site.world.end(NAME, code)
        plane = sweep(site, followed(site), ahead=LATER)
        assert (site.task(), plane.adopted) == (before, [])
        assert NAME in site.world.sandboxes


def test_what_runs_without_a_follower_gets_one_and_runs_on(site: ControlHarness) -> None:
    """L4, L7, L8."""
    site.started()
    site.record(*STARTED)
    assert sweep(site).adopted == [(TASK, 1)]
    assert site.running() == [NAME]
    assert site.task().status is S.IN_PROGRESS


def test_an_engine_that_does_not_answer_changes_no_task(
    site: ControlHarness, caplog: pytest.LogCaptureFixture
) -> None:
    """L3, L6: it is logged."""
    site.started()
    site.world.end(NAME, 0)
    site.world.unreachable()
    with caplog.at_level(logging.WARNING):
        plane = sweep(site)
    assert (site.task().status, plane.adopted) == (S.IN_PROGRESS, [])
    assert TASK in caplog.text
    site.world.fault = None
    site.record(*STARTED, Run.COMPLETE)
    sweep(site)
    assert site.task().status is S.COMPLETED


def test_one_damaged_record_touches_no_other_task(
    site: ControlHarness, caplog: pytest.LogCaptureFixture
) -> None:
    """L6, A1: and it is logged."""
    site.started()
    site.record(*STARTED, Run.COMPLETE)
    site.world.end(NAME, 0)
    other = "f" * 32
    site.create(other)
    with site.store.database.engine.begin() as connection:
        made = store_tables.tasks.update().where(store_tables.tasks.c.id == other)
        connection.execute(made.values(status="NONSENSE"))
    with caplog.at_level(logging.WARNING):
        sweep(site)
    assert site.task().status is S.COMPLETED
    assert other in caplog.text


def test_a_sandbox_that_cannot_be_settled_is_tried_again(
    site: ControlHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """L6."""
    site.started()
    site.record(*STARTED, Run.COMPLETE)
    site.world.end(NAME, 0)
    with monkeypatch.context() as patch:

        def refuse(*_: object) -> None:
            raise EnvironmentFault("this one cannot be inspected")

        patch.setattr(FakeEngine, "follow", refuse)
        with caplog.at_level(logging.WARNING):
            sweep(site)
    assert site.task().status is S.IN_PROGRESS
    assert "cannot be inspected" in caplog.text
    sweep(site)
    assert site.task().status is S.COMPLETED


# Starts that take too long


def test_a_runner_that_does_not_begin_is_stopped_and_tried_again(site: ControlHarness) -> None:
    """L5, A4: after startup_timeout; the message says what happened."""
    site.started()
    sweep(site, followed(site), ahead=299)
    assert site.running() == [NAME]
    sweep(site, followed(site), ahead=301)
    assert site.running() == []
    assert site.settle(None) == 2
    task = site.task()
    assert task.status is S.PAUSED
    assert task.pause is not None
    assert task.pause.reason is PauseReason.INTERRUPTED
    assert "did not begin within 300 s" in task.pause.message
    assert task.retry_at is not None


def test_starts_that_fail_for_ever_end_after_so_many_retries(site: ControlHarness) -> None:
    """L2, L5, K3: they are counted."""
    site.started()
    for attempt in range(1, 7):
        if attempt > 1:
            site.store.tasks.update(TASK, retry_at=time.time() - 1)
            assert site.claim(attempt)
            assert site.attempts.launch.bring_up(TASK, attempt)
        sweep(site, followed(site, attempt), ahead=301)
        site.settle(None, attempt)
    task = site.task()
    assert (task.status, task.attempt) == (S.FAILED, 6)
    assert "did not begin" in str(task.error)


def test_the_first_record_ends_the_wait_for_it(site: ControlHarness) -> None:
    """L5: however long ago the start was."""
    site.started()
    site.record(Run.begin(1))
    sweep(site, followed(site), ahead=LATER)
    assert site.running() == [NAME]


def test_a_journal_that_cannot_be_read_stops_nobody(site: ControlHarness) -> None:
    """C2, L4: it is judged when the sandbox has ended."""
    site.started()
    site.folders.journal.mkdir(parents=True)
    sweep(site, followed(site), ahead=LATER)
    assert site.running() == [NAME]


# What a crash left


def left_over(
    site: ControlHarness, name: str, attempt: int, *, task_id: str = TASK, ended: bool
) -> None:
    site.world.sandboxes[name] = FakeSandbox(_spec(task_id, name, attempt), NOW)
    if ended:
        site.world.end(name, 0)


def _spec(task_id: str, name: str, attempt: int) -> SandboxSpec:
    class Named:
        pass

    spec = Named()
    vars(spec).update(task_id=task_id, name=name, attempt=attempt)
    return spec  # type: ignore[return-value]


@pytest.mark.parametrize("ended", [True, False])
def test_a_sandbox_of_an_attempt_that_is_over_is_removed(site: ControlHarness, ended: bool) -> None:
    """L8: one that runs is asked to end first."""
    site.started()
    site.record(*STARTED, Run.COMPLETE)
    site.settle(0)
    left_over(site, NAME, 1, ended=ended)
    sweep(site)
    assert site.world.sandboxes == {}
    assert site.task().status is S.COMPLETED


@pytest.mark.parametrize(("ended", "stays"), [(True, False), (False, True)])
def test_a_sandbox_that_no_task_knows_is_told_of(
    site: ControlHarness, caplog: pytest.LogCaptureFixture, ended: bool, stays: bool
) -> None:
    """L4, L8: once, and it is removed only where it does not run."""
    name = sandbox_name("e" * 32, 1)
    left_over(site, name, 1, task_id="e" * 32, ended=ended)
    plane = LostWorkflows()
    sweeper = Reconciler(site.attempts, plane, spawn=lambda work: work())
    with caplog.at_level(logging.WARNING):
        sweeper.sweep()
        sweeper.sweep()
    assert (name in site.world.sandboxes) is stays
    assert caplog.text.count(name) == 1


def test_a_sandbox_that_is_just_being_made_is_not_taken_for_a_left_over(
    site: ControlHarness,
) -> None:
    """L5: it may not tell its task yet."""
    site.create()
    assert site.claim(1)
    left_over(site, NAME, 0, task_id="", ended=True)
    sweep(site, followed(site))
    assert NAME in site.world.sandboxes


def test_a_running_task_whose_attempt_is_over_is_settled(site: ControlHarness) -> None:
    """L8: nobody else would ever look at it again."""
    site.started()
    site.record(*STARTED, Run.done("plan", snapshot(1)))
    site.store.attempts.move(TASK, 1, ("running",), state="ended")
    sweep(site)
    assert site.task().status is S.PAUSED
    assert site.running() == []


def test_a_new_task_without_an_attempt_is_given_up_with_a_way_on(site: ControlHarness) -> None:
    """L8."""
    site.create()
    site.store.attempts.move(TASK, 1, ("queued",), state="superseded")
    sweep(site)
    assert site.task().status is S.FAILED
    assert "resume_task" in str(site.task().error)


@pytest.mark.parametrize("ended", [True, False])
def test_an_attempt_in_an_unknown_state_settles_no_task(
    site: ControlHarness, caplog: pytest.LogCaptureFixture, ended: bool
) -> None:
    """A1: the error names the record, and the task stays as it is."""
    site.started()
    site.record(*STARTED, Run.COMPLETE)
    if ended:
        site.world.sandboxes.clear()
    with site.store.database.engine.begin() as connection:
        connection.execute(sa.update(store_tables.attempts).values(state="flying"))
    before = site.task()
    sweep(site)
    assert f"attempt 1 of task {TASK} is damaged" in caplog.text
    assert "state" in caplog.text
    for settle in (
        lambda: site.attempts.finish.settle(TASK, 1, SandboxExit(0)),
        lambda: site.attempts.finish.give_up(TASK, 1, RoverError("lost")),
    ):
        with pytest.raises(DamagedRecord, match=f"attempt 1 of task {TASK} is damaged.*state"):
            settle()
    assert site.task() == before


# Any combination


def wipe(site: ControlHarness) -> None:
    site.world.sandboxes.clear()
    with site.store.database.engine.begin() as connection:
        for table in (store_tables.events, store_tables.attempts, store_tables.tasks):
            connection.execute(sa.delete(table))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    status=st.sampled_from(TaskStatus),
    state=st.sampled_from(AttemptState),
    sandbox=st.sampled_from(["none", "runs", "ended"]),
    recorded=st.sampled_from(["nothing", "begun", "paused", "completed"]),
    is_followed=st.booleans(),
)
def test_whatever_is_found_one_sweep_leaves_a_status_that_is_true(
    site: ControlHarness,
    status: TaskStatus,
    state: str,
    sandbox: str,
    recorded: str,
    is_followed: bool,
) -> None:
    """L7, L8: no task runs by the record without somebody who follows it, or who is about to."""
    task_id = new_task_id()
    wipe(site)
    site.create(task_id)
    name = sandbox_name(task_id, 1)
    with site.store.database.engine.begin() as connection:
        for table, values in (
            (store_tables.tasks, {"status": status}),
            (store_tables.attempts, {"state": state}),
        ):
            key = table.c.id if table is store_tables.tasks else table.c.task_id
            connection.execute(table.update().where(key == task_id).values(**values))
    if sandbox != "none":
        left_over(site, name, 1, task_id=task_id, ended=sandbox == "ended")
    row = site.store.attempts.get(task_id, 1)
    assert row is not None
    plane = LostWorkflows({row.workflow_id} if is_followed else set())
    sweep(site, plane)
    task, attempt = site.task(task_id), site.store.attempts.get(task_id, 1)
    assert attempt is not None
    seen_to = (is_followed and state == attempt.state) or (task_id, 1) in plane.adopted
    if task.status in RUNNING:
        assert seen_to, (task.status, attempt.state)
        assert attempt.state in ("queued", "starting", "running")
    if status not in {S.NEW, S.CANCELLED, *RUNNING}:
        assert task.status is status
    if name in site.running():
        assert seen_to, "a sandbox runs that nobody looks after"
