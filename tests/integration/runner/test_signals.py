"""Signals, against the real program in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from agent_runner.models import PauseReason, RunStatus
from agent_runner.run.attempt import PAUSE_REQUEST
from agent_runner.run.runner_command import SIGNALS, run
from tests.support.runs import RunFolders

ROOT = Path(__file__).parents[3]
AGENT = 'version: "1.0"\nname: w\nsteps:\n  - {id: s, type: agent, prompt: p}\n'
COMMAND = AGENT.replace(
    "agent, prompt: p", "command, command: 'echo half > half; echo ready > %s; sleep 60'"
)
TURN = "{edits: [{path: half, content: half}], run: 'echo ready > %s; sleep 60'}"
DELAY = "{edits: [{path: half, content: half}], run: 'echo ready > %s', delay: 60}"


def start(place: RunFolders) -> subprocess.Popen[bytes]:
    place.write_spec()
    return subprocess.Popen(
        [sys.executable, "-m", "agent_runner", "run", "--spec", str(place.root / "spec")],
        cwd=ROOT,
        stderr=subprocess.PIPE,
    )


def make(tmp_path: Path, kind: str) -> RunFolders:
    fifo = tmp_path / "ready"
    os.mkfifo(fifo)
    if kind == "command":
        return RunFolders(tmp_path / "task", COMMAND % fifo)
    turn = (DELAY if kind == "delay" else TURN) % fifo
    return RunFolders(tmp_path / "task", AGENT, f"steps: {{s: [{turn}, {{say: done}}]}}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("kind", ["agent", "delay", "command"])
def test_a_signal_in_a_step_leaves_a_checkpoint(
    tmp_path: Path, kind: str, number: signal.Signals
) -> None:
    """E1, E5: agent closed, checkpoint written, pause logged, exit 2."""
    place = make(tmp_path, kind)
    with start(place) as process:
        (tmp_path / "ready").read_text()
        process.send_signal(number)
        assert process.wait(timeout=300) == 2
    state = place.state
    assert state.status is RunStatus.PAUSED
    assert state.pause is not None
    assert (state.pause.reason, state.pause.step) == (PauseReason.INTERRUPTED, "s")
    assert state.snapshot is not None
    assert place.leftovers() == []


def test_a_second_signal_changes_nothing_and_the_resume_completes(tmp_path: Path) -> None:
    """E3, F8."""
    place = make(tmp_path, "agent")
    (place.run_folder / PAUSE_REQUEST).write_text('{"reason": "requested"}')
    with start(place) as process:
        (tmp_path / "ready").read_text()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            process.send_signal(number)
        assert process.wait(timeout=300) == 2
    assert place.types().count("workflow_pause") == 1
    assert place.state.pause is not None
    assert place.state.pause.reason is PauseReason.REQUESTED
    with start(place) as process:
        assert process.wait(timeout=300) == 0
    assert (place.work / "half").read_text() == "half"
    assert place.calls() == {"s": 2}


NESTED = """
version: "1.0"
name: w
steps:
  - id: outer
    type: loop
    max_iterations: 2
    steps:
      - id: inner
        type: loop
        max_iterations: 2
        steps:
          - {id: count, type: command, command: 'echo x >> "$HOME/ran"; echo x >> count'}
          - id: both
            type: parallel
            steps:
              - {id: s, type: agent, prompt: p}
              - {id: c, type: command, command: '%s'}
"""
THIRD = 'test -e "$HOME/go" || test "$(wc -l < count)" -lt 3 || { touch half; sleep 60; }'


def in_the_third(tmp_path: Path) -> tuple[RunFolders, str]:
    """A workflow whose agent and command wait in iteration 1 of iteration 2."""
    fifo = tmp_path / "ready"
    os.mkfifo(fifo)
    turn = f"{{edits: [{{path: made, append: m}}], run: 'echo ready > {fifo}; sleep 60'}}"
    script = f"steps: {{s: [{{say: a}}, {{say: b}}, {turn}, {{say: c}}, {{say: d}}]}}"
    return RunFolders(tmp_path / "task", NESTED % THIRD, script), str(fifo)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_in_parallel_steps_of_a_nested_loop_goes_on_right_there(
    tmp_path: Path, number: signal.Signals
) -> None:
    """E1, E5, D7, F5, F8, C1: agent and command are closed; only those two run again, the agent
    in its session."""
    place, fifo = in_the_third(tmp_path)
    with start(place) as process:
        Path(fifo).read_text()
        process.send_signal(number)
        assert process.wait(timeout=300) == (-9 if number == signal.SIGKILL else 2)
    if number == signal.SIGKILL:
        place.kill_leftovers()
    else:
        assert place.state.pause is not None
        assert (place.state.pause.reason, place.state.pause.step) == (PauseReason.INTERRUPTED, "s")
    assert place.leftovers() == []
    steps = {s.id: s for s in place.state.steps}
    assert (steps["outer"].iteration, steps["inner"].iteration) == (2, 1)
    session = steps["s"].session
    (place.root / "home/go").touch()
    with start(place) as process:
        assert process.wait(timeout=300) == 0
    steps = {s.id: s for s in place.state.steps}
    assert session is not None
    assert (place.root / "home/ran").read_text() == "x\n" * 4
    assert place.calls() == {"s": 5}
    assert place.types().count("workflow_resume") == 1
    assert (place.work / "made").read_text() == "m"
    goes_on = f'"session_id":"{session.session_id}"'
    assert (place.run_folder / "journal.jsonl").read_text().count(goes_on) == 2


def test_a_killed_runner_goes_on_from_its_journal(tmp_path: Path) -> None:
    """C1, C9: kill -9 in the middle of a step."""
    place = make(tmp_path, "agent")
    with start(place) as process:
        (tmp_path / "ready").read_text()
        process.kill()
        assert process.wait(timeout=300) == -signal.SIGKILL
    place.kill_leftovers()
    assert place.state.status is RunStatus.RUNNING
    session = place.state.steps[0].session
    assert session is not None
    with start(place) as process:
        assert process.wait(timeout=300) == 0
    assert place.state.steps[0].session == session
    assert place.state.status is RunStatus.COMPLETED


def test_handlers_are_gone_at_the_end(tmp_path: Path) -> None:
    """E4."""
    before = [signal.getsignal(n) for n in SIGNALS]
    place = RunFolders(tmp_path / "task", AGENT)
    spec = place.write_spec()
    assert anyio.run(run, spec) == 0
    assert [signal.getsignal(n) for n in SIGNALS] == before


def test_a_spec_that_cannot_be_read_is_a_clear_failure(tmp_path: Path) -> None:
    """A2."""
    done = subprocess.run(
        [sys.executable, "-m", "agent_runner", "run", "--spec", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert b"spec.json" in done.stderr
    assert b"Traceback" not in done.stderr
