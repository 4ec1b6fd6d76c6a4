"""How one step runs, once: an agent's or a command's. What follows from it is run.py's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import anyio

from agent_runner import outputs as answers
from agent_runner.agents import SCRIPTED, UnknownAgent
from agent_runner.agents.protocol import (
    Agent,
    AgentFailed,
    AgentOutcome,
    AgentRequest,
    Failure,
    SessionLost,
)
from agent_runner.classify import Verdict, classify
from agent_runner.commands import Commands
from agent_runner.evidence import Evidence
from agent_runner.journal import Clock, Journal, RecordType
from agent_runner.models import AgentSession, Pause, Usage
from agent_runner.prompts import resume_prompt
from agent_runner.spec import RunSpec
from agent_runner.steplog import StepLog
from agent_runner.workflow.conditions import Values
from agent_runner.workflow.models import AgentStep, CommandStep, Workflow
from agent_runner.workflow.templates import VALUE_BYTES, Renderer, ValuesTooLarge

TIMEOUT_MARGIN = 30.0
"""Seconds after its own limit at which a driver that does not keep to it is cut off."""

TIMEOUT_STATUS = 124
"""What coreutils' timeout exits with: the exit_code of a command that took too long."""

ERROR_TAIL = 500


class StepFailed(Exception):
    """The step did not do what it should; nothing will change that by waiting. `session` is the
    agent's conversation, in which another try may go on."""

    session: AgentSession | None = None


class RunPaused(Exception):
    """The run stops here and is meant to go on."""

    def __init__(self, pause: Pause) -> None:
        super().__init__(pause.message)
        self.pause = pause


@dataclass(frozen=True)
class StepResult:
    """`detail` is a line for people."""

    outputs: Mapping[str, str]
    detail: str | None = None


@dataclass(frozen=True)
class Tools:
    """What steps work with; everything that touches the world is injected."""

    spec: RunSpec
    workflow: Workflow
    journal: Journal
    commands: Commands
    evidence: Evidence
    renderer: Renderer
    make_agent: Callable[[str], Agent]
    clock: Clock
    sleep: Callable[[float], Awaitable[None]]
    new_id: Callable[[], str]
    warn: Callable[[str], None]


@dataclass(frozen=True)
class Interrupted:
    """A session to go on with, and why it had stopped."""

    session: AgentSession
    why: str


async def run_command(step: CommandStep, tools: Tools, values: Values, log: StepLog) -> StepResult:
    """Run a command step.

    Raises:
        StepFailed: it failed, and may not; or it took too long.
    """
    limits = tools.spec.limits
    timeout = step.timeout or limits.command_timeout
    try:
        shell = tools.renderer.command(step.command, values)
        args = [_argument(tools.renderer.text(a, values)) for a in step.args]
        script = shell.script.rstrip() + (' "$@"' if args else "")
        result = await tools.commands.run(
            ["bash", "-lc", script, "rover", *args],
            env=shell.environment,
            timeout=timeout,
            output_limit=limits.output_bytes,
            on_output=lambda line: log.line(line.text),
        )
    except (OSError, ValuesTooLarge) as error:
        raise StepFailed(f"the command could not be started: {error}") from error
    code = TIMEOUT_STATUS if result.timed_out else result.code
    stdout, stderr = (_decode(data) for data in (result.stdout, result.stderr))
    if result.timed_out:
        said = f"the command took longer than {timeout:g} s"
    else:
        tail = (stderr or stdout)[-ERROR_TAIL:].strip()
        said = f"exit status {code}" + (f": {tail}" if code != 0 and tail else "")
    log.line(said if result.timed_out else f"exit status {code}")
    if code != 0 and not step.allow_failure:
        raise StepFailed(said)
    found = {
        "stdout": stdout,
        "stderr": stderr,
        "exit_code": str(code),
        "success": "true" if code == 0 else "false",
    }
    return StepResult(found, f"exit status {code}")


def _decode(data: bytes) -> str:
    return data.decode(errors="replace").rstrip("\n")


