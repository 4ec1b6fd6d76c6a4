"""The runner dies at each named place, and goes on as if it had not. Real processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from agent_runner.crashpoints import VARIABLE, CrashPoint
from agent_runner.journal.journal import FILE_NAME
from agent_runner.models import ExitCode, RunStatus
from tests.crash.outcome import Outcome, outcome
from tests.support.preloaded_daemons import run_preloaded
from tests.support.runs import RunFolders

P = CrashPoint
MOST_ATTEMPTS = 4
TORN = b'{"at":"2026-11-23T10:00:00+00:00","data":{"st'

WORKFLOW = r"""
version: "1.0"
name: points
steps:
  - {id: plan, type: agent, prompt: plan, outputs: [{name: plan, required: true}]}
  - id: outer
    type: loop
    max_iterations: 3
    until: steps.count.outputs.stdout == 2
    steps:
      - {id: write, type: agent, prompt: "write {{steps.plan.outputs.plan}}"}
      - id: inner
        type: loop
        max_iterations: 2
        steps:
          - {id: append, type: command, command: "echo x >> log.txt; wc -l < log.txt"}
          - {id: flaky, type: command, command: "test $(wc -l < log.txt) -ge 3"}
      - {id: count, type: command, command: "echo n >> rounds; wc -l < rounds", commit: a round}
  - id: both
    type: parallel
    steps:
      - {id: left, type: command, command: "echo left > left.txt"}
      - {id: right, type: agent, prompt: right}
  - {id: paid, type: agent, prompt: paid, outputs: [{name: paid}]}
  - {id: last, type: command, command: "cat *.txt rounds > sums; cat sums; env | grep -c ROVER_CRASH || :"}
"""
SCRIPT = """
steps:
  plan: [{outputs: {plan: it's}, edits: [{path: plan.txt, content: plan}]}]
  write: [{edits: [{path: src/a.txt, content: a}]}]
  right: [{edits: [{path: right.txt, content: right}]}]
  paid:
    - error: {status: 400, type: invalid_request_error, message: Your credit balance is too low, provider: anthropic}
    - outputs: {paid: thanks}
      edits: [{path: paid.txt, content: paid}]
"""

# Passages beside the first: inside the nested loop, in a later iteration, after the pause.
LATER = {
    P.RECORD_WRITTEN: (9, 20),
    P.STEP_STARTED: (9,),
    P.SESSION_WRITTEN: (3,),
    P.LEAF_RAN: (7,),
    P.SNAPSHOT_TAKEN: (8,),
    P.STEP_ENDED: (3, 7),
    P.STEP_FAILED: (2,),
    P.ITERATION_BEGUN: (2, 4),
    P.LOOP_LEFT: (2,),
}
PASSAGES = [(point, n) for point in P for n in (1, *LATER.get(point, ()))]


def run(place: RunFolders, crash: str | None = None) -> int:
    """One attempt in a process of its own; its exit status."""
    place.write_spec()
    env = {k: v for k, v in os.environ.items() if k != VARIABLE}
    return run_preloaded(
        ["run", "--spec", str(place.root / "spec")], {**env, **({VARIABLE: crash} if crash else {})}
    )


def to_the_end(place: RunFolders) -> Outcome:
    """Start it again until it is done: it pauses once, for credits."""
    for _ in range(MOST_ATTEMPTS):
        if run(place) == ExitCode.COMPLETED:
            assert place.state.status is RunStatus.COMPLETED
            return outcome(place.run_folder / FILE_NAME)
    raise AssertionError(f"not completed: {place.state}")


def die(place: RunFolders, crash: str) -> None:
    for _ in range(MOST_ATTEMPTS):
        code = run(place, crash)
        if code == -signal.SIGKILL:
            return
        assert code == ExitCode.PAUSED, f"{crash} is never reached"
    raise AssertionError(f"{crash} is never reached")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, str]:
    place = RunFolders(tmp_path_factory.mktemp("calm") / "task", WORKFLOW, SCRIPT)
    found = to_the_end(place)
    assert set(found.finished.values()) == {1}
    return found, place.result_tree()


@pytest.mark.parametrize(("point", "passage"), PASSAGES)
def test_a_runner_that_died_there_goes_on_as_if_it_had_not(
    tmp_path: Path, undisturbed: tuple[Outcome, str], point: CrashPoint, passage: int
) -> None:
    """C1, C4, C8, F1, F5, F7: same outputs, same tree, each step finished once at its place."""
    place = RunFolders(tmp_path / "task", WORKFLOW, SCRIPT)
    if point is P.TAIL_KEPT:
        die(place, f"{P.STEP_STARTED}:4")
        with (place.run_folder / FILE_NAME).open("ab") as file:
            file.write(TORN)
    die(place, f"{point}:{passage}")
    found, (calm, tree) = to_the_end(place), undisturbed
    found.check_equals(calm)
    assert place.result_tree() == tree
