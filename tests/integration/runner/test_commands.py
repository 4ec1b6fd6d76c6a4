"""Command steps on the level of processes: bash, its quoting, its caps, its ends."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from agent_runner.models import ExitCode, PauseReason, RunStatus
from agent_runner.spec import RunLimits
from tests.support.runs import RunFolders, git

HOSTILE = "$(touch pwned) `touch pwned`; touch pwned #\n'\"\\ && touch pwned\n* ~ $HOME ${IFS}"


def place(tmp_path: Path, *steps: dict[str, object], **more: object) -> RunFolders:
    flow = {"version": "1.0", "name": "w", "inputs": [{"name": "x", "default": "d"}]}
    text = yaml.safe_dump({**flow, "steps": [{"type": "command", **step} for step in steps]})
    return RunFolders(tmp_path / "task", text, **more)


@pytest.mark.parametrize(
    "command",
    [
        "printf %s {{inputs.x}}",
        'printf %s "{{inputs.x}}"',
        "printf %s '{{inputs.x}}'",
        "printf %s {{steps.a.outputs.stdout}}",
        'v={{inputs.x}}; printf %s "$v"',
        "if [ -n {{inputs.x}} ]; then printf %s {{inputs.x}}; fi",
    ],
)
def test_no_value_can_become_code(tmp_path: Path, command: str) -> None:
    """G1: bare, in either kind of quotes, from an input or from another step."""
    first = {"id": "a", "command": "cat ../value"}
    p = place(tmp_path, first, {"id": "b", "command": command}, inputs={"x": HOSTILE})
    (p.root / "value").write_text(HOSTILE)
    assert p.start() is ExitCode.COMPLETED
    assert p.state.steps[1].outputs["stdout"] == HOSTILE
    assert not (p.work / "pwned").exists()


def test_it_is_bash_as_the_user_s_login_shell(tmp_path: Path) -> None:
    """G1: with what only bash knows, and functions of the profile."""
    script = "[[ a =~ ^[a-z]$ ]] && shopt -q login_shell && greet {{inputs.x}}"
    p = place(tmp_path, {"id": "a", "command": script})
    (p.root / "home/.bash_profile").write_text('greet() { echo "hello $1"; }\n')
    assert p.start() is ExitCode.COMPLETED
    assert p.state.steps[0].outputs["stdout"] == "hello d"


def test_both_streams_are_capped_and_their_tails_are_kept(tmp_path: Path) -> None:
    """G1: 100 kB each, also of a command that fails."""
    script = "seq 100000; seq 200000 >&2; exit 3"
    p = place(tmp_path, {"id": "a", "command": script, "allow_failure": True})
    assert p.start() is ExitCode.COMPLETED
    outputs = p.state.steps[0].outputs
    assert outputs["stdout"].endswith("99999\n100000")
    assert outputs["stderr"].endswith("199999\n200000")
    assert {len(outputs[name]) for name in ("stdout", "stderr")} == {99_999}
    assert (outputs["exit_code"], outputs["success"]) == ("3", "false")


def test_a_time_out_is_exit_code_124_and_nothing_survives_it(
    tmp_path: Path,
) -> None:
    """G1, E5: allow_failure keeps the run going, and what hid from the end is gone."""
    script = "echo begun; trap '' TERM; setsid sleep 300 & sleep 300"
    after = "echo {{steps.a.outputs.exit_code}} {{steps.a.outputs.success}}"
    p = place(
        tmp_path,
        {"id": "a", "command": script, "allow_failure": True, "timeout": 10},
        {"id": "b", "command": after},
        limits=RunLimits(stop_grace=0.1),
    )
    assert p.start() is ExitCode.COMPLETED
    assert p.state.steps[0].outputs["stdout"] == "begun"
    assert p.state.steps[1].outputs["stdout"] == "124 false"
    assert p.leftovers() == []


def test_a_command_is_retried_as_often_as_the_workflow_says(tmp_path: Path) -> None:
    """G6."""
    script = "echo x >> ../tries; test $(wc -l < ../tries) = 3"
    p = place(tmp_path, {"id": "a", "command": script, "config": {"retries": 2}})
    assert p.start() is ExitCode.COMPLETED
    assert len((p.root / "tries").read_text().split()) == 3
    q = place(tmp_path / "q", {"id": "a", "command": script, "config": {"retries": 1}})
    assert q.start() is ExitCode.FAILED


def test_in_a_loop_a_failed_command_leaves_its_outputs(tmp_path: Path) -> None:
    """G1, G4: so that a condition can look at them."""
    script = "echo x >> ../tries; echo out; echo err >&2; exit $(wc -l < ../tries)"
    loop = {
        "id": "again",
        "type": "loop",
        "steps": [{"id": "a", "type": "command", "command": script}],
        "until": "steps.a.outputs.exit_code == 2",
    }
    p = place(tmp_path, loop)
    assert p.start() is ExitCode.COMPLETED
    again, a = p.state.steps
    assert again.outputs["iterations"] == "2"
    want = {"stdout": "out", "stderr": "err", "exit_code": "2", "success": "false"}
    assert a.outputs == want


@pytest.mark.parametrize("allowed", [False, True])
def test_a_command_that_somebody_killed_is_interrupted_and_not_failed(
    tmp_path: Path, allowed: bool
) -> None:
    """D8: its result is not known, so the run goes on with it."""
    script = "test -e ../again || { touch ../again; kill -9 $$; }; echo whole"
    p = place(tmp_path, {"id": "a", "command": script, "allow_failure": allowed})
    assert p.start() is ExitCode.PAUSED
    pause = p.state.pause
    assert pause is not None
    assert (pause.reason, pause.step) == (PauseReason.INTERRUPTED, "a")
    assert "SIGKILL" in pause.message
    assert p.start() is ExitCode.COMPLETED
    assert p.state.steps[0].outputs["stdout"] == "whole"


def test_an_end_by_another_signal_is_the_command_s_own(tmp_path: Path) -> None:
    """D2, D8: and so is the death of something that it had started."""
    for script in ("kill -SEGV $$", "bash -c 'kill -9 $$'; exit $?"):
        p = place(tmp_path / script[-3:].strip(), {"id": "a", "command": script})
        assert p.start() is ExitCode.FAILED


def test_a_git_of_ours_that_is_killed_pauses_the_run_which_can_go_on(tmp_path: Path) -> None:
    """D8: also at the very end."""
    p = place(tmp_path, {"id": "a", "command": "echo new > new; touch ../end"})
    (p.root / "bin").mkdir()
    git_file = p.root / "bin/git"
    git_file.write_text(
        f'#!/bin/sh\n[ ! -e "{p.root}/end" ] || kill -9 $PPID\nexec /usr/bin/git "$@"\n'
    )
    git_file.chmod(0o755)
    environment = {"PATH": f"{p.root}/bin:/usr/bin:/bin"}
    assert p.start(environment=environment) is ExitCode.PAUSED
    assert p.state.pause is not None
    assert p.state.pause.reason is PauseReason.INTERRUPTED
    assert p.start() is ExitCode.COMPLETED
    assert p.state.status is RunStatus.COMPLETED
    assert git(p.work, "show", "rover/7-mend:new") == "new"
