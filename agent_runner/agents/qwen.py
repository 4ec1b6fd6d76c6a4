"""Drives Qwen Code, and reads its events (`-o stream-json`).

Lines recorded from version 0.24.4 are in tests/unit/agent_runner/agents/recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent_runner.agents.blocks import message_lines, tool_errors
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

NAME = "qwen"
PROVIDER = "openai"
SESSION_LOST = "No saved session found with ID"
_TELLING_INPUTS = ("file_path", "absolute_path", "command", "pattern", "path", "url", "query")


@dataclass
class QwenStream:
    """The event stream of Qwen Code. No field has the status of an error: it is in the message."""

    resumed: bool = False
    session_id: str | None = None
    version: str | None = None
    result: dict[str, Any] | None = None
    retry_delay: float | None = None
    _retry: Mapping[str, Any] = field(default_factory=dict[str, Any])
    _announced: str = ""
    _messages: dict[str, Usage] = field(default_factory=dict[str, Usage])

    def take(self, event: Mapping[str, Any]) -> list[str]:
        """Learn from one event."""
        kind, subtype = event.get("type"), event.get("subtype")
        self.retry_delay = None
        if kind == "system" and subtype == "init":
            self.session_id = string(event.get("session_id")) or None
            self.version = string(event.get("qwen_code_version")) or None
            return [f"qwen {self.version or ''} {string(event.get('model'))}"]
        if kind == "system" and subtype == "retry":
            return [self._take_retry(mapping(event.get("data")))]
        if kind == "assistant":
            message = mapping(event.get("message"))
            self._messages[string(message.get("id"))] = _usage(mapping(message.get("usage")))
            return message_lines(message, _TELLING_INPUTS)
        if kind == "user":
            return tool_errors(mapping(event.get("message")))
        if kind == "result":
            self.result = dict(event)
            return [self._verdict()]
        return []

    def take_stderr(self, line: str) -> list[str]:
        """Note the error that it is about to retry, which it prints here."""
        if line.startswith("Retrying in "):
            self._announced = line[:MAX_MESSAGE]
            return [shorten(line)]
        return []

    @property
    def usage(self) -> Usage:
        """This run's tokens: the result's own account of it, or what the messages said: before
        there is one, and in a resumed session, of which it counts the earlier runs too (seen in
        0.24.4). There is no cost."""
        if self.result is not None and "usage" in self.result and not self.resumed:
            return _usage(mapping(self.result.get("usage")))
        total = Usage()
        for usage in self._messages.values():
            total = total.plus(usage)
        return total

    @property
    def ended(self) -> bool:
        """Whether there is a result, which is the last event."""
        return self.result is not None

    @property
    def succeeded(self) -> bool:
        """Whether the result says so, by `is_error`."""
        return self.result is not None and self.result.get("is_error") is False

    @property
    def text(self) -> str:
        """The agent's last message."""
        return string((self.result or {}).get("result"))

    def failure(self, code: int, stderr: Sequence[str]) -> Failure:
        """Why the run did not succeed. `code` is its exit status."""
        reported = string(mapping((self.result or {}).get("error")).get("message")) or self.text
        if self.result is None:
            if not self.session_is_lost(stderr):
                return no_result(NAME, PROVIDER, code, stderr)
            reported = stderr[-1]
        message = reported or f"qwen ended with status {code}"
        return Failure("agent", message[:MAX_MESSAGE], PROVIDER)

    def retry_failure(self) -> Failure:
        """The failure that the agent is about to retry, if the runner does the waiting instead."""
        delay = count(self._retry.get("delayMs")) / 1000
        message = string(self._retry.get("message")) or self._announced or "API error"
        return Failure("agent", message[:MAX_MESSAGE], PROVIDER, retry_after=delay)

    def session_is_lost(self, stderr: Sequence[str]) -> bool:
        """Whether the session that was to be resumed does not exist."""
        return any(line.startswith(SESSION_LOST) for line in stderr)

    def _take_retry(self, data: Mapping[str, Any]) -> str:
        self._retry = data
        self.retry_delay = count(data.get("delayMs")) / 1000
        return f"API error, trying again in {self.retry_delay:.0f} s"

    def _verdict(self) -> str:
        used = self.usage
        error = string(mapping((self.result or {}).get("error")).get("message"))
        verdict = "done" if self.succeeded else f"failed: {error}"
        tokens = used.input_tokens + used.cache_read_tokens
        return shorten(f"{verdict} ({tokens} tokens in, {used.output_tokens} out)")


def _usage(usage: Mapping[str, Any]) -> Usage:
    cached = count(usage.get("cache_read_input_tokens"))
    return Usage(
        # Unlike Anthropic's own, these include what was read from a cache.
        input_tokens=max(0, count(usage.get("input_tokens")) - cached),
        output_tokens=count(usage.get("output_tokens")),
        cache_read_tokens=cached,
        cache_write_tokens=count(usage.get("cache_creation_input_tokens")),
    )


MODEL = "qwen3-coder-plus"
"""The model if the task names none: an endpoint that speaks OpenAI's protocol has no default."""

SETTINGS_FILE = ".qwen/settings.json"
# The runner does the waiting: with its own defaults Qwen Code 0.24 retried for over 15 minutes, in
# two nested loops of which only the outer one announces itself. With 0 the inner loop is left,
# which takes about a minute.
SETTINGS = {
    "general": {"enableAutoUpdate": False},
    "privacy": {"usageStatisticsEnabled": False},
    "telemetry": {"enabled": False},
    "security": {"auth": {"selectedType": "openai"}},
    "model": {"generationConfig": {"maxRetries": 0}},
    # Otherwise it asks the model after each turn what to remember, which costs tokens.
    "memory": {
        "enableManagedAutoMemory": False,
        "enableManagedAutoDream": False,
        "enableAutoSkill": False,
    },
}


class QwenAgent(HeadlessAgent[QwenStream]):
    """Drives `qwen -o stream-json`."""

    name = NAME
    provider = PROVIDER

    def _stream(self, request: AgentRequest) -> QwenStream:
        return QwenStream(resumed=request.resume is not None)

    async def _command(
        self, request: AgentRequest, commands: CommandStarter
    ) -> tuple[list[str], dict[str, str]]:
        await write_settings(commands, SETTINGS_FILE, SETTINGS)
        # The sandbox is what protects: it holds nothing but the task.
        yolo = ["--approval-mode", "yolo"]
        argv = [self._program, "-o", "stream-json", *yolo, *session_arguments(request)]
        environment = {
            "OPENAI_BASE_URL": f"{request.base_url}/openai/v1",
            "OPENAI_API_KEY": request.token,
            "OPENAI_MODEL": request.model or MODEL,
            "QWEN_CODE_SUPPRESS_YOLO_WARNING": "1",
        }
        return argv, environment