def _argument(text: str) -> str:
    data = text.replace("\0", "").encode(errors="replace")
    return data[-VALUE_BYTES:].decode(errors="ignore")


def agent_name(step: AgentStep, spec: RunSpec) -> str:
    """Whose step it is. The scripted agent plays every part: it is there to cost nothing."""
    return spec.agent if spec.agent == SCRIPTED else (step.tool or spec.agent)


def model_name(step: AgentStep, spec: RunSpec, workflow: Workflow) -> str | None:
    """The model, if one is named for this agent: the step's, the task's, the workflow's."""
    if step.model:
        return step.model
    name = agent_name(step, spec)
    if name == spec.agent and spec.model:
        return spec.model
    return workflow.defaults.model if workflow.defaults.tool in (None, name) else None


def wait_in_place(
    verdict: Verdict, delay: float | None, longest: float, now: datetime
) -> float | None:
    """Seconds after which to try again in place; None: do not (D5)."""
    if not verdict.transient or delay is None:
        return None
    if verdict.retry_at is None:
        return delay
    wait = (verdict.retry_at - now).total_seconds()
    return max(delay, wait) if wait <= longest else None


class AgentStepRun:
    """One agent step, with its retries in place."""

    def __init__(
        self, step: AgentStep, tools: Tools, values: Values, log: StepLog, done: Sequence[str]
    ) -> None:
        self._step = step
        self._tools = tools
        self._log = log
        self._done = done
        self._name = agent_name(step, tools.spec)
        self._prompt = tools.renderer.text(step.prompt, values) + answers.ask(step.outputs)
        self._session: AgentSession | None = None
        self._timeout = step.timeout or tools.workflow.timeout or tools.spec.limits.agent_timeout

    async def run(self, interrupted: Interrupted | None) -> StepResult:
        """Run it, in the interrupted session if there is one of this agent.

        Raises:
            StepFailed: fatal, out of time, or without its required outputs.
            RunPaused: only time, money or a person can help.
        """
        try:
            agent = self._tools.make_agent(self._name)
        except UnknownAgent as error:
            raise StepFailed(str(error)) from None
        if interrupted is not None and interrupted.session.agent != self._name:
            interrupted = None
        try:
            return self._result(await self._until_answered(agent, interrupted))
        except StepFailed as error:
            error.session = self._session
            raise

    async def _until_answered(self, agent: Agent, interrupted: Interrupted | None) -> AgentOutcome:
        tools = self._tools
        delays = iter(tools.spec.limits.transient_delays)
        while True:
            started = tools.clock()
            try:
                return await self._turn(agent, interrupted)
            except TimeoutError:
                raise StepFailed(f"the step took longer than {self._timeout:g} s") from None
            except SessionLost as lost:
                if interrupted is None:
                    raise StepFailed(f"the agent lost its session: {lost}") from None
                tools.warn(
                    f"step {self._step.id}: the agent's session is gone; "
                    "it starts a new one on the work tree as it is"
                )
                interrupted = None
            except AgentFailed as error:
                wait = await self._failed(agent, error, started, next(delays, None))
                await tools.sleep(wait)
                session = error.session or self._session
                interrupted = Interrupted(session, str(error)) if session else None

    async def _failed(
        self, agent: Agent, error: AgentFailed, started: datetime, delay: float | None
    ) -> float:
        """Seconds to wait before the next try, or the end of this step."""
        tools = self._tools
        seen = await tools.evidence.failures(started)
        now = tools.clock()
        verdict = classify([*seen, error.failure], now)
        self._log.line(f"failed: {verdict.message}")
        wait = wait_in_place(verdict, delay, tools.spec.limits.wait_in_place, now)
        if wait is not None:
            tools.warn(f"step {self._step.id}: {verdict.message}; trying again in {wait:g} s")
            return wait
        if verdict.reason is None:
            raise StepFailed(verdict.message) from error
        pause = Pause(
            reason=verdict.reason,
            message=verdict.message,
            since=now,
            step=self._step.id,
            provider=verdict.provider or agent.provider,
            retry_at=verdict.retry_at,
        )
        raise RunPaused(pause) from error

    async def _turn(self, agent: Agent, interrupted: Interrupted | None) -> AgentOutcome:
        reported = Usage()

        def on_usage(usage: Usage) -> None:
            nonlocal reported
            reported = reported.plus(usage)
            self._record_usage(usage)

        request = await self._request(agent, interrupted, on_usage)
        try:
            with anyio.fail_after(self._timeout + TIMEOUT_MARGIN):
                outcome = await agent.run(request, self._tools.commands)
        except AgentFailed as error:
            self._record_session(error.session)
            self._record_usage(_rest(error.usage, reported))
            raise
        except TimeoutError:
            raise
        except OSError as error:
            failure = Failure("agent", f"{self._name}: {error}", code="spawn_failed")
            raise AgentFailed(failure) from error
        self._record_session(outcome.session)
        self._record_usage(_rest(outcome.usage, reported))
        return outcome

    async def _request(
        self, agent: Agent, interrupted: Interrupted | None, on_usage: Callable[[Usage], None]
    ) -> AgentRequest:
        tools = self._tools
        new_id = tools.new_id()
        if interrupted is not None:
            self._record_session(interrupted.session)
        elif agent.presets_session():
            version = await agent.version(tools.commands)
            self._record_session(AgentSession(agent=self._name, session_id=new_id, version=version))
        prompt = self._prompt
        if interrupted is not None:
            prompt = resume_prompt(prompt, interrupted.why, self._done)
        gateway = tools.spec.gateway
        return AgentRequest(
            step_id=self._step.id,
            prompt=prompt,
            session_id=new_id,
            resume=interrupted.session if interrupted else None,
            model=model_name(self._step, tools.spec, tools.workflow),
            base_url=f"http://127.0.0.1:{gateway.port}",
            token=gateway.token,
            silence=tools.spec.limits.agent_silence,
            timeout=self._timeout,
            on_session=self._record_session,
            on_usage=on_usage,
            on_log=self._log.line,
            outputs=tuple(o.name for o in self._step.outputs),
        )

    def _record_session(self, session: AgentSession | None) -> None:
        known = self._session
        if session is None or session == known:
            return
        if known is not None and session.version is None and session.session_id == known.session_id:
            return
        self._session = session
        self._tools.journal.append(
            RecordType.AGENT_SESSION,
            {"step": self._step.id, "session": session.model_dump(mode="json")},
            flush=True,
        )

    def _record_usage(self, usage: Usage) -> None:
        if usage != Usage():
            self._tools.journal.append(
                RecordType.USAGE,
                {"step": self._step.id, "usage": usage.model_dump(mode="json")},
            )

    def _result(self, outcome: AgentOutcome) -> StepResult:
        step = self._step
        found = outcome.outputs if outcome.outputs is not None else answers.parse(outcome.text)
        limit = self._tools.spec.limits.output_bytes
        chosen, missing, warnings = answers.select(step.outputs, found, limit)
        for warning in warnings:
            self._tools.warn(f"step {step.id}: {warning}")
        if missing:
            raise StepFailed(f"the agent did not give the required outputs: {', '.join(missing)}")
        lines = outcome.text.strip().splitlines()
        return StepResult(chosen, lines[0][:200] if lines else None)


def _rest(total: Usage, reported: Usage) -> Usage:
    """What of a turn's total has not been reported while it ran."""
    cost = total.cost_usd
    if cost is not None:
        cost = max(0.0, cost - (reported.cost_usd or 0.0)) or None
    return Usage(
        input_tokens=max(0, total.input_tokens - reported.input_tokens),
        output_tokens=max(0, total.output_tokens - reported.output_tokens),
        cache_read_tokens=max(0, total.cache_read_tokens - reported.cache_read_tokens),
        cache_write_tokens=max(0, total.cache_write_tokens - reported.cache_write_tokens),
        cost_usd=cost,
    )
