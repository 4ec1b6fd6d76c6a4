"""Reasons of a pause are a closed set: each has what a person can do, and its way on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from agent_runner.classify.verdict import classify
from agent_runner.models import Pause, PauseReason
from rover_mcp.config.settings import RetrySettings
from rover_mcp.control.decide import NEVER_BY_ITSELF, retry_time
from rover_mcp.tasks.pause_view import WHAT_TO_DO
from tests.limits import NOW, Message, corpus

BY_A_PERSON = {
    PauseReason.AUTH,
    PauseReason.BUDGET,
    PauseReason.REQUESTED,
    PauseReason.NEEDS_LOOK,
}


def pause(reason: PauseReason, retry_at: datetime | None = None) -> Pause:
    return Pause(reason=reason, message="x", since=NOW, retry_at=retry_at)


def test_each_reason_has_a_next_action_of_its_own() -> None:
    """D8, D10."""
    assert set(WHAT_TO_DO) == set(PauseReason)
    assert len(set(WHAT_TO_DO.values())) == len(PauseReason)
    assert all(WHAT_TO_DO.values())


def test_what_is_classified_is_a_reason_that_has_one() -> None:
    """D8: an error of a provider never means what only a person can cause, or a diff. The gateway's
    own may mean the budget."""
    told = {m.verdict.reason for m in corpus()} - {None}
    assert told == set(PauseReason) - {PauseReason.REQUESTED, PauseReason.NEEDS_LOOK}
    assert told <= set(WHAT_TO_DO)


@pytest.mark.parametrize("reason", PauseReason)
@pytest.mark.parametrize("after", [None, timedelta(0), timedelta(hours=3)])
def test_only_a_person_ends_some_pauses_and_time_the_others(
    reason: PauseReason, after: timedelta | None
) -> None:
    """D9, K2: even where a time is named."""
    told = None if after is None else NOW + after
    at = retry_time(pause(reason, told), 0, RetrySettings(), NOW, 0.5)
    assert frozenset(BY_A_PERSON) == frozenset(NEVER_BY_ITSELF)
    assert (at is None) == (reason in BY_A_PERSON)
    assert at is None or at >= (told or NOW)


@pytest.mark.parametrize(
    "m", [m for m in corpus() if m.reason is PauseReason.AUTH], ids=lambda m: m.name
)
def test_a_refused_credential_waits_for_a_person(m: Message) -> None:
    """D9: it is never tried again in place, nor by the control plane."""
    verdict = m.verdict
    assert not verdict.transient
    assert verdict.retry_at is None


def test_a_limit_that_weeks_will_end_is_waited_for_by_its_date() -> None:
    """D1, K2: it uses up no retry before."""
    (weeks,) = [m for m in corpus() if m.name.startswith("cursor-usage-limit-weeks")]
    verdict = classify([weeks.failure], NOW)
    assert verdict.reason is PauseReason.USAGE_WINDOW
    assert verdict.retry_at == datetime(2026, 12, 17, tzinfo=UTC)
    at = retry_time(pause(verdict.reason, verdict.retry_at), 0, RetrySettings(), NOW, 0)
    assert at == verdict.retry_at
