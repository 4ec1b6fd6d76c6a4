"""The built-in workflows, from the first step to the last: real git and bash, the scripted agent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from agent_runner.models import ExitCode, RunState, StepStatus
from rover_mcp.tasks.catalog import builtin_folder
from tests.support.runs import RunFolders, git

CREDITS = {
    "status": 400,
    "type": "invalid_request_error",
    "message": "Your credit balance is too low",
    "provider": "anthropic",
}
PASSES = "test ! -e add.py || grep -q good add.py"
"""A test that passes before there is an add.py, and then where it says "good"."""
LOOK = {"outputs": {"size": "large", "notes": "see add.py", "test_command": PASSES}}
CLEAN = {"outputs": {"issues_found": "false", "issues": ""}}
FOUND = {"outputs": {"issues_found": "true", "issues": "add.py:1 is wrong"}}
SAID = {"outputs": {"summary": "done"}}


def edit(path: str, content: str, **more: object) -> dict[str, object]:
    return {"edits": [{"path": path, "content": content}], **more}


def place(tmp_path: Path, workflow: str, **steps: Sequence[object]) -> RunFolders:
    text = (builtin_folder() / f"{workflow}.yaml").read_text()
    return RunFolders(tmp_path / "task", text, yaml.safe_dump({"steps": steps}))


def ended(state: RunState) -> dict[str, StepStatus]:
    return {step.id: step.status for step in state.steps}


def branch(at: RunFolders) -> list[str]:
    """The subjects of the commits that a reviewer gets."""
    return git(at.work, "log", "--format=%s", f"{at.base_commit}..rover/7-mend").splitlines()


DONE, SKIPPED = StepStatus.COMPLETED, StepStatus.SKIPPED
# The test passes when add.py says "good".
TEST = edit("test.sh", "grep -q good add.py\n")
PLAN = {"outputs": {"plan": "1. add.py"}}
LEFT = {"outputs": {"only_old_failures": "false", "still_failing": "test_add: it says bad"}}
OLD = {"outputs": {"only_old_failures": "true", "still_failing": "test_old, as before"}}
OLD_RED = "grep -q good add.py && test -e never"
"""A test that fails before the change and after it."""


def swe(tmp_path: Path, **steps: Sequence[object]) -> RunFolders:
    plain: dict[str, Sequence[object]] = {
        "triage": [LOOK],
        "plan": [PLAN],
        "implement": [edit("add.py", "good\n", **SAID)],
        "review": [CLEAN],
        "repair": [LEFT],
    }
    return place(tmp_path, "swe", **{**plain, **steps})


def body(at: RunFolders) -> str:
    return git(at.work, "log", "-1", "--format=%b", "rover/7-mend")


def test_swe_plans_and_reviews_what_is_large(tmp_path: Path) -> None:
    """G7: nobody is asked anything."""
    at = swe(
        tmp_path,
        implement=[edit("add.py", "bad\n", **SAID)],
        repair=[edit("add.py", "good and clean\n", **LEFT)],
        review=[FOUND],
        apply_review=[edit("add.py", "worse\n", **SAID)],
    )
    assert at.start() is ExitCode.COMPLETED
    skipped = ["check_baseline", "baseline_again", "last_test"]
    assert [i for i, status in ended(at.state).items() if status is SKIPPED] == [
        "check_baseline", "baseline_again", "repair", "last_test",
    ]  # fmt: skip
    assert {i for i, status in ended(at.state).items() if status is DONE} >= {"review", "test"}
    assert not {*skipped} & {*at.calls()}
    assert git(at.work, "show", "rover/7-mend:add.py") == "good and clean"
    assert (at.state.warnings, at.state.verdict) == ([], None)


def test_swe_accepts_what_failed_before_the_change(tmp_path: Path) -> None:
    """One look before, one after; the work is delivered and the result says so."""
    at = swe(
        tmp_path,
        triage=[{"outputs": {"size": "small", "notes": "n", "test_command": OLD_RED}}],
        check_baseline=[{"outputs": {"test_command": OLD_RED, "known_failures": "test_old"}}],
        repair=[OLD],
    )
    assert at.start() is ExitCode.COMPLETED
    assert at.calls() == {"triage": 1, "check_baseline": 1, "implement": 1, "repair": 1}
    assert git(at.work, "show", "rover/7-mend:add.py") == "good"
    said = "tests still fail: test_old, as before (exit status 1; as the agent says)"
    assert (at.state.verdict, at.state.warnings) == (said, [])
    assert f"But: {at.state.verdict}" in body(at)


def as_pytest(*failed: str) -> str:
    """A command that prints what pytest does, where these tests fail."""
    lines = ["= short test summary info =", *(f"FAILED t.py::{name} - no" for name in failed)]
    printed = " ".join(f"'{line}'" for line in [*lines, f"{len(failed)} failed in 0.01s"])
    return f"printf '%s\\n' {printed}; exit 1"


def test_swe_compares_the_names_of_the_tests_and_asks_for_no_repair(tmp_path: Path) -> None:
    """That only old tests fail is known, and no agent is paid to say so."""
    run = as_pytest("old")
    at = swe(
        tmp_path,
        triage=[{"outputs": {"size": "small", "notes": "n", "test_command": run}}],
        check_baseline=[{"outputs": {"test_command": run, "known_failures": "old"}}],
    )
    assert at.start() is ExitCode.COMPLETED
    assert at.calls() == {"triage": 1, "check_baseline": 1, "implement": 1}
    said = "tests still fail: t.py::old (exit status 1; all of them failed before)"
    assert at.state.verdict == said
    assert f"But: {said}" in body(at)


def test_swe_does_not_believe_an_agent_that_another_test_failed_before(tmp_path: Path) -> None:
    """The names say what the change broke."""
    run = f"test ! -e add.py || {{ {as_pytest('old', 'new')}; }}; {as_pytest('old')}"
    at = swe(
        tmp_path,
        triage=[{"outputs": {"size": "small", "notes": "n", "test_command": run}}],
        check_baseline=[{"outputs": {"test_command": run, "known_failures": "old"}}],
        implement=[edit("add.py", "bad\n", **SAID)],
        repair=[edit("add.py", "worse\n", **OLD), edit("other.py", "", run="rm add.py", **LEFT)],
    )
    assert at.start() is ExitCode.COMPLETED
    assert at.calls()["repair"] == 2
    assert at.state.verdict == (
        "tests still fail: t.py::old (exit status 1; all of them failed before)"
    )


def test_swe_takes_failures_for_new_where_the_tests_passed_before(tmp_path: Path) -> None:
    """What passed must pass; nothing that the rounds leave open is thrown away."""
    bad = [edit("add.py", f"bad {n}\n", **OLD) for n in range(3)]
    at = swe(tmp_path, implement=[edit("add.py", "bad\n", **SAID)], repair=bad)
    assert at.start() is ExitCode.COMPLETED
    assert at.calls()["repair"] == 3
    assert git(at.work, "show", "rover/7-mend:add.py") == "bad 2"
    assert at.state.verdict == "tests still fail: test_old, as before (exit status 1)"
    assert branch(at) == ["Mend the sum"]


def test_swe_asks_no_more_of_a_repair_that_goes_in_a_cycle(tmp_path: Path) -> None:
    """G4, G7: and delivers, although the agent has committed all of it itself."""
    commit = {"run": "git add -A && git commit -qm mine"}
    at = swe(tmp_path, implement=[edit("add.py", "bad\n", **SAID, **commit)])
    assert at.start() is ExitCode.COMPLETED
    assert at.calls()["repair"] == 2
    assert branch(at) == ["Mend the sum", "mine"]
    assert "tests still fail: test_add: it says bad" in body(at)


@pytest.mark.parametrize("given", ["", "pytets -q"])
def test_swe_has_a_test_command_corrected_that_is_not_found(tmp_path: Path, given: str) -> None:
    """Status 127 says nothing of the tests."""
    found = {"size": "small", "notes": "n", "test_command": "" if given else "pytets -q"}
    at = swe(
        tmp_path,
        triage=[{"outputs": found}],
        check_baseline=[{"outputs": {"test_command": PASSES, "known_failures": ""}}],
        implement=[edit("add.py", "bad\n", **SAID)],
        repair=[edit("add.py", "good\n", **OLD)],
    )
    at.inputs = {"test_command": given}
    assert at.start() is ExitCode.COMPLETED
    outputs = {s.id: s.outputs for s in at.state.steps}
    assert outputs["baseline"]["exit_code"] == "127"
    assert outputs["baseline_again"]["success"] == "true"
    assert outputs["test"]["success"] == "true"
    assert git(at.work, "show", "rover/7-mend:add.py") == "good"
    assert at.state.verdict is None


def test_a_review_that_edits_a_file_has_that_undone(tmp_path: Path) -> None:
    """That it changes no file is enforced."""
    at = swe(tmp_path, review=[edit("add.py", "mine\n", **CLEAN)])
    assert at.start() is ExitCode.COMPLETED
    assert git(at.work, "show", "rover/7-mend:add.py") == "good"
    assert "step review is read-only" in at.state.warnings[0]
    assert "add.py" in at.state.warnings[0]


def test_swe_neither_plans_nor_reviews_what_is_small(tmp_path: Path) -> None:
    """G5, G7: the first step decides which run; nothing asks an agent to skip its work."""
    small = {"outputs": {"size": "small", "notes": "one line", "test_command": ""}}
    at = place(tmp_path, "swe", triage=[small], implement=[edit("add.py", "good\n", **SAID)])
    assert at.start() is ExitCode.COMPLETED
    assert [i for i, status in ended(at.state).items() if status is DONE] == ["triage", "implement"]
    assert at.calls() == {"triage": 1, "implement": 1}
    assert at.state.warnings == []


def tdd(tmp_path: Path, **steps: Sequence[object]) -> RunFolders:
    run = "test ! -e test.sh || sh test.sh"
    look = {"outputs": {"cases": "1. good", "notes": "add.py", "test_command": run}}
    plain: dict[str, Sequence[object]] = {
        "context": [look],
        "write_tests": [TEST],
        "repair": [LEFT],
        "implement": [edit("add.py", "bad\n", **SAID)],
        "fix": [edit("add.py", "good\n", **LEFT)],
        "review": [FOUND, CLEAN],
        "apply": [edit("add.py", "good, reviewed\n")],
        "summary": [SAID],
    }
    return place(tmp_path, "swe-tdd", **{**plain, **steps})


def test_swe_tdd_goes_from_red_to_green_to_one_reviewed_commit(tmp_path: Path) -> None:
    """G7, G8."""
    at = tdd(tmp_path)
    assert at.start() is ExitCode.COMPLETED
    steps = {s.id: s for s in at.state.steps}
    assert steps["red"].outputs == {"iterations": "1", "condition_met": "true", "cycle": "false"}
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


def test_swe_tdd_ends_its_rounds_where_a_fix_brings_back_an_earlier_tree(tmp_path: Path) -> None:
    """G7: the same tree hash a second time is a cycle, and the work is delivered."""
    turns = [edit("add.py", f"{word}\n", **LEFT) for word in ("worse", "bad", "worse")]
    at = tdd(tmp_path, fix=turns, review=[CLEAN])
    assert at.start() is ExitCode.COMPLETED
    assert at.calls()["fix"] == 3
    assert ended(at.state)["green"] is DONE
    assert at.state.verdict == "tests still fail: test_add: it says bad (exit status 1)"
    assert f"But: {at.state.verdict}" in body(at)
    assert git(at.work, "show", "rover/7-mend:add.py") == "worse"


def test_swe_tdd_accepts_what_failed_before_the_change(tmp_path: Path) -> None:
    run = "sh test.sh && test -e never"
    at = tdd(
        tmp_path,
        context=[{"outputs": {"cases": "1. good", "notes": "n", "test_command": run}}],
        check_baseline=[{"outputs": {"test_command": run, "known_failures": "test_old"}}],
        implement=[edit("add.py", "good\n", **SAID)],
        fix=[OLD],
        review=[CLEAN],
    )
    assert at.start() is ExitCode.COMPLETED
    assert at.calls()["fix"] == 1
    assert at.calls()["summary"] == 1
    said = "tests still fail: test_old, as before (exit status 1; as the agent says)"
    assert at.state.verdict == said


def test_swe_tdd_says_that_the_review_left_the_tests_broken(tmp_path: Path) -> None:
    """G7: the tests have the last word, and it is in the result."""
    repair = [edit("add.py", "still\n", **LEFT)]
    at = tdd(tmp_path, apply=[edit("add.py", "broken\n")], repair=repair)
    assert at.start() is ExitCode.COMPLETED
    assert at.calls()["summary"] == 1
    assert str(at.state.verdict).startswith("tests still fail:")


def test_swe_tdd_paused_in_a_loop_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    """D7, F5, F7."""
    whole = tdd(tmp_path / "whole")
    whole.start()
    broke = {"error": CREDITS}
    at = tdd(
        tmp_path / "paused",
        fix=[broke, edit("add.py", "good\n", **LEFT)],
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


def quick(tmp_path: Path, **steps: Sequence[object]) -> RunFolders:
    at = place(tmp_path, "quick", **steps)
    at.inputs = {"check_command": "grep good add.py"}
    return at


def test_quick_is_one_agent_step_and_a_check_where_one_is_given(tmp_path: Path) -> None:
    """G5, G7."""
    at = quick(tmp_path, implement=[edit("add.py", "good\n")])
    assert at.start() is ExitCode.COMPLETED
    assert [i for i, status in ended(at.state).items() if status is DONE] == [
        "implement", "check", "run_check",
    ]  # fmt: skip
    unchecked = place(tmp_path / "b", "quick", implement=[edit("add.py", "x\n")])
    assert unchecked.start() is ExitCode.COMPLETED
    assert ended(unchecked.state)["check"] is SKIPPED
    assert unchecked.calls() == {"implement": 1}


@pytest.mark.parametrize("good", [1, 3, None])
def test_quick_lets_the_agent_try_again_and_delivers_in_any_case(
    tmp_path: Path, good: int | None
) -> None:
    """Three rounds; what they leave open is the verdict."""
    words = ["good" if n == good else f"bad {n}" for n in (1, 2, 3)]
    said = {"outputs": {"still_wrong": "it says bad"}}
    repair = [edit("add.py", f"{word}\n", **said) for word in words]
    at = quick(tmp_path, implement=[edit("add.py", "bad\n")], repair=repair)
    assert at.start() is ExitCode.COMPLETED
    assert at.calls()["repair"] == (good or 3)
    wrong = None if good else "the check still fails: it says bad (exit status 1)"
    assert at.state.verdict == wrong
    last = "good" if good else "bad 3"
    assert git(at.work, "show", "rover/7-mend:add.py") == last


def test_investigate_gives_a_report_and_changes_nothing(tmp_path: Path) -> None:
    """D.14."""
    report = edit("investigation.md", "# It is so\n", run="echo the agent wrote here >> README")
    at = place(
        tmp_path,
        "investigate",
        look=[report],
        check=[{"outputs": {"summary": "It is so.", "corrections": ""}}],
    )
    assert at.start() is ExitCode.COMPLETED
    steps = {s.id: s.outputs for s in at.state.steps}
    assert steps["look"] == {"report": "# It is so\n"}
    assert steps["check"]["summary"] == "It is so."
    assert branch(at) == []
    assert any("README" in w for w in at.state.warnings)


def reproduce(tmp_path: Path, **steps: Sequence[object]) -> RunFolders:
    wrote = {"reproduce_command": "sh bug.sh", "test_command": PASSES, "notes": "in add.py"}
    said = {"summary": "s", "only_old_failures": "false", "still_failing": "bug.sh"}
    plain: dict[str, Sequence[object]] = {
        "write_test": [edit("bug.sh", "grep -q good add.py\n", outputs=wrote)],
        "correct": [edit("add.py", "good\n", outputs=said)],
    }
    return place(tmp_path, "reproduce-fix", **{**plain, **steps})


def test_reproduce_fix_shows_the_bug_before_it_corrects_it(tmp_path: Path) -> None:
    """D.14."""
    at = reproduce(tmp_path)
    assert at.start() is ExitCode.COMPLETED
    assert at.state.verdict is None
    assert at.calls() == {"write_test": 1, "correct": 1}
    assert git(at.work, "show", "rover/7-mend:add.py") == "good"
    assert git(at.work, "show", "rover/7-mend:bug.sh") == "grep -q good add.py"


def test_reproduce_fix_corrects_nothing_that_no_test_shows(tmp_path: Path) -> None:
    """D.14: three tries, and the result says so."""
    wrote = {"reproduce_command": "true", "test_command": "", "notes": "cannot be shown"}
    at = reproduce(tmp_path, write_test=[edit("bug.sh", "true\n", outputs=wrote)])
    assert at.start() is ExitCode.COMPLETED
    assert at.calls() == {"write_test": 3}
    assert at.state.verdict == "the bug was not reproduced: cannot be shown"


def test_review_reads_what_a_branch_brought_and_changes_nothing(tmp_path: Path) -> None:
    """D.14: and a finding that does not hold is dropped."""
    steps = {
        "review": [{"run": "echo x > README", "outputs": {"findings": "README:1 is wrong"}}],
        "check": [{"outputs": {"summary": "README:1 is wrong, shown by cat"}}],
    }
    at = place(tmp_path, "review", **steps)
    at.inputs = {"since": at.base_commit}
    assert at.start() is ExitCode.COMPLETED
    assert at.calls() == {"review": 1, "check": 1}
    assert branch(at) == []
    assert {s.id: s.outputs for s in at.state.steps}["changes"]["stdout"] == at.base_commit
    lost = place(tmp_path / "b", "review", **steps)
    lost.inputs = {"since": "nowhere"}
    assert lost.start() is ExitCode.FAILED
    assert "git merge-base main BRANCH" in (lost.state.error or "")


def test_migrate_changes_its_parts_at_the_same_time_and_looks_for_the_rest(tmp_path: Path) -> None:
    """D.14: parts that are not needed are not done."""
    found = {f"places_{n}": f"{n}.py" if n < 4 else "" for n in (1, 2, 3, 4)}
    found |= {"rule": "new", "test_command": "! grep -q old *.py"}
    rest = {"summary": "s", "only_old_failures": "false", "still_left": "4.py"}
    parts = {
        f"part_{n}": [edit(f"{n}.py", "new\n", outputs={f"left_{n}": ""})] for n in (1, 2, 3, 4)
    }
    at = place(
        tmp_path,
        "migrate",
        find=[{"outputs": found}],
        rest=[
            edit("4.py", "old\n", outputs={**rest, "complete": "false"}),
            edit("4.py", "new\n", outputs={**rest, "complete": "true"}),
        ],
        **parts,
    )
    assert at.start() is ExitCode.COMPLETED
    assert ended(at.state)["part_4"] is SKIPPED
    assert at.calls() == {"find": 1, "part_1": 1, "part_2": 1, "part_3": 1, "rest": 2}
    assert at.state.verdict is None
    assert [git(at.work, "show", f"rover/7-mend:{n}.py") for n in (1, 2, 3, 4)] == ["new"] * 4
