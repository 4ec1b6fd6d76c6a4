"""What an attempt's exit and journal say, and how its work is brought home."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pytest

from agent_runner.models import PauseReason, RunStatus
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.domain.task_status import Event, TaskStatus
from rover_mcp.sandbox.protocol import SandboxExit
from tests.support.attempts_site import ENDINGS, NAME, STARTED, ControlHarness, Record, Run
from tests.support.samples import TASK, pause, snapshot

S = TaskStatus
R = PauseReason


# Settle: what the exit and the journal say

CODES = [0, 1, 2, 137, None]


@pytest.mark.parametrize("code", CODES)
def test_work_that_the_journal_calls_done_is_completed_and_published(
    site: ControlHarness, code: int | None
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


def test_what_work_is_delivered_in_spite_of_is_part_of_the_news(site: ControlHarness) -> None:
    site.started()
    kind, data = Run.done("plan", snapshot(1))
    site.record(*STARTED, (kind, {**data, "verdict": "tests still fail"}), Run.COMPLETE)
    site.settle(0)
    assert site.task().status is S.COMPLETED
    assert site.data("task.completed") == [{"verdict": "tests still fail"}]
    assert site.hub.published == [site.task().branch]


@pytest.mark.parametrize("code", CODES)
def test_work_that_the_journal_calls_failed_fails_with_its_error(
    site: ControlHarness, code: int | None
) -> None:
    """L1, C9: what it did is kept, and is on its branch, marked as unfinished."""
    site.started()
    site.record(*STARTED, Run.done("plan", snapshot(1)), Run.fail("the tests fail"))
    assert site.settle(code) is None
    assert site.task().status is S.FAILED
    assert site.task().error == "the tests fail"
    assert site.data("task.failed") == [{"error": "the tests fail"}]
    assert site.hub.imported == [1]
    assert site.hub.published == []
    [message] = site.hub.unfinished
    assert f"Task {site.task().number} has failed." in message


@pytest.mark.parametrize("code", CODES)
def test_work_that_the_journal_calls_paused_waits_for_its_reason(
    site: ControlHarness, code: int | None
) -> None:
    """L1, D1, K1: the next attempt is stored with the pause."""
    site.started()
    site.record(*STARTED, Run.pause(pause()))
    assert site.settle(code) == 2
    task = site.task()
    assert task.status is S.PAUSED
    assert site.hub.unfinished == []
    assert task.pause is not None
    assert (task.pause.reason, task.pause.step) == (R.CREDITS, "implement")
    assert task.retry_at == pytest.approx(time.time() + 900, abs=30)
    assert task.error is None
    assert site.attempt(2).state == "scheduled"


@pytest.mark.parametrize("code", [0, 2, 137, None])
def test_a_sandbox_that_ends_in_the_middle_was_interrupted(
    site: ControlHarness, code: int | None
) -> None:
    """L1, L2."""
    site.started()
    site.record(*STARTED)
    assert site.settle(code) == 2
    found = site.task().pause
    assert found is not None
    assert found.reason is R.INTERRUPTED
    assert found.step == "plan"
    assert ("was killed" if code is None else f"code {code}") in found.message


def test_a_sandbox_that_ran_out_of_memory_says_so(site: ControlHarness) -> None:
    """L1."""
    site.started()
    site.record(*STARTED)
    site.settle(137, out_of_memory=True)
    assert "out of memory" in str(site.data("task.paused")[0]["message"])


def test_a_runner_that_could_not_write_its_end_fails(site: ControlHarness) -> None:
    """E2: nothing is scheduled without data."""
    site.started()
    site.record(*STARTED)
    assert site.settle(1) is None
    assert site.task().status is S.FAILED
    assert "journal could not be written" in str(site.task().error)


def test_a_runner_that_failed_before_its_journal_is_quoted(site: ControlHarness) -> None:
    """L1: the last that it printed is all there is."""
    site.started()
    assert site.settle(1) is None
    assert site.task().error == "the runner did not start: runner of attempt 1"


@pytest.mark.parametrize("code", [0, 2, 137, None])
def test_a_sandbox_gone_before_its_journal_is_tried_again(
    site: ControlHarness, code: int | None
) -> None:
    """L2: there is nothing to lose, and the machine may just have been restarted."""
    site.started()
    assert site.settle(code) == 2
    assert site.state().status is RunStatus.NEW


def damage(site: ControlHarness) -> None:
    path = site.folders.journal
    path.write_bytes(path.read_bytes().replace(b'"attempt":1', b'"attempt":7', 1))


def newer(site: ControlHarness) -> None:
    path = site.folders.journal
    path.write_bytes(path.read_bytes().replace(b'"v":2', b'"v":99'))


def folder_in_its_place(site: ControlHarness) -> None:
    site.folders.journal.unlink()
    site.folders.journal.mkdir()


def nonsense(site: ControlHarness) -> None:
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
def test_an_implausible_journal_fails_the_task_and_stays(
    site: ControlHarness, code: int | None, harm: Callable[[ControlHarness], None], said: str
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


def test_a_pause_that_the_runner_did_not_see_is_a_pause_on_request(site: ControlHarness) -> None:
    """D8, D9: it does not resume automatically."""
    site.started()
    site.record(*STARTED)
    site.folders.pause_request.write_text("{}")
    site.world.sandboxes[NAME].ignores_term = True
    assert site.attempts.finish.settle(TASK, 1, site.attempts.wait.follow(TASK, 1)) is None
    task = site.task()
    assert task.pause is not None
    assert task.pause.reason is R.REQUESTED
    assert task.retry_at is None
    assert site.attempt(1).exit_code == 137


def test_unfinished_work_that_cannot_be_shown_is_a_warning_and_no_more(
    site: ControlHarness,
) -> None:
    """The branch is the user's: checked out, say. The pause stands as it is."""
    site.started()
    site.record(*STARTED, Run.done("plan", snapshot(1)), Run.pause(pause()))
    site.hub.publish_fault = EnvironmentFault("the branch is checked out", hint="switch")
    assert site.settle(2) == 2
    assert site.task().status is S.PAUSED
    assert site.task().warnings == [
        "its unfinished work is not on its branch: the branch is checked out; switch"
    ]


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
    site: ControlHarness, code: int | None, records: Sequence[Record]
) -> None:
    """L1: whatever the sandbox did in the meantime; what there is of it is called unfinished."""
    site.started()
    site.record(*records)
    site.store.transitions.apply(TASK, Event.CANCEL)
    assert site.attempts.finish.settle(TASK, 1, SandboxExit(code)) is None
    assert site.task().status is S.CANCELLED
    assert len(site.state().steps) == (2 if records else 0)
    assert site.attempts.finish.scheduled(TASK) is None
    assert site.hub.published == []
    assert all("was cancelled." in message for message in site.hub.unfinished)
    assert site.kinds(*ENDINGS) == ["task.cancelled"]
    assert site.world.sandboxes == site.door.served == {}


