"""Every scenario ends as its user wanted, within the calls and tokens that it may need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.scenarios.page import Played, playing, tokens, written
from tests.scenarios.stage import MAX_CALLS, MAX_TOKENS, SCENARIOS

pytestmark = pytest.mark.real_agent


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest) -> Iterator[Played]:
    """Those that this session asks for."""
    asked = {item.name for item in request.session.items}
    with playing([s for s in SCENARIOS if any(f"[{s.name}]" in name for name in asked)]) as some:
        yield some


@pytest.mark.parametrize("name", [s.name for s in SCENARIOS])
def test_a_scenario_needs_few_calls_and_tokens(played: Played, name: str) -> None:
    measured = played[name].result()
    assert len(measured) <= MAX_CALLS
    assert tokens(measured) <= MAX_TOKENS
    assert [m.tool for m in measured] == written()[name], "run: python -m tests.scenarios"


def test_the_page_has_every_scenario_and_no_other() -> None:
    assert len(SCENARIOS) >= 20
    assert list(written()) == [s.name for s in SCENARIOS]
