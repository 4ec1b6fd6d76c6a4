"""What people reported of providers and agents, through the readers of a run (Q1, Q2)."""

from __future__ import annotations

import pytest

from tests.reported import Reported, rates, reported

CASES = reported()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_each_reported_message_has_its_reason(case: Reported) -> None:
    """Q1: money and quota in 400, 403 and 429 alike; what no waiting mends fails."""
    assert case.found.reason in case.reasons, case.found.as_json()


@pytest.mark.parametrize("case", [c for c in CASES if c.retry_at], ids=lambda case: case.id)
def test_each_reported_message_has_its_time(case: Reported) -> None:
    """Q2: with the provider's own zone where it names none."""
    assert case.time_is_right, case.found.as_json()


def test_every_case_has_a_name_of_its_own_and_the_rates_are_of_all_of_them() -> None:
    assert len({case.id for case in CASES}) == len(CASES)
    assert f"both {len(CASES)}/{len(CASES)}" in rates(CASES)[-1]


def test_an_error_that_waiting_does_not_end_says_what_to_change() -> None:
    """Q1: the task fails at once, and its message names the way out."""
    fatal = [c for c in CASES if c.found.verdict and c.found.verdict.rule == "fatal: this request"]
    assert len(fatal) >= 8
    for case in fatal:
        assert case.found.verdict is not None
        assert "waiting does not help" in case.found.verdict.message
        assert case.found.as_json()["resumes"] == []
