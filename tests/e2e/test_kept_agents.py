"""The real agents' programs, each with a task that may reach nothing but its model API and has a
budget in money: neither hinders them. Against a fake provider."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rover_mcp.sandbox.pinned_agents import PINNED
from tests.matrix.cells import IN_CI
from tests.support.fake_models import FakeModels
from tests.support.frames import LauncherClient
from tests.support.models.turns import text, write
from tests.support.repos import git, make_repository

pytestmark = pytest.mark.real_agent
CHOSEN = PINNED if os.environ.get("ROVER_MATRIX") == "all" else IN_CI
AT_A_TIME = 3


def test_real_agents_work_with_nothing_but_their_api_and_a_budget_in_money(home: Path) -> None:
    """B.6, B.8, U10: a new version that sends a field which is not on the list fails here, with the
    field's name; one that asks for a model without a price, with the model's."""
    home.mkdir(parents=True)
    with FakeModels() as provider, ThreadPoolExecutor(AT_A_TIME) as pool:
        wrong = pool.map(lambda agent: hindered(agent, home, provider), CHOSEN)
        assert {agent: told for agent, told in zip(CHOSEN, wrong, strict=True) if told} == {}


def hindered(agent: str, home: Path, provider: FakeModels) -> list[str]:
    """What stood in an agent's way."""
    repository = make_repository(home.parent / agent)
    session = provider.session(agent)
    session.push(write("hello.txt", f"hello from {agent}\n"), text("It is written."))
    wrong: list[str] = []
    with LauncherClient(home, repository, session.environment()) as client:
        client.open()
        made = client.tool(
            "create_task", description="Write hello.txt", workflow="quick", agent=agent,
            engine="bubblewrap", network="providers", budget_usd=5,
        )["task"]  # fmt: skip
        wrong += [w for w in made.get("warnings") or [] if "price" in w]
        try:
            done = client.wait_until(made["id"], "COMPLETED")
            assert git(repository, "show", f"{done['branch']}:hello.txt") == f"hello from {agent}"
        except AssertionError as error:
            wrong.append(str(error)[:2000])
        view = client.tool("inspect", task=made["id"], detail="full")["task"]
    wrong += [f"refused: {one['host']}" for one in view.get("refused") or ()]
    asked = {str(request.model) for request in session.requests if request.model}
    if unknown := asked - set(PINNED[agent].models):
        wrong.append(f"models that pinned_agents.py does not name: {sorted(unknown)}")
    if not view["usage"].get("cost_usd"):
        wrong.append(f"no cost: {view['usage']}")
    return wrong
