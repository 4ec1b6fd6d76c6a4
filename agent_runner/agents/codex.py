"""The driver of Codex."""

from __future__ import annotations

import json
import re

from agent_runner.agents.codex_events import PROVIDER, CodexStream, Rollout, read_rollout
from agent_runner.agents.headless import HeadlessAgent
from agent_runner.agents.protocol import AgentRequest
from agent_runner.process.commands import CommandStarter

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
# One retry of its own absorbs a blip; the runner does the rest of the waiting.
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


class CodexAgent(HeadlessAgent[CodexStream]):
    """Drives `codex exec`. It chooses the id of its session and prints it in its first line.
    Tokens come with the outcome; codex prints no cost."""

    name = NAME
    provider = PROVIDER
    takes_session_id = False

    def _reading(self, request: AgentRequest) -> CodexStream:
        return CodexStream(resumed=request.resume is not None)

    async def _command(
        self, request: AgentRequest, commands: CommandStarter
    ) -> tuple[list[str], dict[str, str]]:
        # No event has the version, and the checkpoint is to hold it.
        await self.version(commands)
        schema = await _schema_file(commands, request)
        config = {**_CONFIG, "model_providers.rover.base_url": f"{request.base_url}/openai/v1"}
        # TOML's strings, numbers and booleans are written as JSON's.
        flags = [f for name, value in config.items() for f in ("-c", f"{name}={json.dumps(value)}")]
        argv = [
            self._program,
            "exec",
            "--json",
            # The sandbox is what protects: it holds nothing but the task.
            "--dangerously-bypass-approvals-and-sandbox",
            "--skip-git-repo-check",
            *flags,
            *(["-m", request.model] if request.model else []),
            *(["resume", request.resume.session_id] if request.resume else []),
            *(["--output-schema", schema] if schema else []),
            "-",
        ]
        return argv, {TOKEN_VARIABLE: request.token}

    async def _read_files(self, reading: CodexStream, commands: CommandStarter) -> None:
        reading.rollout = await _rollout(commands, reading.session_id)


async def _schema_file(commands: CommandStarter, request: AgentRequest) -> str | None:
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


async def _rollout(commands: CommandStarter, session_id: str | None) -> Rollout:
    """What the session's file says of its last turn; nothing where it cannot be read."""
    if session_id is None or not _THREAD.fullmatch(session_id):
        return Rollout()
    script = ["sh", "-c", _READ_ROLLOUT, "codex", session_id, str(ROLLOUT_BYTES)]
    try:
        read = await commands.run(script, timeout=ROLLOUT_TIMEOUT, output_limit=ROLLOUT_BYTES)
    except OSError:
        return Rollout()
    return read_rollout(read.stdout.decode(errors="replace").splitlines())
