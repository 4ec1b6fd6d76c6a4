"""The built-in workflows, from the first step to the last: real git and bash, the scripted agent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from agent_runner.models import ExitCode, RunState, StepStatus
from rover_mcp.tasks.catalog import builtin_folder
from tests.support.runs import Place, git

CREDITS = {
    "status": 400,
    "type": "invalid_request_error",
    "message": "Your credit balance is too low",
    "provider": "anthropic",
}
LOOK = {"outputs": {"size": "large", "notes": "see add.py", "test_command": "sh test.sh"}}
CLEAN = {"outputs": {"issues_found": "false", "issues": ""}}
FOUND = {"outputs": {"issues_found": "true", "issues": "add.py:1 is wrong"}}
SAID = {"outputs": {"summary": "done"}}


def edit(path: str, content: str, **more: object) -> dict[str, object]:
    return {"edits": [{"path": path, "content": content}], **more}


def place(tmp_path: Path, workflow: str, **steps: Sequence[object]) -> Place:
    text = (builtin_folder() / f"{workflow}.yaml").read_text()
    return Place(tmp_path / "task", text, yaml.safe_dump({"steps": steps}))


def ended(state: RunState) -> dict[str, StepStatus]:
    return {step.id: step.status for step in state.steps}


def branch(at: Place) -> list[str]:
    """The subjects of the commits that a reviewer gets."""
    return git(at.work, "log", "--format=%s", f"{at.base_commit}..rover/7-mend").splitlines()


DONE, SKIPPED = StepStatus.COMPLETED, StepStatus.SKIPPED
# The test passes when add.py says "good".
TEST = edit("test.sh", "grep -q good add.py\n")


def test_swe_plans_and_reviews_what_is_large(tmp_path: Path) -> None:
    """G7: nobody is asked anything."""
    at = place(
        tmp_path,
        "swe",
        triage=[LOOK],
        plan=[{"outputs": {"plan": "1. add.py"}}],
        implement=[{"edits": [TEST["edits"][0], {"path": "add.py", "content": "bad\n"}], **SAID}],
        repair=[edit("add.py", "good\n")],
        review=[FOUND],
        apply_review=[edit("add.py", "good and clean\n", **SAID)],
    )
    assert at.start() is ExitCode.COMPLETED
    assert set(ended(at.state).values()) == {DONE}
    assert git(at.work, "show", "rover/7-mend:add.py") == "good and clean"
    assert at.state.warnings == []


def test_swe_neither_plans_nor_reviews_what_is_small(tmp_path: Path) -> None:
    """G5, G7: the first step decides which run; nothing asks an agent to skip its work."""
    small = {"outputs": {"size": "small", "notes": "one line", "test_command": ""}}
    at = place(tmp_path, "swe", triage=[small], implement=[edit("add.py", "good\n", **SAID)])
    assert at.start() is ExitCode.COMPLETED
    assert [i for i, status in ended(at.state).items() if status is DONE] == ["triage", "implement"]
    assert at.calls() == {"triage": 1, "implement": 1}
    assert at.state.warnings == []


def test_swe_ends_as_failed_when_the_tests_cannot_be_mended(tmp_path: Path) -> None:
    """G7: a repair that brings back an earlier tree is a circle, and no success."""
    at = place(
        tmp_path,
        "swe",
        triage=[LOOK],
        plan=[{"outputs": {"plan": "1. add.py"}}],
        implement=[{"edits": [TEST["edits"][0], {"path": "add.py", "content": "bad\n"}], **SAID}],
        repair=[edit("add.py", "worse\n"), edit("add.py", "worse\n")],
    )
    assert at.start() is ExitCode.FAILED
    assert at.calls()["repair"] == 2
    assert ended(at.state)["mend"] is StepStatus.FAILED
    assert "an earlier one" in str(at.state.error)


def tdd(tmp_path: Path, **steps: Sequence[object]) -> Place:
    look = {"outputs": {"cases": "1. good", "notes": "add.py", "test_command": "sh test.sh"}}
    plain: dict[str, Sequence[object]] = {
        "context": [look],
        "write_tests": [TEST],
        "implement": [edit("add.py", "bad\n", **SAID)],
        "fix": [edit("add.py", "good\n")],
        "review": [FOUND, CLEAN],
        "apply": [edit("add.py", "good, reviewed\n")],
        "summary": [SAID],
    }
    return place(tmp_path, "swe-tdd", **{**plain, **steps})


def test_swe_tdd_goes_from_red_to_green_to_reviewed_and_delivers_one_commit(tmp_path: Path) -> None:
    """G7, G8."""
    at = tdd(tmp_path)
    assert at.start() is ExitCode.COMPLETED
    steps = {s.id: s for s in at.state.steps}
    assert steps["red"].outputs == {"iterations": "1", "condition_met": "true", "circle": "false"}
    assert steps["green"].outputs["iterations"] == "2"
    assert steps["review_and_fix"].outputs["iterations"] == "2"
    assert at.calls() == {
        "context": 1, "write_tests": 1, "implement": 1, "fix": 1, "review": 2, "apply": 1,
        "summary": 1,
    }  # fmt: skip
    assert branch(at) == ["Mend the sum"]
    assert git(at.work, "show", "rover/7-mend:add.py") == "good, reviewed"
    assert at.state.warnings == []


def test_swe_tdd_has_tests_sharpened_that_pass_before_the_code_is_there(tmp_path: Path) -> None:
    """G7: failing tests come first."""
    at = tdd(tmp_path, write_tests=[edit("test.sh", "true\n")], sharpen_tests=[TEST])
    assert at.start() is ExitCode.COMPLETED
    assert at.calls()["sharpen_tests"] == 1
    assert {s.id: s for s in at.state.steps}["red"].outputs["iterations"] == "2"


def test_swe_tdd_ends_where_a_fix_brings_back_an_earlier_tree(tmp_path: Path) -> None:
    """G7: the same tree hash a second time is a circle."""
    turns = [edit("add.py", "worse\n"), edit("add.py", "bad\n"), edit("add.py", "worse\n")]
    at = tdd(tmp_path, fix=turns)
    assert at.start() is ExitCode.FAILED
    assert at.calls()["fix"] == 3
    assert ended(at.state)["green"] is StepStatus.FAILED


def test_swe_tdd_fails_if_the_review_left_the_tests_broken(tmp_path: Path) -> None:
    """G7: the tests have the last word."""
    at = tdd(tmp_path, apply=[edit("add.py", "broken\n")], repair=[edit("add.py", "still\n")])
    assert at.start() is ExitCode.FAILED
    assert "summary" not in at.calls()


def test_swe_tdd_paused_in_a_loop_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    """D7, F5, F7."""
    whole = tdd(tmp_path / "whole")
    whole.start()
    broke = {"error": CREDITS}
    at = tdd(
        tmp_path / "paused",
        fix=[broke, edit("add.py", "good\n")],
        review=[FOUND, broke, CLEAN],
    )
    assert at.start() is ExitCode.PAUSED
    assert at.state.pause
    assert at.state.pause.step == "fix"
    assert at.start() is ExitCode.PAUSED
    assert at.state.pause
    assert at.state.pause.step == "review"
    assert at.start() is ExitCode.COMPLETED
    assert at.result_tree() == whole.result_tree()
    assert {s.id: s.outputs for s in at.state.steps} == {s.id: s.outputs for s in whole.state.steps}


@pytest.mark.parametrize("rounds", [1, 2])
def test_tech_writer_revises_until_a_reader_finds_nothing(tmp_path: Path, rounds: int) -> None:
    """G7."""
    at = place(
        tmp_path,
        "tech-writer",
        context=[{"outputs": {"facts": "f", "place": "docs/use.md"}}],
        outline=[{"outputs": {"outline": "# Use"}}],
        draft=[edit("docs/use.md", "# Use\n")],
        review=[CLEAN] if rounds == 1 else [FOUND, CLEAN],
        revise=[edit("docs/use.md", "# Use it\n")],
        summary=[SAID],
    )
    assert at.start() is ExitCode.COMPLETED
    assert at.calls()["review"] == rounds
    text = "# Use" if rounds == 1 else "# Use it"
    assert git(at.work, "show", "rover/7-mend:docs/use.md") == text
    assert branch(at) == ["Mend the sum"]
    assert at.state.warnings == []


def test_quick_is_one_agent_step_and_a_check_where_one_is_given(tmp_path: Path) -> None:
    """G5, G7."""
    at = place(tmp_path, "quick", implement=[edit("add.py", "good\n")])
    at.inputs = {"check_command": "grep -q good add.py"}
    assert at.start() is ExitCode.COMPLETED
    assert set(ended(at.state).values()) == {DONE}
    unchecked = place(tmp_path / "b", "quick", implement=[edit("add.py", "x\n")])
    assert unchecked.start() is ExitCode.COMPLETED
    assert ended(unchecked.state)["check"] is SKIPPED
