"""rebase_task in raw frames and through the command line: shown first, done once agreed to, and the
task continues on its new base."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.frames import LEGACY, MODERN, Frame, LauncherClient, ToolError
from tests.support.repos import git
from tests.support.scripts import script


def completed(client: LauncherClient, *edits: tuple[str, str]) -> Frame:
    """A task whose agent writes one file after the other, one in each iteration."""
    turns = [{"edits": [{"path": path, "content": content}]} for path, content in edits]
    task = client.tool(
        "create_task",
        description=f"Write {edits[0][0]}",
        workflow="quick",
        agent="scripted",
        engine="bubblewrap",
        script=script(implement=turns),
    )["task"]
    return client.wait_until(task["id"], "COMPLETED")


def commit_on_main(repo: Path, path: str, content: str) -> str:
    repo.joinpath(path).write_text(content)
    git(repo, "add", path)
    git(repo, "commit", "-q", "-m", f"main has {path}")
    return git(repo, "rev-parse", "main")


@pytest.mark.parametrize("era", [LEGACY, MODERN])
def test_a_rebased_task_continues_on_its_new_base(shared: Path, era: str) -> None:
    """N2: shown, done, looked at, iterated, merged; also with a hub that was lost."""
    repo = shared / "repo"
    with LauncherClient(shared / "data", repo) as client:
        client.open(era)
        task = completed(client, (f"{era}-1.txt", "one\n"), (f"{era}-2.txt", "two\n"))
        branch, old = task["branch"], git(repo, "rev-parse", task["branch"])
        main = commit_on_main(repo, f"{era}-main.txt", "main's\n")
        shown = client.tool("rebase_task", task=task["id"])
        assert (shown["rebased"], shown["onto"], shown["base_commit"]) == (False, "main", main)
        assert git(repo, "rev-parse", branch) == old
        again = shown["next_actions"][0]
        done = client.tool(again["tool"], **again["arguments"])
        assert (done["rebased"], done["status"]) == (True, "COMPLETED")
        assert git(repo, "rev-parse", branch, f"{branch}^").split() == [done["commit"], main]
        assert git(repo, "show", "-s", "--format=%s", branch) == git(
            repo, "show", "-s", "--format=%s", old
        )
        assert client.tool("inspect", task=task["id"])["task"]["base_commit"] == main
        assert client.tool("get_diff", task=task["id"])["changes"]["files"] == 1
        for hub in (shared / "data/projects").glob("*/hub.git"):
            shutil.rmtree(hub)
        assert client.tool("get_diff", task=task["id"])["changes"]["files"] == 1
        client.tool("iterate_task", task=task["id"], instructions="Write the second one, too")
        client.wait_until(task["id"], "COMPLETED")
        assert git(repo, "rev-parse", f"{branch}~2") == main
        assert git(repo, "diff", "--name-only", "main", branch).split() == [
            f"{era}-1.txt", f"{era}-2.txt",
        ]  # fmt: skip
        merged = client.tool("merge_task", task=task["id"], mode="ff", confirm=True)
        assert (merged["status"], merged["into"]) == ("MERGED", "main")


def test_commits_of_a_persons_are_replayed_too(shared: Path) -> None:
    """N2, N10."""
    repo = shared / "repo"
    with LauncherClient(shared / "data", repo) as client:
        client.open()
        task = completed(client, ("theirs.txt", "one\n"))
        git(repo, "switch", "-q", task["branch"])
        (repo / "mine.txt").write_text("mine\n")
        git(repo, "add", "mine.txt")
        git(repo, "commit", "-q", "-m", "by a person")
        git(repo, "switch", "-q", "main")
        main = commit_on_main(repo, "again.txt", "main's\n")
        shown = client.tool("rebase_task", task=task["id"])
        assert "1 of these commits are not the task's" in shown["message"]
        old = git(repo, "rev-parse", task["branch"])
        client.tool("rebase_task", task=task["id"], confirm=True)
        (hub,) = (shared / "data/projects").glob("*/hub.git")
        kept = git(hub, "for-each-ref", "--format=%(objectname)", f"refs/rover/{task['id']}/kept/")
        assert kept == old, "what was there before can be had again"
        assert git(repo, "rev-parse", f"{task['branch']}~2") == main
        assert git(repo, "show", "-s", "--format=%s", task["branch"]) == "by a person"
        assert client.tool("get_diff", task=task["id"])["changes"]["files"] == 2
        up_to_date = client.tool("rebase_task", task=task["id"], confirm=True)
        assert (up_to_date["rebased"], up_to_date["next_actions"]) == (False, [])


def test_conflicts_are_named_and_leave_all_as_it_was(shared: Path) -> None:
    """N2."""
    repo = shared / "repo"
    with LauncherClient(shared / "data", repo) as client:
        client.open()
        task = completed(client, ("both.txt", "the task's\n"))
        commit_on_main(repo, "both.txt", "main's\n")
        before = git(repo, "for-each-ref"), git(repo, "status", "--porcelain")
        preview = client.tool("rebase_task", task=task["id"])
        assert preview["conflicts"] == ["both.txt"]
        assert "its commits would be replayed" in preview["message"]
        with pytest.raises(ToolError, match=r"both\.txt") as refused:
            client.tool("rebase_task", task=task["id"], confirm=True)
        assert refused.value.error["code"] == "rebase_conflicts"
        assert "both.txt (added twice, 1 place), changed by" in refused.value.error["message"]
        (kept,) = (shared / "data/tasks" / task["id"]).glob("iterations/1/rebases/conflicts.json")
        (file,) = json.loads(kept.read_text())["files"]
        assert file["regions"] == [
            {"line": 1, "onto": "main's\n", "base": "", "branch": "the task's\n"}
        ]
        assert (git(repo, "for-each-ref"), git(repo, "status", "--porcelain")) == before
        assert client.tool("inspect", task=task["id"])["task"]["status"] == "COMPLETED"


def test_the_command_line_shows_and_then_rebases(shared: Path) -> None:
    """N2: with the command that it names itself, and with the branch checked out."""
    repo = shared / "repo"
    with LauncherClient(shared / "data", repo) as client:
        client.open()
        task = completed(client, ("cli.txt", "new\n"))
    main = commit_on_main(repo, "cli-main.txt", "main's\n")
    git(repo, "switch", "-q", task["branch"])

    def rover(*words: str) -> str:
        env = {**os.environ, "ROVER_HOME": str(shared / "data")}
        done = subprocess.run(
            [sys.executable, "-m", "rover_mcp.cli.command_line", *words], cwd=repo, env=env,
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout

    shown = rover("rebase", task["id"], "--onto", "main")
    (line,) = [line for line in shown.splitlines() if line.startswith("To rebase it: rover ")]
    assert not (repo / "cli-main.txt").exists()
    assert "stands on main" in " ".join(rover(*line.split()[4:]).split())
    assert (repo / "cli-main.txt").exists()
    assert git(repo, "rev-parse", "HEAD^") == main
    assert git(repo, "status", "--porcelain") == ""
    git(repo, "switch", "-q", "main")
