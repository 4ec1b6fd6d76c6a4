"""The interpreter, end to end: real git, bash and journal, the scripted agent, no sandbox."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from agent_runner.agents.protocol import Failure
from agent_runner.journal import FILE_NAME, read_journal
from agent_runner.models import ExitCode, PauseReason, RunStatus
from agent_runner.prompts import resume_prompt
from agent_runner.run import PAUSE_REQUEST, Stop
from agent_runner.spec import GatewaySpec, Limits, Restore
from tests.support.runs import Place, git

HEAD = 'version: "1.0"\nname: w\n'
FLOW = (
    HEAD
    + """
inputs: [{name: greeting, default: hello}]
steps:
  - id: plan
    type: agent
    prompt: plan {{task.title}}
    outputs: [{name: plan, required: true}]
  - id: work
    type: agent
    prompt: work on {{steps.plan.outputs.plan}}
    outputs: [{name: note}]
  - id: test
    type: command
    command: cat a.txt; echo {{inputs.greeting}} {{steps.work.outputs.note}}
  - id: never
    type: agent
    if: steps.test.outputs.success == false
    prompt: mend
"""
)
CREDITS = "{status: 400, type: invalid_request_error, message: Your credit balance is too low, provider: anthropic}"
PLAN = "plan: [{say: thinking, outputs: {plan: the plan}, usage: {input_tokens: 3, cost_usd: 0.5}}]"


def script(*work: str) -> str:
    return f"steps:\n  {PLAN}\n  work:\n" + "".join(f"    - {turn}\n" for turn in work)


GOOD = (
    "{edits: [{path: a.txt, content: one}, {path: d/b.txt, content: two}], outputs: {note: $(id)}}"
)
BROKE = f"{{edits: [{{path: a.txt, content: one}}], error: {CREDITS}, usage: {{input_tokens: 4}}}}"
REST = "{edits: [{path: d/b.txt, content: two}], outputs: {note: $(id)}}"


def place(
    tmp_path: Path, script_text: str | None = None, workflow: str = FLOW, **more: object
) -> Place:
    return Place(tmp_path / "task", workflow, script_text, **more)


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
    """F8, facts/agents.md section 4."""
    p = place(tmp_path, script(BROKE, REST))
    p.start()
    first = p.state.steps[1].session
    (p.root / "home/.scripted").rename(tmp_path / "elsewhere")
    p.script = script(REST)
    assert p.start() is ExitCode.COMPLETED
    assert (p.work / "a.txt").read_text() == "one"
    assert p.state.steps[1].session != first
    assert any("session is gone" in w for w in p.state.warnings)


def test_transient_errors_are_retried_in_place_then_pause(tmp_path: Path) -> None:
    """D5: after 10 s and 20 s, in the same session."""
    overloaded = "{error: {status: 529, message: Overloaded}}"
    p = place(tmp_path, script(overloaded, overloaded, GOOD))
    assert p.start() is ExitCode.COMPLETED
    assert p.clock.slept == [10, 20]
    assert p.types().count("agent_session") == 2
    q = place(tmp_path / "q", script(overloaded))
    assert q.start() is ExitCode.PAUSED
    assert q.calls()["work"] == 3
    assert q.state.pause is not None
    assert q.state.pause.reason is PauseReason.TRANSIENT


def test_a_long_retry_after_pauses_at_once_with_its_time(tmp_path: Path) -> None:
    """D1, D5."""
    limited = "{error: {status: 429, message: slow down, headers: {Retry-After: 3600}}}"
    p = place(tmp_path, script(limited))
    assert p.start() is ExitCode.PAUSED
    pause = p.state.pause
    assert pause is not None
    assert pause.reason is PauseReason.RATE_LIMIT
    assert pause.retry_at is not None
    assert round((pause.retry_at - pause.since).total_seconds()) == 3600
    assert p.clock.slept == []


def test_what_the_gateway_saw_decides(tmp_path: Path) -> None:
    """DESIGN 7."""
    p = place(tmp_path, script("{error: {message: something broke}}"))
    p.evidence.seen = [Failure("gateway", "no", provider="anthropic", status=401)]
    assert p.start() is ExitCode.PAUSED
    assert p.state.pause is not None
    assert p.state.pause.reason is PauseReason.AUTH


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


def test_the_output_of_a_command_is_never_classified(tmp_path: Path) -> None:
    """D3."""
    workflow = (
        HEAD
        + "steps: [{id: c, type: command, command: 'echo credit balance is too low >&2; exit 3'}]\n"
    )
    p = place(tmp_path, workflow=workflow)
    assert p.start() is ExitCode.FAILED
    assert p.state.error == "exit status 3: credit balance is too low"


COMMANDS = (
    HEAD
    + """
inputs: [{name: x, default: ""}]
steps:
  - {id: a, type: command, allow_failure: true, command: "echo out; echo err >&2; exit 4"}
  - {id: b, type: command, command: printf, args: ["%s,", "{{inputs.x}}", "{{steps.a.outputs.exit_code}}"]}
  - {id: c, type: command, command: "printf %s \\"$FROM_PROFILE\\""}
