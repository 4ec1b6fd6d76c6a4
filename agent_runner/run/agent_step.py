"""Runs one agent step: its session, its retries in place, its outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import anyio

from agent_runner.agents import UnknownAgent, agent_provider
from agent_runner.agents.protocol import (
    Agent,
    AgentFailed,
    AgentOutcome,
    AgentRequest,
    SessionLost,
)
from agent_runner.crashpoints import CrashPoint, crash_point
from agent_runner.journal.record_lines import RecordType
from agent_runner.journal.step_log import StepLog
from agent_runner.models import AgentSession, Pause, Usage
from agent_runner.process.commands import CommandKilled
from agent_runner.run.agent_prompts import (
    READ_ONLY,
    context_notice,
    continued_prompt,
    resume_prompt,
)
from agent_runner.run.output_files import FilesRefused, OutputFiles
from agent_runner.run.stall_watch import PointlessRetry, StallWatch
from agent_runner.run.step import (
    Interrupted,
    RunPaused,
    StepFailed,
    StepResult,
    Tools,
    killed_pause,
    wait_in_place,
)
from agent_runner.run.turn_failure import (
    BROKEN,
    failure_of_exception,
    is_failure,
    is_own_timeout,
)
from agent_runner.spec import RunSpec
from agent_runner.workflow import outputs as answers
from agent_runner.workflow.agents import step_agent, step_model
from agent_runner.workflow.conditions import Values
from agent_runner.workflow.models import AgentStep, OutputDef, Workflow
from agent_runner.workflow.output_examples import examples_of

if TYPE_CHECKING:
    from agent_runner.classify.verdict import Verdict

OUTPUT_REQUESTS = 2
"""How often an agent that ended without the step's required outputs is asked for them again."""

OWN_SESSION = "An earlier session of yours"
TIMEOUT_MARGIN = 30.0
"""Seconds after the time limit at which a driver that does not keep it is cancelled."""


def agent_name(step: AgentStep, spec: RunSpec) -> str:
    """The agent that does a step."""
    return step_agent(step, spec.agent)


def model_name(step: AgentStep, spec: RunSpec, workflow: Workflow) -> str | None:
    """The model that a step's agent is to use, if one is named for it."""
    return step_model(step, spec.agent, spec.model, workflow)


@dataclass(frozen=True)
class _EarlierWork:
    """What was done in this step already: in `session`, which is continued, or by `earlier`, of
    which only the work tree is left. `missing` are the outputs that an otherwise finished step did
    not give; `schema` is what the answer with them is held to. `iterates`: the step was finished in
    `session`, in an earlier iteration."""

    why: str
    session: AgentSession | None = None
    earlier: str | None = None
    missing: tuple[OutputDef, ...] = ()
    schema: Mapping[str, Any] | None = None
    iterates: bool = False


