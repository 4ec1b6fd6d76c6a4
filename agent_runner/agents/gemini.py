"""Drives Gemini CLI, and reads its events (`-o stream-json`).

Lines recorded from version 0.61.0 are in tests/unit/agent_runner/agents/recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent_runner.agents.blocks import tool_line
from agent_runner.agents.headless import (
    MAX_MESSAGE,
    HeadlessAgent,
    count,
    mapping,
    no_result,
    session_arguments,
    shorten,
    string,
)
from agent_runner.agents.protocol import AgentRequest
from agent_runner.agents.settings_file import write_settings
from agent_runner.models import Failure, Usage
from agent_runner.process.commands import CommandStarter

NAME = "gemini"
PROVIDER = "google"
SESSION_LOST = ("Error resuming session:", "No previous sessions found for this project.")
_TELLING_INPUTS = ("file_path", "absolute_path", "command", "pattern", "path", "url", "query")
_STATUSES = range(400, 512)  # the HTTP statuses that become an exit status of 144 to 255
_NO_KEY = 41  # its error is on standard error alone


@dataclass
class GeminiStream:
    """The event stream of Gemini CLI."""

    session_id: str | None = None
    version: str | None = None
    result: dict[str, Any] | None = None
    retry_delay: float | None = None
    _text: list[str] = field(default_factory=list[str])
    _errors: list[str] = field(default_factory=list[str])

    def take(self, event: Mapping[str, Any]) -> list[str]:
        """Learn from one event."""
        kind = event.get("type")
        if kind == "init":
            self.session_id = string(event.get("session_id")) or None
            return [f"gemini {string(event.get('model'))}"]
        if kind == "message":
            return self._take_message(event)
        if kind == "tool_use":
            self._text.clear()
            return [tool_line(event.get("tool_name"), event.get("parameters"), _TELLING_INPUTS)]
        if kind == "tool_result" and event.get("status") == "error":
            return [shorten(f"  failed: {string(event.get('output'))}")]
        if kind == "error":
            self._errors.append(string(event.get("message"))[:MAX_MESSAGE])
            return [shorten(self._errors[-1])]
        if kind == "result":
            self.result = dict(event)
            return [self._verdict()]
        return []

    def take_stderr(self, line: str) -> list[str]:
        """Ignore it: it has much output in runs that succeed."""
        return []

    @property
    def usage(self) -> Usage:
        """The tokens of all calls of this run. Gemini CLI prints no cost."""
        stats = mapping((self.result or {}).get("stats"))
        cached = count(stats.get("cached"))
        return Usage(
            input_tokens=max(0, count(stats.get("input_tokens")) - cached),
            output_tokens=count(stats.get("output_tokens")),
            cache_read_tokens=cached,
        )

    @property
    def ended(self) -> bool:
        """Whether there is a result, which is the last event. A run that gets SIGTERM ends with
        status 0 and without one."""
        return self.result is not None

    @property
    def succeeded(self) -> bool:
        """Whether the result says so."""
        return self.result is not None and self.result.get("status") == "success"

    @property
    def text(self) -> str:
        """The agent's text after its last tool call."""
        return "".join(self._text)

    def failure(self, code: int, stderr: Sequence[str]) -> Failure:
        """Why the run did not succeed. `code` is its exit status."""
        error = mapping((self.result or {}).get("error"))
        reported = string(error.get("message")) or "; ".join(self._errors)
        if not reported and not self.ended and code != _NO_KEY and not _lost(stderr):
            return no_result(NAME, PROVIDER, code, stderr)
        message = reported or (stderr[-1] if stderr else f"gemini ended with status {code}")
        # `error.type` is always "unknown". The exit status is the HTTP status, of which the system
        # keeps the lower eight bits: 173 for 429, 247 for 503.
        status = code + 256
        return Failure(
            source="agent",
            message=message[:MAX_MESSAGE],
            provider=PROVIDER,
            status=status if status in _STATUSES else None,
            type=string(error.get("type")) or None,
        )

    def retry_failure(self) -> Failure:
        """The failure of a retry. Never used: Gemini CLI announces none on its standard output."""
        return Failure("agent", "gemini tries again", PROVIDER)

    def session_is_lost(self, stderr: Sequence[str]) -> bool:
        """Whether the session that was to be resumed does not exist."""
        return not self.ended and _lost(stderr)

    def _take_message(self, event: Mapping[str, Any]) -> list[str]:
        content = string(event.get("content"))
        if event.get("role") != "assistant":
            self._text.clear()
            return []
        # Text comes in pieces with `delta`; a message without it is complete, and replaces them.
        if event.get("delta") is not True:
            self._text.clear()
        self._text.append(content)
        return [line] if (line := shorten(content)) else []

    def _verdict(self) -> str:
        used = self.usage
        error = mapping((self.result or {}).get("error"))
        verdict = "done" if self.succeeded else "failed: " + string(error.get("message"))
        tokens = used.input_tokens + used.cache_read_tokens
        return shorten(f"{verdict} ({tokens} tokens in, {used.output_tokens} out)")


def _lost(stderr: Sequence[str]) -> bool:
    return any(line.startswith(SESSION_LOST) for line in stderr)


SETTINGS_FILE = ".gemini/settings.json"
# The runner does the waiting: a second attempt absorbs a blip, and the default of ten hides an
# error for up to five minutes. Telemetry and updates are off, because the sandbox has no network.
SETTINGS = {
    "general": {
        "maxAttempts": 2,
        "retryFetchErrors": False,
        "enableAutoUpdate": False,
        "enableAutoUpdateNotification": False,
    },
    "privacy": {"usageStatisticsEnabled": False},
    "telemetry": {"enabled": False},
    "security": {"auth": {"selectedType": "gemini-api-key"}},
}
_ENVIRONMENT = {
    # Without it the CLI runs as the child of a parent process that ignores SIGTERM, and a run that
    # was to be stopped continues to its end.
    "GEMINI_CLI_NO_RELAUNCH": "true",
    # An untrusted folder ends it with status 55, and without output.
    "GEMINI_CLI_TRUST_WORKSPACE": "true",
}


class GeminiAgent(HeadlessAgent[GeminiStream]):
    """Drives `gemini -o stream-json`. Its usage comes with the outcome."""

    name = NAME
    provider = PROVIDER

    def _stream(self, request: AgentRequest) -> GeminiStream:
        return GeminiStream()

    async def _command(
        self, request: AgentRequest, commands: CommandStarter
    ) -> tuple[list[str], dict[str, str]]:
        await write_settings(commands, SETTINGS_FILE, SETTINGS)
        model = ["-m", request.model] if request.model else []
        # The sandbox is what protects: it holds nothing but the task. In other modes tools are
        # denied without a word, and the run ends with status 0.
        yolo = ["--approval-mode", "yolo", "--skip-trust"]
        argv = [self._program, "-o", "stream-json", *yolo, *model, *session_arguments(request)]
        environment = {
            **_ENVIRONMENT,
            "GOOGLE_GEMINI_BASE_URL": f"{request.base_url}/google",
            "GEMINI_API_KEY": request.token,
        }
        return argv, environment
