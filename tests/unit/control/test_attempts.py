"""An attempt from its claim to what follows from its end, without an engine that runs anything."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from agent_runner.journal import RecordType
from agent_runner.models import PauseReason, RunStatus
from rover_mcp.errors import EnvironmentFault
from rover_mcp.sandbox.protocol import SandboxExit, Shortcoming
from rover_mcp.settings import RetrySettings
from rover_mcp.tasks.models import TaskStatus
from rover_mcp.tasks.transitions import Event
from tests.support.attempts_site import NAME, Run, Site, unreachable
from tests.support.samples import TASK, pause, snapshot

S = TaskStatus
R = PauseReason
Record = tuple[RecordType, Mapping[str, object]]
STARTED = [Run.begin(1), Run.start("plan")]
ENDINGS = ("task.completed", "task.failed", "task.paused", "task.cancelled", "task.resume_failed")


def refuse(site: Site, monkeypatch: pytest.MonkeyPatch, method: str = "ensure") -> None:
    """From now on no sandbox can be started."""

    def fail(*_: object) -> None:
        raise EnvironmentFault("no image", hint="pull it", code="image_unavailable")

    monkeypatch.setattr(type(site.attempts.engines["docker"]), method, fail)


def due(site: Site) -> None:
    """The time of the next automatic attempt has come."""
    site.store.update_task(TASK, retry_at=time.time() - 1)


# Claim


def test_an_attempt_is_claimed_once_and_again_after_a_crash(site: Site) -> None:
    """K6, J1: the repetition of the same workflow has it still; no other workflow gets it."""
    site.create()
    assert site.claim(1)
    assert not site.attempts.claim(TASK, 1, "another-workflow")
    site.restart()
    assert site.claim(1)
    assert site.task().status is S.IN_PROGRESS
    assert site.kinds() == ["task.created", "task.started"]


@pytest.mark.parametrize("when", ["queued", "starting"])
def test_a_task_that_was_cancelled_is_not_claimed(site: Site, when: str) -> None:
    """K6: also where a crash came between the claim and its record."""
    site.create()
    assert when == "queued" or site.claim(1)
    site.store.transition(TASK, Event.CANCEL)
    site.restart()
    assert not site.claim(1)
    assert site.task().status is S.CANCELLED
    assert not site.store.attempts_in(["queued", "starting", "running"])
    assert site.world.starts == []


def test_a_task_that_was_paused_before_its_turn_is_not_claimed(site: Site) -> None:
    """K6."""
    site.create()
    site.store.transition(TASK, Event.PAUSE, unstarted=True, pause=pause(R.REQUESTED))
    assert not site.claim(1)
    assert site.task().status is S.PAUSED


def test_a_timer_finds_a_task_that_was_resumed_otherwise(site: Site) -> None:
    """K6: the attempt goes to whoever resumed it; the timer's workflow does nothing."""
    site.paused(pause())
    timer = site.attempt(2).workflow_id
    assert site.store.resume(TASK, "client-2")
    assert not site.attempts.claim(TASK, 2, timer)
    assert site.claim(2)
    assert not site.attempts.claim(TASK, 2, timer)
    assert site.task().auto_retries == 0


def test_a_timer_finds_a_schedule_that_was_dropped(site: Site) -> None:
    """K6, K7."""
    site.paused(pause())
    site.store.drop_schedule(TASK)
    assert not site.claim(2)
    assert site.task().status is S.PAUSED


def test_a_missing_credential_pauses_without_a_sandbox_and_never_goes_on_by_itself(
    site: Site,
) -> None:
    """D9."""
    site.create()
    site.door.missing = "no credential for anthropic: set it"
    assert not site.claim(1)
    task = site.task()
    assert task.status is S.PAUSED
    assert task.pause is not None
    assert task.pause.reason is R.AUTH
    assert task.pause.provider == "anthropic"
    assert "set it" in task.pause.message
    assert task.retry_at is None
    assert site.attempts.scheduled(TASK) is None
    assert site.attempt(1).state == "ended"
    assert site.world.starts == site.world.prepared == site.door.opened == []


