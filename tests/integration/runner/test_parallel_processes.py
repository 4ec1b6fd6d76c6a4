"""Parallel steps on the level of processes: real bash, no sandbox."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from agent_runner.models import ExitCode, RunStatus, StepStatus
from agent_runner.spec import RunLimits
from tests.support.runs import RunFolders

ROOT = Path(__file__).parents[3]
# Says that it is there, and leaves a child in a session of its own that ignores SIGTERM.
HIDING = "trap '' TERM; setsid sleep 300 & echo up > {fifo}; sleep 300"


def flow(*commands: str) -> str:
    steps = "".join(
        f'      - {{id: c{n}, type: command, command: "{command}"}}\n'
        for n, command in enumerate(commands)
    )
    head = 'version: "1.0"\nname: w\nsteps:\n  - id: both\n    type: parallel\n    steps:\n'
    return head + steps


def test_a_signal_ends_every_step_that_runs_with_all_that_it_started(tmp_path: Path) -> None:
    """E1, E5: one pause, one checkpoint, and nothing lives on."""
    fifos = [tmp_path / f"up{n}" for n in range(3)]
    for fifo in fifos:
        os.mkfifo(fifo)
    place = RunFolders(tmp_path / "task", flow(*(HIDING.format(fifo=f) for f in fifos)))
    place.limits = RunLimits(stop_grace=0.2)
    place.write_spec()
    argv = [sys.executable, "-m", "agent_runner", "run", "--spec", str(place.root / "spec")]
    with subprocess.Popen(argv, cwd=ROOT, stderr=subprocess.PIPE) as process:
        for fifo in fifos:
            fifo.read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=300) == ExitCode.PAUSED
    assert place.leftovers() == []
    state = place.state
    assert (state.status, state.snapshot is not None) == (RunStatus.PAUSED, True)
    assert place.types().count("workflow_pause") == 1


def test_the_time_out_of_one_leaves_the_others_running(tmp_path: Path) -> None:
    """E5: what hides from its end is gone, and its sibling's hidden child lives to be asked."""
    late = "trap '' TERM; setsid sleep 300 & sleep 300"
    sibling = (
        "setsid sleep 300 & child=$!; cat ../over > /dev/null; "
        "kill -0 $child && echo alive; kill $child"
    )
    # With a limit of 2 it begins when the one that is late is over.
    after = "echo > ../over"
    place = RunFolders(tmp_path / "task", flow(sibling, late, after))
    os.mkfifo(place.root / "over")
    place.workflow = place.workflow.replace(
        f'"{late}"}}', f'"{late}", allow_failure: true, timeout: 1}}'
    ).replace("type: parallel", "type: parallel\n    limit: 2")
    place.limits = RunLimits(stop_grace=0.1)
    assert place.start() is ExitCode.COMPLETED
    state = place.state
    assert [s.status for s in state.steps] == [StepStatus.COMPLETED] * 4
    assert state.steps[1].outputs["stdout"] == "alive"
    assert state.steps[2].outputs["exit_code"] == "124"
    assert place.leftovers() == []
