"""The driver of Claude Code."""

from __future__ import annotations

import json
from collections.abc import Mapping

from agent_runner.agents.claude_events import PROVIDER, ClaudeStream
from agent_runner.agents.headless import HeadlessAgent, session_arguments
from agent_runner.agents.protocol import AgentRequest
from agent_runner.process.commands import CommandStarter

NAME = "claude"
# The runner does the waiting. With its own default of ten retries Claude Code 2.1 hides an error
# for three minutes, even a refused key; one retry absorbs a blip.
_ENVIRONMENT = {
    "CLAUDE_CODE_MAX_RETRIES": "1",
    "API_TIMEOUT_MS": "120000",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
}


class ClaudeAgent(HeadlessAgent[ClaudeStream]):
    """Drives `claude -p`. `on_usage` is given each message's tokens; the cost comes with the
    outcome."""

    name = NAME
    provider = PROVIDER

    def _reading(self, request: AgentRequest) -> ClaudeStream:
        return ClaudeStream(resumed=request.resume is not None)

    async def _command(
        self, request: AgentRequest, commands: CommandStarter
    ) -> tuple[list[str], dict[str, str]]:
        argv = [
            self._program,
            "-p",
            "--output-format",
            "stream-json",
            "--verbose",
            # The sandbox is what protects: it holds nothing but the task.
            "--dangerously-skip-permissions",
            *session_arguments(request),
            *(["--model", request.model] if request.model else []),
            *(["--json-schema", json.dumps(request.schema)] if request.schema else []),
        ]
        environment = {
            **_ENVIRONMENT,
            "ANTHROPIC_BASE_URL": f"{request.base_url}/anthropic",
            "ANTHROPIC_API_KEY": request.token,
        }
        return argv, environment

    def _outputs(self, reading: ClaudeStream) -> Mapping[str, str] | None:
        return reading.structured_output
