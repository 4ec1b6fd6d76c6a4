"""The nine runnable scenarios for the Tasks extension, against the product's own extension class
in a fixture app (the tenth, tasks-status-notifications, is skipped by the suite itself:
tests/protocol has what it would check)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.scenarios import TASKS
from tests.conformance.suite import run_scenario, serving


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving() as address:
        yield address


@pytest.mark.parametrize("scenario", TASKS)
def test_the_extension_conforms(url: str, scenario: str) -> None:
    outcome = run_scenario(url, scenario)
    assert (outcome.passed, outcome.checks) == (TASKS[scenario],) * 2, outcome.text
