"""The real Codex CLI, headless. facts/agents.md, sections 2.2, 3 and 4."""

from __future__ import annotations

import json
import re

from agent_runner.agents.codex_events import PROVIDER, Reading, Rollout, read_rollout
from agent_runner.agents.headless import Turn, program_version
from agent_runner.agents.protocol import AgentFailed, AgentOutcome, AgentRequest
from agent_runner.process.commands import Commands

NAME = "codex"
TOKEN_VARIABLE = "ROVER_AGENT_TOKEN"  # noqa: S105 - the name of a variable
ROLLOUT_BYTES = 1_000_000
ROLLOUT_TIMEOUT = 20.0
_THREAD = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# As the agent's user, in the sandbox: the file is the agent's own.
_READ_ROLLOUT = (
    'for f in "$HOME"/.codex/sessions/*/*/*/rollout-*-"$1".jsonl; do'
    ' [ -f "$f" ] && tail -c "$2" -- "$f"; done'
)
# One retry of its own absorbs a blip; the rest of the waiting is the runner's (D5).
_CONFIG = {
    "model_provider": "rover",
    "model_providers.rover.name": "Rover",
    "model_providers.rover.env_key": TOKEN_VARIABLE,
    "model_providers.rover.wire_api": "responses",
    "model_providers.rover.request_max_retries": 1,
    "model_providers.rover.stream_max_retries": 1,
    "check_for_update_on_startup": False,
    "analytics.enabled": False,
}


class CodexAgent:
    """Drives `codex exec`. The id of its session is its own; it tells it in its first line."""

    name = NAME
    provider = PROVIDER

    def __init__(self, program: str = NAME) -> None:
        self._program = program
        self._version: str | None = None

    def presets_session(self) -> bool:
        """It makes its own session ids."""
        return False

    async def version(self, commands: Commands) -> str | None:
        """The CLI's version; None where it does not say one."""
        if self._version is None:
            self._version = await program_version(commands, self._program)
        return self._version

    async def run(self, request: AgentRequest, commands: Commands) -> AgentOutcome:
        """One turn: see `Agent.run`. Tokens come with the outcome; codex tells no cost.

        Raises:
            SessionLost: the session to be resumed does not exist.
            AgentFailed: the run did not succeed.
            TimeoutError: `request.timeout` passed.
        """
        reading = Reading(resumed=request.resume is not None)
        version = await self.version(commands)
        turn = Turn(NAME, PROVIDER, request, reading, version=version)
        env = {TOKEN_VARIABLE: request.token}
        schema = await _schema_file(commands, request)
        try:
            code = await turn.follow(commands, self._argv(request, schema), env)
        except AgentFailed as error:
            reading.rollout = await _rollout(commands, reading.session_id)
            raise turn.failed(error.failure) from error
        reading.rollout = await _rollout(commands, reading.session_id)
        return turn.judge(code)

    def _argv(self, request: AgentRequest, schema: str | None) -> list[str]:
        config = {**_CONFIG, "model_providers.rover.base_url": f"{request.base_url}/openai/v1"}
        # TOML's strings, numbers and booleans are written as JSON's.
        flags = [f for name, value in config.items() for f in ("-c", f"{name}={json.dumps(value)}")]
        model = ["-m", request.model] if request.model else []
        resume = ["resume", request.resume.session_id] if request.resume else []
        answer = ["--output-schema", schema] if schema else []
        return [
            self._program,
            "exec",
            "--json",
            # The sandbox is what protects: it holds nothing but the task.
            "--dangerously-bypass-approvals-and-sandbox",
            "--skip-git-repo-check",
            *flags,
            *model,
            *resume,
            *answer,
            "-",
        ]


async def _schema_file(commands: Commands, request: AgentRequest) -> str | None:
    """The file with the request's schema; None without one, or where it cannot be written: the
    prompt asks for the same."""
    if request.schema is None:
        return None
    # In HOME: in some sandboxes each command has a /tmp of its own.
    script = ["sh", "-c", 'f=$HOME/.rover-answer-schema && cat > "$f" && printf %s "$f"']
    stdin = json.dumps(request.schema).encode()
    try:
        written = await commands.run(script, timeout=ROLLOUT_TIMEOUT, stdin=stdin)
    except OSError:
        return None
    return written.stdout.decode() if written.code == 0 else None


async def _rollout(commands: Commands, session_id: str | None) -> Rollout:
    """What the session's file says of its last turn; nothing where it cannot be read."""
    if session_id is None or not _THREAD.fullmatch(session_id):
        return Rollout()
    script = ["sh", "-c", _READ_ROLLOUT, "codex", session_id, str(ROLLOUT_BYTES)]
    try:
        read = await commands.run(script, timeout=ROLLOUT_TIMEOUT, output_limit=ROLLOUT_BYTES)
    except OSError:
        return Rollout()
    return read_rollout(read.stdout.decode(errors="replace").splitlines())
