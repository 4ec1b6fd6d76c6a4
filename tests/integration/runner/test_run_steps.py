"""What one step does to a run: errors, time-outs, retries, caps."""

from __future__ import annotations

from pathlib import Path

from agent_runner.agents import agent_names
from agent_runner.models import ExitCode, Failure, PauseReason
from agent_runner.spec import RunLimits
from tests.support.flows import FLOW, GOOD, HEAD, place, script


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
    p = place(tmp_path, script("{error: {message: something broke}}"))
    p.evidence.seen = [Failure("gateway", "no", provider="anthropic", status=401)]
    assert p.start() is ExitCode.PAUSED
    assert p.state.pause is not None
    assert p.state.pause.reason is PauseReason.AUTH


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
    p = place(tmp_path, workflow=workflow, limits=RunLimits(command_timeout=0.1, stop_grace=0.1))
    assert p.start() is ExitCode.FAILED
    assert p.state.error == "the command took longer than 0.1 s"


def test_an_agent_that_takes_too_long_fails(tmp_path: Path) -> None:
    """D4, G6."""
    p = place(
        tmp_path, script("{run: sleep 60}"), limits=RunLimits(agent_timeout=0.3, stop_grace=0.1)
    )
    p.script = p.script and p.script.replace("plan: [{say: thinking,", "plan: [{")
    assert p.start() is ExitCode.FAILED
    assert p.state.error == "the step took longer than 0.3 s"


def test_a_step_is_retried_as_the_workflow_says_in_its_session(tmp_path: Path) -> None:
    """G6: required outputs that stay missing, asked for twice more, fail the step."""
    workflow = (
        HEAD
        + "steps: [{id: s, type: agent, prompt: p, outputs: [{name: o, required: true}], config: {retries: 1}}]\n"
    )
    p = place(tmp_path, "steps: {s: [{say: a}, {say: b}, {say: c}, {outputs: {o: 5}}]}", workflow)
    assert p.start() is ExitCode.COMPLETED
    assert p.state.steps[0].outputs == {"o": "5"}
    assert p.types().count("agent_session") == 2
    q = place(tmp_path / "q", "steps: {s: [{say: none}]}", workflow)
    assert q.start() is ExitCode.FAILED
    assert "required outputs: o" in (q.state.error or "")
    assert q.calls() == {"s": 6}


def test_output_and_logs_are_capped(tmp_path: Path) -> None:
    """G1: the tail of the output is kept, and the log says that it is full."""
    workflow = HEAD + "steps: [{id: c, type: command, command: 'seq 1 5000'}]\n"
    p = place(tmp_path, workflow=workflow, limits=RunLimits(output_bytes=100, log_bytes=1000))
    assert p.start() is ExitCode.COMPLETED
    out = p.state.steps[0].outputs["stdout"]
    assert out.endswith("4999\n5000")
    assert len(out) <= 100
    assert "the log is full" in p.log("c")
    assert len(p.log("c")) < 1200


def test_an_unknown_agent_fails_the_step(tmp_path: Path) -> None:
    p = place(tmp_path)
    assert p.start(agent="nobody") is ExitCode.FAILED
    assert f"known: {', '.join(agent_names())}" in (p.state.error or "")


def test_without_a_script_each_step_says_what_it_would_do(tmp_path: Path) -> None:
    p = place(tmp_path)
    (p.work / "x").mkdir(parents=True, exist_ok=True)
    p.workflow = FLOW.replace("cat a.txt;", "")
    assert p.start() is ExitCode.COMPLETED
    assert "would do: plan Mend the sum" in p.log("plan")
