"""Starts, follows and judges agents whose CLI runs one turn and prints its events as JSON lines.

Neither the exit status nor the last event alone is a verdict. Measured with the releases of
November 2026: Claude Code that gets SIGINT ends with status 0 and `is_error: true`; Gemini CLI that
gets SIGTERM ends with status 0 and prints no result; five of the six end with status 0 and have
done nothing where a tool was denied. So a turn succeeded only if both say so.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar, cast

import anyio

from agent_runner.agents.protocol import AgentFailed, AgentOutcome, AgentRequest, SessionLost
from agent_runner.models import AgentSession, Failure, Usage
from agent_runner.process.commands import CommandStarter, OutputLine, RunningCommand

VERSION_TIMEOUT = 30.0
# A run is over after its last event. A CLI may stay for a shell that it left in the background.
EXIT_SECONDS = 15.0
STDERR_LINES = 20
MAX_MESSAGE = 2000
LOG_WIDTH = 200
QUIET: Mapping[str, str] = {"NO_COLOR": "1", "TERM": "dumb", "TZ": "UTC"}
"""The environment of every CLI. In UTC, because Codex prints the time at which a limit ends without
its zone."""

# Exit statuses of forward.py and of a shell: the program could not be started.
_NOT_STARTED = (126, 127)
_VERSION = re.compile(rb"\b(\d+\.\d+\.\d+\S*)")


class EventStream(Protocol):
    """Folds the events of one run. Pure; `take` and `take_stderr` return lines for the log."""

    @property
    def session_id(self) -> str | None: ...

    @property
    def version(self) -> str | None:
        """The CLI's version, if its events have it."""
        ...

    @property
    def usage(self) -> Usage:
        """The usage of this run, as far as it is known."""
        ...

    @property
    def ended(self) -> bool:
        """Whether the event that ends a run has come."""
        ...

    @property
    def succeeded(self) -> bool:
        """Whether that event says so."""
        ...

    @property
    def text(self) -> str:
        """The agent's last message."""
        ...

    @property
    def retry_delay(self) -> float | None:
        """Seconds that the agent has just said it waits before it tries again."""
        ...

    def take(self, event: Mapping[str, Any]) -> list[str]: ...

    def take_stderr(self, line: str) -> list[str]: ...

    def failure(self, code: int, stderr: Sequence[str]) -> Failure:
        """Why the run did not succeed. `code` is its exit status."""
        ...

    def retry_failure(self) -> Failure:
        """The failure after which the agent is waiting to try again."""
        ...

    def session_is_lost(self, stderr: Sequence[str]) -> bool:
        """Whether the session that was to be resumed does not exist."""
        ...


EventStreamT = TypeVar("EventStreamT", bound=EventStream)


class HeadlessAgent(ABC, Generic[EventStreamT]):
    """The driver of one CLI. A subclass says how the CLI is started and how its events are read.

    If the CLI announces a wait of more than `max_retry_delay` seconds before its next try, its run
    is ended at once: the runner waits better, because a paused task holds no sandbox.
    """

    name: str
    provider: str
    takes_session_id = True

    def __init__(self, program: str | None = None, max_retry_delay: float = 30.0) -> None:
        self._program = program or self.name
        self._max_retry_delay = max_retry_delay
        self._version: str | None = None

    def presets_session(self) -> bool:
        """See `Agent.presets_session`."""
        return self.takes_session_id

    async def version(self, commands: CommandStarter) -> str | None:
        """The CLI's version; None if it does not print one."""
        if self._version is None:
            self._version = await program_version(commands, self._program)
        return self._version

    async def run(self, request: AgentRequest, commands: CommandStarter) -> AgentOutcome:
        """Run one turn; see `Agent.run`.

        Raises:
            SessionLost: the session to be resumed does not exist.
            AgentFailed: the run did not succeed.
            TimeoutError: `request.timeout` passed.
        """
        stream = self._stream(request)
        argv, environment = await self._command(request, commands)
        provider = self._provider(request)
        turn = CliRun(self.name, provider, request, stream, self._version, self._max_retry_delay)
        try:
            code = await turn.follow(commands, argv, environment)
        except AgentFailed as error:
            await self._read_files(stream, commands)
            raise turn.failed(error.failure) from error
        await self._read_files(stream, commands)
        return replace(turn.judge(code), outputs=self._outputs(stream))

    def _provider(self, request: AgentRequest) -> str:
        """Whose API this turn calls."""
        return self.provider

    @abstractmethod
    def _stream(self, request: AgentRequest) -> EventStreamT:
        """A new fold over the events of a turn."""

    @abstractmethod
    async def _command(
        self, request: AgentRequest, commands: CommandStarter
    ) -> tuple[list[str], dict[str, str]]:
        """The argument list and the environment. Files that the CLI needs are written first."""

    async def _read_files(self, stream: EventStreamT, commands: CommandStarter) -> None:
        """Add what the session's own files hold and the CLI does not print."""

    def _outputs(self, stream: EventStreamT) -> Mapping[str, str] | None:
        """The step's outputs, if the agent gives them apart from its last message."""
        return None