@pytest.mark.parametrize("writes", range(3))
def test_a_claim_without_credential_ends_the_same_after_a_crash_at_any_write(
    site: Site, writes: int
) -> None:
    """D9, L8: a crash leaves no task that runs by the record with an attempt that has ended."""
    site.create()
    site.door.missing = "no credential"
    site.crash(writes, lambda: site.claim(1))
    assert not site.claim(1)
    assert site.task().status is S.PAUSED
    assert site.attempt(1).state == "ended"
    assert site.kinds(*ENDINGS) == ["task.paused"]


# Launch


def test_a_launch_opens_the_gateway_and_starts_one_sandbox_however_often(site: Site) -> None:
    """L8: the second time finds what the first one started."""
    site.started()
    site.restart()
    assert site.attempts.launch(TASK, 1)
    assert site.world.starts == site.running() == [NAME]
    assert site.door.served == {TASK: 1}
    assert site.attempt(1).state == "running"
    assert site.attempt(1).started_at is not None
    assert site.kinds("task.sandbox") == ["task.sandbox"]


def test_a_sandbox_gets_its_workflow_and_the_tasks_own_token(site: Site) -> None:
    """Issue 2: what a sandbox is, out of the task's record."""
    task = site.create(model="m", agent_binary="/usr/bin/claude")
    site.folders.input.mkdir(parents=True)
    (site.folders.input / "workflow.yaml").write_text("steps")
    site.claim(1)
    site.attempts.launch(TASK, 1)
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


@pytest.mark.parametrize("method", ["prepare", "ensure"])
def test_a_first_start_that_fails_fails_the_task_and_leaves_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """I8, M1: with what to do about it."""
    site.create()
    site.claim(1)
    refuse(site, monkeypatch, method)
    assert not site.attempts.launch(TASK, 1)
    task = site.task()
    assert task.status is S.FAILED
    assert task.error == "no image; pull it"
    assert site.data("task.failed") == [{"error": "no image", "hint": "pull it"}]
    assert site.attempt(1).state == "ended"
    assert site.attempt(1).detail == "no image"
    assert site.attempts.scheduled(TASK) is None
    assert site.running() == []
    assert site.door.served == {}


def test_a_sandbox_that_was_started_before_its_start_failed_is_removed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I8: an engine may fail after the sandbox runs; two on one work tree would be the result."""
    site.started()
    refuse(site, monkeypatch)
    site.restart()
    assert not site.attempts.launch(TASK, 1)
    assert site.task().status is S.FAILED
    assert site.world.sandboxes == {}


def test_a_disk_that_is_full_is_a_start_that_failed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I8."""
    site.create()
    site.claim(1)
    (site.home / "tasks" / TASK).write_text("in the way")
    assert not site.attempts.launch(TASK, 1)
    assert site.task().status is S.FAILED
    assert "cannot start" in str(site.task().error)


def test_a_task_cancelled_before_its_sandbox_starts_gets_none(site: Site) -> None:
    """K6: the attempt is ended and the door closed."""
    site.create()
    site.claim(1)
    site.store.transition(TASK, Event.CANCEL)
    assert site.attempts.launch(TASK, 1)
    ended = site.attempts.follow(TASK, 1)
    assert site.attempts.settle(TASK, 1, ended) is None
    assert site.world.starts == []
    assert site.attempt(1).state == "ended"
    assert site.task().status is S.CANCELLED
    assert site.door.served == {}


