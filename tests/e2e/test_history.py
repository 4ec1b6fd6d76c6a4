"""Looking back at what a task did, and going back to an earlier state of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.test_iterations import QUICK
from tests.e2e.test_main_job import journal
from tests.e2e.test_real_claude import environment
from tests.support.fake_anthropic import FakeAnthropic, text, write
from tests.support.frames import LauncherClient
from tests.support.repos import git
from tests.support.scripts import script

THRICE = script(
    implement=[
        {"edits": [{"path": "one.txt", "content": "one\n"}]},
        {"edits": [{"path": "two.txt", "content": "two\n"}, {"path": "one.txt", "content": "x\n"}]},
        {"edits": [{"path": "three.txt", "content": "three\n"}]},
    ]
)


def test_an_iteration_goes_back_to_a_snapshot_and_loses_nothing(
    client: LauncherClient, repository: Path
) -> None:
    """N14: the branch only moves on, and what was set back can be had again."""
    task = client.tool("create_task", **(QUICK | {"script": THRICE}))["task"]["id"]
    client.wait_until(task, "COMPLETED")
    client.tool("iterate_task", task=task, instructions="Write two.txt")
    second = client.wait_until(task, "COMPLETED")
    delivered = git(repository, "rev-parse", second["branch"])

    history = client.tool("get_history", task=task)["snapshots"]
    assert [s["iteration"] for s in history] == sorted(s["iteration"] for s in history)
    assert all("files" in s for s in history)
    ends = [s for s in history if s["when"] == "at the end"]
    assert [s["iteration"] for s in ends] == [1, 2]
    after = next(s for s in history if s["when"] == "after implement")
    assert (after["files"], after["added"]) == (1, 1)
    shown = client.tool("get_history", task=task, snapshot=after["id"])
    assert "+one" in shown["diff"]["patch"]

    begun = client.tool(
        "iterate_task", task=task, instructions="Another way", from_snapshot=ends[0]["id"]
    )["task"]
    assert (begun["status"], begun["iteration"]) == ("ITERATING", 3)
    done = client.wait_until(task, "COMPLETED")

    names = git(repository, "ls-tree", "--name-only", done["branch"]).splitlines()
    assert {"one.txt", "three.txt"} <= set(names)
    assert "two.txt" not in names
    assert git(repository, "show", f"{done['branch']}:one.txt") == "one"
    assert git(repository, "merge-base", delivered, done["branch"]) == delivered
    assert git(repository, "show", f"{delivered}:two.txt") == "two"
    diff = client.tool("get_diff", task=task)["changes"]
    assert {f["path"] for f in diff["paths"]} == {"one.txt", "three.txt"}

    later = client.tool("get_history", task=task)["snapshots"]
    assert [s["id"] for s in later[: len(history)]] == [s["id"] for s in history]
    client.tool("iterate_task", task=task, instructions="As it was", from_snapshot=ends[1]["id"])
    last = client.wait_until(task, "COMPLETED")
    names = git(repository, "ls-tree", "--name-only", last["branch"]).splitlines()
    assert "two.txt" in names
    assert git(repository, "show", f"{last['branch']}:one.txt") == "x"


PLANNED = """\
version: "1.0"
name: planned
steps:
  - id: plan
    type: agent
    prompt: "Plan: {{task.description}}"
    outputs: [{name: plan, description: the plan, required: true}]
  - id: implement
    type: agent
    prompt: "Do this: {{steps.plan.outputs.plan}}"
