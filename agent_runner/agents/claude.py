"""The real Claude Code CLI, headless. facts/agents.md, sections 2.1, 3 and 4."""

from __future__ import annotations

import json
from dataclasses import replace

from agent_runner.agents.claude_events import PROVIDER, Reading
from agent_runner.agents.headless import Turn, program_version
from agent_runner.agents.protocol import AgentOutcome, AgentRequest
from agent_runner.process.commands import Commands

NAME = "claude"
# The runner does the waiting (D5): one retry of its own absorbs a blip, more hide the error.
_ENVIRONMENT = {
    "CLAUDE_CODE_MAX_RETRIES": "1",
    "API_TIMEOUT_MS": "120000",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
}


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
            self._version = await program_version(commands, self._program)
        return self._version

    async def run(self, request: AgentRequest, commands: Commands) -> AgentOutcome:
        """One turn: see `Agent.run`. `on_usage` is given each message's tokens; the cost comes
        with the outcome.

        Raises:
            SessionLost: the session to be resumed does not exist.
            AgentFailed: the run did not succeed.
            TimeoutError: `request.timeout` passed.
        """
        reading = Reading(resumed=request.resume is not None)
        turn = Turn(NAME, PROVIDER, request, reading, max_retry_delay=self._max_retry_delay)
        code = await turn.follow(commands, self._argv(request), _environment(request))
        return replace(turn.judge(code), outputs=reading.structured_output)

    def _argv(self, request: AgentRequest) -> list[str]:
        session = (
            ["--resume", request.resume.session_id]
            if request.resume
            else ["--session-id", request.session_id]
        )
        model = ["--model", request.model] if request.model else []
        schema = ["--json-schema", json.dumps(request.schema)] if request.schema else []
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
            *schema,
        ]


def _environment(request: AgentRequest) -> dict[str, str]:
    return {
        **_ENVIRONMENT,
        "ANTHROPIC_BASE_URL": f"{request.base_url}/anthropic",
        "ANTHROPIC_API_KEY": request.token,
    }
