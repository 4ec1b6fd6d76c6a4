"""A restart begins an iteration again, on the task's base, and keeps the record of what it has cost."""

from __future__ import annotations

from pathlib import Path

from agent_runner.models import ExitCode, StepStatus
from tests.support.runs import RunFolders, git

FLOW = """\
version: "1.0"
name: w
steps:
  - {id: first, type: agent, prompt: one}
  - {id: second, type: command, command: test -e good.txt}
"""
SCRIPT = """\
steps:
  first:
    - {edits: [{path: bad.txt, content: bad}], usage: {input_tokens: 5, cost_usd: 0.5}}
    - {edits: [{path: good.txt, content: good}], usage: {input_tokens: 7, cost_usd: 0.25}}
"""


def test_a_restart_runs_every_step_again_on_the_base(tmp_path: Path) -> None:
    """H5: what the first try made is kept beside, and what it cost still counts."""
    at = RunFolders(tmp_path / "task", FLOW, SCRIPT)
    assert at.start() is ExitCode.FAILED
    assert at.state.snapshot
    before = at.state.snapshot.sequence
    assert at.start(restart=True, first_snapshot=before + 1) is ExitCode.COMPLETED
    assert at.calls() == {"first": 2}
    assert not (at.work / "bad.txt").exists()
    assert git(at.work, "show", "refs/rover/kept/1-2:bad.txt") == "bad"
    assert (at.state.usage.input_tokens, at.state.usage.cost_usd) == (12, 0.75)
    assert at.state.snapshot.sequence > before
    assert "bad.txt" not in at.result_tree()


def test_a_restart_that_pauses_goes_on_and_does_not_start_over_again(tmp_path: Path) -> None:
    """C6, F1, H5."""
    broke = "{status: 402, message: payment required, provider: anthropic}"
    turns = SCRIPT.replace("cost_usd: 0.25}", f"cost_usd: 0.25}}, error: {broke}")
    at = RunFolders(tmp_path / "task", FLOW, turns + "    - {}\n")
    assert at.start() is ExitCode.FAILED
    assert at.start(restart=True) is ExitCode.PAUSED
    assert at.start() is ExitCode.COMPLETED
    assert at.calls() == {"first": 3}
    assert {s.status for s in at.state.steps} == {StepStatus.COMPLETED}
    assert git(at.work, "ls-files").split() == [".gitignore", "README", "good.txt"]


def test_the_flag_of_an_attempt_that_began_already_changes_nothing(tmp_path: Path) -> None:
    """F1: a container that is started a second time carries the same specification."""
    at = RunFolders(tmp_path / "task", FLOW, SCRIPT)
    at.start()
    at.start(restart=True)
    at.attempt -= 1
    assert at.start(restart=True) is ExitCode.COMPLETED
    assert at.calls() == {"first": 2}
