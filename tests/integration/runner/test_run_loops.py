"""Loops and parallel steps, end to end: real git, bash and journal, the scripted agent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent_runner.journal.journal import FILE_NAME
from agent_runner.journal.journal_reader import read_journal
from agent_runner.models import Budget, ExitCode, PauseReason, Usage
from tests.support.flows import HEAD, place
from tests.support.runs import RunFolders

NESTED = (
    HEAD
    + """
steps:
  - {id: plan, type: agent, prompt: plan, outputs: [{name: plan}, {name: missing}]}
  - id: review_loop
    type: loop
    until: steps.review.outputs.verdict == good
    max_iterations: 4
    steps:
      - id: test_loop
        type: loop
        until: steps.test.outputs.success == true
        max_iterations: 5
        steps:
          - {id: mend, type: agent, prompt: "mend {{steps.plan.outputs.missing}}"}
          - {id: test, type: command, allow_failure: true, command: 'test "$(grep -c . work.txt)" -ge 3'}
      - {id: review, type: agent, prompt: review, outputs: [{name: verdict}]}
"""
)
CREDITS = "{status: 400, type: invalid_request_error, message: Your credit balance is too low}"
SCRIPT = """
steps:
  plan: [{outputs: {plan: p}, usage: {input_tokens: 5}}]
  mend: [%s]
  review: [{outputs: {verdict: bad}}, {outputs: {verdict: good}}]
"""
LINE = '{edits: [{path: work.txt, append: "line\\n"}]}'
BROKE = f"{{edits: [{{path: work.txt, append: li}}], error: {CREDITS}}}"
REST = '{edits: [{path: work.txt, append: "ne\\n"}]}'


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunFolders:
    """The nested loops, run through: three lines in the first review's iteration, one more in
    the second's."""
    p = nested(tmp_path_factory.mktemp("whole"))
    assert p.start() is ExitCode.COMPLETED
    return p


def nested(tmp_path: Path, *turns: str, **more: object) -> RunFolders:
    return place(tmp_path, SCRIPT % ", ".join(turns or [LINE]), NESTED, **more)


def test_a_pause_in_a_nested_loop_resumes_there_and_changes_no_result(
    tmp_path: Path, whole: RunFolders
) -> None:
    """D7, F1, F4, F5, F7, F8: the same outputs, the same tree, no step run twice."""
    p = nested(tmp_path, LINE, BROKE, REST, LINE)
    assert p.start() is ExitCode.PAUSED
    assert p.state.pause is not None
    assert (p.state.pause.reason, p.state.pause.step) == (PauseReason.CREDITS, "mend")
    assert [s.iteration for s in p.state.steps] == [None, 1, 2, None, None, None]
    assert "step_fail" not in p.types()
    assert p.start() is ExitCode.COMPLETED
    assert p.result_tree() == whole.result_tree()
    assert [s.outputs for s in p.state.steps] == [s.outputs for s in whole.state.steps]
    assert p.calls() == {"plan": 1, "mend": 5, "review": 2}
    assert p.state.steps[1].outputs["iterations"] == "2"
    assert (p.state.skipped_on_resume, p.state.progress) == (1, 100)
    assert [s.session for s in p.state.steps if s.id == "mend"] != [None]


def test_a_placeholder_that_has_no_value_is_told_once(whole: RunFolders) -> None:
    """G2: four times the same prompt."""
    assert len(whole.state.warnings) == 1
    assert "{{steps.plan.outputs.missing}}" in whole.state.warnings[0]


def test_a_snapshot_is_made_after_each_sub_step_that_changed_the_tree(whole: RunFolders) -> None:
    """C8, C10: and none after those that did not."""
    ends = [
        r for r in read_journal(whole.run_folder / FILE_NAME).records if r.type == "step_complete"
    ]
    numbers = [
        (r.data["step"], r.data["snapshot"]["sequence"]) for r in ends if "snapshot" in r.data
    ]
    changed = [number for name, number in numbers if name == "mend"]
    assert changed == sorted(set(changed))
    assert {n for name, n in numbers if name in ("test", "review")} <= set(changed)
    loops = [r.data["step"] for r in ends if "snapshot" not in r.data]
    assert loops == ["test_loop", "test_loop", "review_loop"]


