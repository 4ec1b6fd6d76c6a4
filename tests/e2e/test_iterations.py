"""A task that has ended gets new instructions: another iteration on the same branch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.test_main_job import journal
from tests.e2e.test_real_claude import environment
from tests.support.fake_anthropic import FakeAnthropic, text, write
from tests.support.frames import LauncherClient
from tests.support.repos import git
from tests.support.scripts import script

TWICE = script(
    implement=[
        {"edits": [{"path": "one.txt", "content": "one\n"}], "usage": {"input_tokens": 5}},
        {"edits": [{"path": "two.txt", "content": "two\n"}], "usage": {"input_tokens": 7}},
    ]
)
QUICK = {
    "description": "Write one.txt", "workflow": "quick", "agent": "scripted",
    "engine": "bubblewrap", "script": TWICE,
}  # fmt: skip


def test_new_instructions_continue_on_the_branch_that_was_delivered(
    client: LauncherClient, repository: Path
) -> None:
    """N7: a journal of its own, usage that counts on, and the earlier commit stays."""
    task = client.tool("create_task", **QUICK)["task"]
    first = client.wait_until(task["id"], "COMPLETED")
    delivered = git(repository, "rev-parse", first["branch"])
    comment = {"file": "one.txt", "line": 1, "text": "name the other one too"}

    begun = client.tool(
        "iterate_task", task=task["id"], instructions="Write two.txt", comments=[comment]
    )["task"]
    assert (begun["status"], begun["iteration"]) == ("ITERATING", 2)
    done = client.wait_until(task["id"], "COMPLETED")
    assert "no checkpoint" not in str(done.get("warnings")), "a new iteration lacks none"

    assert done["branch"] == first["branch"]
    names = git(repository, "ls-tree", "--name-only", done["branch"]).splitlines()
    assert {"one.txt", "two.txt"} <= set(names)
    assert git(repository, "rev-parse", f"{done['branch']}^") == delivered
    assert git(repository, "log", "-1", "--format=%s", done["branch"]) == "Write two.txt"
    assert done["usage"]["input_tokens"] == 12
    assert client.tool("get_diff", task=task["id"])["changes"]["files"] == 2
    folders = client.home / "tasks" / task["id"] / "iterations"
    assert {path.parts[-3] for path in folders.glob("*/run/journal.jsonl")} == {"1", "2"}


def test_a_failed_task_is_iterated_from_what_it_left(
    client: LauncherClient, repository: Path
) -> None:
    too_large = {"status": 413, "type": "request_too_large", "message": "x", "provider": "x"}
    played = script(
        implement=[
            {"edits": [{"path": "one.txt", "content": "one\n"}], "error": too_large},
            {"edits": [{"path": "two.txt", "content": "two\n"}]},
        ]
    )
    task = client.tool("create_task", **(QUICK | {"script": played}))["task"]
    client.wait_until(task["id"], "FAILED")
    client.tool("iterate_task", task=task["id"], instructions="Write two.txt as well")
    done = client.wait_until(task["id"], "COMPLETED")
    names = git(repository, "ls-tree", "--name-only", done["branch"]).splitlines()
    assert {"one.txt", "two.txt"} <= set(names)


def test_a_base_that_has_moved_is_named(client: LauncherClient, repository: Path) -> None:
    """Before an iteration works on what is old by now, and not in a list of tasks."""
    task = client.tool("create_task", **QUICK)["task"]
    done = client.wait_until(task["id"], "COMPLETED")
    assert "behind" not in done
    git(repository, "commit", "-q", "--allow-empty", "-m", "meanwhile")
    moved = client.tool("inspect", task=task["id"])["task"]
    assert (moved["ahead"], moved["behind"]) == (1, {"main": 1})
    assert "behind" not in client.tool("list_tasks")["tasks"][0]
    begun = client.tool("iterate_task", task=task["id"], instructions="Write two.txt")["task"]
    assert "last fetch: 1 on main" in begun["warnings"][0]
    client.wait_until(task["id"], "COMPLETED")
    client.tool("rebase_task", task=task["id"], confirm=True)
    assert "behind" not in client.tool("inspect", task=task["id"])["task"]


@pytest.mark.real_agent
def test_claude_continues_its_conversation_in_the_next_iteration(
    home: Path, repository: Path
) -> None:
    """N7: the same session, with the comments and the changes so far in its prompt."""
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
        client.tool(
            "iterate_task", task=task["id"], instructions="Be polite",
            comments=[{"file": "hello.txt", "line": 1, "text": "say good day"}],
        )  # fmt: skip
        done = client.wait_until(task["id"], "COMPLETED")

        again = provider.main_requests[asked]
        assert again.messages > 2, "the request carries the earlier conversation"
        words = json.dumps(again.body["messages"])
        assert "It is written." in words
        assert "hello.txt, line 1: say good day" in words
        assert "+hi from claude" in words
        sessions = {
            r["data"]["session"]["session_id"]
            for r in journal(client, done)
            if r["type"] == "agent_session"
        }
        first = home / "tasks" / task["id"] / "iterations" / "1" / "run" / "journal.jsonl"
        assert len(sessions) == 1
        assert sessions.pop() in first.read_text("utf-8")
        assert git(repository, "show", f"{done['branch']}:hello.txt") == "good day"
