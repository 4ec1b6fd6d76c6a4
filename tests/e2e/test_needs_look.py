"""V1: a branch that deletes more than its steps can have meant is looked at before it is delivered."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rover_mcp.domain.ids import short_id
from tests.e2e.test_survival import completed
from tests.support.frames import Frame, LauncherClient, ToolError
from tests.support.repos import git, make_repository
from tests.support.scripts import script

FOLDERS, FILES = 10, 20
WORKFLOW = """
version: "1.0"
name: one
steps:
  - {id: edit, type: agent, prompt: edit}
"""
CUT = "rm -rf d3 d4 d5 d6 d7 d8 d9"
"""What the agent does in its own shell, and says nothing of: as if a check-out had been cut off."""


@pytest.fixture
def repository(home: Path) -> Path:
    names = [f"d{d}/f{f}" for d in range(FOLDERS) for f in range(FILES)]
    files = {".rover/workflows/one.yaml": WORKFLOW, **{name: f"{name}\n" for name in names}}
    return make_repository(home.parent / "repo", files)


def create(client: LauncherClient, description: str, **edit: Any) -> Frame:
    return client.tool(
        "create_task", description=description, workflow="one", agent="scripted",
        engine="bubblewrap", script=script(edit=[{"say": "Done.", **edit}]),
    )["task"]  # fmt: skip


def branches(repository: Path) -> list[str]:
    return git(repository, "for-each-ref", "--format=%(refname:short)", "refs/heads").split()


def test_a_branch_without_most_files_waits_to_be_accepted(
    client: LauncherClient, repository: Path
) -> None:
    """It is not delivered, it is shown, and it is delivered as it is once that is asked for, from
    the command line, without running a step again."""
    edits = [{"path": "d0/f0", "content": "edited\n"}]
    task = create(client, "Fix the typo in d0/f0", run=CUT, edits=edits)
    view = client.wait_until(task["id"], "PAUSED")
    pause = view["pause"]
    assert pause["reason"] == "needs_look"
    assert "deletes or empties 140 of 201 files" in pause["message"]
    assert "d3/ 20, d4/ 20" in pause["message"]
    assert (pause["auto_resume"], branches(repository)) == (False, ["main"])
    calls = [(a["tool"], a["arguments"]) for a in view["next_actions"]]
    named = {"task": short_id(task["id"])}
    assert calls == [("resume_task", {**named, "accept": True}), ("get_diff", named)]
    assert client.tool("get_diff", **named)["changes"]["files"] == 141

    with pytest.raises(ToolError, match="accept=true") as plain:
        client.tool("resume_task", task=task["id"])
    assert plain.value.error["code"] == "not_resumable"
    argv = [sys.executable, "-m", "rover_mcp.cli.command_line", "--home", str(client.home)]
    subprocess.run([*argv, "resume", task["id"], "--accept"], check=True, capture_output=True)
    client.wait_until(task["id"], "COMPLETED")
    assert completed(client, task) == {"edit": 1}
    left = git(repository, "ls-tree", "-r", "--name-only", task["branch"]).split()
    assert len(left) == 61


EXPECTED: dict[str, Frame] = {
    "Delete the folders d3, d4, d5, d6, d7, d8 and d9": {"run": CUT},
    "Tidy up": {"run": CUT, "say": f"I removed what nobody uses: {CUT}"},
    "Rename the folders": {"run": "mkdir old; git mv d3 d4 d5 d6 d7 d8 d9 old/"},
    "Format": {"run": "for file in d*/f*; do echo formatted > $file; done"},
}


def test_what_is_expected_is_not_stopped(client: LauncherClient) -> None:
    """What the task asks for, or the agent tells of; files that moved; every file changed."""
    for task in [create(client, description, **edit) for description, edit in EXPECTED.items()]:
        client.wait_until(task["id"], "COMPLETED")
