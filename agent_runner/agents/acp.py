"""Drives every agent that speaks the Agent Client Protocol.

Of the protocol's SDK (0.12) only the types of the messages are used. When it closes a connection,
it ends the process that it started and not that process's children: the program of codex-acp ran on
every time. So messages go over a command of the runner's own, whose complete tree ends with it.
Only this module imports the SDK, and it is imported only if such an agent runs.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, TypeVar

import anyio
from acp import schema
from pydantic import BaseModel, ValidationError

from agent_runner.acp_programs import AcpProgram
from agent_runner.agents.acp_events import AUTH_REQUIRED, AcpStream, RpcError, failure_of
from agent_runner.agents.headless import (
    MAX_MESSAGE,
    QUIET,
    STDERR_LINES,
    mapping,
    no_result,
    not_started,
    parse_line,
    program_version,
    string,
)
from agent_runner.agents.protocol import AgentFailed, AgentOutcome, AgentRequest, SessionLost
from agent_runner.models import AgentSession, Failure, Usage
from agent_runner.process.commands import (
    CommandKilled,
    CommandStarter,
    OutputLine,
    RunningCommand,
    check_not_killed,
)
from agent_runner.process.guest_files import NotReadable, read_for_agent

PROTOCOL = 1
CANCEL_SECONDS = 1.0
QUIET_SECONDS = 0.5
LINES_AHEAD = 100
MAX_FILE = 10_000_000
_METHOD_NOT_FOUND, _INTERNAL = -32601, -32603
_Message = TypeVar("_Message", bound=BaseModel)
_WRITE = 'folder=$(dirname -- "$1") && mkdir -p -- "$folder" && exec cat >"$1"'


class AcpAgent:
    """Drives one agent, which chooses the id of its session itself."""

    def __init__(self, name: str, program: AcpProgram) -> None:
        self.name = name
        self.provider: str = program.provider or name
        self._program = program
        self._version: str | None = None

    def presets_session(self) -> bool:
        """False: in this protocol the agent chooses the id."""
        return False

    async def version(self, commands: CommandStarter) -> str | None:
        """The program's version; None if it does not print one."""
        if self._version is None:
            self._version = await program_version(commands, self._program.acp[0])
        return self._version

    async def run(self, request: AgentRequest, commands: CommandStarter) -> AgentOutcome:
        """One turn: see `Agent.run`.

        Raises:
            SessionLost: the session to be resumed cannot be loaded.
            AgentFailed: the turn did not succeed.
            TimeoutError: `request.timeout` passed.
        """
        program = self._program
        environment = program.environ(request.base_url, request.token, request.model)
        argv = program.argv(request.model)
        async with AsyncExitStack() as stack:
            try:
                running = await stack.enter_async_context(
                    commands.open(argv, env={**QUIET, **environment}, interactive=True)
                )
            except OSError as error:
                raise not_started(argv[0], error) from error
            with anyio.move_on_after(request.timeout):
                return await _Turn(self.name, program, request, commands, running).run()
        raise TimeoutError(f"{self.name} did not end within {request.timeout:g} s")


