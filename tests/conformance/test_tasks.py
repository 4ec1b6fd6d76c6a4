"""The nine runnable scenarios for the Tasks extension, against the product's own extension class
in a fixture app (the tenth, tasks-status-notifications, is skipped by the suite itself:
tests/protocol has what it would check)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.suite import run_scenario, serving

SCENARIOS = {
    "tasks-lifecycle": 9,
    "tasks-capability-negotiation": 5,
    "tasks-wire-fields": 4,
    "tasks-request-state-removal": 3,
    "tasks-mrtr-input": 4,
    "tasks-request-headers": 5,
    "tasks-dispatch-and-envelope": 9,
    "tasks-required-task-error": 3,
    "tasks-mrtr-composition": 2,
}
"""Each with how many checks it has, so that a suite that stopped checking is noticed."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving() as address:
        yield address


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_extension_conforms(url: str, scenario: str) -> None:
    outcome = run_scenario(url, scenario)
    assert (outcome.passed, outcome.checks) == (SCENARIOS[scenario],) * 2, outcome.text
