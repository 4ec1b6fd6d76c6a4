"""The scripts of the work tree are whole, and are files that shells and checkers can read."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import agent_runner
from agent_runner.worktree import worktree_scripts
from rover_mcp.sandbox import runner_library

FOLDER = Path(agent_runner.__file__).parent / "worktree" / "scripts"
WHOLE = sorted(file.stem for file in FOLDER.glob("[!_]*.sh"))
PARTS = sorted(file.stem for file in FOLDER.glob("_*.sh"))


@pytest.mark.parametrize("name", WHOLE)
def test_a_script_holds_its_parts_and_parses(name: str) -> None:
    text = getattr(worktree_scripts, name.upper())
    assert "\n. ./" not in f"\n{text}"
    assert "shellcheck" not in text
    subprocess.run(["sh", "-n", "-c", text], check=True)


def test_every_part_is_in_some_script() -> None:
    texts = [(FOLDER / f"{name}.sh").read_text("utf-8") for name in (*WHOLE, *PARTS)]
    assert [part for part in PARTS if not any(f"\n. ./{part}.sh\n" in t for t in texts)] == []


def test_a_changed_script_is_a_changed_runner() -> None:
    """Images that hold the runner are named by its content."""
    assert set(FOLDER.glob("*.sh")) <= set(runner_library._runner_files())
