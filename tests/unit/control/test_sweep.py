"""What the slow sweep does about each thing that it may find: a table, and no way out of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rover_mcp.control.reconcile_decisions import (
    Adopt,
    AttemptAction,
    AttemptFacts,
    Discard,
    GiveUp,
    LeaveAlone,
    Remove,
    Settle,
    StopStart,
    facts_of,
    judge_attempt,
    judge_sandbox,
)
from rover_mcp.domain.attempt_state import HELD_BACK, IN_QUEUE, STARTED
from rover_mcp.domain.task_status import RUNNING, TaskStatus
from rover_mcp.sandbox.protocol import SandboxInfo, SandboxState
from tests.support.samples import NOW, TASK, attempt_row, task_row

S = TaskStatus
RUNS, EXITED, GONE = SandboxState.RUNNING, SandboxState.EXITED, SandboxState.GONE
LIMIT = 300.0
OVER = (None, "ended", "superseded")


def seen(
    status: TaskStatus,
    state: str | None,
    sandbox: SandboxState,
    *,
    followed: bool = False,
    present: bool = True,
    begun: bool = True,
    age: float = 0,
) -> AttemptFacts:
    return AttemptFacts(status, present, state, followed, sandbox, begun, age)


CASES: list[tuple[str, AttemptFacts, AttemptAction | None]] = [
    ("it runs and is followed", seen(S.IN_PROGRESS, "running", RUNS, followed=True), None),
    ("it has just ended", seen(S.IN_PROGRESS, "running", EXITED, followed=True), None),
    ("its image is being made", seen(S.ITERATING, "starting", GONE, followed=True), None),
    ("a thread died while it ran", seen(S.IN_PROGRESS, "running", RUNS), Adopt()),
    ("... in an iteration", seen(S.ITERATING, "running", RUNS), Adopt()),
    ("... and the sandbox has ended", seen(S.IN_PROGRESS, "running", EXITED), Settle()),
    ("... and somebody removed it", seen(S.IN_PROGRESS, "running", GONE), Settle()),
    ("a thread died before the start", seen(S.IN_PROGRESS, "starting", GONE), Adopt()),
    ("... just after it", seen(S.IN_PROGRESS, "starting", RUNS), Adopt()),
    ("... and it ended at once", seen(S.IN_PROGRESS, "starting", EXITED), Settle()),
    ("cancelled while it runs", seen(S.CANCELLED, "running", RUNS), Adopt()),
    ("cancelled, and it ended", seen(S.CANCELLED, "running", EXITED), Settle()),
    ("an older attempt", seen(S.IN_PROGRESS, "running", RUNS, present=False), Discard()),
    ("paused meanwhile", seen(S.PAUSED, "running", RUNS), Discard()),
    ("completed meanwhile", seen(S.COMPLETED, "starting", GONE), Discard()),
    ("it waits for its turn", seen(S.NEW, "queued", GONE, followed=True), None),
    ("... and nobody calls it", seen(S.NEW, "queued", GONE), Adopt()),
    ("a resume that nobody calls", seen(S.IN_PROGRESS, "queued", GONE), Adopt()),
    ("a turn that is of no use", seen(S.COMPLETED, "queued", GONE), Discard()),
    ("it waits for its time", seen(S.PAUSED, "scheduled", GONE, followed=True), None),
    ("... without a timer", seen(S.PAUSED, "scheduled", GONE, present=False), Adopt()),
    ("let go, and not called", seen(S.PAUSED, "released", GONE, present=False), Adopt()),
    ("a timer of a task that runs", seen(S.ITERATING, "released", GONE, present=False), Discard()),
    ("it runs by the record, and waits", seen(S.IN_PROGRESS, "scheduled", GONE), Settle()),
    ("it is new by the record, and waits", seen(S.NEW, "held", GONE), GiveUp()),
    ("it is new by the record, and runs", seen(S.NEW, "running", RUNS), GiveUp()),
    ("its account is closed", seen(S.PAUSED, "held", GONE, present=False), None),
    ("held, of a task that ended", seen(S.CANCELLED, "held", GONE), Discard()),
    ("the attempt of a running task is over", seen(S.IN_PROGRESS, "ended", GONE), Settle()),
    ("... or was never recorded", seen(S.ITERATING, None, GONE), Settle()),
    ("a new task without an attempt", seen(S.NEW, None, GONE), GiveUp()),
    ("a new task whose attempt is over", seen(S.NEW, "superseded", GONE), GiveUp()),
    ("all is over", seen(S.COMPLETED, "ended", EXITED), None),
    ("an old attempt is over", seen(S.IN_PROGRESS, "ended", GONE, present=False), None),
    (
        "the runner has not begun for too long",
        seen(S.IN_PROGRESS, "running", RUNS, followed=True, begun=False, age=301),
        StopStart(),
    ),
    (
        "it may yet begin",
        seen(S.IN_PROGRESS, "running", RUNS, followed=True, begun=False, age=299),
        None,
    ),
    (
        "it began, long ago",
        seen(S.IN_PROGRESS, "running", RUNS, followed=True, begun=True, age=9999),
        None,
    ),
    (
        "an image takes long to make",
        seen(S.IN_PROGRESS, "starting", GONE, followed=True, begun=False, age=9999),
        None,
    ),
]


@pytest.mark.parametrize(("found", "action"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_each_thing_that_may_be_found_has_one_answer(
    found: AttemptFacts, action: AttemptAction | None
) -> None:
    """L1, L2, L5, L7, L8."""
    assert judge_attempt(found, LIMIT) == action


FOUND = st.builds(
    AttemptFacts,
    status=st.sampled_from(TaskStatus),
    present=st.booleans(),
    state=st.sampled_from([*OVER, *STARTED, *IN_QUEUE, *HELD_BACK]),
    followed=st.booleans(),
    sandbox=st.sampled_from(SandboxState),
    begun=st.booleans(),
    age=st.floats(0, 1000),
)


@given(FOUND)
def test_what_somebody_sees_through_is_left_alone(found: AttemptFacts) -> None:
    """L4, L5: but for a start that takes too long, at the most 5 minutes."""
    action = judge_attempt(found, LIMIT)
    if found.followed and found.state in {*STARTED, "queued"}:
        assert action in (None, StopStart())
    if action == StopStart():
        assert not found.begun
        assert found.age > LIMIT
        assert found.sandbox is RUNS


@given(FOUND)
def test_no_task_that_runs_or_waits_is_left_without_anybody(found: AttemptFacts) -> None:
    """L7, L8: after one sweep it is settled, given up, or somebody follows it."""
    if found.followed or not found.present:
        return
    action = judge_attempt(found, LIMIT)
    if found.status in RUNNING:
        assert action in (Settle(), Adopt(), StopStart())
    if found.status is S.NEW and found.state in OVER:
        assert action == GiveUp()


@given(FOUND)
def test_the_status_of_a_task_is_only_touched_where_it_is_not_true(found: AttemptFacts) -> None:
    """L4, L7: a sandbox that runs is never taken for one that ended; a task that has ended, or
    waits for its account, stays as it is."""
    action = judge_attempt(found, LIMIT)
    if action == Settle() and found.state in STARTED:
        assert found.sandbox is not RUNS
    if action in (Settle(), GiveUp()):
        assert found.present
        assert found.status in {S.NEW, S.CANCELLED, *RUNNING}
    if found.state in HELD_BACK and found.status is S.PAUSED:
        assert action is None


def info(state: SandboxState, attempt: int = 1) -> SandboxInfo:
    return SandboxInfo(f"rover-{TASK[:12]}-{attempt}", TASK, attempt, state)


@pytest.mark.parametrize("state", [*sorted(STARTED), "queued"])
@pytest.mark.parametrize("sandbox", [RUNS, EXITED])
def test_the_sandbox_of_an_attempt_that_is_not_over_stays(
    state: str, sandbox: SandboxState
) -> None:
    """L4: what follows from it is the attempt's matter."""
    assert judge_sandbox(info(sandbox), task_row(), attempt_row(state)) is None


