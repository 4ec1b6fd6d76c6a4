"""A run that stopped and goes on: real git, bash and journal, the scripted agent, no sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_runner.journal.journal import FILE_NAME
from agent_runner.models import ExitCode, PauseReason, RunStatus
from agent_runner.run.agent_prompts import resume_prompt
from agent_runner.run.attempt import PAUSE_REQUEST, PauseRequest
from agent_runner.spec import Restore
from tests.support.flows import BROKE, FLOW, GOOD, HEAD, REST, place, script
from tests.support.runs import git


def test_credits_pause_and_a_resume_completes_as_if_nothing_had_happened(tmp_path: Path) -> None:
    """D1, F1, F4, F7, F8: the session goes on, no finished step runs again, the same tree."""
    p = place(tmp_path, script(BROKE, REST))
    assert p.start() is ExitCode.PAUSED
    pause = p.state.pause
    assert pause is not None
    assert (pause.reason, pause.step, pause.provider) == (PauseReason.CREDITS, "work", "anthropic")
    session = p.state.steps[1].session
    assert p.start() is ExitCode.COMPLETED
    state = p.state
    assert p.calls() == {"plan": 1, "work": 2}
    assert (state.pause, state.resumes, state.skipped_on_resume, state.attempt) == (None, 1, 1, 2)
    assert state.steps[1].session == session
    assert state.usage.input_tokens == 7
    whole = place(tmp_path / "whole", script(GOOD))
    whole.start()
    assert p.result_tree() == whole.result_tree()
    assert [s.outputs for s in state.steps] == [s.outputs for s in whole.state.steps]
    assert state.warnings == []


def test_a_resumed_step_is_told_again_what_it_is_for() -> None:
    """F8."""
    text = resume_prompt("PROMPT", "credits (none left)", ["plan"])
    for part in (
        "PROMPT",
        "credits (none left)",
        "finished and need nothing more: plan",
        "git status",
    ):
        assert part in text


def test_a_lost_session_starts_anew_on_the_tree_as_it_is(tmp_path: Path) -> None:
    """F8."""
    p = place(tmp_path, script(BROKE, REST))
    p.start()
    first = p.state.steps[1].session
    (p.root / "home/.scripted").rename(tmp_path / "elsewhere")
    p.script = script(REST)
    assert p.start() is ExitCode.COMPLETED
    assert (p.work / "a.txt").read_text() == "one"
    assert p.state.steps[1].session != first
    assert any("session is gone" in w for w in p.state.warnings)


def test_a_fatal_error_fails_and_can_be_resumed(tmp_path: Path) -> None:
    """D2, C6, C9."""
    p = place(
        tmp_path,
        script(
            "{edits: [{path: a.txt, content: one}], error: {status: 404, message: no such model}}",
            REST,
        ),
    )
    assert p.start() is ExitCode.FAILED
    state = p.state
    assert (state.status, state.error) == (RunStatus.FAILED, "no such model")
    assert state.steps[1].error == "no such model"
    assert state.snapshot is not None
    assert p.start() is ExitCode.COMPLETED
    assert p.state.error is None


def test_an_interrupted_command_restarts_on_the_last_snapshot(
    tmp_path: Path,
) -> None:
    """F7, F8, C10: what was there is kept."""
    workflow = FLOW.replace(
        "cat a.txt;", "echo half >> a.txt; test -e {{inputs.greeting}}; cat a.txt; test -e go &&"
    )
    workflow = workflow.replace("echo {{inputs.greeting}}", "test -e go; exit 9; echo")
    p = place(tmp_path, script(GOOD), workflow)
    assert p.start() is ExitCode.FAILED
    assert (p.work / "a.txt").read_text() == "onehalf\n"
    p.workflow = FLOW
    assert p.start() is ExitCode.COMPLETED
    assert p.state.steps[2].outputs["stdout"] == "onehello $(id)"
    assert git(p.work, "show", "refs/rover/kept/1-2:a.txt") == "onehalf"
    assert any("was reset" in w for w in p.state.warnings)
    assert p.calls() == {"plan": 1, "work": 1}


def test_files_that_vanished_during_a_pause_are_there_again(tmp_path: Path) -> None:
    """V1: nothing of the task ran, so neither the step that goes on nor its branch has lost them."""
    p = place(tmp_path, script(BROKE, REST))
    p.start()
    (p.work / "README").unlink()
    (p.work / "a.txt").unlink()
    assert p.start() is ExitCode.COMPLETED
    assert git(p.work, "show", "HEAD:README") == "base"
    assert (p.work / "a.txt").read_text() == "one"
    assert any("changed while no step ran" in w for w in p.state.warnings)


def test_a_lost_work_tree_is_restored_before_the_run_goes_on(tmp_path: Path) -> None:
    """C10, I6."""
    p = place(tmp_path, script(BROKE, REST))
    p.start()
    snapshot = p.state.snapshot
    assert snapshot is not None
    git(
        p.work,
        "bundle",
        "create",
        "-q",
        str(p.root / "spec/restore.bundle"),
        "refs/rover/snapshots/1",
        f"refs/rover/snapshots/{snapshot.sequence}",
        f"^{p.base_commit}",
    )
    p.work.rename(tmp_path / "gone")
    p.work.mkdir()
    p.restore = Restore(commit=snapshot.commit, head=snapshot.head)
    assert p.start() is ExitCode.COMPLETED
    assert (p.work / "a.txt").read_text() == "one"
    assert any("was lost" in w for w in p.state.warnings)


def test_a_repository_that_the_agent_destroyed_costs_no_file(tmp_path: Path) -> None:
    """F7, C10: the files are younger than the snapshot, so they are kept and delivered."""
    p = place(tmp_path, script(BROKE, REST))
    p.start()
    snapshot = p.state.snapshot
    assert snapshot is not None
    names = [f"refs/rover/snapshots/{n}" for n in range(1, snapshot.sequence + 1)]
    bundle = str(p.root / "spec/restore.bundle")
    git(p.work, "bundle", "create", "-q", bundle, *names, f"^{p.base_commit}")
    (p.work / ".git").rename(tmp_path / "gone")
    (p.work / ".git").mkdir()
    (p.work / "younger.txt").write_text("younger")
    p.restore = Restore(commit=snapshot.commit, head=snapshot.head)
    assert p.start() is ExitCode.COMPLETED
    assert git(p.work, "show", "HEAD:younger.txt") == "younger"
    assert git(p.work, "show", "HEAD:a.txt") == "one"
    assert any("its files were kept" in w for w in p.state.warnings)


def test_a_later_iteration_begins_with_a_snapshot_of_what_is_there(tmp_path: Path) -> None:
    """I5: a resume in its first step must not throw the first iteration away."""
    p = place(tmp_path, script(GOOD))
    p.start()
    p.iteration, p.attempt = 2, 0
    for path in list(p.run_folder.iterdir()):
        path.rename(tmp_path / path.name)
    p.workflow = HEAD + "steps: [{id: c, type: command, command: 'echo x > junk; exit 1'}]\n"
    assert p.start() is ExitCode.FAILED
    p.workflow = HEAD + "steps: [{id: c, type: command, command: 'test ! -e junk'}]\n"
    assert p.start() is ExitCode.COMPLETED
    assert (p.work / "a.txt").read_text() == "one"


def test_changed_and_vanished_steps_are_reported(tmp_path: Path) -> None:
    """F2."""
    p = place(tmp_path, script(BROKE, REST))
    p.start()
    p.workflow = FLOW.replace("plan {{task.title}}", "plan better")
    p.start()
    assert any("plan was finished before its definition changed" in w for w in p.state.warnings)
    q = place(tmp_path / "q", script(BROKE, REST))
    q.start()
    q.workflow = FLOW.replace("id: plan", "id: other").replace("steps.plan", "steps.other")
    q.script = script(REST).replace("plan:", "other:", 1).replace("{plan:", "{plan:")
    q.start()
    assert any("no longer in the workflow" in w for w in q.state.warnings)


def test_an_attempt_without_its_journal_says_so(tmp_path: Path) -> None:
    """F3."""
    p = place(tmp_path, script(GOOD), attempt=4)
    assert p.start() is ExitCode.COMPLETED
    assert any("no checkpoint" in w for w in p.state.warnings)


def test_a_run_that_is_complete_is_not_run_again(tmp_path: Path) -> None:
    p = place(tmp_path, script(GOOD))
    p.start()
    before = (p.run_folder / FILE_NAME).read_bytes()
    assert p.start() is ExitCode.COMPLETED
    assert (p.run_folder / FILE_NAME).read_bytes() == before


@pytest.mark.parametrize(
    ("request_text", "reason"),
    [
        (None, PauseReason.INTERRUPTED),
        ("", PauseReason.REQUESTED),
        ('{"reason": "budget", "message": "spent"}', PauseReason.BUDGET),
        ('{"reason": "nonsense"}', PauseReason.REQUESTED),
        ('{"attempt": 9}', PauseReason.INTERRUPTED),
    ],
)
def test_a_stop_pauses_with_the_reason_that_was_left(
    tmp_path: Path, request_text: str | None, reason: PauseReason
) -> None:
    """E1, D8."""
    p = place(tmp_path, script(GOOD))
    if request_text is not None:
        (p.run_folder / PAUSE_REQUEST).write_text(request_text)
    stop = PauseRequest()
    stop.request()
    assert p.start(stop=stop) is ExitCode.PAUSED
    assert p.state.pause is not None
    assert p.state.pause.reason is reason
    assert not (p.run_folder / PAUSE_REQUEST).exists()
    assert p.start() is ExitCode.COMPLETED