"""
PLAYED = script(
    plan=[{"outputs": {"plan": "first one, then two"}, "usage": {"input_tokens": 1000}}],
    implement=[
        {"edits": [{"path": "one.txt", "content": "one\n"}], "usage": {"input_tokens": 5}},
        {"edits": [{"path": "two.txt", "content": "two\n"}], "usage": {"input_tokens": 7}},
    ],
)


def test_a_fork_runs_only_the_steps_after_its_snapshot(
    client: LauncherClient, repository: Path
) -> None:
    """N14: a task of its own, on a branch of its own, which pays for its own steps alone."""
    (client.home / "workflows").mkdir(exist_ok=True)
    (client.home / "workflows" / "planned.yaml").write_text(PLANNED)
    task = client.tool("create_task", **(QUICK | {"workflow": "planned", "script": PLAYED}))["task"]
    first = client.wait_until(task["id"], "COMPLETED")
    delivered = git(repository, "rev-parse", first["branch"])
    history = client.tool("get_history", task=task["id"])["snapshots"]
    planned = next(s["id"] for s in history if s["when"] == "after plan")

    new = client.tool("fork_task", task=task["id"], snapshot=planned)["task"]
    assert (new["number"], new["origin"]) == (2, f"forked from task 1 at {planned}")
    done = client.wait_until(new["id"], "COMPLETED")
    assert done["usage"]["input_tokens"] == 5
    assert [(s["id"], s["status"]) for s in done["steps"]] == [
        ("plan", "completed"), ("implement", "completed"),
    ]  # fmt: skip
    assert done["branch"] != first["branch"]
    assert git(repository, "show", f"{done['branch']}:one.txt") == "one"
    assert git(repository, "rev-parse", first["branch"]) == delivered
    assert client.tool("inspect", task=task["id"])["task"]["status"] == "COMPLETED"
    listed = client.tool("list_tasks")["tasks"]
    assert [t.get("origin") for t in listed] == [new["origin"], None]


def test_a_fork_with_instructions_starts_from_the_work_that_is_there(
    client: LauncherClient, repository: Path
) -> None:
    """N14: also once the other task is deleted."""
    task = client.tool("create_task", **(QUICK | {"script": THRICE}))["task"]
    first = client.wait_until(task["id"], "COMPLETED")
    new = client.tool("fork_task", task=task["id"], instructions="Another way")["task"]
    assert new["title"] == "Another way"
    client.tool("delete_task", task=task["id"], confirm=True)
    done = client.wait_until(new["id"], "COMPLETED")
    assert git(repository, "log", "--format=%s", done["branch"]).splitlines()[:2] == [
        "Write one.txt", git(repository, "log", "-1", "--format=%s", "main"),
    ]  # fmt: skip
    assert first["branch"] in git(repository, "branch", "--format=%(refname:short)")
    client.tool("iterate_task", task=new["id"], instructions="And more")
    last = client.wait_until(new["id"], "COMPLETED")
    assert git(repository, "show", f"{last['branch']}:two.txt") == "two"


@pytest.mark.real_agent
def test_claude_continues_in_a_copy_of_its_conversation(home: Path, repository: Path) -> None:
    """N14: under an id of its own, so that the other task's conversation stays as it is."""
    plan = [write("hello.txt", "hi from claude\n"), text("It is written.")]
    with (
        FakeAnthropic(plan) as provider,
        LauncherClient(home, repository, environment(provider, home.parent / "bin")) as client,
    ):
        client.open()
        task = client.tool(
            "create_task", description="Write hello.txt", workflow="quick", agent="claude",
            engine="bubblewrap",
        )["task"]  # fmt: skip
        client.wait_until(task["id"], "COMPLETED")
        asked = len(provider.main_requests)

        provider.push(write("hello.txt", "good day\n"), text("It is polite now."))
        new = client.tool("fork_task", task=task["id"], instructions="Be polite")["task"]
        done = client.wait_until(new["id"], "COMPLETED")

        again = provider.main_requests[asked]
        assert again.messages > 2, "the request carries the earlier conversation"
        assert "It is written." in json.dumps(again.body["messages"])
        assert not done.get("warnings") or "session is gone" not in str(done["warnings"])
        ids = [
            {
                r["data"]["session"]["session_id"]
                for r in journal(client, which)
                if r["type"] == "agent_session"
            }
            for which in (task, done)
        ]
        assert [len(names) for names in ids] == [1, 1]
        assert not ids[0] & ids[1]
        assert git(repository, "show", f"{done['branch']}:hello.txt") == "good day"
