"""The main job with the real Claude Code CLI in a real Docker container (and in bubblewrap),
against a fake provider on loopback that works, then refuses for want of credits, then works."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.processes import wait_until
from tests.e2e.test_main_job import journal
from tests.support.fake_anthropic import FakeAnthropic, bash, credit, text, write
from tests.support.frames import LauncherClient
from tests.support.real_claude import claude_binary
from tests.support.repos import git

pytestmark = pytest.mark.real_agent

REAL_KEY = "sk-ant-api03-the-real-one"
ENGINES = ["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)]


def environment(provider: FakeAnthropic, folder: Path) -> dict[str, str]:
    """A user's: the key, and `claude` on the path."""
    folder.mkdir()
    (folder / "claude").symlink_to(claude_binary())
    return {
        "ANTHROPIC_API_KEY": REAL_KEY,
        "ANTHROPIC_BASE_URL": provider.url,
        "PATH": f"{folder}:{os.environ['PATH']}",
    }


@pytest.mark.parametrize("engine", ENGINES)
def test_claude_pauses_on_credits_and_goes_on_in_the_same_session(
    home: Path, repository: Path, engine: str
) -> None:
    """D1, D3, F8, A2: reason, provider, exit code 2, the session, the file, the money."""
    with (
        FakeAnthropic([write("hello.txt", "hi from claude\n"), credit()]) as provider,
        LauncherClient(home, repository, environment(provider, home.parent / "bin")) as client,
    ):
        client.open()
        task = client.tool(
            "create_task", description="Write hello.txt", workflow="quick", agent="claude",
            engine=engine,
        )["task"]  # fmt: skip
        paused = client.wait_until(task["id"], "PAUSED")
        assert paused["pause"]["reason"] == "credits"
        assert paused["pause"]["provider"] == "anthropic"
        assert "credit balance is too low" in paused["pause"]["message"]
        # The attempt's end is written after the task's.
        wait_until(lambda: exit_code(home, task["id"]) is not None, "the attempt has ended")
        assert exit_code(home, task["id"]) == 2
        asked = len(provider.main_requests)

        provider.push(text("It is written."))
        assert client.tool("resume_task", task=task["id"])["result"] == "resumed"
        done = client.wait_until(task["id"], "COMPLETED")

        resumed = provider.main_requests[asked]
        assert resumed.messages > 2, "the resumed request carries the earlier conversation"
        assert "hello.txt" in json.dumps(resumed.body["messages"])
        sessions = {
            r["data"]["session"]["session_id"]
            for r in journal(client, done)
            if r["type"] == "agent_session"
        }
        assert len(sessions) == 1
        assert git(repository, "show", f"{done['branch']}:hello.txt") == "hi from claude"
        assert done["usage"]["input_tokens"] > 0
        assert done["usage"]["output_tokens"] > 0
        assert done["usage"]["cost_usd"] > 0
        assert {r.api_key for r in provider.main_requests} == {REAL_KEY}
        assert_secret_is_nowhere(home)


def test_swe_tdd_pauses_in_its_review_loop_and_goes_on_there(home: Path, repository: Path) -> None:
    """G7, G8, D7, F5, F8: each step a conversation of its own, the interrupted one goes on."""

    def says(**outputs: object) -> dict[str, object]:
        return text(json.dumps(outputs))

    plan = [
        says(cases="1. good", notes="add.py", test_command="test ! -e test.sh || sh test.sh"),
        write("test.sh", "grep -q good add.py\n"),
        text("Written."),
        write("add.py", "bad\n"),
        says(summary="made add.py"),
        bash("echo good > add.py"),
        says(only_old_failures=False),
        bash("cat add.py"),
        credit(),
    ]
    with (
        FakeAnthropic(plan) as provider,
        LauncherClient(home, repository, environment(provider, home.parent / "bin")) as client,
    ):
        client.open()
        task = client.tool(
            "create_task", description="Make add.py good", workflow="swe-tdd", agent="claude",
            engine="bubblewrap",
        )["task"]  # fmt: skip
        paused = client.wait_until(task["id"], "PAUSED")
        assert paused["pause"]["reason"] == "credits"
        assert paused["pause"]["step"] == "review"
        asked = len(provider.main_requests)

        provider.push(says(issues_found=False, issues=""), says(summary="add.py is good"))
        client.tool("resume_task", task=task["id"])
        done = client.wait_until(task["id"], "COMPLETED")

        resumed, last = provider.main_requests[asked:]
        assert "cat add.py" in json.dumps(resumed.body["messages"])
        assert "cat add.py" not in json.dumps(last.body["messages"])
        assert git(repository, "show", f"{done['branch']}:add.py") == "good"
        commits = git(repository, "rev-list", f"{done['base_commit']}..{done['branch']}")
        assert len(commits.splitlines()) == 1


def exit_code(home: Path, task_id: str) -> int | None:
    """The exit status of the first attempt's runner, as the store recorded it."""
    import sqlite3

    connection = sqlite3.connect(f"file:{home}/rover.db?mode=ro", uri=True)
    try:
        query = "SELECT exit_code FROM rover_attempts WHERE task_id = ? AND attempt = 1"
        return connection.execute(query, (task_id,)).fetchone()[0]
    finally:
        connection.close()


def assert_secret_is_nowhere(home: Path) -> None:
    """Not in a journal, a log, a spec, the database or an agent's HOME."""
    found = subprocess.run(
        ["grep", "-rlaF", REAL_KEY, str(home)], capture_output=True, text=True, check=False
    )
    assert found.stdout == ""