"""
)


def test_commands_give_four_outputs_and_may_fail_where_that_is_allowed(tmp_path: Path) -> None:
    """G1: the profile is read, arguments are no code."""
    p = place(tmp_path, workflow=COMMANDS, inputs={"x": "$(touch pwned); 'a b'"})
    (p.root / "home/.profile").write_text("export FROM_PROFILE=yes\n")
    assert p.start() is ExitCode.COMPLETED
    a, b, c = (s.outputs for s in p.state.steps)
    assert a == {"stdout": "out", "stderr": "err", "exit_code": "4", "success": "false"}
    assert b["stdout"] == "$(touch pwned); 'a b',4,"
    assert c["stdout"] == "yes"
    assert not (p.work / "pwned").exists()


def test_a_command_that_takes_too_long_fails_and_is_not_retried(tmp_path: Path) -> None:
    """D4, G6."""
    workflow = HEAD + "steps: [{id: c, type: command, command: 'sleep 60'}]\n"
    p = place(tmp_path, workflow=workflow, limits=Limits(command_timeout=0.1, stop_grace=0.1))
    assert p.start() is ExitCode.FAILED
    assert p.state.error == "the command took longer than 0.1 s"


def test_an_agent_that_takes_too_long_fails(tmp_path: Path) -> None:
    """D4, G6."""
    p = place(tmp_path, script("{run: sleep 60}"), limits=Limits(agent_timeout=0.3, stop_grace=0.1))
    p.script = p.script and p.script.replace("plan: [{say: thinking,", "plan: [{")
    assert p.start() is ExitCode.FAILED
    assert p.state.error == "the step took longer than 0.3 s"


def test_a_step_is_retried_as_the_workflow_says_in_its_session(tmp_path: Path) -> None:
    """G6: missing required outputs fail the step."""
    workflow = (
        HEAD
        + "steps: [{id: s, type: agent, prompt: p, outputs: [{name: o, required: true}], config: {retries: 1}}]\n"
    )
    p = place(tmp_path, "steps: {s: [{say: no outputs}, {outputs: {o: 5}}]}", workflow)
    assert p.start() is ExitCode.COMPLETED
    assert p.state.steps[0].outputs == {"o": "5"}
    assert p.types().count("agent_session") == 2
    q = place(tmp_path / "q", "steps: {s: [{say: none}]}", workflow)
    assert q.start() is ExitCode.FAILED
    assert "required outputs: o" in (q.state.error or "")
    assert q.calls() == {"s": 2}


def test_output_and_logs_are_capped(tmp_path: Path) -> None:
    """G1, DESIGN 12.7: the tail of the output is kept, and the log says that it is full."""
    workflow = HEAD + "steps: [{id: c, type: command, command: 'seq 1 5000'}]\n"
    p = place(tmp_path, workflow=workflow, limits=Limits(output_bytes=100, log_bytes=1000))
    assert p.start() is ExitCode.COMPLETED
    out = p.state.steps[0].outputs["stdout"]
    assert out.endswith("4999\n5000")
    assert len(out) <= 100
    assert "the log is full" in p.log("c")
    assert len(p.log("c")) < 1200


def test_an_interrupted_command_starts_over_on_the_last_finished_step_s_tree(
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


def test_an_unknown_agent_fails_the_step(tmp_path: Path) -> None:
    p = place(tmp_path)
    assert p.start(agent="nobody") is ExitCode.FAILED
    assert "known: claude, scripted" in (p.state.error or "")


def test_without_a_script_each_step_says_what_it_would_do(tmp_path: Path) -> None:
    p = place(tmp_path)
    (p.work / "x").mkdir(parents=True, exist_ok=True)
    p.workflow = FLOW.replace("cat a.txt;", "")
    assert p.start() is ExitCode.COMPLETED
    assert "would do: plan Mend the sum" in p.log("plan")


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
    stop = Stop()
    stop.request()
    assert p.start(stop=stop) is ExitCode.PAUSED
    assert p.state.pause is not None
    assert p.state.pause.reason is reason
    assert not (p.run_folder / PAUSE_REQUEST).exists()
    assert p.start() is ExitCode.COMPLETED


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
    p = place(tmp_path, script(GOOD), limits=Limits(bundle_bytes=10))
    assert p.start() is ExitCode.FAILED
    assert any("no snapshot" in w for w in p.state.warnings)
    assert [s.status for s in p.state.steps[:3]] == ["completed"] * 3


def test_an_end_is_written_even_where_the_runner_itself_breaks(tmp_path: Path) -> None:
    """DESIGN 4: nothing is shown as running that is not."""
    p = place(tmp_path, script(GOOD))

    def broken(seconds: float) -> None:
        raise ZeroDivisionError

    p.evidence.failures = broken
    p.script = script("{error: {status: 529, message: x}}")
    with pytest.raises(ZeroDivisionError):
        p.start()
    assert p.state.status is RunStatus.FAILED
    assert "ZeroDivisionError" in (p.state.error or "")


def test_no_secret_is_in_the_journal(tmp_path: Path) -> None:
    """DESIGN 12.4: the gateway's token is nobody's business."""
    p = place(tmp_path, script(BROKE, REST))
    gateway = GatewaySpec(socket=p.root / "g", token="TOPSECRETTOKEN")
    p.start(gateway=gateway)
    p.start(gateway=gateway)
    for path in p.run_folder.rglob("*"):
        assert path.is_dir() or b"TOPSECRETTOKEN" not in path.read_bytes()
    assert read_journal(p.run_folder / FILE_NAME).torn == 0