@pytest.mark.parametrize("state", ["ended", "superseded", "scheduled", *HELD_BACK])
@pytest.mark.parametrize("sandbox", [RUNS, EXITED])
def test_what_a_crash_left_of_an_attempt_that_does_not_run_is_removed(
    state: str, sandbox: SandboxState
) -> None:
    """L8: two sandboxes on one work tree would be one too many."""
    assert judge_sandbox(info(sandbox), task_row(), attempt_row(state)) == Remove()


def test_a_sandbox_that_no_task_knows_is_removed_only_once_it_has_ended() -> None:
    """L4: it may be somebody's work."""
    assert judge_sandbox(info(RUNS), None, None) == LeaveAlone()
    assert judge_sandbox(info(EXITED), None, None) == Remove()
    assert judge_sandbox(info(RUNS, 9), task_row(), None) == LeaveAlone()


def test_what_is_seen_comes_out_of_the_rows() -> None:
    """L5: the age is that of the sandbox; before there is one there is none."""
    started = attempt_row("running", started_at=NOW.timestamp() - 7)
    found = facts_of(
        task_row(attempt=2), started, sandbox=RUNS, followed=False, begun=False,
        now=NOW.timestamp(),
    )  # fmt: skip
    assert found == seen(S.IN_PROGRESS, "running", RUNS, present=False, begun=False, age=7)
    nothing = facts_of(
        task_row(), None, sandbox=GONE, followed=False, begun=True, now=NOW.timestamp()
    )
    assert nothing == seen(S.IN_PROGRESS, None, GONE)
