"""What follows from the end of a sandbox."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.models import ExitCode, PauseReason, RunState, RunStatus
from rover_mcp.config.settings import RetrySettings
from rover_mcp.control.decide import (
    ENDS_SOMETIME,
    NEVER_BY_ITSELF,
    Decision,
    Fail,
    Finish,
    PauseFor,
    decide,
    retry_time,
)
from rover_mcp.sandbox.protocol import SandboxExit
from tests.support.samples import NOW, pause, run_state

RETRY = RetrySettings()
EXACT = RetrySettings(jitter=0)
R = PauseReason
KILLED = SandboxExit(137)


def judge(ended: SandboxExit, state: RunState, **changes: Any) -> Decision:
    values: dict[str, Any] = {
        "attempt": 1,
        "auto_retries": 0,
        "auto_resume": True,
        "retry": EXACT,
        "now": NOW,
        "random": 0.5,
    }
    return decide(ended, state, **values | changes)


def seconds(at: datetime | None) -> float | None:
    return (at - NOW).total_seconds() if at else None


@pytest.mark.parametrize("code", [0, 1, 2, 137, -9, None])
def test_a_journal_that_says_completed_is_done_whatever_the_exit_code(code: int | None) -> None:
    """L1: a container killed after its last record has lost nothing."""
    assert judge(SandboxExit(code), run_state(RunStatus.COMPLETED)) == Finish()


@pytest.mark.parametrize("code", [0, 1, 137, None])
def test_a_journal_that_says_failed_fails_with_the_agents_error(code: int | None) -> None:
    """L1."""
    state = run_state(RunStatus.FAILED, error="the tests fail")
    assert judge(SandboxExit(code), state) == Fail("the tests fail")
    assert judge(SandboxExit(code), run_state(RunStatus.FAILED)) == Fail("a step failed")


@pytest.mark.parametrize("code", [2, 0, 137, None])
def test_a_journal_that_says_paused_pauses_for_its_own_reason(code: int | None) -> None:
    """L1, D1: step, provider and message are kept."""
    decision = judge(SandboxExit(code), run_state(RunStatus.PAUSED, pause=pause()))
    assert isinstance(decision, PauseFor)
    assert decision.pause.model_copy(update={"retry_at": None}) == pause()
    assert seconds(decision.retry_at) == 900
    assert decision.pause.retry_at == decision.retry_at


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (SandboxExit(137), "exited unexpectedly with code 137"),
        (SandboxExit(0), "exited unexpectedly with code 0"),
        (SandboxExit(2), "exited unexpectedly with code 2"),
        (SandboxExit(None), "the sandbox or its runner was killed"),
        (SandboxExit(137, out_of_memory=True), "ran out of memory and was killed"),
        (SandboxExit(None, out_of_memory=True), "ran out of memory and was killed"),
    ],
)
@pytest.mark.parametrize("status", [RunStatus.RUNNING, RunStatus.PAUSED])
def test_an_end_that_the_journal_does_not_know_is_an_interruption(
    ended: SandboxExit, said: str, status: RunStatus
) -> None:
    """L1, L2: from the checkpoint, with the exit code and whether memory ran out."""
    decision = judge(ended, run_state(status))
    assert isinstance(decision, PauseFor)
    assert decision.pause.reason is R.INTERRUPTED
    assert said in decision.pause.message
    assert "kept up to the last checkpoint" in decision.pause.message
    assert (decision.pause.step, decision.pause.since) == ("implement", NOW)
    assert seconds(decision.retry_at) == RETRY.interrupted_first


def test_a_sandbox_killed_before_its_first_record_is_an_interruption() -> None:
    decision = judge(KILLED, RunState())
    assert isinstance(decision, PauseFor)
    assert decision.pause.step is None


def test_a_runner_that_could_not_begin_fails_with_what_it_said() -> None:
    """L1."""
    ended = SandboxExit(ExitCode.FAILED, detail="spec.json: bad")
    assert judge(ended, RunState()) == Fail("spec.json: bad")
    assert judge(SandboxExit(ExitCode.FAILED), RunState()) == Fail(
        "the runner ended before its first step"
    )


def test_a_runner_that_gave_up_without_a_last_record_is_not_scheduled() -> None:
    """E2: exit 1 with an open journal means that the checkpoint could not be written."""
    decision = judge(SandboxExit(ExitCode.FAILED, detail="No space left"), run_state())
    assert isinstance(decision, Fail)
    assert "No space left" in decision.error


@pytest.mark.parametrize("status", [RunStatus.PAUSED, RunStatus.FAILED, RunStatus.RUNNING])
def test_an_earlier_attempts_ending_is_not_read_as_this_ones(status: RunStatus) -> None:
    """I7: attempt 2 was killed before it wrote a record."""
    old = run_state(status, attempt=1, pause=pause(), error="old")
    decision = judge(KILLED, old, attempt=2)
    assert isinstance(decision, PauseFor)
    assert decision.pause.reason is R.INTERRUPTED
    failed = judge(SandboxExit(1, detail="no gateway"), old, attempt=2)
    assert failed == Fail("no gateway")


def test_without_automatic_resume_nothing_is_scheduled() -> None:
    """K7."""
    for state in (run_state(), run_state(RunStatus.PAUSED, pause=pause())):
        decision = judge(KILLED, state, auto_resume=False)
        assert isinstance(decision, PauseFor)
        assert decision.retry_at is None
        assert decision.pause.retry_at is None


def test_the_providers_reset_time_is_shown_even_if_nothing_is_scheduled() -> None:
    """D10, K7."""
    reset = NOW + timedelta(hours=5)
    state = run_state(RunStatus.PAUSED, pause=pause(R.USAGE_WINDOW, retry_at=reset))
    decision = judge(SandboxExit(2), state, auto_resume=False)
    assert isinstance(decision, PauseFor)
    assert (decision.retry_at, decision.pause.retry_at) == (None, reset)


@pytest.mark.parametrize("reason", sorted(NEVER_BY_ITSELF))
@pytest.mark.parametrize("reset", [None, NOW + timedelta(hours=1)])
def test_some_reasons_never_end_by_themselves(reason: PauseReason, reset: datetime | None) -> None:
    """D9: nor where a provider named a time."""
    assert retry_time(pause(reason, retry_at=reset), 0, RETRY, NOW, 0.9) is None


def test_these_reasons_are_authentication_a_persons_pause_and_the_budget() -> None:
    """D8, D9: a new reason has to be put on one side."""
    assert {R.AUTH, R.REQUESTED, R.BUDGET, R.NEEDS_LOOK} == NEVER_BY_ITSELF
    by_itself = set(PauseReason) - NEVER_BY_ITSELF
    assert all(retry_time(pause(r), 0, RETRY, NOW, 0) is not None for r in by_itself)


@pytest.mark.parametrize(
    ("reason", "waits"),
    [
        (R.TRANSIENT, [60, 120, 240, 480, 960, None, None]),
        (R.RATE_LIMIT, [60, 120, 240, 480, 960, 1920, 3600]),
        (R.INTERRUPTED, [2, 120, 240, 480, 960, None, None]),
        (R.CREDITS, [900, 1800, 3600, 7200, 14400, 21600, 21600]),
        (R.USAGE_WINDOW, [900, 1800, 3600, 7200, 14400, 21600, 21600]),
    ],
)
def test_the_wait_doubles_with_each_retry(reason: PauseReason, waits: list[float | None]) -> None:
    """K2, K3, Q3: after the fifth a person has to act, except where time or money helps."""
    told = [seconds(retry_time(pause(reason), n, EXACT, NOW, 0.7)) for n in range(7)]
    assert told == waits


@pytest.mark.parametrize(("reason", "most"), [(R.TRANSIENT, 3600), (R.CREDITS, 6 * 3600)])
def test_the_wait_has_a_ceiling(reason: PauseReason, most: float) -> None:
    """K2."""
    patient = RetrySettings(jitter=0, max_auto_retries=100)
    assert seconds(retry_time(pause(reason), 60, patient, NOW, 0)) == most


def test_the_providers_time_decides_where_it_is_known() -> None:
    """K2: neither the backoff nor its ceiling matters then."""
    reset = NOW + timedelta(days=3)
    assert retry_time(pause(R.USAGE_WINDOW, retry_at=reset), 4, EXACT, NOW, 0) == reset


def test_a_reset_time_in_the_past_means_now() -> None:
    """K2: the first time; if that was in vain, it is as good as none."""
    late = pause(R.USAGE_WINDOW, retry_at=NOW - timedelta(days=1))
    assert retry_time(late, 0, EXACT, NOW, 0) == NOW
    assert seconds(retry_time(late, 1, EXACT, NOW, 0)) == 900
    assert seconds(retry_time(late, 9, EXACT, NOW, 0)) == 6 * 3600


@pytest.mark.parametrize("reason", [R.TRANSIENT, R.RATE_LIMIT, R.USAGE_WINDOW, R.CREDITS])
def test_a_told_time_holds_however_often_it_was_told(reason: PauseReason) -> None:
    """Q3."""
    reset = NOW + timedelta(minutes=15)
    assert retry_time(pause(reason, retry_at=reset), 99, EXACT, NOW, 0) == reset


def test_a_few_seconds_that_are_told_again_and_again_in_vain_become_longer() -> None:
    """Q3: else one sandbox would follow the other all night."""
    told = pause(R.RATE_LIMIT, retry_at=NOW + timedelta(seconds=7))
    waits = [seconds(retry_time(told, n, EXACT, NOW, 0)) for n in (0, 1, 2, 9)]
    assert waits == [7, 60, 120, 3600]
    told = pause(R.TRANSIENT, retry_at=NOW + timedelta(seconds=7))
    assert retry_time(told, 5, EXACT, NOW, 0) is None


def test_a_reset_time_in_another_zone_is_the_same_instant() -> None:
    """K2."""
    reset = datetime(2026, 11, 23, 9, 0, tzinfo=UTC).astimezone() + timedelta(hours=4)
    assert retry_time(pause(R.RATE_LIMIT, retry_at=reset), 0, EXACT, NOW, 0) == reset


def test_no_retries_at_all_can_be_set() -> None:
    """K3, A4."""
    never = RetrySettings(max_auto_retries=0)
    assert retry_time(pause(), 0, never, NOW, 0) is None


@given(
    st.sampled_from(sorted(set(PauseReason) - NEVER_BY_ITSELF)),
    st.integers(0, 4),
    st.floats(0, 1, exclude_max=True),
    st.floats(0, 1),
)
def test_jitter_only_delays_and_never_beyond_its_share(
    reason: PauseReason, retries: int, random: float, jitter: float
) -> None:
    """K2."""
    plain = seconds(retry_time(pause(reason), retries, EXACT, NOW, random))
    spread = RetrySettings(jitter=jitter)
    told = seconds(retry_time(pause(reason), retries, spread, NOW, random))
    assert plain is not None
    assert told is not None
    assert plain - 1e-6 <= told <= plain * (1 + jitter) + 1e-6


@given(st.floats(0, 1, exclude_max=True), st.integers(-10_000, 10_000_000))
def test_jitter_on_a_reset_time_is_a_few_seconds_after_it(random: float, away: int) -> None:
    """K2: never before the window opens."""
    reset = NOW + timedelta(seconds=away)
    told = retry_time(pause(R.USAGE_WINDOW, retry_at=reset), 0, RETRY, NOW, random)
    assert told is not None
    assert 0 <= (told - max(reset, NOW)).total_seconds() <= 3


@given(
    st.sampled_from(RunStatus),
    st.sampled_from([None, *PauseReason]),
    st.sampled_from([None, 0, 1, 2, 137, 143, -9]),
    st.booleans(),
    st.integers(0, 9),
    st.booleans(),
)
def test_whatever_happened_something_follows_and_a_pause_is_never_lost(
    status: RunStatus,
    reason: PauseReason | None,
    code: int | None,
    oom: bool,
    retries: int,
    auto: bool,
) -> None:
    """L1, K3."""
    state = run_state(status, pause=pause(reason) if reason else None)
    ended = SandboxExit(code, out_of_memory=oom)
    decision = judge(ended, state, auto_retries=retries, auto_resume=auto)
    if isinstance(decision, Finish):
        assert status is RunStatus.COMPLETED
    if isinstance(decision, Fail):
        nothing_to_go_on_from = status is RunStatus.NEW and not (
            auto and retries < RETRY.max_auto_retries
        )
        assert status is RunStatus.FAILED or code == ExitCode.FAILED or nothing_to_go_on_from
        assert decision.error
    if status is RunStatus.PAUSED and reason is not None:
        assert isinstance(decision, PauseFor)
        assert decision.pause.reason is reason
    if isinstance(decision, PauseFor) and decision.retry_at is not None:
        assert auto
        assert retries < RETRY.max_auto_retries or decision.pause.reason in ENDS_SOMETIME
        assert decision.pause.reason not in NEVER_BY_ITSELF


def test_a_pause_that_a_person_asked_for_meanwhile_does_not_end_by_itself() -> None:
    """K7: the request came while the run paused for another reason."""
    paused = run_state(RunStatus.PAUSED, pause=pause(retry_at=NOW + timedelta(hours=1)))
    decision = judge(SandboxExit(2), paused, pause_requested=True)
    assert isinstance(decision, PauseFor)
    assert decision.retry_at is None