def test_the_log_of_a_sub_step_says_in_which_iteration_it_was(whole: RunFolders) -> None:
    heads = [line for line in whole.log("mend").splitlines() if line.startswith("---")]
    assert "attempt 1, review_loop 1, test_loop 2," in heads[1]
    assert "attempt 1, review_loop 2, test_loop 1," in heads[3]


def test_a_budget_pauses_a_loop_before_its_next_step(tmp_path: Path) -> None:
    """D8, D10: with what was spent, and goes on with a larger one."""
    p = nested(tmp_path)
    budget = Budget(tokens=10)
    assert p.start(budget=budget, spent=Usage(output_tokens=5)) is ExitCode.PAUSED
    pause = p.state.pause
    assert pause is not None
    assert (pause.reason, pause.step) == (PauseReason.BUDGET, "mend")
    assert pause.message == "it has used 10 of 10 tokens"
    assert p.start(budget=Budget(tokens=11), spent=Usage(output_tokens=5)) is ExitCode.COMPLETED
    assert p.calls()["plan"] == 1


def test_the_first_snapshot_of_an_attempt_has_the_number_that_it_was_given(tmp_path: Path) -> None:
    """C10: numbers that another attempt may have used are left out."""
    p = nested(tmp_path, LINE, BROKE, REST, LINE)
    p.start()
    before = p.state.snapshot
    assert before is not None
    assert p.start(first_snapshot=40) is ExitCode.COMPLETED
    names = sorted(path.stem for path in (p.run_folder / "bundles").iterdir())
    assert names[before.sequence] == "000040"


PARALLEL = (
    HEAD
    + """
steps:
  - id: both
    type: parallel
    limit: 2
    steps:
      - {id: one, type: command, command: 'echo 1 > one; echo x > $HOME/f'}
      - {id: two, type: command, command: 'read y < $HOME/f; echo 2 > two'}
      - {id: three, type: command, command: 'echo 3 > three'}
  - {id: after, type: command, command: 'cat one two three'}
"""
)


def test_steps_run_at_the_same_time_in_one_tree_and_each_has_its_snapshot(tmp_path: Path) -> None:
    """C8, C10: two commands that wait for each other; snapshots come one at a time."""
    p = place(tmp_path, workflow=PARALLEL)
    os.mkfifo(p.root / "home/f")
    assert p.start() is ExitCode.COMPLETED
    assert p.state.steps[-1].outputs["stdout"] == "1\n2\n3"
    assert p.state.warnings == []
    listed = {line.split("\t")[1] for line in p.result_tree().splitlines()}
    assert {"one", "two", "three"} <= listed


CYCLE = (
    HEAD
    + """
steps:
  - id: fix_loop
    type: loop
    until: steps.test.outputs.success == true
    on_cycle: %s
    max_iterations: 9
    steps:
      - {id: flip, type: command, command: 'if test -e a; then rm a; else echo 1 > a; fi'}
      - {id: test, type: command, allow_failure: true, command: 'exit 3'}
  - {id: after, type: command, command: 'echo {{steps.fix_loop.outputs.cycle}}'}
"""
)


@pytest.mark.parametrize(("on_cycle", "code"), [("end", 0), ("fail", 1)])
def test_a_tree_that_comes_back_ends_the_loop(tmp_path: Path, on_cycle: str, code: int) -> None:
    """G7, G4: by the tree of the snapshots, here at the end of iteration 3."""
    p = place(tmp_path, workflow=CYCLE % on_cycle)
    assert p.start() == code
    loop, after = p.state.steps[0], p.state.steps[-1]
    assert (loop.outputs["iterations"], loop.outputs["cycle"]) == ("3", "true")
    assert after.outputs.get("stdout") == ("true" if on_cycle == "end" else None)
    if on_cycle == "fail":
        assert p.state.error is not None
        assert p.state.error.endswith("last error: step test: exit status 3")
