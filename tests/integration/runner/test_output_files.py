"""Outputs that an agent writes as files: real git, the scripted agent, no sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from agent_runner.models import ExitCode
from agent_runner.workflow.models import OutputDef, ValueType
from agent_runner.workflow.outputs import ask
from tests.support.runs import RunFolders, git

FLOW = """
version: "1.0"
name: w
steps:
  - id: s
    type: agent
    prompt: p
    outputs:
      - {name: plan, type: file, filename: out/plan.md, required: %s}
      - {name: note}
    config: {retries: %d}
  - {id: show, type: command, command: "printf %%s {{steps.s.outputs.plan}}"}
"""
PLAN = {"path": "out/plan.md", "content": "# The plan\n\n$(id)\n"}
KEPT = {"path": "kept.txt", "content": "kept"}
CREDITS = {"status": 402, "message": "no credits", "provider": "anthropic"}


def place(
    tmp_path: Path, *turns: object, required: bool = True, retries: int = 0, **more: object
) -> RunFolders:
    flow = FLOW % (str(required).lower(), retries)
    return RunFolders(
        tmp_path / "task", flow, yaml.safe_dump({"steps": {"s": list(turns)}}), **more
    )


def result(p: RunFolders) -> list[str]:
    return [line.split("\t")[1] for line in p.result_tree().splitlines()]


def test_a_file_is_asked_for_apart_from_the_answer() -> None:
    file = OutputDef("plan", "the plan", ValueType.FILE, required=True, filename="out/plan.md")
    text = ask([file])
    assert "- `out/plan.md` (required): the plan" in text
    assert "Never commit" in text
    assert "JSON" not in text
    both = ask([file, OutputDef("note")])
    assert '- "note" (string, optional)' in both
    assert '"plan"' not in both


@pytest.mark.parametrize("how", ["written", "staged", "committed"])
def test_a_file_s_text_is_the_output_and_no_part_of_the_result(tmp_path: Path, how: str) -> None:
    """G6: whatever the agent did with it."""
    run = {
        "written": ":",
        "staged": "git add -A",
        "committed": "git add -A && git -c user.name=x commit -qm mine",
    }[how]
    p = place(tmp_path, {"edits": [PLAN, KEPT], "run": run, "outputs": {"note": "n"}})
    assert p.start() is ExitCode.COMPLETED
    s, show = p.state.steps
    assert s.outputs == {"plan": PLAN["content"], "note": "n"}
    assert show.outputs["stdout"] == "# The plan\n\n$(id)"
    assert result(p) == [".gitignore", "README", "kept.txt"]
    assert git(p.work, "status", "--porcelain") == ""
    assert p.state.warnings == []


@pytest.mark.parametrize(
    ("run", "told"),
    [
        ("mkdir out; mkfifo out/plan.md", "neither a file nor a folder"),
        ("mkdir out; ln -s /dev/zero out/plan.md", "neither a file nor a folder"),
        ("mkdir -p out/plan.md", "is a folder"),
        (":", None),
    ],
)
def test_what_is_no_file_is_missing_and_is_taken_away_too(
    tmp_path: Path, run: str, told: str | None
) -> None:
    """G6: a required one that is still missing when asked for again fails the step; a pipe holds
    nothing up."""
    p = place(tmp_path, {"run": run})
    assert p.start() is ExitCode.FAILED
    assert p.state.error is not None
    assert "did not give the required outputs: plan" in p.state.error
    asked_again = "step s: it ended without its required outputs: plan; asking for them again"
    others = [w for w in p.state.warnings if w != asked_again]
    assert any(told in w for w in others) if told else others == []
    assert not (p.work / "out/plan.md").exists()
    assert not (p.work / "out/plan.md").is_symlink()


def test_one_that_is_optional_may_be_missing(tmp_path: Path) -> None:
    """G6."""
    p = place(tmp_path, {"say": "none"}, required=False)
    assert p.start() is ExitCode.COMPLETED
    assert p.state.steps[0].outputs == {}


def test_another_try_does_not_take_the_file_of_the_one_before(tmp_path: Path) -> None:
    """G6: what a failed try had written is gone."""
    wrong = {"edits": [PLAN], "error": {"status": 404, "message": "no such model"}}
    p = place(tmp_path, wrong, {"say": "none"}, retries=1)
    assert p.start() is ExitCode.FAILED
    assert "required outputs: plan" in (p.state.error or "")


def test_a_file_that_was_written_before_a_pause_counts_after_it(tmp_path: Path) -> None:
    """F8: the agent goes on, and the work tree is kept as it is."""
    p = place(tmp_path, {"edits": [PLAN], "error": CREDITS}, {"edits": [KEPT]})
    assert p.start() is ExitCode.PAUSED
    assert p.start() is ExitCode.COMPLETED
    assert p.state.steps[0].outputs == {"plan": PLAN["content"]}
    assert result(p) == [".gitignore", "README", "kept.txt"]


def test_a_large_file_is_cut_with_a_warning(tmp_path: Path) -> None:
    """What grows has a limit, and says so there."""
    long = {"path": "out/plan.md", "content": "x" * 200_000}
    p = place(tmp_path, {"edits": [long]})
    assert p.start() is ExitCode.COMPLETED
    assert p.state.steps[0].outputs == {"plan": "x" * 100_000}
    assert any("'plan' was cut to 100000 bytes" in w for w in p.state.warnings)


def test_a_file_of_the_repository_s_own_is_never_taken(tmp_path: Path) -> None:
    """The step fails before its agent is called."""
    p = place(tmp_path, {"edits": [PLAN]})
    (p.root / "base/out").mkdir()
    (p.root / "base/out/plan.md").write_text("the user's")
    git(p.root / "base", "add", "-A")
    git(p.root / "base", "commit", "-q", "-m", "more")
    p.base_commit = git(p.root / "base", "rev-parse", "HEAD")
    assert p.start() is ExitCode.FAILED
    assert "the repository already has out/plan.md" in (p.state.error or "")
    assert (p.work / "out/plan.md").read_text() == "the user's"
    assert not (p.root / "home/.scripted").exists()
