"""An agent that plays a script: for demos, tests and trying a workflow without spending money.

It needs no network. Its edits happen in the sandbox, with the agent's rights, and its errors look
like a provider's. docs/workflows.md describes the script for users. The N-th call of a step plays
its N-th turn, counted over all attempts; once the turns are used up, the last one is repeated.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated

import anyio
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from agent_runner.agents.protocol import AgentFailed, AgentOutcome, AgentRequest, SessionLost
from agent_runner.models import AgentSession, Failure, Usage
from agent_runner.process.commands import (
    CommandKilled,
    CommandResult,
    CommandStarter,
    check_not_killed,
)
from agent_runner.process.guest_files import NotReadable, read_for_agent

MAX_SCRIPT_BYTES = 1_000_000
MAX_STATE_BYTES = 1_000_000
MAX_READ_BYTES = 100_000

_READ_STATE = '[ ! -e "$HOME/.scripted/state.json" ] || cat "$HOME/.scripted/state.json"'
_WRITE_STATE = (
    'mkdir -p "$HOME/.scripted" && cat > "$HOME/.scripted/state.part"'
    ' && mv "$HOME/.scripted/state.part" "$HOME/.scripted/state.json"'
)
_FOLDER = 'folder=$(dirname -- "$1") && mkdir -p -- "$folder"'
_WRITE = f'{_FOLDER} && cat > "$1"'
_APPEND = f'{_FOLDER} && cat >> "$1"'
_DELETE = 'rm -rf -- "$1"'


class _ScriptModel(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)


class Edit(_ScriptModel):
    """One change of a file: `content` replaces it, `append` adds to it, `delete` removes it."""

    path: str
    content: str | None = None
    append: str | None = None
    delete: bool = False

    @field_validator("path")
    @classmethod
    def _within(cls, path: str) -> str:
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts or parts[0] == ".git":
            raise ValueError("must be a relative path within the workspace")
        return "/".join(parts)

    def script(self) -> tuple[str, str]:
        """The shell script that makes the change, and its input."""
        if self.delete:
            return _DELETE, ""
        if self.append is not None:
            return _APPEND, self.append
        return _WRITE, self.content or ""


class ScriptedError(_ScriptModel):
    """A provider's error, as its API would give it. `retry_after` is in seconds."""

    message: str
    status: int | None = None
    type: str | None = None
    code: str | None = None
    provider: str = "scripted"
    headers: dict[str, str | int] = Field(default_factory=dict)
    retry_after: float | None = None
    reset_at: datetime | None = None


Text = Annotated[str, Field(coerce_numbers_to_str=True)]


class ScriptedTurn(_ScriptModel):
    """What one call does, in the order of the fields. `read` is a path whose content or listing
    goes to the log. `delay` is in seconds. A turn with an error gives no outputs."""

    say: str = ""
    read: str | None = None
    outputs: dict[str, Text | bool] = Field(default_factory=dict)
    edits: list[Edit] = Field(default_factory=list[Edit])
    run: str | None = None
    delay: float = Field(default=0, ge=0, le=86_400)
    usage: Usage = Field(default_factory=Usage)
    error: ScriptedError | None = None


class Script(_ScriptModel):
    """The content of script.yaml: the turns of each step."""

    steps: dict[str, Annotated[list[ScriptedTurn], Field(min_length=1)]] = Field(
        default_factory=dict
    )


class _State(BaseModel):
    """What the agent remembers between calls. It is in HOME, where real agents keep sessions."""

    turns: dict[str, int] = Field(default_factory=dict)
    sessions: list[str] = Field(default_factory=list)


class ScriptError(ValueError):
    """script.yaml cannot be used; the message says why."""


