"""The interpreter, end to end: real git, bash and journal, the scripted agent, no sandbox."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from agent_runner.journal.journal import FILE_NAME
from agent_runner.journal.journal_reader import read_journal
from agent_runner.models import ExitCode, RunStatus
from agent_runner.spec import GatewaySpec, RunLimits
from tests.support.flows import BROKE, GOOD, HEAD, REST, place, script
from tests.support.runs import git


def test_a_workflow_runs_to_its_end_and_the_branch_holds_the_result(tmp_path: Path) -> None:
    """A2, G1, G5, F7."""
    p = place(tmp_path, script(GOOD))
    assert p.start() is ExitCode.COMPLETED
    state = p.state
    assert (state.status, state.progress, state.warnings) == (RunStatus.COMPLETED, 100, [])
    assert [s.status for s in state.steps] == ["completed", "completed", "completed", "skipped"]
    assert state.steps[2].outputs["stdout"] == "onehello $(id)"
    assert state.usage.cost_usd == 0.5
    assert [line.split("\t")[1] for line in p.result_tree().splitlines()] == [
        ".gitignore",
        "README",
        "a.txt",
        "d/b.txt",
    ]
    assert git(p.work, "log", "-1", "--format=%s") == "Mend the sum"
    assert "thinking" in p.log("plan")
    assert "hello $(id)" in p.log("test")


@pytest.mark.parametrize(
    ("workflow", "message"),
    [
        ("nonsense: [", "workflow.yaml:1:12"),
        (
            HEAD
            + "inputs: [{name: need, required: true}]\nsteps: [{id: a, type: agent, prompt: p}]\n",
            "missing input 'need'",
        ),
    ],
)
def test_a_workflow_that_cannot_be_run_fails_with_the_reason(
    tmp_path: Path, workflow: str, message: str
) -> None:
    p = place(tmp_path, workflow=workflow)
    assert p.start() is ExitCode.FAILED
    assert message in (p.state.error or "")


def test_a_pause_that_cannot_be_written_is_a_failure(tmp_path: Path) -> None:
    """E2."""
    p = place(tmp_path, script(BROKE))

    def refuse(fd: int, data: bytes, offset: int) -> int:
        if b"workflow_pause" in data:
            raise OSError(errno.ENOSPC, "full")
        return os.pwrite(fd, data, offset)

    assert p.start(journal_write=refuse) is ExitCode.FAILED
    assert p.state.status is RunStatus.RUNNING


def test_a_full_disk_for_a_while_loses_no_step(tmp_path: Path) -> None:
    """C3."""
    p = place(tmp_path, script(GOOD))
    refused: list[bytes] = []

    def refuse(fd: int, data: bytes, offset: int) -> int:
        if b"step_complete" in data and len(refused) < 2:
            refused.append(data)
            raise OSError(errno.ENOSPC, "full")
        return os.pwrite(fd, data, offset)

    assert p.start(journal_write=refuse) is ExitCode.COMPLETED
    assert p.types().count("step_complete") == 3
    assert any("ENOSPC" in w for w in p.state.warnings)


def test_a_snapshot_that_fails_is_told_and_the_run_goes_on(tmp_path: Path) -> None:
    """C10: and a result that cannot be saved is a failure, not a success."""
    p = place(tmp_path, script(GOOD), limits=RunLimits(bundle_bytes=10))
    assert p.start() is ExitCode.FAILED
    assert any("no snapshot" in w for w in p.state.warnings)
    assert [s.status for s in p.state.steps[:3]] == ["completed"] * 3


def test_an_end_is_written_even_where_the_runner_itself_breaks(tmp_path: Path) -> None:
    """Nothing is shown as running that is not."""
    p = place(tmp_path, script(GOOD))

    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    p.evidence.failures = broken
    p.script = script("{error: {status: 529, message: x}}")
    with pytest.raises(ZeroDivisionError):
        p.start()
    assert p.state.status is RunStatus.FAILED
    assert "ZeroDivisionError" in (p.state.error or "")


def test_no_secret_is_in_the_journal(tmp_path: Path) -> None:
    """The gateway's token is nobody's business."""
    p = place(tmp_path, script(BROKE, REST))
    gateway = GatewaySpec(socket=p.root / "g", token="TOPSECRETTOKEN")
    p.start(gateway=gateway)
    p.start(gateway=gateway)
    for path in p.run_folder.rglob("*"):
        assert path.is_dir() or b"TOPSECRETTOKEN" not in path.read_bytes()
    assert read_journal(p.run_folder / FILE_NAME).torn == 0
