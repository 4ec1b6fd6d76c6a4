"""The message of a merge's commit is the task's agent's, and the user may change it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.frames import Frame, LauncherClient
from tests.support.repos import git
from tests.support.scripts import script

WRITTEN = "one: say hello\n\nNobody did before. [skip ci]\n\nSigned-off-by: Boss <boss@example.com>"
EDIT: Frame = {
    "edits": [{"path": "one.txt", "content": "hello\n"}],
    "outputs": {"summary": "It says hello.", "commit_message": WRITTEN},
}
EDITOR = """#!/bin/sh
sed -i 's/^one: say hello$/one: greet/' "$1"
"""


@pytest.fixture
def task(client: LauncherClient) -> Frame:
    created = client.tool(
        "create_task", description="Say hello", workflow="quick", agent="scripted",
        engine="bubblewrap", script=script(implement=[EDIT]),
    )["task"]  # fmt: skip
    return client.wait_until(created["id"], "COMPLETED")


def rover(client: LauncherClient, *argv: str, editor: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rover_mcp.cli.command_line", "--home", str(client.home), *argv],
        env={**os.environ, "VISUAL": "", "EDITOR": editor},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_squash_has_the_agents_message_without_what_it_forged(
    client: LauncherClient, repository: Path, task: Frame
) -> None:
    """N3. The preview shows it first, and says whose it is."""
    preview = client.tool("merge_task", task=task["id"], mode="squash")
    assert preview["commit_message"] == "one: say hello\n\nNobody did before."
    assert 'message is by the task\'s agent: "one: say hello"' in preview["message"]
    client.tool("merge_task", task=task["id"], mode="squash", confirm=True)
    subject, _, rest = git(repository, "log", "-1", "--format=%B", "main").partition("\n")
    assert subject == "one: say hello"
    assert rest.startswith("\nNobody did before.\n\nRover-Task: ")
    assert "Signed-off-by" not in rest


def test_the_user_edits_the_message_before_the_merge(
    client: LauncherClient, repository: Path, task: Frame, tmp_path: Path
) -> None:
    editor = tmp_path / "editor"
    editor.write_text(EDITOR)
    editor.chmod(0o755)
    merge = ("merge", task["id"], "--squash", "--edit", "--yes")
    emptied = rover(client, *merge, editor="truncate -s 0")
    assert emptied.returncode == 1
    assert "the message is empty" in emptied.stderr
    done = rover(client, *merge, editor=str(editor))
    assert done.returncode == 0, done.stderr
    message = git(repository, "log", "-1", "--format=%B", "main")
    assert message.startswith("one: greet\n\nNobody did before.\n\nRover-Task: ")
    assert "#" not in message
    assert list((client.home / "reviews").iterdir()) == []
