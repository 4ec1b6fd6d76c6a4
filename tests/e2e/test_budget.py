"""A budget of one cent, with the real Claude Code on its default model, against a fake provider."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fake_models import FakeModels
from tests.support.frames import LauncherClient
from tests.support.models.turns import bash

pytestmark = pytest.mark.real_agent
CENT = 0.01


def test_a_budget_of_one_cent_ends_near_one_cent(home: Path, repository: Path) -> None:
    """U10: in `quick`, with no word about the model; the last call may write no more than what is
    left pays for."""
    with FakeModels() as provider:
        session = provider.session("a")
        session.push({**bash("true"), "times": 500})
        with LauncherClient(home, repository, session.environment()) as client:
            client.open()
            made = client.tool(
                "create_task", description="Write hello.txt", workflow="quick", agent="claude",
                engine="bubblewrap", budget_usd=CENT,
            )["task"]  # fmt: skip
            assert not [w for w in made.get("warnings") or [] if "price" in w]
            view = client.wait_until(made["id"], "PAUSED")
        assert view["pause"]["reason"] == "budget"
        spent, calls = view["budget"]["spent_usd"], session.main_requests
        assert CENT <= spent <= CENT * 1.5, (spent, len(calls))
        last = calls[-1].body["max_tokens"]
        assert last < calls[0].body["max_tokens"] or last == 2048
