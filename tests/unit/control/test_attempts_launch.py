"""An attempt's launch: one sandbox, or everything as it was before."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from agent_runner.models import PauseReason
from rover_mcp.domain.cancellation import CancelToken
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.domain.task_status import Event, TaskStatus
from rover_mcp.sandbox.protocol import SandboxSpec, Shortcoming
from tests.support.attempts_site import ENDINGS, NAME, STARTED, ControlHarness, Run
from tests.support.samples import TASK, pause, snapshot

S = TaskStatus


def test_a_launch_opens_the_gateway_and_starts_one_sandbox_however_often(
    site: ControlHarness,
) -> None:
    """L8: the second time finds what the first one started."""
    site.started()
    site.restart()
    assert site.attempts.launch.bring_up(TASK, 1)
    assert site.world.starts == site.running() == [NAME]
    assert site.door.served == {TASK: 1}
    assert site.attempt(1).state == "running"
    assert site.attempt(1).started_at is not None
    assert site.kinds("task.sandbox") == ["task.sandbox"]


def test_a_sandbox_gets_its_workflow_and_the_tasks_own_token(site: ControlHarness) -> None:
    """The specification comes from the task's record."""
    task = site.create(model="m", agent_binary="/usr/bin/claude")
    site.folders.input.mkdir(parents=True)
    (site.folders.input / "workflow.yaml").write_text("steps")
    site.claim(1)
    site.attempts.launch.bring_up(TASK, 1)
    spec = site.world.sandboxes[NAME].spec
    assert (spec.folders.spec / "workflow.yaml").read_text() == "steps"
    assert not (spec.folders.spec / "script.yaml").exists()
    assert spec.folders.spec == site.folders.spec(1)
    assert spec.run.gateway.token == task.gateway_token
    assert (spec.run.attempt, spec.run.model, spec.run.restore) == (1, "m", None)
    assert str(spec.agent_binary) == "/usr/bin/claude"
    assert spec.limits.memory_bytes == site.settings.sandbox_memory_bytes
    for folder in (spec.folders.run, spec.folders.work, spec.folders.home):
        assert folder.is_dir()
    assert spec.folders.gateway_socket.parent.is_dir()


