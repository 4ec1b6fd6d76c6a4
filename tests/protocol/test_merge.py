"""merge_task in raw frames and through the command line: shown first, and done once agreed to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.frames import LEGACY, MODERN, Frame, LauncherClient, ToolError
from tests.support.repos import git
from tests.support.scripts import script

ASKABLE: Frame = {"elicitation": {"form": {}}}


@pytest.fixture
def repository(shared: Path) -> Path:
    repo = shared / "repo"
    git(repo, "config", "user.name", "Ursula")
    git(repo, "config", "user.email", "u@example.org")
    return repo


def completed(client: LauncherClient, path: str, content: str = "new\n") -> Frame:
    task = client.tool(
        "create_task",
        description=f"Write {path}",
        workflow="quick",
        agent="scripted",
        engine="bubblewrap",
        script=script(implement=[{"edits": [{"path": path, "content": content}]}]),
    )["task"]
    return client.wait_until(task["id"], "COMPLETED")


@pytest.mark.parametrize("era", [LEGACY, MODERN])
def test_without_confirm_it_shows_and_with_it_merges(
    shared: Path, repository: Path, era: str
) -> None:
    """N3, N9."""
    with LauncherClient(shared / "data", repository) as client:
        client.open(era)
        task = completed(client, f"{era}.txt")
        head = git(repository, "rev-parse", "main")
        (repository / "notes").write_text("mine, and not tracked\n")
        shown = client.tool("merge_task", task=task["id"])
        assert (shown["merged"], shown["status"], shown["into"]) == (False, "COMPLETED", "main")
        assert git(repository, "rev-parse", "main") == head
        again = shown["next_actions"][0]
        done = client.tool(again["tool"], **again["arguments"])
        assert (done["merged"], done["status"]) == (True, "MERGED")
        assert git(repository, "rev-parse", "main", "main^1").split() == [done["commit"], head]
        assert (repository / f"{era}.txt").read_text() == "new\n"
        assert git(repository, "status", "--porcelain") == "?? notes"
        assert git(repository, "show", "-s", "--format=%an %cn", "main") == "Ursula Ursula"
        assert client.tool("inspect", task=task["id"])["task"]["status"] == "MERGED"
        assert "already" in client.tool("merge_task", task=task["id"], confirm=True)["message"]


def test_conflicts_are_named_and_leave_all_as_it_was(shared: Path, repository: Path) -> None:
    """N3."""
    with LauncherClient(shared / "data", repository) as client:
        client.open()
        task = completed(client, "both.txt", "the task's\n")
        (repository / "both.txt").write_text("main's\n")
        git(repository, "add", "both.txt")
        git(repository, "commit", "-q", "-m", "the same file")
        before = git(repository, "rev-parse", "main"), git(repository, "status", "--porcelain")
        assert client.tool("merge_task", task=task["id"])["conflicts"] == ["both.txt"]
        with pytest.raises(ToolError, match=r"both\.txt") as refused:
            client.tool("merge_task", task=task["id"], confirm=True)
        assert refused.value.error["code"] == "merge_conflicts"
        after = git(repository, "rev-parse", "main"), git(repository, "status", "--porcelain")
        assert after == before
        assert client.tool("inspect", task=task["id"])["task"]["status"] == "COMPLETED"


def test_hand_off_files_have_to_be_accepted_by_name(shared: Path, repository: Path) -> None:
    """N11."""
    with LauncherClient(shared / "data", repository) as client:
        client.open()
        task = completed(client, ".vscode/tasks.json", "{}\n")
        with pytest.raises(ToolError) as refused:
            client.tool("merge_task", task=task["id"], confirm=True)
        assert refused.value.error["code"] == "hand_off_files"
        shown = client.tool("merge_task", task=task["id"])
        assert shown["hand_off"] == [".vscode/tasks.json"]
        again = shown["next_actions"][0]
        assert client.tool(again["tool"], **again["arguments"])["merged"] is True


def call(client: LauncherClient, task: str, **more: object) -> int:
    arguments = {"task": task, "confirm": True}
    return client.start_request(
        "tools/call", {"name": "merge_task", "arguments": arguments, **more}
    )


@pytest.mark.parametrize("choice", ["merge", "leave"])
def test_a_modern_client_that_can_ask_has_to(shared: Path, repository: Path, choice: str) -> None:
    """N11: the person is shown the hand-off files, and their yes is the agreement."""
    with LauncherClient(shared / "data", repository) as client:
        client.capabilities = ASKABLE
        client.open(MODERN)
        task = completed(client, f"{choice}/Makefile")["id"]
        asked = client.answer(call(client, task))["result"]
        assert asked["resultType"] == "input_required"
        (key,) = asked["inputRequests"]
        form = asked["inputRequests"][key]["params"]
        assert f"{choice}/Makefile (run by make and the like)" in form["message"]
        content = {"action": "accept", "content": {key: choice}}
        result = client.answer(call(client, task, inputResponses={key: content}))["result"]
        assert bool(result.get("isError")) is (choice == "leave")
        assert (repository / choice / "Makefile").exists() is (choice == "merge")


def test_the_command_line_shows_and_then_merges(shared: Path, repository: Path) -> None:
    """N3: with the command that it names itself."""
    with LauncherClient(shared / "data", repository) as client:
        client.open()
        task = completed(client, "cli.txt")

    def rover(*words: str) -> str:
        env = {**os.environ, "ROVER_HOME": str(shared / "data")}
        done = subprocess.run(
            [sys.executable, "-m", "rover_mcp.cli.command_line", *words], cwd=repository, env=env,
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout

    shown = rover("merge", task["id"], "--squash")
    (line,) = [line for line in shown.splitlines() if line.startswith("To merge it: rover ")]
    assert not (repository / "cli.txt").exists()
    assert "one commit" in rover(*line.split()[4:])
    assert (repository / "cli.txt").exists()
    assert len(git(repository, "show", "-s", "--format=%P", "main").split()) == 1


def test_a_token_that_enters_the_branch_is_warned_of(shared: Path, repository: Path) -> None:
    """N12: a merge sends nothing, so it is done all the same."""
    token = "ghp" + "_" + "A1b2C3d4E5f6G7h8J9k0L1m2N3p4Q5r6S7t8"
    with LauncherClient(shared / "data", repository) as client:
        client.open()
        task = completed(client, "key.py", f"one\nkey = '{token}'\n")
        shown = client.tool("merge_task", task=task["id"])["message"]
        assert "WARNING: secrets enter main: GitHub token in key.py, line 2." in shown
        done = client.tool("merge_task", task=task["id"], confirm=True)
        assert done["merged"] is True
        assert "WARNING: secrets enter main" in done["message"]
        assert token not in shown + done["message"]
