"""push_task in raw frames and through the command line: shown first, and done once agreed to."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.protocol.test_merge import ASKABLE, completed
from tests.protocol.test_rebase import commit_on_main
from tests.support.frames import LEGACY, MODERN, LauncherClient, ToolError
from tests.support.git_server import bare, git_server, pre_receive
from tests.support.repos import git


@pytest.fixture
def remote(shared: Path, tmp_path: Path) -> Iterator[Path]:
    """What the repository's origin is, served over HTTP."""
    folder = bare(tmp_path / "served/origin.git")
    with git_server(tmp_path / "served") as server:
        git(shared / "repo", "config", "remote.origin.url", f"{server.address}origin.git")
        yield folder


@pytest.mark.parametrize("era", [LEGACY, MODERN])
def test_without_confirm_it_shows_and_with_it_pushes(shared: Path, remote: Path, era: str) -> None:
    """N4."""
    pre_receive(remote, "echo 'To open a request, visit https://forge.example/new' >&2")
    with LauncherClient(shared / "data", shared / "repo") as client:
        client.open(era)
        task = completed(client, f"pushed/{era}.txt")
        shown = client.tool("push_task", task=task["id"])
        assert (shown["pushed"], shown["status"], shown["remote"]) == (False, "COMPLETED", "origin")
        assert git(remote, "for-each-ref") == ""
        again = shown["next_actions"][0]
        done = client.tool(again["tool"], **again["arguments"])
        assert (done["pushed"], done["status"]) == (True, "PUSHED")
        assert git(remote, "rev-parse", task["branch"]) == done["commit"]
        assert done["server"] == "To open a request, visit https://forge.example/new"
        assert client.tool("inspect", task=task["id"])["task"]["status"] == "PUSHED"


def test_a_protected_branch_is_an_error_with_what_to_do(shared: Path, remote: Path) -> None:
    """N10."""
    pre_receive(remote, "echo 'error: GH006: Protected branch update failed' >&2", "exit 1")
    with LauncherClient(shared / "data", shared / "repo") as client:
        client.open()
        task = completed(client, "protected.txt")
        with pytest.raises(ToolError, match="GH006") as refused:
            client.tool("push_task", task=task["id"], branch="main", confirm=True)
        assert refused.value.error["code"] == "protected_branch"
        assert "another branch" in refused.value.error["hint"]
        assert client.tool("inspect", task=task["id"])["task"]["status"] == "COMPLETED"


@pytest.mark.parametrize("choice", ["push", "leave"])
def test_a_client_that_can_ask_asks_about_files_that_ci_runs(
    shared: Path, remote: Path, choice: str
) -> None:
    """N11."""
    with LauncherClient(shared / "data", shared / "repo") as client:
        client.capabilities = ASKABLE
        client.open(MODERN)
        task = completed(client, f"{choice}/.gitlab-ci.yml")
        call = {"name": "push_task", "arguments": {"task": task["id"], "confirm": True}}
        asked = client.answer(client.start_request("tools/call", call))["result"]
        assert asked["resultType"] == "input_required"
        (key,) = asked["inputRequests"]
        message = asked["inputRequests"][key]["params"]["message"]
        assert f"{choice}/.gitlab-ci.yml (run by CI)" in message
        answer = {key: {"action": "accept", "content": {key: choice}}}
        given = {**call, "inputResponses": answer}
        result = client.answer(client.start_request("tools/call", given))["result"]
        assert bool(result.get("isError")) is (choice == "leave")
        assert bool(git(remote, "for-each-ref")) is (choice == "push")


def test_the_command_line_shows_and_then_pushes(shared: Path, remote: Path) -> None:
    """N4: with the command that it names itself."""
    with LauncherClient(shared / "data", shared / "repo") as client:
        client.open()
        task = completed(client, "push-cli.txt")

    def rover(*words: str) -> str:
        env = {**os.environ, "ROVER_HOME": str(shared / "data")}
        done = subprocess.run(
            [sys.executable, "-m", "rover_mcp.cli.command_line", *words], cwd=shared / "repo",
            env=env, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout

    shown = rover("push", task["id"], "--branch", "by-cli")
    (line,) = [line for line in shown.splitlines() if line.startswith("To push it: rover ")]
    assert git(remote, "for-each-ref") == ""
    assert "Nothing in" in rover(*line.split()[4:])
    assert git(remote, "for-each-ref", "--format=%(refname)") == "refs/heads/by-cli"


def test_a_rebase_replaces_the_pushed_branch_but_no_persons_commit(
    shared: Path, remote: Path, tmp_path: Path
) -> None:
    """N4, N10."""
    repo = shared / "repo"
    with LauncherClient(shared / "data", repo) as client:
        client.open()
        task = completed(client, "rebased.txt")
        first = client.tool("push_task", task=task["id"], confirm=True)
        commit_on_main(repo, "goes-on.txt", "main's\n")
        rebased = client.tool("rebase_task", task=task["id"], confirm=True)
        assert "replaced" in client.tool("push_task", task=task["id"])["message"]
        second = client.tool("push_task", task=task["id"], confirm=True)
        assert second["commit"] == rebased["commit"] != first["commit"]
        assert git(remote, "rev-parse", task["branch"]) == second["commit"]

        git(tmp_path, "clone", "-q", "-b", task["branch"], str(remote), "theirs")
        git(tmp_path / "theirs", "commit", "-q", "--allow-empty", "-m", "by hand")
        git(tmp_path / "theirs", "push", "-q")
        by_hand = git(remote, "rev-parse", task["branch"])
        commit_on_main(repo, "goes-on-again.txt", "main's\n")
        client.tool("rebase_task", task=task["id"], confirm=True)
        with pytest.raises(ToolError, match="by hand") as refused:
            client.tool("push_task", task=task["id"], confirm=True)
        assert refused.value.error["code"] == "foreign_commits"
        assert git(remote, "rev-parse", task["branch"]) == by_hand