def test_a_repeated_launch_starts_nothing_once_the_task_was_given_back(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I4, J1: a crash after the start was given up; by now the engine works again."""
    site.create()
    site.claim(1)
    with monkeypatch.context() as patch:
        refuse(site, patch)
        site.attempts.launch(TASK, 1)
    site.restart()
    assert not site.attempts.launch(TASK, 1)
    assert site.world.starts == []
    assert site.kinds(*ENDINGS) == ["task.failed"]


def test_a_manual_resume_whose_start_fails_gives_everything_back(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I4, K1: status, pause and time; the schedule that the resume took over is kept."""
    before = site.paused(pause())
    assert before.retry_at is not None
    assert site.store.resume(TASK, "client-2")
    assert site.claim(2)
    refuse(site, monkeypatch)
    assert not site.attempts.launch(TASK, 2)
    task = site.task()
    assert task.status is S.PAUSED
    assert (task.pause, task.paused_at, task.error) == (before.pause, before.paused_at, None)
    assert task.retry_at == pytest.approx(before.retry_at)
    assert site.attempts.scheduled(TASK) == 3
    assert site.data("task.resume_failed")[0]["error"] == "no image"
    assert site.running() == []
    assert site.door.served == {}


def test_a_schedule_that_ran_out_is_renewed_by_a_manual_resume_that_failed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I4, K1, K2."""
    site.paused(pause())
    due(site)
    site.store.resume(TASK, "client-2")
    site.claim(2)
    refuse(site, monkeypatch)
    site.attempts.launch(TASK, 2)
    assert site.task().retry_at == pytest.approx(time.time() + 900, abs=30)
    assert site.attempts.scheduled(TASK) == 3


def test_a_failed_task_whose_resume_does_not_start_keeps_its_error(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I4."""
    site.started()
    site.record(*STARTED, Run.fail("the tests fail"))
    site.settle(1)
    before = site.task()
    site.store.resume(TASK, None)
    site.claim(2)
    assert site.task().error is None
    refuse(site, monkeypatch)
    site.attempts.launch(TASK, 2)
    task = site.task()
    assert (task.status, task.error, task.ended_at) == (S.FAILED, "the tests fail", before.ended_at)
    assert task.retry_at is None
    assert site.attempts.scheduled(TASK) is None


@pytest.mark.parametrize("switch", ["task", "all"])
def test_a_task_that_is_not_to_go_on_by_itself_gets_no_schedule_from_a_failed_resume(
    site: Site, monkeypatch: pytest.MonkeyPatch, switch: str
) -> None:
    """K7."""
    site.paused(pause(), auto_resume=switch == "all")
    site.restart(auto_resume=switch == "task")
    site.store.resume(TASK, None)
    site.claim(site.task().attempt)
    refuse(site, monkeypatch)
    site.attempts.launch(TASK, site.task().attempt)
    assert site.task().status is S.PAUSED
    assert site.task().retry_at is None
    assert site.attempts.scheduled(TASK) is None


def test_an_automatic_resume_that_cannot_start_counts_until_it_gives_up(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K3, K4: each later than the last, and then PAUSED without a date."""
    site.paused(pause())
    refuse(site, monkeypatch)
    waits: list[float] = []
    attempt = 2
    while (waiting := site.attempts.scheduled(TASK)) is not None:
        assert waiting == attempt
        due(site)
        assert site.claim(attempt)
        assert not site.attempts.launch(TASK, attempt)
        task = site.task()
        assert task.status is S.PAUSED
        assert task.auto_retries == attempt - 1
        waits += [round(task.retry_at - time.time(), -1)] if task.retry_at else []
        attempt += 1
    assert site.task().auto_retries == site.settings.retry.max_auto_retries == 5
    assert site.task().retry_at is None
    assert waits == [1800, 3600, 7200, 14400]
    assert site.kinds("task.resume_failed") == ["task.resume_failed"] * 5


@pytest.mark.parametrize("automatic", [True, False])
@pytest.mark.parametrize("writes", range(4))
def test_a_resume_that_fails_ends_the_same_after_a_crash_at_any_write(
    site: Site, monkeypatch: pytest.MonkeyPatch, automatic: bool, writes: int
) -> None:
    """I4, L8: one more attempt is scheduled, and it is told once."""
    site.paused(pause())
    if not automatic:
        site.store.resume(TASK, None)
    due(site)
    site.claim(2)
    refuse(site, monkeypatch)
    site.crash(writes, lambda: site.attempts.launch(TASK, 2))
    assert not site.attempts.launch(TASK, 2)
    assert site.task().status is S.PAUSED
    assert site.attempt(2).state == "ended"
    assert [a.attempt for a in site.store.attempts_in(["scheduled"])] == [3]
    assert site.kinds("task.resume_failed") == ["task.resume_failed"]


def test_a_restore_bundle_is_laid_out_where_snapshots_exist(site: Site) -> None:
    """I6: for a sandbox whose work tree was lost."""
    site.started()
    last = snapshot(2)
    site.record(*STARTED, Run.done("plan", snapshot(1)), Run.done("code", last))
    site.settle(None)
    site.hub.imported.clear()
    assert site.claim(2)
    assert site.attempts.launch(TASK, 2)
    assert site.hub.imported == [], "the hub has them already"
    assert site.hub.exported == [site.folders.spec(2) / "restore.bundle"]
    restore = site.world.sandboxes[NAME[:-1] + "2"].spec.run.restore
    assert restore is not None
    assert (restore.commit, restore.head) == (last.commit, last.head)


def test_what_a_sandbox_will_lack_is_a_warning_of_the_task_once(site: Site) -> None:
    task = site.create()
    tell = site.attempts._progress(task.id)
    for line in ("fetching", Shortcoming("no Node"), Shortcoming("no Node")):
        tell(line)
    assert site.task(task.id).warnings.count("no Node") == 1
    assert [d["message"] for d in site.data("task.preparing")] == ["fetching"]


def test_preparing_is_told_at_most_twice_a_second(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build prints a lot: not every line becomes a record."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    tell = site.attempts._progress(site.create().id)
    for line in range(10):
        tell(f"{line} " + "x" * 1000)
        now[0] += 0.2
    told = [d["message"] for d in site.data("task.preparing")]
    assert [t[0] for t in told] == ["0", "3", "6", "9"]
    assert max(len(t) for t in told) == 500


# Follow


def test_an_engine_that_cannot_be_reached_changes_nothing_and_is_told_once(site: Site) -> None:
    """L3: it is asked again, ever more rarely, until it answers."""
    site.started()
    site.world.unreachable()

    def sleep(seconds: float) -> None:
        site.slept.append(seconds)
        assert site.task().status is S.IN_PROGRESS
        if len(site.slept) == 7:
            site.world.fault = None
            site.world.end(NAME, 0)

    site.attempts.sleep = sleep
    assert site.attempts.follow(TASK, 1) == SandboxExit(0)
    assert site.slept == [1, 2, 5, 15, 30, 30, 30]
    assert site.kinds("task.engine_unreachable") == ["task.engine_unreachable"]
    assert site.attempt(1).state == "running"


@pytest.mark.parametrize("asked", ["pause", "cancel"])
def test_what_was_asked_while_the_engine_could_not_be_reached_is_done_when_it_can(
    site: Site, asked: str
) -> None:
    """L3, D8: a cancelled task does not go on at somebody's cost."""
    site.started()
    site.world.unreachable()

    def sleep(_: float) -> None:
        if asked == "cancel":
            site.store.transition(TASK, Event.CANCEL)
        else:
            site.folders.pause_request.write_text("{}")
        site.attempts.stop(site.task(), NAME)
        site.world.fault = None

    site.attempts.sleep = sleep
    assert site.attempts.follow(TASK, 1).code == 2
    assert site.world.sandboxes[NAME].terminated


@pytest.mark.parametrize("asked", ["pause", "cancel"])
def test_what_was_asked_during_the_start_is_done_when_it_is_followed(
    site: Site, asked: str
) -> None:
    """D8."""
    site.started()
    if asked == "cancel":
        site.store.transition(TASK, Event.CANCEL)
    else:
        site.folders.pause_request.write_text("{}")
    assert site.attempts.follow(TASK, 1).code == 2


def test_a_gateway_that_cannot_be_opened_again_does_not_end_the_attempt(site: Site) -> None:
    """L3, L8: the new daemon's door; the sandbox runs on meanwhile."""
    site.started()
    site.restart()
    site.door.fault = EnvironmentFault("no room for a socket")

    def sleep(_: float) -> None:
        site.door.fault = None
        site.world.end(NAME, 0)

    site.attempts.sleep = sleep
    assert site.attempts.follow(TASK, 1).code == 0
    assert site.door.served == {TASK: 1}


def test_a_stop_that_does_not_reach_the_engine_is_told(site: Site) -> None:
    """L3."""
    site.started()
    site.world.unreachable()
    site.attempts.stop(site.task(), NAME)
    assert site.kinds("task.engine_unreachable") == ["task.engine_unreachable"]
    assert site.task().status is S.IN_PROGRESS


# Settle: what the exit and the journal say

CODES = [0, 1, 2, 137, None]


@pytest.mark.parametrize("code", CODES)
def test_work_that_the_journal_calls_done_is_completed_and_published(
    site: Site, code: int | None
) -> None:
    """L1: the journal decides."""
    site.started()
    site.record(*STARTED, Run.done("plan", snapshot(1)), Run.COMPLETE)
    assert site.settle(code) is None
    task = site.task()
    assert task.status is S.COMPLETED
    assert site.state().status is RunStatus.COMPLETED
    assert task.auto_retries == 0
    assert site.hub.imported == [1]
    assert site.hub.published == [task.branch]
    assert site.attempt(1).state == "ended"
    assert site.attempt(1).exit_code == code
    assert site.world.sandboxes == site.door.served == {}


@pytest.mark.parametrize("code", CODES)
def test_work_that_the_journal_calls_failed_fails_with_its_error(
    site: Site, code: int | None
) -> None:
    """L1, C9: what it did is kept."""
    site.started()
    site.record(*STARTED, Run.done("plan", snapshot(1)), Run.fail("the tests fail"))
    assert site.settle(code) is None
    assert site.task().status is S.FAILED
    assert site.task().error == "the tests fail"
    assert site.data("task.failed") == [{"error": "the tests fail"}]
    assert site.hub.imported == [1]
    assert site.hub.published == []


@pytest.mark.parametrize("code", CODES)
def test_work_that_the_journal_calls_paused_waits_for_its_reason(
    site: Site, code: int | None
) -> None:
    """L1, D1, K1: the next attempt is stored with the pause."""
    site.started()
    site.record(*STARTED, Run.pause(pause()))
    assert site.settle(code) == 2
    task = site.task()
    assert task.status is S.PAUSED
    assert task.pause is not None
    assert (task.pause.reason, task.pause.step) == (R.CREDITS, "implement")
    assert task.retry_at == pytest.approx(time.time() + 900, abs=30)
    assert task.error is None
    assert site.attempt(2).state == "scheduled"


@pytest.mark.parametrize("code", [0, 2, 137, None])
def test_a_sandbox_that_ends_in_the_middle_was_interrupted(site: Site, code: int | None) -> None:
    """L1, L2."""
    site.started()
    site.record(*STARTED)
    assert site.settle(code) == 2
    found = site.task().pause
    assert found is not None
    assert found.reason is R.INTERRUPTED
    assert found.step == "plan"
    assert ("was killed" if code is None else f"code {code}") in found.message


def test_a_sandbox_that_ran_out_of_memory_says_so(site: Site) -> None:
    """L1."""
    site.started()
    site.record(*STARTED)
    site.settle(137, out_of_memory=True)
    assert "out of memory" in str(site.data("task.paused")[0]["message"])


def test_a_runner_that_could_not_write_its_end_fails(site: Site) -> None:
    """E2: nothing is scheduled without data."""
    site.started()
    site.record(*STARTED)
    assert site.settle(1) is None
    assert site.task().status is S.FAILED
    assert "journal could not be written" in str(site.task().error)


def test_a_runner_that_failed_before_its_journal_is_quoted(site: Site) -> None:
    """L1: the last that it printed is all there is."""
    site.started()
    assert site.settle(1) is None
    assert site.task().error == "the runner did not start: runner of attempt 1"


@pytest.mark.parametrize("code", [0, 2, 137, None])
def test_a_sandbox_gone_before_its_journal_is_tried_again(site: Site, code: int | None) -> None:
    """L2: there is nothing to lose, and the machine may just have been restarted."""
    site.started()
    assert site.settle(code) == 2
    assert site.state().status is RunStatus.NEW


def damage(site: Site) -> None:
    path = site.folders.journal
    path.write_bytes(path.read_bytes().replace(b'"attempt":1', b'"attempt":7', 1))


def newer(site: Site) -> None:
    path = site.folders.journal
    path.write_bytes(path.read_bytes().replace(b'"v":2', b'"v":99'))


def folder_in_its_place(site: Site) -> None:
    site.folders.journal.unlink()
    site.folders.journal.mkdir()


def nonsense(site: Site) -> None:
    site.record(Run.start("no such step"))


@pytest.mark.parametrize("code", [0, None])
@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (damage, "damaged at line 1"),
        (newer, "version 99 is newer"),
        (folder_in_its_place, "Is a directory"),
        (nonsense, "malformed"),
    ],
)
def test_a_journal_that_cannot_be_believed_fails_the_task_and_is_left_alone(
    site: Site, code: int | None, harm: Callable[[Site], None], said: str
) -> None:
    """C2, A3: nothing is guessed and nothing deleted."""
    site.started()
    site.record(*STARTED, Run.COMPLETE)
    harm(site)
    before = site.folders.journal.read_bytes() if site.folders.journal.is_file() else None
    assert site.settle(code) is None
    assert site.task().status is S.FAILED
    assert "the journal cannot be used" in str(site.task().error)
    assert said in str(site.task().error)
    assert before is None or site.folders.journal.read_bytes() == before
    assert site.hub.published == []
    assert site.world.sandboxes == site.door.served == {}