@dataclass
class _Turn:
    """One process with one session and one prompt. Calls of the agent that come while the runner
    waits for an answer are answered in between."""

    name: str
    program: AcpProgram
    request: AgentRequest
    commands: CommandStarter
    running: RunningCommand
    session: AgentSession | None = None
    _version: str | None = None
    _folder: str = ""
    _numbers: int = 0
    _stderr: deque[str] = field(default_factory=lambda: deque[str](maxlen=STDERR_LINES))

    def __post_init__(self) -> None:
        # Lines are read by a task of their own, so that a wait that times out loses none.
        self._heard, self._lines = anyio.create_memory_object_stream[OutputLine](LINES_AHEAD)
        self._listening = anyio.CancelScope(shield=True)
        self._reading = AcpStream(resumed=self.request.resume is not None)

    async def run(self) -> AgentOutcome:
        outcome: AgentOutcome | Exception | None = None
        async with self._lines, anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen)
            try:
                outcome = await self._take_turn()
            except (AgentFailed, CommandKilled, OSError) as error:
                # Raised outside the task group, which would wrap it in an ExceptionGroup.
                outcome = error
            finally:
                self._listening.cancel()
        if isinstance(outcome, AgentOutcome):
            return outcome
        raise outcome or AgentFailed(Failure("agent", "the turn was given up", interrupted=True))

    async def _listen(self) -> None:
        # Shielded, and ended by `run`: a cancelled turn still has to read the answer to its cancel.
        with self._listening:
            async with self._heard:
                async for line in self.running.lines():
                    await self._heard.send(line)

    async def _take_turn(self) -> AgentOutcome:
        # The path of the work tree, as the agent sees it.
        where = await self.commands.run(["pwd"])
        self._folder = where.stdout.decode(errors="replace").strip()
        try:
            session_id = await self._begin()
            answer = await self._prompt(session_id)
        except RpcError as error:
            raise self._failed(failure_of(error, self.program.provider)) from error
        usage = self._reading.usage(answer)
        failure = self._reading.verdict(answer, self.program.provider)
        if failure is not None:
            raise self._failed(failure, usage)
        doubt = self._reading.doubt(self.program.provider)
        return AgentOutcome(self._reading.text, self.session, usage, doubt=doubt)

    # -- the session -------------------------------------------------------------------------

    async def _begin(self) -> str:
        offered = self.program.files
        files = schema.FileSystemCapabilities(read_text_file=offered, write_text_file=offered)
        hello = schema.InitializeRequest(
            protocol_version=PROTOCOL,
            # No terminals: the agent runs commands itself, in the same sandbox.
            client_capabilities=schema.ClientCapabilities(fs=files, terminal=False),
        )
        answer = _parsed(schema.InitializeResponse, await self._call("initialize", hello))
        if answer is not None and answer.agent_info is not None:
            self._version = answer.agent_info.version
        can_load = bool(
            answer and answer.agent_capabilities and answer.agent_capabilities.load_session
        )
        if self.request.resume is not None:
            await self._load(self.request.resume.session_id, can_load=can_load)
            return self.request.resume.session_id
        created = await self._new()
        session_id = string(created.get("sessionId"))
        self._know(session_id)
        await self._set_mode(session_id, created)
        return session_id

    async def _new(self) -> Mapping[str, Any]:
        wanted = schema.NewSessionRequest(cwd=self._folder, mcp_servers=[])
        try:
            return await self._call("session/new", wanted)
        except RpcError as error:
            method = self.program.auth_method
            if error.code != AUTH_REQUIRED or method is None:
                raise
        await self._call("authenticate", schema.AuthenticateRequest(method_id=method))
        return await self._call("session/new", wanted)

    async def _load(self, session_id: str, *, can_load: bool) -> None:
        """Load a session. Raises SessionLost if that fails for another reason than the account."""
        known = schema.LoadSessionRequest(session_id=session_id, cwd=self._folder, mcp_servers=[])
        if not can_load:
            raise SessionLost(Failure("agent", f"{self.name} cannot load sessions"))
        # Agents repeat a loaded session's messages as updates, which are not this turn's.
        self._reading.replaying = True
        try:
            loaded = await self._call("session/load", known)
            await self._settle()
        except RpcError as error:
            failure = failure_of(error, self.program.provider)
            if error.code == AUTH_REQUIRED or failure.status is not None:
                raise
            raise SessionLost(failure) from error
        finally:
            self._reading.replaying = False
        self._know(session_id)
        await self._set_mode(session_id, loaded)

    async def _settle(self) -> None:
        """Read the rest of a loaded session's history, which some agents send after the answer. It
        is complete once they send nothing for a moment."""
        while True:
            message: Mapping[str, Any] | None = None
            with anyio.move_on_after(QUIET_SECONDS):
                message = await self._next()
            if message is None:
                return
            await self._on_request(message)

    async def _set_mode(self, session_id: str, opened: Mapping[str, Any]) -> None:
        # codex-acp opens sessions read-only: its turns end well, and have changed nothing.
        modes = _parsed(schema.SessionModeState, mapping(opened.get("modes")))
        wanted = self.program.mode
        if wanted and modes and wanted in {m.id for m in modes.available_modes}:
            change = schema.SetSessionModeRequest(session_id=session_id, mode_id=wanted)
            await self._call("session/set_mode", change)

    def _know(self, session_id: str) -> None:
        self.session = AgentSession(agent=self.name, session_id=session_id, version=self._version)
        self.request.on_session(self.session)

    async def _prompt(self, session_id: str) -> Mapping[str, Any]:
        text = schema.TextContentBlock(type="text", text=self.request.prompt)
        try:
            return await self._call(
                "session/prompt", schema.PromptRequest(session_id=session_id, prompt=[text])
            )
        except anyio.get_cancelled_exc_class():
            # A cancel that arrives before the signal makes the agent store its session.
            with anyio.move_on_after(CANCEL_SECONDS, shield=True), suppress(AgentFailed, RpcError):
                note = schema.CancelNotification(session_id=session_id)
                await self._send({"method": "session/cancel", "params": _json(note)})
                await self._answered(self._numbers)
            raise

    # -- messages ----------------------------------------------------------------------------

    async def _call(self, method: str, params: BaseModel) -> Mapping[str, Any]:
        self._numbers += 1
        number = self._numbers
        await self._send({"id": number, "method": method, "params": _json(params)})
        return await self._answered(number)

    async def _answered(self, number: int) -> Mapping[str, Any]:
        while True:
            message = await self._next()
            if "method" in message:
                await self._on_request(message)
            elif message.get("id") == number:
                if "error" in message:
                    raise RpcError(mapping(message["error"]))
                return mapping(message.get("result"))

    async def _next(self) -> Mapping[str, Any]:
        """The next message, of any kind.

        Raises:
            AgentFailed: the agent fell silent, or ended.
        """
        silence = self.request.silence
        while True:
            line: OutputLine | None = None
            with anyio.move_on_after(silence) as scope:
                with suppress(anyio.EndOfStream):
                    line = await self._lines.receive()
            if scope.cancelled_caught:
                message = f"{self.name} timed out: it said nothing for {silence:g} s"
                raise self._failed(Failure("agent", message, self.program.provider, code="silence"))
            if line is None:
                raise self._failed(await self._ended())
            if line.stream == "stderr":
                self._stderr.append(line.text)
            elif (message := parse_line(line.text)) is not None:
                return message

    async def _ended(self) -> Failure:
        code = await self.running.wait()
        stderr = [line for line in self._stderr if line.strip()]
        if killed := self.running.killed():
            provider = self.program.provider
            return Failure("agent", f"{self.name}: {killed}", provider, interrupted=True)
        return no_result(self.name, self.program.provider or self.name, code, stderr)

    async def _send(self, message: Mapping[str, Any]) -> None:
        line = json.dumps({"jsonrpc": "2.0", **message}) + "\n"
        try:
            with anyio.fail_after(self.request.silence):
                await self.running.send(line.encode())
        except BrokenPipeError:
            # The agent has ended, which is noticed where its output is read.
            return
        except TimeoutError as error:
            failure = Failure(
                "agent", f"{self.name} reads nothing", self.program.provider, code="silence"
            )
            raise self._failed(failure) from error

    async def _on_request(self, message: Mapping[str, Any]) -> None:
        """Handle a notification or a call of the agent."""
        method, params = string(message.get("method")), mapping(message.get("params"))
        if "id" not in message:
            if method == "session/update":
                for line in self._reading.take(mapping(params.get("update"))):
                    self.request.on_log(line)
            return
        try:
            answer: Mapping[str, Any] = {"result": await self._answer(method, params)}
        except (NotReadable, ValidationError, OSError) as error:
            answer = {"error": {"code": _INTERNAL, "message": str(error)[:MAX_MESSAGE]}}
        except NotImplementedError:
            answer = {"error": {"code": _METHOD_NOT_FOUND, "message": f"no method {method}"}}
        await self._send({"id": message["id"], **answer})

    async def _answer(self, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        if method == "session/request_permission":
            return _allowed(schema.RequestPermissionRequest.model_validate(params))
        if method == "fs/read_text_file":
            wanted = schema.ReadTextFileRequest.model_validate(params)
            folder = PurePosixPath(self._folder)
            text = await read_for_agent(self.commands, wanted.path, MAX_FILE, folder)
            return {"content": _part(text, wanted.line, wanted.limit)}
        if method == "fs/write_text_file":
            return await self._write(schema.WriteTextFileRequest.model_validate(params))
        raise NotImplementedError

    async def _write(self, wanted: schema.WriteTextFileRequest) -> Mapping[str, Any]:
        argv = ["sh", "-c", _WRITE, "write", wanted.path]
        done = await self.commands.run(argv, stdin=wanted.content.encode())
        check_not_killed(done)
        if done.code != 0:
            raise NotReadable(done.stderr.decode(errors="replace").strip()[-MAX_MESSAGE:])
        return {}

    def _failed(self, failure: Failure, usage: Usage | None = None) -> AgentFailed:
        return AgentFailed(failure, self.session, usage)


def _allowed(request: schema.RequestPermissionRequest) -> Mapping[str, Any]:
    """Allow it, this once. The sandbox is what protects: it holds nothing but the task."""
    for kind in ("allow_once", "allow_always"):
        for option in request.options:
            if option.kind == kind:
                return {"outcome": {"outcome": "selected", "optionId": option.option_id}}
    return {"outcome": {"outcome": "cancelled"}}


def _part(text: str, line: int | None, limit: int | None) -> str:
    if line is None and limit is None:
        return text
    start = max(0, (line or 1) - 1)
    lines = text.splitlines(keepends=True)[start:]
    return "".join(lines if limit is None else lines[:limit])


def _json(model: BaseModel) -> dict[str, Any]:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def _parsed(kind: type[_Message], value: Mapping[str, Any]) -> _Message | None:
    """Parse a part of a message; None if it does not fit the protocol."""
    try:
        return kind.model_validate(value)
    except ValidationError:
        return None