class AgentStepRun:
    """One agent step, with its retries in place. `done` are the finished steps, `loops` the loops
    around this one with their iterations, outermost first."""

    def __init__(
        self,
        step: AgentStep,
        tools: Tools,
        values: Values,
        log: StepLog,
        done: Sequence[str],
        loops: Sequence[tuple[str, int]] = (),
    ) -> None:
        self._step = step
        self._tools = tools
        self._log = log
        self._done = done
        self._loops = loops
        self._name = agent_name(step, tools.spec)
        self._provider = agent_provider(self._name, model_name(step, tools.spec, tools.workflow))
        prompt = tools.renderer.text(step.prompt, values) + (READ_ONLY if step.read_only else "")
        self._prompt = context_notice(tools.spec) + prompt + answers.ask(step.outputs)
        self._files = OutputFiles(step.outputs, tools.commands, tools.spec.stands_on)
        self._session: AgentSession | None = None
        self._timeout = step.timeout or tools.workflow.timeout or tools.spec.limits.agent_timeout

    async def run(self, interrupted: Interrupted | None) -> StepResult:
        """Run the step. An interrupted one is continued in its session; if that is lost or another
        agent's, a new session continues on the work tree as it is.

        Raises:
            StepFailed: it failed, took too long, or did not give its required outputs.
            RunPaused: only time, money or a person can help.
        """
        try:
            agent = self._tools.make_agent(self._name)
        except UnknownAgent as error:
            raise StepFailed(str(error)) from None
        try:
            if interrupted is None:
                await self._files.remove()
            return await self._result(agent, self._before(interrupted))
        except StepFailed as error:
            error.session = self._session
            await self._leave_no_files()
            raise
        except FilesRefused as error:
            raise StepFailed(str(error)) from error
        except CommandKilled as error:
            raise killed_pause(self._step.id, error, self._tools) from error

    def _before(self, interrupted: Interrupted | None) -> _EarlierWork | None:
        if interrupted is None:
            return self._of_earlier_iteration()
        other = interrupted.session.agent
        if other == self._name:
            return _EarlierWork(interrupted.why, interrupted.session)
        self._tools.warn(
            f"step {self._step.id}: {other} had worked on it; {self._name} takes over on the work "
            "tree as it is"
        )
        return _EarlierWork(interrupted.why, earlier=f"Another agent ({other})")

    def _of_earlier_iteration(self) -> _EarlierWork | None:
        """The conversation that the same agent had in this step, unless this iteration has begun
        another one in a loop."""
        session = self._tools.spec.sessions.get(self._step.id)
        if session and session.agent == self._name and all(n == 1 for _, n in self._loops):
            return _EarlierWork("", session, iterates=True)
        return None

    async def _leave_no_files(self) -> None:
        try:
            await self._files.remove()
        except (FilesRefused, CommandKilled) as error:
            self._tools.warn(f"step {self._step.id}: its output files may be left: {error}")

    async def _until_answered(self, agent: Agent, before: _EarlierWork | None) -> AgentOutcome:
        tools = self._tools
        delays = iter(tools.spec.limits.transient_delays)
        while True:
            started = tools.clock()
            try:
                return await self._turn(agent, before, started)
            except TimeoutError:
                raise StepFailed(f"the step took longer than {self._timeout:g} s") from None
            except SessionLost as lost:
                if before is None or before.session is None:
                    raise StepFailed(f"the agent lost its session: {lost}") from None
                tools.warn(
                    f"step {self._step.id}: the agent's session is gone; "
                    "it starts a new one on the work tree as it is"
                )
                # Agents keep their sessions in HOME, so a sandbox with a new HOME has none of them.
                taken = _EarlierWork(before.why, earlier=OWN_SESSION)
                before = None if before.iterates else taken
            except AgentFailed as error:
                wait = await self._failed(agent, error, started, next(delays, None))
                await tools.sleep(wait)
                session = error.session or self._session
                before = _EarlierWork(str(error), session) if session else before

    async def _failed(
        self, agent: Agent, error: AgentFailed, started: datetime, delay: float | None
    ) -> float:
        """The seconds to wait before the next try; raises if there is none."""
        tools = self._tools
        verdict = await self._verdict(error, started)
        now = tools.clock()
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
            provider=verdict.provider or self._provider or agent.provider,
            retry_at=verdict.retry_at,
            grounds=verdict.grounds,
            retry_grounds=verdict.retry_grounds,
            model=verdict.model,
        )
        raise RunPaused(pause) from error

    async def _verdict(self, error: AgentFailed, started: datetime) -> Verdict:
        """What a failed turn means, by what the gateway saw of it and what the agent said."""
        if isinstance(error, PointlessRetry):
            return error.verdict
        # Its many regular expressions are a fifth of what a runner's start costs.
        from agent_runner.classify.verdict import classify

        evidence = self._tools.evidence
        seen = await evidence.failures(started, self._provider)
        calls = await evidence.calls(started, self._provider)
        answered = calls is not None and not calls.last_failed
        return classify([*seen, error.failure], self._tools.clock(), answered=answered)

    async def _turn(
        self, agent: Agent, before: _EarlierWork | None, started: datetime
    ) -> AgentOutcome:
        reported = Usage()

        def on_usage(usage: Usage) -> None:
            nonlocal reported
            reported = reported.plus(usage)
            self._record_usage(usage)

        try:
            request = await self._request(agent, before, on_usage)
            with anyio.fail_after(self._timeout + TIMEOUT_MARGIN):
                outcome = await self._watch(started).run(
                    lambda: agent.run(request, self._tools.commands)
                )
        except AgentFailed as error:
            self._record_session(error.session)
            self._record_usage(error.usage.minus(reported))
            raise
        except (OSError, *BROKEN) as error:
            if is_own_timeout(error):
                raise
            raise AgentFailed(failure_of_exception(self._name, error)) from error
        self._record_session(outcome.session)
        self._record_usage(outcome.usage.minus(reported))
        if outcome.doubt is not None:
            calls = await self._tools.evidence.calls(started, self._provider)
            if is_failure(outcome.doubt, calls):
                raise AgentFailed(outcome.doubt.failure, outcome.session)
        return outcome

    def _watch(self, started: datetime) -> StallWatch:
        tools = self._tools
        wait_in_place = tools.spec.limits.wait_in_place
        return StallWatch(
            tools.evidence, started, self._provider, wait_in_place, tools.clock, anyio.sleep
        )

    async def _request(
        self, agent: Agent, before: _EarlierWork | None, on_usage: Callable[[Usage], None]
    ) -> AgentRequest:
        tools = self._tools
        new_id = tools.new_id()
        resume = before.session if before else None
        # The id is recorded before the agent starts: the last output of a killed agent is lost, and
        # with it an id that the agent prints only then.
        if resume is not None:
            known = {"session_id": new_id, "fork": False} if resume.fork else {}
            self._record_session(resume.model_copy(update=known))
        elif agent.presets_session():
            version = await agent.version(tools.commands)
            self._record_session(AgentSession(agent=self._name, session_id=new_id, version=version))
        gateway = tools.spec.gateway
        return AgentRequest(
            step_id=self._step.id,
            prompt=self._prompt_after(before),
            session_id=new_id,
            resume=resume,
            model=model_name(self._step, tools.spec, tools.workflow),
            base_url=f"http://127.0.0.1:{gateway.port}",
            token=gateway.token,
            silence=tools.spec.limits.agent_silence,
            timeout=self._timeout,
            on_session=self._record_session,
            on_usage=on_usage,
            on_log=self._log.line,
            examples=examples_of(self._step, tools.workflow),
            schema=before.schema if before else None,
        )

    def _prompt_after(self, before: _EarlierWork | None) -> str:
        if before is None:
            return self._prompt
        if before.missing and before.session:
            return answers.ask_again(before.missing)
        if before.iterates:
            return continued_prompt(self._prompt)
        return resume_prompt(
            self._prompt, before.why, self._done, loops=self._loops, earlier=before.earlier
        )

    def _record_session(self, session: AgentSession | None) -> None:
        known = self._session
        if session is None or session == known:
            return
        if known is not None and session.version is None and session.session_id == known.session_id:
            return
        # Flushed, so that the conversation can be resumed even if the machine goes down right now.
        self._session = session
        self._tools.journal.append(
            RecordType.AGENT_SESSION,
            {"step": self._step.id, "session": session.model_dump(mode="json")},
            flush=True,
        )
        crash_point(CrashPoint.SESSION_WRITTEN)

    def _record_usage(self, usage: Usage) -> None:
        if usage != Usage():
            self._tools.journal.append(
                RecordType.USAGE,
                {"step": self._step.id, "usage": usage.model_dump(mode="json")},
            )

    async def _result(self, agent: Agent, before: _EarlierWork | None) -> StepResult:
        """Run the turn, and ask again for required outputs that the answer lacks."""
        outcome = await self._until_answered(agent, before)
        lines = outcome.text.strip().splitlines()
        given = await self._outputs_of(outcome)
        limit = self._tools.spec.limits.output_bytes
        chosen, missing, warnings = answers.select(self._step.outputs, given, limit)
        for number in range(OUTPUT_REQUESTS):
            if not missing:
                break
            given |= await self._asked_again(agent, missing, structured=number == 0)
            chosen, missing, warnings = answers.select(self._step.outputs, given, limit)
        for warning in warnings:
            self._warn(warning)
        if missing:
            raise StepFailed(
                f"the agent did not give the required outputs: {', '.join(missing)}. "
                f"It was asked for them {OUTPUT_REQUESTS} more times"
            )
        await self._leave_no_files()
        return StepResult(chosen, lines[0][:200] if lines else None)

    async def _asked_again(
        self, agent: Agent, names: Sequence[str], *, structured: bool
    ) -> dict[str, str]:
        """The outputs of one more turn in the same session. `structured`: the agent is held to a
        schema, which not every model can follow. A failure that no pause can end counts as an
        answer without outputs."""
        missing = tuple(o for o in self._step.outputs if o.name in names)
        why = f"it ended without its required outputs: {', '.join(names)}"
        self._warn(f"{why}; asking for them again")
        session = self._session
        earlier = None if session else OWN_SESSION
        schema = answers.schema(missing) if structured else None
        try:
            before = _EarlierWork(why, session, earlier, missing, schema)
            return await self._outputs_of(await self._until_answered(agent, before))
        except StepFailed as error:
            self._warn(f"it did not answer: {error}")
            return {}

    async def _outputs_of(self, outcome: AgentOutcome) -> dict[str, str]:
        """The outputs of a turn: those that the agent gave apart, those in its text, its files."""
        # For an output that is a file, an answer holds at most the file's name.
        given = {k: v for k, v in (outcome.outputs or {}).items() if k not in self._files}
        given = answers.find(outcome.text, self._step.outputs) | given
        files, warnings = await self._files.read(self._tools.spec.limits.output_bytes)
        for warning in warnings:
            self._warn(warning)
        return {n: v for n, v in given.items() if n not in self._files} | files

    def _warn(self, text: str) -> None:
        self._tools.warn(f"step {self._step.id}: {text}")
