"""`rover checkout` and `rover open` through the command line: shown first, and done once agreed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.protocol.test_merge import completed
from tests.support.frames import LauncherClient
from tests.support.repos import git


def rover(shared: Path, *words: str, code: int = 0, **variables: str) -> str:
    env = {**os.environ, "ROVER_HOME": str(shared / "data"), **variables}
    done = subprocess.run(
        [sys.executable, "-m", "rover_mcp.cli.command_line", *words], cwd=shared / "repo",
        env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def test_a_branch_is_checked_out_and_opened_once_its_files_are_named(
    shared: Path, tmp_path: Path
) -> None:
    """N11."""
    with LauncherClient(shared / "data", shared / "repo") as client:
        client.open()
        task = completed(client, "looked/Makefile")
    into = tmp_path / "look"
    shown = rover(shared, "checkout", task["id"], "--into", str(into))
    (line,) = [line for line in shown.splitlines() if line.startswith("To check it out: rover ")]
    assert "looked/Makefile" in line
    assert not into.exists()
    refused = rover(shared, "checkout", task["id"], "--into", str(into), "--yes", code=1)
    assert "look at them" in refused
    assert not into.exists()
    rover(shared, *line.split()[5:])
    assert git(into, "branch", "--show-current") == task["branch"]
    editor = tmp_path / "editor"
    editor.write_text(f"#!/bin/sh\npwd > {tmp_path / 'opened'}\n")
    editor.chmod(0o755)
    opened = {"VISUAL": str(editor)}
    rover(shared, "open", task["id"], "--yes", code=1, **opened)
    assert not (tmp_path / "opened").exists()
    rover(shared, "open", task["id"], "--accept", "looked/", "--yes", **opened)
    assert (tmp_path / "opened").read_text().strip() == str(into)


def test_what_is_shown_can_be_read_by_a_program(shared: Path) -> None:
    with LauncherClient(shared / "data", shared / "repo") as client:
        client.open()
        task = completed(client, "plain.txt")
    shown = json.loads(rover(shared, "checkout", task["id"], "--json"))
    assert (shown["checked_out"], shown["branch"]) == (False, task["branch"])
    assert shown["folder"] == str((shared / f"repo-{task['number']}").resolve())