def test_a_cancellation_ends_the_preparation_and_nothing_is_started(
    site: ControlHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.create()
    site.claim(1)

    def prepare(spec: SandboxSpec, progress: Callable[[str], None], stop: CancelToken) -> None:
        cancelled = site.store.transitions.apply(TASK, Event.CANCEL)
        assert cancelled is not None
        site.attempts.wait.stop(cancelled, NAME)
        stop.check()

    monkeypatch.setattr(site.attempts.context.engines["docker"], "prepare", prepare)
    assert site.attempts.launch.bring_up(TASK, 1)
    assert site.task().status is S.CANCELLED
    assert site.world.starts == []
    assert site.attempts.context.starting == {}


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_cancellation_ends_the_packing_of_the_base(
    site: ControlHarness, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """U4: packing is a part of the preparation, which shows in the task's phase."""
    site.create()
    site.claim(1)

    def cancel() -> None:
        cancelled = site.store.transitions.apply(TASK, Event.CANCEL)
        assert cancelled is not None
        site.attempts.wait.stop(cancelled, NAME)

    def lend(*args: object) -> None:
        *_, tell, stop = args
        assert callable(tell)
        assert isinstance(stop, CancelToken)
        tell("packing")
        if when == "meanwhile":
            cancel()
        stop.check()

    def make(*args: object) -> None:
        cancel()

    monkeypatch.setattr(site.hub, "lend", lend)
    if when == "before":
        monkeypatch.setattr("rover_mcp.control.attempt_launch.make_folders", make)
    assert site.attempts.launch.bring_up(TASK, 1)
    assert site.task().status is S.CANCELLED
    assert site.kinds("task.preparing") == ["task.preparing"]
    assert site.world.starts == site.world.prepared == []
    assert site.attempts.context.starting == {}


def test_a_base_that_cannot_be_packed_fails_the_task_with_the_reason(
    site: ControlHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.create()
    site.claim(1)

    def lend(*_: object) -> None:
        raise EnvironmentFault("unable to read 1234", hint="run git fsck", code="base_lost")

    monkeypatch.setattr(site.hub, "lend", lend)
    assert not site.attempts.launch.bring_up(TASK, 1)
    task = site.task()
    assert (task.status, task.error) == (S.FAILED, "unable to read 1234; run git fsck")
    assert site.world.starts == []


def test_a_pause_ends_the_preparation_and_is_the_tasks_pause(
    site: ControlHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the daemon dies meanwhile: the next one does not begin the build again."""
    task = site.create()
    site.claim(1)
    asked: list[bool] = []

    def prepare(spec: SandboxSpec, progress: Callable[[str], None], stop: CancelToken) -> None:
        if not site.folders.pause_request.exists():
            site.folders.pause_request.write_text('{"reason": "requested"}')
            site.attempts.wait.stop(task, NAME)
        asked.append(True)
        stop.check()

    monkeypatch.setattr(site.attempts.context.engines["docker"], "prepare", prepare)
    for _ in range(2):
        assert site.attempts.launch.bring_up(TASK, 1)
    ended = site.attempts.wait.follow(TASK, 1)
    assert site.attempts.finish.settle(TASK, 1, ended) is None
    assert (asked, site.world.starts) == ([True, True], [])
    after = site.task()
    assert after.pause is not None
    assert (after.status, after.pause.reason) == (S.PAUSED, PauseReason.REQUESTED)
    assert site.attempt(1).state == "ended"


@pytest.mark.parametrize("method", ["prepare", "ensure"])
def test_a_first_start_that_fails_fails_the_task_and_leaves_nothing(
    site: ControlHarness, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """I8, M1: with what to do about it."""
    site.create()
    site.claim(1)
    site.refuse(monkeypatch, method)
    assert not site.attempts.launch.bring_up(TASK, 1)
    task = site.task()
    assert task.status is S.FAILED
    assert task.error == "no image; pull it"
    assert site.data("task.failed") == [{"error": "no image", "hint": "pull it"}]
    assert site.attempt(1).state == "ended"
    assert site.attempt(1).detail == "no image"
    assert site.attempts.finish.scheduled(TASK) is None
    assert site.running() == []
    assert site.door.served == {}


def test_a_sandbox_that_was_started_before_its_start_failed_is_removed(
    site: ControlHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I8: an engine may fail after the sandbox runs; two on one work tree would be the result."""
    site.started()
    site.refuse(monkeypatch)
    site.restart()
    assert not site.attempts.launch.bring_up(TASK, 1)
    assert site.task().status is S.FAILED
    assert site.world.sandboxes == {}


def test_a_disk_that_is_full_is_a_start_that_failed(
    site: ControlHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I8."""
    site.create()
    site.claim(1)
    (site.home / "tasks" / TASK).write_text("in the way")
    assert not site.attempts.launch.bring_up(TASK, 1)
    assert site.task().status is S.FAILED
    assert "cannot start" in str(site.task().error)


def test_a_task_cancelled_before_its_sandbox_starts_gets_none(site: ControlHarness) -> None:
    """K6: the attempt is ended and the door closed."""
    site.create()
    site.claim(1)
    site.store.transitions.apply(TASK, Event.CANCEL)
    assert site.attempts.launch.bring_up(TASK, 1)
    ended = site.attempts.wait.follow(TASK, 1)
    assert site.attempts.finish.settle(TASK, 1, ended) is None
    assert site.world.starts == []
    assert site.attempt(1).state == "ended"
    assert site.task().status is S.CANCELLED
    assert site.door.served == {}


def test_a_repeated_launch_starts_nothing_once_the_task_was_given_back(
    site: ControlHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I4, J1: a crash after the start was given up; by now the engine works again."""
    site.create()
    site.claim(1)
    with monkeypatch.context() as patch:
        site.refuse(patch)
        site.attempts.launch.bring_up(TASK, 1)
    site.restart()
    assert not site.attempts.launch.bring_up(TASK, 1)
    assert site.world.starts == []
    assert site.kinds(*ENDINGS) == ["task.failed"]


def test_a_manual_resume_whose_start_fails_gives_everything_back(
    site: ControlHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I4, K1: status, pause and time; the schedule that the resume took over is kept."""
    before = site.paused(pause())
    assert before.retry_at is not None
    assert site.store.transitions.resume(TASK, "client-2")
    assert site.claim(2)
    site.refuse(monkeypatch)
    assert not site.attempts.launch.bring_up(TASK, 2)
    task = site.task()
    assert task.status is S.PAUSED
    assert (task.pause, task.paused_at, task.error) == (before.pause, before.paused_at, None)
    assert task.retry_at == pytest.approx(before.retry_at)
    assert site.attempts.finish.scheduled(TASK) == 3
    assert site.data("task.resume_failed")[0]["error"] == "no image"
    assert site.running() == []
    assert site.door.served == {}


def test_a_schedule_that_ran_out_is_renewed_by_a_manual_resume_that_failed(
    site: ControlHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I4, K1, K2."""
    site.paused(pause())
    site.due()
    site.store.transitions.resume(TASK, "client-2")
    site.claim(2)
    site.refuse(monkeypatch)
    site.attempts.launch.bring_up(TASK, 2)
    assert site.task().retry_at == pytest.approx(time.time() + 900, abs=30)
    assert site.attempts.finish.scheduled(TASK) == 3


def test_a_failed_task_whose_resume_does_not_start_keeps_its_error(
    site: ControlHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I4."""
    site.started()
    site.record(*STARTED, Run.fail("the tests fail"))
    site.settle(1)
    before = site.task()
    site.store.transitions.resume(TASK, None)
    site.claim(2)
    assert site.task().error is None
    site.refuse(monkeypatch)
    site.attempts.launch.bring_up(TASK, 2)
    task = site.task()
    assert (task.status, task.error, task.ended_at) == (S.FAILED, "the tests fail", before.ended_at)
    assert task.retry_at is None
    assert site.attempts.finish.scheduled(TASK) is None


@pytest.mark.parametrize("switch", ["task", "all"])
def test_a_failed_resume_schedules_nothing_without_automatic_resumes(
    site: ControlHarness, monkeypatch: pytest.MonkeyPatch, switch: str
) -> None:
    """K7."""
    site.paused(pause(), auto_resume=switch == "all")
    site.restart(auto_resume=switch == "task")
    site.store.transitions.resume(TASK, None)
    site.claim(site.task().attempt)
    site.refuse(monkeypatch)
    site.attempts.launch.bring_up(TASK, site.task().attempt)
    assert site.task().status is S.PAUSED
    assert site.task().retry_at is None
    assert site.attempts.finish.scheduled(TASK) is None


def test_an_automatic_resume_that_cannot_start_counts_until_it_gives_up(
    site: ControlHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K3, K4: each later than the last, and then PAUSED without a date."""
    site.paused(pause())
    site.refuse(monkeypatch)
    waits: list[float] = []
    attempt = 2
    while (waiting := site.attempts.finish.scheduled(TASK)) is not None:
        assert waiting == attempt
        site.due()
        assert site.claim(attempt)
        assert not site.attempts.launch.bring_up(TASK, attempt)
        task = site.task()
        assert task.status is S.PAUSED
        assert task.auto_retries == attempt - 1
        waits += [60 * round((task.retry_at - time.time()) / 60)] if task.retry_at else []
        attempt += 1
    assert site.task().auto_retries == site.settings.retry.max_auto_retries == 5
    assert site.task().retry_at is None
    assert waits == [1800, 3600, 7200, 14400]
    assert site.kinds("task.resume_failed") == ["task.resume_failed"] * 5


@pytest.mark.parametrize("automatic", [True, False])
@pytest.mark.parametrize("writes", range(4))
def test_a_resume_that_fails_ends_the_same_after_a_crash_at_any_write(
    site: ControlHarness, monkeypatch: pytest.MonkeyPatch, automatic: bool, writes: int
) -> None:
    """I4, L8: one more attempt is scheduled, and it is told once."""
    site.paused(pause())
    if not automatic:
        site.store.transitions.resume(TASK, None)
    site.due()
    site.claim(2)
    site.refuse(monkeypatch)
    site.crash(writes, lambda: site.attempts.launch.bring_up(TASK, 2))
    assert not site.attempts.launch.bring_up(TASK, 2)
    assert site.task().status is S.PAUSED
    assert site.attempt(2).state == "ended"
    assert [a.attempt for a in site.store.attempts.in_states(["scheduled"])] == [3]
    assert site.kinds("task.resume_failed") == ["task.resume_failed"]


def test_a_restore_bundle_is_laid_out_where_snapshots_exist(site: ControlHarness) -> None:
    """I6: for a sandbox whose work tree was lost."""
    site.started()
    last = snapshot(2)
    site.record(*STARTED, Run.done("plan", snapshot(1)), Run.done("code", last))
    site.settle(None)
    site.hub.imported.clear()
    assert site.claim(2)
    assert site.attempts.launch.bring_up(TASK, 2)
    assert site.hub.imported == [], "the hub has them already"
    assert site.hub.exported == [site.folders.spec(2) / "restore.bundle"]
    restore = site.world.sandboxes[NAME[:-1] + "2"].spec.run.restore
    assert restore is not None
    assert (restore.commit, restore.head) == (last.commit, last.head)


def test_what_a_sandbox_will_lack_is_a_warning_of_the_task_once(site: ControlHarness) -> None:
    task = site.create()
    tell = site.attempts.launch._progress(task.id)
    for line in ("fetching", Shortcoming("no Node"), Shortcoming("no Node")):
        tell(line)
    assert site.task(task.id).warnings.count("no Node") == 1
    assert [d["message"] for d in site.data("task.preparing")] == ["fetching"]


def test_preparing_is_told_at_most_twice_a_second(
    site: ControlHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build prints a lot: not every line becomes a record."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    tell = site.attempts.launch._progress(site.create().id)
    for line in range(10):
        tell(f"{line} " + "x" * 1000)
        now[0] += 0.2
    told = [d["message"] for d in site.data("task.preparing")]
    assert [t[0] for t in told] == ["0", "3", "6", "9"]
    assert max(len(t) for t in told) == 500
