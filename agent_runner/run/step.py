"""The tools and the results of all steps, and how a command step runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from agent_runner.agents.protocol import Agent
from agent_runner.gateway_evidence import Evidence
from agent_runner.journal.journal import Clock, Recorder
from agent_runner.journal.step_log import StepLog
from agent_runner.models import AgentSession, Pause, PauseReason
from agent_runner.process.command_ending import LIMIT
from agent_runner.process.commands import (
    CommandKilled,
    CommandResult,
    CommandStarter,
    check_not_killed,
)
from agent_runner.spec import RunSpec
from agent_runner.workflow.conditions import Values
from agent_runner.workflow.models import CommandStep, Workflow
from agent_runner.workflow.templates import VALUE_BYTES, Renderer, ValuesTooLarge

if TYPE_CHECKING:
    from agent_runner.classify.verdict import Verdict

TIMEOUT_STATUS = 124
"""The exit_code of a command that took too long, as coreutils' timeout has it."""

ERROR_TAIL = 500
KILLED_WITHIN = "the kernel killed one of its command's processes, for lack of memory"


class StepFailed(Exception):
    """The step failed, and waiting does not help. `session` is the agent's conversation, in which
    another try can continue; `outputs` are those of a command."""

    session: AgentSession | None = None
    outputs: Mapping[str, str] = MappingProxyType({})


class RunPaused(Exception):
    """The run stops here and is meant to be resumed."""

    def __init__(self, pause: Pause) -> None:
        super().__init__(pause.message)
        self.pause = pause


@dataclass(frozen=True)
class StepResult:
    """The result of a step that succeeded. `detail` is a line for people."""

    outputs: Mapping[str, str]
    detail: str | None = None


@dataclass(frozen=True)
class Tools:
    """What steps work with. Everything with side effects is injected."""

    spec: RunSpec
    workflow: Workflow
    journal: Recorder
    commands: CommandStarter
    evidence: Evidence
    renderer: Renderer
    make_agent: Callable[[str], Agent]
    clock: Clock
    sleep: Callable[[float], Awaitable[None]]
    new_id: Callable[[], str]
    warn: Callable[[str], None]


@dataclass(frozen=True)
class Interrupted:
    """A session to continue, and why it had stopped."""

    session: AgentSession
    why: str


def killed_pause(step_id: str, error: CommandKilled, tools: Tools) -> RunPaused:
    """The pause after a command of the step was killed by somebody else. Its result is unknown, so
    it is not a failure."""
    reason, message = PauseReason.INTERRUPTED, f"step {step_id}: {error}"
    return RunPaused(Pause(reason=reason, message=message, since=tools.clock(), step=step_id))


async def run_command(step: CommandStep, tools: Tools, values: Values, log: StepLog) -> StepResult:
    """Run a command step.

    Raises:
        StepFailed: it failed and may not fail, or it took too long.
        RunPaused: somebody else killed it.
    """
    timeout = step.timeout or tools.spec.limits.command_timeout
    try:
        result = await _run_shell(step, tools, values, log, timeout)
        check_not_killed(result)
    except (OSError, ValuesTooLarge) as error:
        raise StepFailed(f"the command could not be started: {error}") from error
    except CommandKilled as error:
        log.line(f"killed: {error}")
        raise killed_pause(step.id, error, tools) from error
    if result.out_of_memory:
        tools.warn(f"step {step.id}: {KILLED_WITHIN} ({LIMIT})")
    code = TIMEOUT_STATUS if result.timed_out else _as_a_shell_says(result.code)
    stdout, stderr = (_decode(data) for data in (result.stdout, result.stderr))
    if result.timed_out:
        message = f"the command took longer than {timeout:g} s"
    else:
        message = f"exit status {code}{_why(stdout, stderr) if code != 0 else ''}"
    log.line(message if result.timed_out else f"exit status {code}")
    outputs = {
        "stdout": stdout,
        "stderr": stderr,
        "exit_code": str(code),
        "success": "true" if code == 0 else "false",
    }
    if step.compare_with and code != 0:
        from agent_runner.run.failed_tests import comparison

        outputs |= comparison(values.steps.get(step.compare_with, {}), outputs)
    if code != 0 and not step.allow_failure:
        failed = StepFailed(message)
        failed.outputs = outputs
        raise failed
    return StepResult(outputs, f"exit status {code}")


async def _run_shell(
    step: CommandStep, tools: Tools, values: Values, log: StepLog, most: float
) -> CommandResult:
    shell = tools.renderer.command(step.command, values)
    args = [_argument(tools.renderer.text(a, values)) for a in step.args]
    script = shell.script.rstrip() + (' "$@"' if args else "")
    return await tools.commands.run(
        # A login shell, as for the setup: what that adds to a profile, steps find.
        ["bash", "-lc", script, "rover", *args],
        env=shell.environment,
        timeout=most,
        output_limit=tools.spec.limits.output_bytes,
        on_output=lambda line: log.line(line.text),
        network=True,
    )


def _why(stdout: str, stderr: str) -> str:
    """The end of what a command printed, after the line that names the cause if that is not part of
    it."""
    tail = (stderr or stdout)[-ERROR_TAIL:].strip()
    # Imported after a failure only, like all that is known by many regular expressions.
    from agent_runner.failure_cause import cause_of

    cause = cause_of([*stdout.splitlines(), *stderr.splitlines()])
    lines = [cause.line] if cause.known and cause.line not in tail else []
    return "".join(f": {text}" for text in [*lines, tail] if text)


def _as_a_shell_says(code: int) -> int:
    return code if code >= 0 else 128 - code


def _decode(data: bytes) -> str:
    return data.decode(errors="replace").rstrip("\n")


def _argument(text: str) -> str:
    data = text.replace("\0", "").encode(errors="replace")
    return data[-VALUE_BYTES:].decode(errors="ignore")


def wait_in_place(
    verdict: Verdict, delay: float | None, longest: float, now: datetime
) -> float | None:
    """The seconds after which to try again in place; None: the run has to pause."""
    if not verdict.transient or delay is None:
        return None
    if verdict.retry_at is None:
        return delay
    wait = (verdict.retry_at - now).total_seconds()
    return max(delay, wait) if wait <= longest else None