@dataclass
class CliRun:
    """One run of a CLI. A delay beyond `max_retry_delay` seconds, announced by the CLI before it
    tries again, ends the run at once."""

    name: str
    provider: str
    request: AgentRequest
    stream: EventStream
    version: str | None = None
    max_retry_delay: float = 30.0
    stderr: deque[str] = field(default_factory=lambda: deque[str](maxlen=STDERR_LINES))

    @property
    def session(self) -> AgentSession | None:
        """The session, once its id is known; with the CLI's version if that is known, too."""
        session_id = self.stream.session_id
        if session_id is None:
            return None
        resumed = self.request.resume
        version = self.stream.version or self.version or (resumed.version if resumed else None)
        return AgentSession(agent=self.name, session_id=session_id, version=version)

    async def follow(
        self, commands: CommandStarter, argv: Sequence[str], env: Mapping[str, str]
    ) -> int:
        """Start the CLI with the prompt on its standard input and follow it to its end. Returns
        its exit status.

        Raises:
            AgentFailed: it could not be started, fell silent or announced a long wait.
            TimeoutError: `request.timeout` passed.
        """
        request = self.request
        async with AsyncExitStack() as stack:
            try:
                running = await stack.enter_async_context(
                    # Every process can read an argument list, and its length is limited.
                    commands.open(argv, env={**QUIET, **env}, stdin=request.prompt.encode())
                )
            except OSError as error:
                raise not_started(argv[0], error) from error
            with anyio.move_on_after(request.timeout):
                return await self._read(running)
        raise TimeoutError(f"{self.name} did not end within {request.timeout:g} s")

    def judge(self, code: int) -> AgentOutcome:
        """The outcome. A success needs the exit status and the event that says so.

        Raises:
            SessionLost: the session to be resumed does not exist.
            AgentFailed: the run did not succeed.
        """
        stream = self.stream
        if code == 0 and stream.succeeded:
            return AgentOutcome(text=stream.text, session=self.session, usage=stream.usage)
        stderr = [line for line in self.stderr if line.strip()]
        failure = stream.failure(code, stderr)
        if self.request.resume and stream.session_is_lost(stderr):
            raise SessionLost(failure, None, stream.usage)
        raise self.failed(failure)

    def failed(self, failure: Failure) -> AgentFailed:
        """The failure with the run's session and usage."""
        return AgentFailed(failure, self.session, self.stream.usage)

    def _check_not_killed(self, running: RunningCommand) -> None:
        # Whatever it had printed by then: an agent that was killed can resume its session.
        if killed := running.killed():
            message = f"{self.name}: {killed}"
            raise self.failed(Failure("agent", message, self.provider, interrupted=True))

    async def _read(self, running: RunningCommand) -> int:
        lines = running.lines()
        while True:
            line: OutputLine | None = None
            patience = EXIT_SECONDS if self.stream.ended else self.request.silence
            with anyio.move_on_after(patience) as silence:
                line = await anext(lines, None)
            # opencode obeyed a retry-after of three hours without a byte of output: only the
            # silence shows that an agent waits.
            if silence.cancelled_caught:
                await running.stop()
                if self.stream.ended:
                    return 0
                message = f"{self.name} timed out: it said nothing for {patience:g} s"
                raise self.failed(Failure("agent", message, self.provider, code="silence"))
            if line is None:
                code = await running.wait()
                self._check_not_killed(running)
                return code
            self._take(line)

    def _take(self, line: OutputLine) -> None:
        request, stream = self.request, self.stream
        known, used = self.session, stream.usage
        if line.stream == "stderr":
            self.stderr.append(line.text)
            lines = stream.take_stderr(line.text)
        else:
            event = parse_line(line.text)
            lines = stream.take(event) if event is not None else []
        for text in lines:
            request.on_log(text)
        if self.session and self.session != known:
            request.on_session(self.session)
        if not stream.ended and stream.usage != used:
            # Without the cost, which comes with the outcome.
            request.on_usage(stream.usage.minus(used).model_copy(update={"cost_usd": None}))
        if (stream.retry_delay or 0) > self.max_retry_delay:
            raise self.failed(stream.retry_failure())


