"""What goes wrong with real agents, in each of the three workflows that people use most, played by
the real Claude Code: prose after the JSON, a missing output, a wrong test command, an old red test,
and no price. What test_verdicts.py plays already is not played again here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import client_of_real_agents
from tests.e2e.test_verdicts import TESTS, delivered, says
from tests.support.fake_models import FakeModels
from tests.support.frames import LauncherClient, ToolError
from tests.support.models.turns import Behaviour, text, tool, write
from tests.support.repos import git

pytestmark = pytest.mark.real_agent

CHECK = "sh test.sh"
NOBODY_KNOWS = "mystery"
"""A model's alias, of which only the program knows what it stands for."""
LOOKED = {"size": "small", "notes": "see add.py", "test_command": ""}
PLANS: dict[tuple[str, str], tuple[dict[str, str], list[Behaviour], str | None, int]] = {
    ("quick", "old-red"): (
        {"check_command": CHECK},
        [
            write("add.py", "good\n"),
            text("Done."),
            says(still_wrong="test_old failed before I began"),
        ],
        '"the check still fails: test_old failed before I began (exit status 1)"',
        0,
    ),
    ("quick", "missing"): (
        {"check_command": CHECK},
        [write("add.py", "good\n"), text("Done."), text("I leave it so.")],
        '"the check still fails: (exit status 1)"',
        0,
    ),
    ("swe", "prose and missing"): (
        {},
        [
            text(f"I looked.\n```json\n{json.dumps(LOOKED)}\n```\nShall I begin?"),
            write("add.py", "good\n"),
            text("It is done."),
            tool("StructuredOutput", summary="made add.py"),
        ],
        None,
        1,
    ),
}
"""Inputs, what the model says, the verdict, and how often outputs are asked for again."""


client = client_of_real_agents({"test.sh": TESTS})


def create(client: LauncherClient, session: str, workflow: str, **more: Any) -> dict[str, Any]:
    return client.tool(
        "create_task", description=f"Make add.py good [session:{session}]", workflow=workflow,
        agent="claude", engine="bubblewrap", **more,
    )["task"]  # fmt: skip


@pytest.mark.parametrize(("workflow", "fault"), PLANS)
def test_a_fault_of_the_agents_costs_no_work(
    client: LauncherClient, provider: FakeModels, workflow: str, fault: str
) -> None:
    """G6."""
    inputs, plan, verdict, asked_again = PLANS[workflow, fault]
    session = provider.session(f"{workflow}-{fault.replace(' ', '-')}")
    session.push(*plan)
    task = create(client, session.name, workflow, inputs=inputs)
    client.wait_until(task["id"], "COMPLETED")
    done = client.tool("inspect", task=task["id"])["task"]
    assert delivered(done, "add.py") == "good"
    assert done.get("verdict") == verdict
    asked = {r.messages: r.texts[-1] for r in session.main_requests}.values()
    assert sum("outputs are missing" in said for said in asked) == asked_again


@pytest.mark.parametrize("workflow", ["quick", "swe", "swe-tdd"])
def test_no_price_stops_a_budget_in_money_before_it_is_spent(
    client: LauncherClient, provider: FakeModels, workflow: str
) -> None:
    """U10: at creation where the model is known, else at the first call, with what would help."""
    session = provider.session(f"{workflow}-no-price")
    with pytest.raises(ToolError, match="no price is known for anthropic's claude-99"):
        create(client, session.name, workflow, model="claude-99", budget_usd=0.01)
    task = create(client, session.name, workflow, model=NOBODY_KNOWS, budget_usd=0.01)
    paused = client.wait_until(task["id"], "PAUSED")
    assert paused["pause"]["reason"] == "budget"
    assert f"no price is known for anthropic's {NOBODY_KNOWS}" in paused["pause"]["message"]
    assert session.requests == []
    action = paused["next_actions"][0]
    assert (action["tool"], list(action["arguments"])) == ("resume_task", ["task", "budget_tokens"])
    if workflow != "quick":
        client.tool("cancel_task", task=task["id"])
        return
    session.push(write("add.py", "good\n"), text("Done."))
    client.tool("resume_task", **action["arguments"])
    client.wait_until(task["id"], "COMPLETED")
    assert git(Path(task["repo_path"]), "show", f"{task['branch']}:add.py") == "good"