def test_a_pause_that_the_runner_did_not_see_is_a_pause_on_request(site: Site) -> None:
    """D8, D9: it does not go on by itself."""
    site.started()
    site.record(*STARTED)
    site.folders.pause_request.write_text("{}")
    site.world.sandboxes[NAME].ignores_term = True
    assert site.attempts.settle(TASK, 1, site.attempts.follow(TASK, 1)) is None
    task = site.task()
    assert task.pause is not None
    assert task.pause.reason is R.REQUESTED
    assert task.retry_at is None
    assert site.attempt(1).exit_code == 137


JOURNALS: Sequence[Sequence[Record]] = [
    [],
    STARTED,
    [*STARTED, Run.done("plan", snapshot(1)), Run.COMPLETE],
    [*STARTED, Run.fail("no")],
    [*STARTED, Run.pause(pause())],
]


@pytest.mark.parametrize("code", [0, 1, None])
@pytest.mark.parametrize("records", JOURNALS)
def test_a_cancelled_task_stays_cancelled_and_its_state_is_kept(
    site: Site, code: int | None, records: Sequence[Record]
) -> None:
    """L1: whatever the sandbox did in the meantime; nothing is published."""
    site.started()
    site.record(*records)
    site.store.transition(TASK, Event.CANCEL)
    assert site.attempts.settle(TASK, 1, SandboxExit(code)) is None
    assert site.task().status is S.CANCELLED
    assert len(site.state().steps) == (2 if records else 0)
    assert site.attempts.scheduled(TASK) is None
    assert site.hub.published == []
    assert site.kinds(*ENDINGS) == ["task.cancelled"]
    assert site.world.sandboxes == site.door.served == {}