async def program_version(commands: CommandStarter, program: str) -> str | None:
    """The version that `--version` prints; None if it prints none."""
    try:
        result = await commands.run([program, "--version"], timeout=VERSION_TIMEOUT)
    except OSError:
        return None
    match = _VERSION.search(result.stdout)
    # Copilot's is the end of a sentence.
    return match[1].decode().rstrip(".") if match and result.code == 0 else None


def session_arguments(request: AgentRequest) -> list[str]:
    """The session to resume, or the id that a new one is to have."""
    if request.resume:
        return ["--resume", request.resume.session_id]
    return ["--session-id", request.session_id]


def not_started(program: str, error: OSError) -> AgentFailed:
    """The failure of a program that the system could not start."""
    return AgentFailed(
        Failure("agent", f"{program} could not be started: {error}", code="agent_missing")
    )


def no_result(name: str, provider: str, code: int, stderr: Sequence[str]) -> Failure:
    """The failure of a run that ended without a result, or that could not be started."""
    last = stderr[-1][:MAX_MESSAGE] if stderr else ""
    if code in _NOT_STARTED:
        message = f"{name} could not be started: {last or f'exit status {code}'}"
        return Failure(source="agent", message=message, code="agent_missing")
    message = f"{name} ended with status {code} before it gave a result"
    return Failure(
        source="agent",
        message=f"{message}: {last}" if last else message,
        provider=provider,
        interrupted=True,
    )


def parse_line(line: str) -> dict[str, Any] | None:
    """The event in a line of stdout; None for anything else."""
    try:
        value = cast(object, json.loads(line))
    except (ValueError, RecursionError):
        return None
    return cast(dict[str, Any], value) if isinstance(value, dict) else None


def shorten(text: str) -> str:
    """One line of at most LOG_WIDTH characters."""
    line = " ".join(text[: 4 * LOG_WIDTH].split())
    return line if len(line) <= LOG_WIDTH else line[: LOG_WIDTH - 1] + "…"


def mapping(value: object) -> Mapping[str, Any]:
    """`value` if it is a JSON object, else an empty one."""
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def items(value: object) -> list[Mapping[str, Any]]:
    """The objects of a JSON list."""
    return [mapping(v) for v in cast(list[object], value)] if isinstance(value, list) else []


def string(value: object) -> str:
    """`value` if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def count(value: object) -> int:
    """`value` if it is a positive integer, else 0."""
    return value if isinstance(value, int) and value > 0 else 0


def money(value: object) -> float | None:
    """`value` as an amount of money; None if it is not a number."""
    return float(value) if isinstance(value, int | float) else None
