"""`rover/usage` on a real store."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest
from mcp.shared.exceptions import MCPError

from agent_runner.models import Budget
from rover_mcp.server.usage_method import UsageParams, usage
from rover_mcp.store.records import CallRow
from rover_mcp.tasks.usage_report import UsageKey
from tests.support.desk import ServerHarness
from tests.support.samples import new_task

CALL = CallRow("t", "1", 1, 5.0, "openai", "gpt-5", 1, 10, 2, 3, 0, 0.5)


def test_usage_is_shown_with_the_budgets_of_unfinished_tasks(desk: ServerHarness) -> None:
    desk.store.projects.register("p1", "/repo")
    first = new_task("a" * 32, title="One\x1b[2J", budget=Budget(usd=1.0, tokens=1000))
    nearer = new_task("b" * 32, budget=Budget(tokens=20))
    for new in (first, nearer, new_task("c" * 32)):
        desk.store.tasks.create(new, frozenset())
        desk.store.usage.write([replace(CALL, task_id=new.id)])
    result = anyio.run(usage, desk.tasks, desk.caller, UsageParams(by=UsageKey.TASK))
    assert [group["key"][0] for group in result["groups"]] == ["a", "b", "c"]
    assert result["groups"][0]["title"] == "One"
    assert result["total"]["cost_usd"] == 1.5
    assert (result["since"], result["waiting"]) == (None, [])
    budgets = [(one["number"], one["usd"], one["tokens"]) for one in result["budgets"]]
    assert sorted(budgets) == [(1, 1.0, 1000), (2, None, 20)]


def test_usage_is_only_for_the_user_of_the_machine(desk: ServerHarness) -> None:
    with pytest.raises(MCPError):
        anyio.run(usage, desk.tasks, replace(desk.caller, user="ann"), UsageParams())
