"""`rover review`: what a person writes in a real editor is what the next iteration is given."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.clients.terminal import Terminal
from tests.e2e.processes import wait_until
from tests.support.frames import Frame, LauncherClient
from tests.support.repos import git
from tests.support.scripts import script

ONE = "def total(numbers):\n    return numbers[0]\n"
PLAYED = script(
    implement=[
        {"edits": [{"path": "sum.py", "content": ONE}, {"path": "odd.txt", "content": "\x1b[2J"}]},
        {"edits": [{"path": "two.txt", "content": "two\n"}]},
    ]
)
QUICK = {
    "description": "Write sum.py", "workflow": "quick", "agent": "scripted",
    "engine": "bubblewrap", "script": PLAYED,
}  # fmt: skip
INSERT = """#!/usr/bin/env python3
import pathlib, sys
path = pathlib.Path(sys.argv[1])
lines = path.read_text().split("\\n")
at = next(n for n, line in enumerate(lines) if "return numbers" in line)
lines[at + 1:at + 1] = ["An empty list has", "no first element."]
path.write_text("\\n".join(lines).replace("\\n> diff", "\\nNearly done.\\n> diff", 1))
"""


@pytest.fixture
def task(client: LauncherClient) -> Frame:
    task = client.tool("create_task", **QUICK)["task"]
    return client.wait_until(task["id"], "COMPLETED")


def program(folder: Path, text: str) -> str:
    path = folder / "editor"
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def rover(client: LauncherClient, *argv: str, editor: str = "") -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if name not in ("VISUAL", "EDITOR")}
    return subprocess.run(
        [sys.executable, "-m", "rover_mcp.cli.command_line", "--home", str(client.home), *argv],
        env={**plain, "EDITOR": editor},
        capture_output=True, text=True, check=False, cwd=client.home.parent,
    )  # fmt: skip


def given(client: LauncherClient, task: Frame, iteration: int = 2) -> Any:
    """The instructions that the runner of an iteration got."""
    client.wait_until(task["id"], "COMPLETED")
    path = client.home / "tasks" / task["id"] / "iterations" / str(iteration)
    (spec,) = path.rglob("spec.json")
    return json.loads(spec.read_text())["instructions"]


def kept(client: LauncherClient) -> list[Path]:
    folder = client.home / "reviews"
    return list(folder.iterdir()) if folder.exists() else []


def test_what_is_written_in_the_editor_begins_the_next_iteration(
    client: LauncherClient, task: Frame, tmp_path: Path
) -> None:
    """N7."""
    done = rover(client, "review", task["id"], "--json", editor=program(tmp_path, INSERT))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["task"]["iteration"] == 2
    instructions = given(client, task)
    assert instructions["text"] == "Nearly done."
    assert instructions["comments"] == [
        {"file": "sum.py", "line": 2, "text": "An empty list has\nno first element."}
    ]
    assert kept(client) == []


def test_nothing_is_sent_where_nothing_was_written(
    client: LauncherClient, task: Frame, tmp_path: Path
) -> None:
    unchanged = rover(client, "review", task["id"], editor="true")
    assert (unchanged.returncode, unchanged.stdout) == (1, "")
    assert "nothing was sent" in unchanged.stderr
    failed = rover(client, "review", task["id"], editor=program(tmp_path, INSERT + "exit(3)\n"))
    assert failed.returncode == 1
    assert "the editor ended with status 3" in failed.stderr
    (path,) = kept(client)
    assert str(path) in failed.stderr
    assert client.tool("inspect", task=task["id"])["task"]["iteration"] == 1


def test_a_damaged_review_is_kept_and_can_be_sent_after_its_repair(
    client: LauncherClient, task: Frame, tmp_path: Path
) -> None:
    damaging = program(tmp_path, f"{INSERT}\npath.write_text(path.read_text().replace('def', 'd'))")
    done = rover(client, "review", task["id"], editor=damaging)
    assert done.returncode == 1
    assert "the review cannot be read: line" in done.stderr
    (path,) = kept(client)
    assert f"--file {path}" in " ".join(done.stderr.split())
    path.write_text(path.read_text().replace("+d total", "+def total"))
    again = rover(client, "review", task["id"], "--file", str(path))
    assert again.returncode == 0, again.stderr
    assert given(client, task)["text"] == "Nearly done."


def test_a_review_can_be_printed_and_sent_later(
    client: LauncherClient, task: Frame, tmp_path: Path
) -> None:
    printed = rover(client, "review", task["id"], "--print")
    assert "\x1b" not in printed.stdout
    assert r"> +\x1b[2J" in printed.stdout
    path = tmp_path / "review.txt"
    path.write_text(printed.stdout.replace("(numbers):\n", "(numbers):\nName it sum\n"))
    sent = rover(client, "review", task["id"], "--file", str(path))
    assert sent.returncode == 0, sent.stderr
    assert given(client, task)["comments"] == [{"file": "sum.py", "line": 1, "text": "Name it sum"}]
    assert path.exists(), "the person's own file stays"


def test_the_repository_chooses_no_editor(
    client: LauncherClient, task: Frame, repository: Path, tmp_path: Path
) -> None:
    """The user's own core.editor counts, and the repository's does not."""
    ran = tmp_path / "ran"
    git(repository, "config", "core.editor", f"touch {ran}; true")
    own = tmp_path / "gitconfig"
    own.write_text(f"[core]\n\teditor = {program(tmp_path, INSERT)}\n")
    done = subprocess.run(
        [sys.executable, "-m", "rover_mcp.cli.command_line", "--home", str(client.home),
         "review", "1"],
        cwd=repository, capture_output=True, text=True, check=False,
        env={**os.environ, "GIT_CONFIG_GLOBAL": str(own), "VISUAL": "", "EDITOR": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert given(client, task)["text"] == "Nearly done."
    assert not ran.exists()


def test_a_task_that_runs_is_refused_before_the_editor_opens(
    client: LauncherClient, tmp_path: Path
) -> None:
    slow = script(implement=[{"edits": [{"path": "a", "content": "a\n"}], "delay": 600}])
    task = client.tool("create_task", **(QUICK | {"script": slow}))["task"]
    client.wait_until(task["id"], "IN_PROGRESS")
    work = client.home / "tasks" / task["id"] / "work"
    wait_until((work / "a").exists, "the agent has written a file")
    ran = tmp_path / "ran"
    done = rover(client, "review", task["id"], editor=f"touch {ran}")
    assert done.returncode == 1
    assert "it can be reviewed once it has ended" in done.stderr
    assert not ran.exists()


def test_a_person_writes_in_vim_at_a_terminal(
    client: LauncherClient, task: Frame, tmp_path: Path
) -> None:
    """N7. A real editor on a real terminal; Ctrl-C in it ends neither it nor the review."""
    argv = [sys.executable, "-m", "rover_mcp.cli.command_line", "--home", client.home, "review"]
    environ = {**os.environ, "EDITOR": "vim -u NONE -N", "VISUAL": ""}
    with Terminal(tmp_path, [*argv, task["id"]], environ, client.home.parent) as screen:
        screen.wait_for("diff --git")
        screen.press("C-c")
        screen.type("/return numbers")
        screen.press("Enter")
        screen.type("oFrom vim")
        screen.press("Escape")
        screen.type(":wq")
        screen.press("Enter")
        screen.wait_for_end()
    assert given(client, task)["comments"] == [{"file": "sum.py", "line": 2, "text": "From vim"}]
