"""Several agents finish the same plan, are compared, and one of them is chosen."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.docker_env import cache_folder
from tests.support.fake_models import FakeModels
from tests.support.frames import Frame, LauncherClient
from tests.support.models.turns import text, usage_window, write
from tests.support.real_claude import claude_binary
from tests.support.repos import git
from tests.support.scripts import script

CHECKED = """\
version: "1.0"
name: checked
steps:
  - id: plan
    type: agent
    prompt: "Plan: {{task.description}}"
    outputs: [{name: plan, description: the plan, required: true}]
  - id: implement
    type: agent
    prompt: "Do this: {{steps.plan.outputs.plan}}"
  - id: test
    type: command
    command: grep -q good hello.txt
    verdict: "the greeting is not good"
"""
PLAYED = script(
    plan=[{"outputs": {"plan": "write hello.txt"}, "usage": {"input_tokens": 1000}}],
    implement=[
        {
            "edits": [
                {"path": "hello.txt", "content": "bad day\n"},
                {"path": "notes.txt", "content": "why\n"},
            ],
            "usage": {"input_tokens": 7},
        }
    ],
)


def environment(provider: FakeModels, folder: Path) -> dict[str, str]:
    """A user's with two accounts, each of which leads to a session of its own of the provider."""
    folder.mkdir()
    (folder / "claude").symlink_to(claude_binary())
    return {
        "ANTHROPIC_API_KEY": "sk-of-anthropic",
        "ANTHROPIC_BASE_URL": provider.session("claude").anthropic,
        "OPENAI_API_KEY": "sk-of-openai",
        "OPENAI_BASE_URL": provider.session("codex").openai,
        "ROVER_AGENT_CACHE": str(cache_folder() / "agents"),
        "PATH": f"{folder}:{os.environ['PATH']}",
    }


def planned(client: LauncherClient) -> tuple[Frame, str]:
    """A task whose plan is paid for, and the snapshot after it."""
    (client.home / "workflows").mkdir(exist_ok=True)
    (client.home / "workflows" / "checked.yaml").write_text(CHECKED)
    task = client.tool(
        "create_task", description="Greet", workflow="checked", agent="scripted",
        engine="bubblewrap", script=PLAYED,
    )["task"]  # fmt: skip
    done = client.wait_until(task["id"], "COMPLETED")
    history = client.tool("get_history", task=task["id"])["snapshots"]
    return done, next(s["id"] for s in history if s["when"] == "after plan")


def racer(result: Frame, agent: str) -> dict[str, Any]:
    return next(one for one in result["race"]["racers"] if one["agent"] == agent)


@pytest.mark.real_agent
def test_real_agents_race_after_a_paid_plan_and_one_is_chosen(home: Path, repository: Path) -> None:
    """N15: the real Claude Code and Codex and a script; the account of one is closed meanwhile."""
    with (
        FakeModels() as provider,
        LauncherClient(home, repository, environment(provider, home.parent / "bin")) as client,
    ):
        provider.session("claude").push(write("hello.txt", "good day\n"), text("It is written."))
        provider.session("codex").push(usage_window(10_800, times=50))
        client.open()
        _, snapshot = planned(client)
        agents = ["claude", "codex", "scripted"]
        begun = client.tool(
            "fork_task", task="1", snapshot=snapshot, agents=agents, repo_path=str(repository)
        )
        numbers = {one["agent"]: one["number"] for one in begun["race"]["racers"]}
        assert list(numbers) == agents
        ids = {one["agent"]: one["task"] for one in begun["race"]["racers"]}
        chosen = client.wait_until(ids["claude"], "COMPLETED")
        client.wait_until(ids["scripted"], "COMPLETED")
        client.wait_until(ids["codex"], "PAUSED")
        # The plan was paid for once.
        assert [s["status"] for s in chosen["steps"]] == ["completed"] * 3

        seen = client.tool("inspect", task=ids["claude"])
        race, best, worst = seen["race"], racer(seen, "claude"), racer(seen, "scripted")
        assert (best["checks"], best["files"]) == ("passed: test", 1)
        assert worst["checks"] == 'failed: "the greeting is not good"'
        assert (worst["files"], worst["in_common"], best["in_common"]) == (2, 1, 1)
        assert best["cost_usd"] > 0
        assert best["tokens"] > 0
        assert worst["tokens"] == 7
        assert best["worked_s"] > 0
        waits = racer(seen, "codex")
        assert (waits["status"], waits["waits_for"]) == ("PAUSED", "usage_window")
        assert waits["waits_until"] is not None
        assert race["standing"].startswith("undecided: 2 of 3 are done; task 3 (codex) waits until")
        assert seen["task"]["next_actions"][-1]["arguments"]["others"] is True
        listed = client.tool("list_tasks")["tasks"]
        assert [task.get("racers") for task in listed] == [3, 3, 3, None]

        before = git(repository, "for-each-ref")
        plan = client.tool("delete_task", task=ids["claude"], others=True)
        assert (plan["chosen"], plan["deleted"]) == (False, False)
        assert [(i["what"], i["kept"]) for i in plan["items"]] == [
            ("task 3", False), ("task 4", False), ("task 2", True),
        ]  # fmt: skip
        assert "it has not finished" in plan["items"][0]["detail"]
        assert len(client.tool("list_tasks")["tasks"]) == 4
        client.tool("delete_task", task=ids["claude"], others=True, confirm=True)
        after = client.tool("inspect", task=ids["claude"])["race"]
        assert after["standing"] == "decided: task 2 (claude) is left"
        assert [t["number"] for t in client.tool("list_tasks")["tasks"]] == [2, 1]
        assert git(repository, "for-each-ref") == before
        back = client.tool("delete_task", task=ids["codex"], restore=True)
        assert back["items"][0]["kept"] is True
        assert client.tool("inspect", task=ids["codex"])["task"]["status"] == "CANCELLED"


def test_a_task_can_be_a_race_from_its_start(client: LauncherClient, repository: Path) -> None:
    """N15: N tasks from one commit; the same request key returns the same ones."""
    (client.home / "workflows").mkdir(exist_ok=True)
    (client.home / "workflows" / "checked.yaml").write_text(CHECKED)
    call = {
        "description": "Greet", "workflow": "checked", "agents": ["scripted", "scripted"],
        "engine": "bubblewrap", "script": PLAYED, "budget_tokens": 5000, "request_key": "k",
    }  # fmt: skip
    begun = client.tool("create_task", **call)
    again = client.tool("create_task", **call)
    assert [r["task"] for r in again["race"]["racers"]] == [
        r["task"] for r in begun["race"]["racers"]
    ]
    assert begun["race"]["budget"] == "each of the 2 has its own; together 10,000 tokens"
    for one in begun["race"]["racers"]:
        done = client.wait_until(one["task"], "COMPLETED")
        assert git(repository, "show", f"{done['branch']}:hello.txt") == "bad day"
    race = client.tool("inspect", task=begun["task"]["id"])["race"]
    assert race["common"] == ["hello.txt", "notes.txt"]
    assert [one["in_common"] for one in race["racers"]] == [2, 2]