def load_script(path: Path) -> Script | None:
    """Read a script; None if the file does not exist.

    Raises:
        ScriptError: it is not a valid script.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(data) > MAX_SCRIPT_BYTES:
        raise ScriptError(f"{path.name} is larger than {MAX_SCRIPT_BYTES} bytes")
    try:
        return Script.model_validate(yaml.safe_load(data) or {})
    except yaml.YAMLError as error:
        raise ScriptError(f"{path.name} is not valid YAML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ScriptError(f"{path.name}: {place}: {first['msg']}") from None
    except RecursionError:
        raise ScriptError(f"{path.name} is nested too deeply") from None


class ScriptedAgent:
    """The driver of the scripted agent."""

    name = "scripted"
    provider = "scripted"

    def __init__(
        self, script: Path, sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    ) -> None:
        self._path = script
        self._sleep = sleep
        # Parallel steps share this agent, and its file.
        self._counting = anyio.Lock()

    def presets_session(self) -> bool:
        return True

    async def version(self, commands: CommandStarter) -> str | None:
        return None

    async def run(self, request: AgentRequest, commands: CommandStarter) -> AgentOutcome:
        """Play the next turn; see `Agent.run`."""
        try:
            with anyio.fail_after(request.timeout):
                return await self._turn(request, commands)
        except CommandKilled as error:
            failure = Failure("agent", str(error), provider=self.provider, interrupted=True)
            raise AgentFailed(failure) from error

    async def _turn(self, request: AgentRequest, commands: CommandStarter) -> AgentOutcome:
        try:
            script = load_script(self._path)
        except ScriptError as error:
            raise AgentFailed(Failure("agent", str(error), code="invalid_script")) from None
        async with self._counting:
            state = await _read_state(commands)
            session = self._session(request, state)
            number = state.turns.get(request.step_id, 0)
            state.turns[request.step_id] = number + 1
            await _shell(commands, _WRITE_STATE, stdin=state.model_dump_json())
        request.on_session(session)
        turns = script.steps.get(request.step_id) if script else None
        turn = turns[min(number, len(turns) - 1)] if turns else _default_turn(request)
        return await self._play(turn, session, request, commands)

    def _session(self, request: AgentRequest, state: _State) -> AgentSession:
        if request.resume is not None:
            if request.resume.session_id not in state.sessions:
                lost = f"No session found with ID: {request.resume.session_id}"
                raise SessionLost(Failure("agent", lost, code="session_lost"))
            return request.resume
        state.sessions.append(request.session_id)
        return AgentSession(agent=self.name, session_id=request.session_id)

    async def _play(
        self,
        turn: ScriptedTurn,
        session: AgentSession,
        request: AgentRequest,
        commands: CommandStarter,
    ) -> AgentOutcome:
        if turn.say:
            request.on_log(turn.say)
        if turn.read is not None:
            await _read(turn.read, request, commands)
        for edit in turn.edits:
            script, text = edit.script()
            await _shell(commands, script, edit.path, stdin=text)
            request.on_log(f"{'deleted' if edit.delete else 'wrote'} {edit.path}")
        if turn.run is not None:
            await self._run_shell(turn.run, request, commands)
        if turn.usage != Usage():
            request.on_usage(turn.usage)
        if turn.delay:
            await self._sleep(turn.delay)
        if turn.error is not None:
            raise AgentFailed(_failure(turn.error), session, turn.usage)
        outputs = {k: _word(v) for k, v in turn.outputs.items()}
        return AgentOutcome(turn.say, session, turn.usage, outputs)

    async def _run_shell(
        self, script: str, request: AgentRequest, commands: CommandStarter
    ) -> None:
        result = await commands.run(
            ["sh", "-c", script],
            timeout=request.timeout,
            on_output=lambda line: request.on_log(line.text),
            network=True,
        )
        check_not_killed(result)
        request.on_log(f"exit status {result.code}")


def _word(value: str | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else value


def _failure(error: ScriptedError) -> Failure:
    reset = error.reset_at
    if reset is not None and reset.tzinfo is None:
        reset = reset.replace(tzinfo=UTC)
    return Failure(
        source="agent",
        message=error.message,
        provider=error.provider,
        status=error.status,
        type=error.type,
        code=error.code,
        headers={k.lower(): str(v) for k, v in error.headers.items()},
        retry_after=error.retry_after,
        reset_at=reset,
    )


def _default_turn(request: AgentRequest) -> ScriptedTurn:
    """The turn of a step without a script: it changes nothing and gives each output a value."""
    task = re.split(r"\s*\n", request.prompt.strip(), maxsplit=1)[0][:200]
    outputs: dict[str, str | bool] = {e.name: e.value for e in request.examples if not e.filename}
    files = [Edit(path=e.filename, content=e.value) for e in request.examples if e.filename]
    say = f"Scripted agent, no script for this step. It would do: {task}"
    return ScriptedTurn(say=say, outputs=outputs, edits=files)


async def _read(path: str, request: AgentRequest, commands: CommandStarter) -> None:
    try:
        text = await read_for_agent(commands, path, MAX_READ_BYTES)
    except NotReadable as error:
        request.on_log(f"cannot read {error}")
        return
    request.on_log(f"read {path}")
    for line in text.splitlines():
        request.on_log(line)


async def _read_state(commands: CommandStarter) -> _State:
    result = await commands.run(["sh", "-c", _READ_STATE], output_limit=MAX_STATE_BYTES)
    check_not_killed(result)
    try:
        return _State.model_validate_json(result.stdout or b"{}")
    except ValidationError:
        return _State()


async def _shell(commands: CommandStarter, script: str, *args: str, stdin: str) -> CommandResult:
    result = await commands.run(["sh", "-c", script, "scripted", *args], stdin=stdin.encode())
    check_not_killed(result)
    if result.code != 0:
        output = result.stderr.decode(errors="replace").strip()[-200:]
        failure = Failure("agent", f"the scripted agent could not edit: {output}", code="script")
        raise AgentFailed(failure)
    return result
