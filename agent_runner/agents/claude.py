"""The real Claude Code CLI, headless. facts/agents.md, sections 2.1, 3 and 4."""

from __future__ import annotations

import re
from collections import deque
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import anyio

from agent_runner.agents.claude_events import PROVIDER, Reading, parse_line
from agent_runner.agents.protocol import (
    AgentFailed,
    AgentOutcome,
    AgentRequest,
    Failure,
    SessionLost,
)
from agent_runner.commands import Commands, OutputLine, RunningCommand
from agent_runner.models import AgentSession, Usage

NAME = "claude"
VERSION_TIMEOUT = 30.0
# The result is the last event; what still runs then (a background shell) is not waited for.
EXIT_SECONDS = 15.0
STDERR_LINES = 20
# The runner does the waiting (D5): one retry of its own absorbs a blip, more hide the error.
_ENVIRONMENT = {
    "CLAUDE_CODE_MAX_RETRIES": "1",
    "API_TIMEOUT_MS": "120000",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
}


@dataclass
class _Run:
    """One run of the CLI, as far as it is known."""

    reading: Reading
    stderr: deque[str] = field(default_factory=lambda: deque[str](maxlen=STDERR_LINES))

    @property
    def session(self) -> AgentSession | None:
        session_id = self.reading.session_id
        if session_id is None:
            return None
        return AgentSession(agent=NAME, session_id=session_id, version=self.reading.version)

    def failed(self, failure: Failure) -> AgentFailed:
        return AgentFailed(failure, self.session, self.reading.usage)


class ClaudeAgent:
    """Drives `claude -p`. A delay beyond `max_retry_delay` seconds, announced by the CLI before
    it tries again, ends the run at once: the wait is the runner's."""

    name = NAME
    provider = PROVIDER

    def __init__(self, program: str = "claude", max_retry_delay: float = 30.0) -> None:
        self._program = program
        self._max_retry_delay = max_retry_delay
        self._version: str | None = None

    def presets_session(self) -> bool:
        """It takes a session id from its caller."""
        return True

    async def version(self, commands: Commands) -> str | None:
        """The CLI's version; None where it does not say one."""
        if self._version is None:
            try:
                result = await commands.run([self._program, "--version"], timeout=VERSION_TIMEOUT)
            except OSError:
                return None
            found = re.match(rb"(\d+\.\d+\.\d+\S*)", result.stdout)
            self._version = found[1].decode() if found and result.code == 0 else None
        return self._version

    async def run(self, request: AgentRequest, commands: Commands) -> AgentOutcome:
        """One turn: see `Agent.run`. `on_usage` is given each message's tokens; the cost comes
        with the outcome.

        Raises:
            SessionLost: the session to be resumed does not exist.
            AgentFailed: the run did not succeed.
            TimeoutError: `request.timeout` passed.
        """
        run = _Run(Reading(resumed=request.resume is not None))
        async with AsyncExitStack() as stack:
            try:
                running = await stack.enter_async_context(
                    commands.open(
                        self._argv(request),
                        env=_environment(request),
                        stdin=request.prompt.encode(),
                    )
                )
            except OSError as error:
                message = f"{self._program} could not be started: {error}"
                raise AgentFailed(Failure("agent", message, code="agent_missing")) from error
            with anyio.move_on_after(request.timeout):
                return _judge(run, await self._read(running, request, run))
        raise TimeoutError(f"claude did not end within {request.timeout:g} s")

    def _argv(self, request: AgentRequest) -> list[str]:
        session = (
            ["--resume", request.resume.session_id]
            if request.resume
            else ["--session-id", request.session_id]
        )
        model = ["--model", request.model] if request.model else []
        return [
            self._program,
            "-p",
            "--output-format",
            "stream-json",
            "--verbose",
            # The sandbox is what protects: it holds nothing but the task.
            "--dangerously-skip-permissions",
            *session,
            *model,
        ]

    async def _read(self, running: RunningCommand, request: AgentRequest, run: _Run) -> int:
        """Follow the run to its end; its exit status."""
        lines = running.lines()
        while True:
            line: OutputLine | None = None
            with anyio.move_on_after(_patience(request, run)) as silence:
                line = await anext(lines, None)
            if silence.cancelled_caught:
                await running.stop()
                if run.reading.result is not None:
                    return 0
                message = f"claude timed out: it said nothing for {request.silence:g} s"
                raise run.failed(Failure("agent", message, PROVIDER, code="silence"))
            if line is None:
                return await running.wait()
            if line.stream == "stderr":
                run.stderr.append(line.text)
            else:
                self._take(line.text, request, run)

    def _take(self, line: str, request: AgentRequest, run: _Run) -> None:
        event = parse_line(line)
        if event is None:
            return
        known, used = run.session, run.reading.usage
        for text in run.reading.take(event):
            request.on_log(text)
        if run.session and run.session != known:
            request.on_session(run.session)
        if run.reading.result is None and run.reading.usage != used:
            request.on_usage(_more_tokens(run.reading.usage, used))
        if (run.reading.retry_delay or 0) > self._max_retry_delay:
            raise run.failed(run.reading.retry_failure())


def _more_tokens(now: Usage, before: Usage) -> Usage:
    return Usage(
        input_tokens=now.input_tokens - before.input_tokens,
        output_tokens=now.output_tokens - before.output_tokens,
        cache_read_tokens=now.cache_read_tokens - before.cache_read_tokens,
        cache_write_tokens=now.cache_write_tokens - before.cache_write_tokens,
    )


def _environment(request: AgentRequest) -> dict[str, str]:
    return {
        **_ENVIRONMENT,
        "ANTHROPIC_BASE_URL": f"{request.base_url}/anthropic",
        "ANTHROPIC_API_KEY": request.token,
    }


def _patience(request: AgentRequest, run: _Run) -> float:
    return request.silence if run.reading.result is None else EXIT_SECONDS


def _judge(run: _Run, code: int) -> AgentOutcome:
    reading = run.reading
    if code == 0 and reading.succeeded:
        return AgentOutcome(text=reading.text, session=run.session, usage=reading.usage)
    stderr = [line for line in run.stderr if line.strip()]
    failure = reading.failure(code, stderr)
    if reading.resumed and reading.session_is_lost(stderr):
        raise SessionLost(failure, None, reading.usage)
    raise run.failed(failure)