def test_a_task_cancelled_while_it_is_settled_keeps_its_state_too(
    site: ControlHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L1: the cancellation lands between the reading and the decision."""
    site.started()
    site.record(*STARTED, Run.done("plan", snapshot(1)), Run.COMPLETE)

    def cancel(*_: object) -> None:
        site.store.transitions.apply(TASK, Event.CANCEL)

    monkeypatch.setattr(site.hub, "import_bundle", cancel)
    assert site.settle(0) is None
    assert site.task().status is S.CANCELLED
    assert site.state().status is RunStatus.COMPLETED
    assert site.hub.published == []


# Settle: bringing the work home


def test_work_that_cannot_be_taken_out_is_not_done(site: ControlHarness) -> None:
    """L1: whatever the journal says."""
    site.started()
    site.record(*STARTED, Run.done("plan", snapshot(1)), Run.COMPLETE)
    site.hub.import_fault = EnvironmentFault("the disk is full", hint="make room")
    assert site.settle(0) is None
    task = site.task()
    assert task.status is S.FAILED
    assert "could not be taken out of the sandbox: the disk is full; make room" in str(task.error)
    assert site.hub.published == []


def test_work_that_cannot_be_taken_out_does_not_lose_a_pause(site: ControlHarness) -> None:
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


def test_unpublished_work_is_not_completed_until_a_resume_publishes_it(
    site: ControlHarness,
) -> None:
    """COMPLETED means delivered; the work is in the hub."""
    site.started()
    site.record(*STARTED, Run.done("plan", snapshot(1)), Run.COMPLETE)
    site.hub.publish_fault = EnvironmentFault("the branch moved", hint="merge it yourself")
    site.settle(0)
    task = site.task()
    assert task.status is S.FAILED
    assert "not in your repository: the branch moved; merge it yourself" in (task.error or "")


def test_a_task_ends_although_its_engine_is_gone(site: ControlHarness) -> None:
    """L3: what is left of the sandbox stays."""
    site.started()
    site.record(*STARTED, Run.COMPLETE)
    site.world.end(NAME, 0)
    site.world.unreachable()
    site.attempts.finish.settle(TASK, 1, SandboxExit(0))
    assert site.task().status is S.COMPLETED
