"""A step that only looks changes nothing: real git, the scripted agent."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from agent_runner.models import ExitCode
from tests.support.flows import HEAD, place
from tests.support.runs import RunFolders, git

WORKFLOW = (
    HEAD
    + """
steps:
  - {id: work, type: agent, prompt: work}
  - {id: review, type: agent, prompt: review, read_only: true, outputs: [{name: found}]}
  - {id: after, type: command, command: git status --porcelain --branch}
"""
)
EDITS = [
    {"path": "made.txt", "content": "spoilt\n"},
    {"path": "README", "delete": True},
    {"path": "kept.ignored", "content": "kept\n"},
]
MISCHIEF = {
    "edit": "",
    "stage": "git add -A; git add -f kept.ignored",
    "commit": "git add -A && git commit -qm sneaky",
    "branch": "git switch -qc other && git add -A && git commit -qm sneaky",
    "detach": "git checkout -q --detach",
    "reset": "git update-ref refs/heads/rover/7-mend HEAD~0; git rm -qrf --cached .",
}


def run(tmp_path: Path, run: str, first: str = "") -> RunFolders:
    turns = {
        "work": [{"edits": [{"path": "made.txt", "content": "good\n"}], "run": first or "true"}],
        "review": [{"edits": EDITS, "run": run or "true", "outputs": {"found": "nothing"}}],
    }
    at = place(tmp_path, yaml.safe_dump({"steps": turns}), WORKFLOW)
    assert at.start() is ExitCode.COMPLETED
    return at


@pytest.mark.parametrize("how", MISCHIEF)
def test_what_a_read_only_step_does_is_undone_and_named(tmp_path: Path, how: str) -> None:
    """Files, index, HEAD and branch are as before; what git ignores stays."""
    at = run(tmp_path, MISCHIEF[how])
    assert git(at.work, "show", "rover/7-mend:made.txt") == "good"
    assert git(at.work, "show", "rover/7-mend:README") == "base"
    assert (at.work / "kept.ignored").read_text() == "kept\n"
    state = {s.id: s for s in at.state.steps}
    assert state["review"].outputs == {"found": "nothing"}
    assert state["after"].outputs["stdout"] == "## rover/7-mend\n?? made.txt"
    [warning] = at.state.warnings
    assert "step review is read-only" in warning
    assert "README" in warning
    assert "made.txt" in warning
    kept = warning.rpartition(" as ")[2]
    assert git(at.work, "show", f"{kept}:made.txt") == "spoilt"


def test_a_read_only_step_leaves_the_index_and_head_as_they_were(
    tmp_path: Path,
) -> None:
    """Also where an earlier step left the task's branch."""
    at = run(tmp_path, "git checkout -q -- . && rm -f made.txt", "git switch -qc mine; git add -A")
    state = {s.id: s for s in at.state.steps}
    assert state["after"].outputs["stdout"] == "## mine\nA  made.txt"
    assert git(at.work, "show", "rover/7-mend:made.txt") == "good"


def test_the_first_step_may_be_read_only(tmp_path: Path) -> None:
    flow = HEAD + "steps: [{id: look, type: agent, prompt: look, read_only: true}]\n"
    turn = {"edits": [{"path": "new.txt", "content": "x"}]}
    at = place(tmp_path, yaml.safe_dump({"steps": {"look": [turn]}}), flow)
    assert at.start() is ExitCode.COMPLETED
    assert not (at.work / "new.txt").exists()
    assert git(at.work, "rev-parse", "rover/7-mend") == at.base_commit
    assert "new.txt" in at.state.warnings[0]