def test_a_task_cancelled_while_it_is_settled_keeps_its_state_too(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L1: the cancellation lands between the reading and the decision."""
    site.started()
    site.record(*STARTED, Run.done("plan", snapshot(1)), Run.COMPLETE)

    def cancel(*_: object) -> None:
        site.store.transition(TASK, Event.CANCEL)

    monkeypatch.setattr(site.hub, "import_bundle", cancel)
    assert site.settle(0) is None
    assert site.task().status is S.CANCELLED
    assert site.state().status is RunStatus.COMPLETED
    assert site.hub.published == []


# Settle: bringing the work home


def test_work_that_cannot_be_taken_out_is_not_done(site: Site) -> None:
    """L1: whatever the journal says."""
    site.started()
    site.record(*STARTED, Run.done("plan", snapshot(1)), Run.COMPLETE)
    site.hub.import_fault = EnvironmentFault("the disk is full", hint="make room")
    assert site.settle(0) is None
    task = site.task()
    assert task.status is S.FAILED
    assert "could not be taken out of the sandbox: the disk is full; make room" in str(task.error)
    assert site.hub.published == []


def test_work_that_cannot_be_taken_out_does_not_lose_a_pause(site: Site) -> None:
    """D1: the pause stands, with a warning."""
    site.started()
    site.record(*STARTED, Run.done("plan", snapshot(1)), Run.pause(pause()))
    site.hub.import_fault = EnvironmentFault("the disk is full")
    assert site.settle(2) == 2
    task = site.task()
    assert task.status is S.PAUSED
    assert task.pause is not None
    assert task.pause.reason is R.CREDITS
    assert "the disk is full" in task.warnings[0]


def test_work_that_cannot_be_published_is_not_called_done_and_resume_publishes_it(
    site: Site,
) -> None:
    """COMPLETED means delivered; the work is in the hub."""
    site.started()
    site.record(*STARTED, Run.done("plan", snapshot(1)), Run.COMPLETE)
    site.hub.publish_fault = EnvironmentFault("the branch moved", hint="merge it yourself")
    site.settle(0)
    task = site.task()
    assert task.status is S.FAILED
    assert "not in your repository: the branch moved; merge it yourself" in (task.error or "")


def test_an_engine_that_is_gone_at_the_end_does_not_keep_the_task_from_ending(site: Site) -> None:
    """L3: what is left of the sandbox stays."""
    site.started()
    site.record(*STARTED, Run.COMPLETE)
    site.world.end(NAME, 0)
    site.world.unreachable()
    site.attempts.settle(TASK, 1, SandboxExit(0))
    assert site.task().status is S.COMPLETED


# Settle: repeated


def complete(site: Site) -> None:
    site.record(*STARTED, Run.done("plan", snapshot(1)), Run.COMPLETE)


def unpublished(site: Site) -> None:
    complete(site)
    site.hub.publish_fault = EnvironmentFault("the branch moved")


def failed(site: Site) -> None:
    site.record(*STARTED, Run.fail("no"))


def out_of_credits(site: Site) -> None:
    site.record(*STARTED, Run.pause(pause()))


def not_imported(site: Site) -> None:
    site.record(*STARTED, Run.done("plan", snapshot(1)), Run.pause(pause()))
    site.hub.import_fault = EnvironmentFault("the disk is full")


def killed(site: Site) -> None:
    site.record(*STARTED)


def cancelled(site: Site) -> None:
    site.record(*STARTED)
    site.store.transition(TASK, Event.CANCEL)


SCENES = [
    (complete, S.COMPLETED, "task.completed", 0),
    (unpublished, S.FAILED, "task.failed", 0),
    (failed, S.FAILED, "task.failed", 0),
    (out_of_credits, S.PAUSED, "task.paused", 1),
    (not_imported, S.PAUSED, "task.paused", 1),
    (killed, S.PAUSED, "task.paused", 1),
    (cancelled, S.CANCELLED, "task.cancelled", 0),
]


@pytest.mark.parametrize("writes", [*range(6), 100])
@pytest.mark.parametrize(("scene", "status", "event", "scheduled"), SCENES)
def test_settling_ends_the_same_after_a_crash_at_any_write(
    site: Site,
    scene: Callable[[Site], None],
    status: TaskStatus,
    event: str,
    scheduled: int,
    writes: int,
) -> None:
    """L8, K1: one event of the ending, at most one attempt that waits."""
    site.started()
    scene(site)
    site.crash(writes, lambda: site.attempts.settle(TASK, 1, SandboxExit(137)))
    for _ in range(2):
        assert site.attempts.settle(TASK, 1, SandboxExit(137)) == (2 if scheduled else None)
    task = site.task()
    assert task.status is status
    assert site.kinds(*ENDINGS) == [event]
    assert len(site.store.attempts_in(["scheduled"])) == scheduled
    assert (task.retry_at is not None) == bool(scheduled)
    assert site.attempt(1).state == "ended"
    assert site.state().steps[0].id == "plan"
    assert len(task.warnings) == (1 if scene is not_imported else 0)
    assert site.world.sandboxes == site.door.served == {}


def test_a_settled_attempt_is_not_published_again(site: Site) -> None:
    """L8: a crash right after the end; meanwhile the user merged the branch and deleted it."""
    site.started()
    complete(site)
    site.settle(0)
    site.restart()
    site.attempts.settle(TASK, 1, SandboxExit(0))
    assert len(site.hub.published) == 1


def test_an_attempt_that_is_settled_late_leaves_the_next_one_its_door(site: Site) -> None:
    """L8, I7: attempt 2 runs when attempt 1's settling is repeated."""
    site.paused(pause())
    site.restart()
    assert site.claim(2)
    assert site.attempts.launch(TASK, 2)
    site.attempts.settle(TASK, 1, SandboxExit(2))
    assert site.door.served == {TASK: 2}
    assert site.task().status is S.IN_PROGRESS
    assert site.running() == [NAME[:-1] + "2"]


def test_the_door_is_closed_before_the_next_attempt_may_open_its_own(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I7: somebody resumes at the moment that the pause is recorded."""
    site.started()
    out_of_credits(site)
    transition = site.store.transition

    def and_resume(*args: Any, **named: Any) -> object:
        made = transition(*args, **named)
        site.store.resume(TASK, None)
        site.claim(2)
        site.attempts.launch(TASK, 2)
        return made

    monkeypatch.setattr(site.store, "transition", and_resume)
    site.settle(2)
    assert site.door.served == {TASK: 2}
    assert site.running() == [NAME[:-1] + "2"]


# Retries


def resumed_by_itself(site: Site, attempt: int, *records: Record) -> None:
    """The attempt is claimed by its timer and paused again by its runner."""
    assert site.claim(attempt)
    assert site.attempts.launch(TASK, attempt)
    site.record(Run.begin(attempt), Run.resume(attempt), *records)
    site.settle(2, attempt)


def test_retries_are_counted_until_there_are_too_many(site: Site) -> None:
    """K3: then it stays PAUSED without a date."""
    site.restart(retry=RetrySettings(max_auto_retries=2, jitter=0))
    site.paused(pause())
    assert site.task().auto_retries == 0
    resumed_by_itself(site, 2, Run.start("plan"), Run.pause(pause()))
    assert site.task().auto_retries == 1
    assert site.task().retry_at == pytest.approx(time.time() + 1800, abs=30)
    resumed_by_itself(site, 3, Run.start("plan"), Run.pause(pause()))
    assert site.task().auto_retries == 2
    assert site.task().status is S.PAUSED
    assert site.task().retry_at is None
    assert site.attempts.scheduled(TASK) is None


def test_progress_starts_the_count_of_retries_anew(site: Site) -> None:
    """K4."""
    site.paused(pause())
    resumed_by_itself(site, 2, Run.start("plan"), Run.pause(pause()))
    resumed_by_itself(
        site, 3, Run.start("plan"), Run.done("plan"), Run.start("code"), Run.pause(pause())
    )
    assert site.task().auto_retries == 0
    assert site.task().retry_at == pytest.approx(time.time() + 900, abs=30)


def test_another_provider_starts_the_count_of_retries_anew(site: Site) -> None:
    """K4, H3."""
    site.paused(pause())
    resumed_by_itself(site, 2, Run.start("plan"), Run.pause(pause(provider="other")))
    assert site.task().auto_retries == 0


def test_a_manual_resume_starts_the_count_of_retries_anew(site: Site) -> None:
    """K4."""
    site.paused(pause())
    resumed_by_itself(site, 2, Run.start("plan"), Run.pause(pause()))
    site.store.resume(TASK, None)
    assert site.task().auto_retries == 0


# Giving up


def test_a_running_attempt_that_is_given_up_fails_with_a_hint_and_ends_its_sandbox(
    site: Site,
) -> None:
    """L8: nothing is left that a resume would meet on the work tree."""
    site.started()
    site.attempts.give_up(TASK, 1, EnvironmentFault("twice", hint="resume it"))
    assert site.task().status is S.FAILED
    assert site.task().error == "twice; resume it"
    assert site.attempt(1).state == "ended"
    assert site.world.sandboxes == site.door.served == {}


def test_a_scheduled_attempt_that_is_given_up_leaves_the_pause_without_a_date(site: Site) -> None:
    """K1: a time that nothing keeps is not promised."""
    site.paused(pause())
    site.attempts.give_up(TASK, 2, unreachable())
    task = site.task()
    assert task.status is S.PAUSED
    assert task.retry_at is None
    assert "does not go on by itself" in task.warnings[0]
    assert site.attempts.scheduled(TASK) is None
