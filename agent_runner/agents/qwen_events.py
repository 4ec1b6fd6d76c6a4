"""What Qwen Code's stream of events says (`-o stream-json`). Pure; no I/O.

Ground truth: facts/agents.md, section 2.5, and lines recorded from version 0.24.4 in
tests/unit/agent_runner/agents/recorded. There is no field for a status: it stands in the message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent_runner.agents.blocks import message_lines, tool_errors
from agent_runner.agents.headless import (
    MAX_MESSAGE,
    count,
    mapping,
    no_result,
    shorten,
    string,
)
from agent_runner.models import Failure, Usage

NAME = "qwen"
PROVIDER = "openai"
SESSION_LOST = "No saved session found with ID"
_TELLING_INPUTS = ("file_path", "absolute_path", "command", "pattern", "path", "url", "query")


@dataclass
class QwenStream:
    """`headless.EventStream` of Qwen Code."""

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
        """It tells there of what it tries again, and why."""
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
        """Whether there is a result: it is the last event."""
        return self.result is not None

    @property
    def succeeded(self) -> bool:
        """Whether the run says so: `is_error` decides."""
        return self.result is not None and self.result.get("is_error") is False

    @property
    def text(self) -> str:
        """Its last message."""
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
        """The failure that the agent is waiting to retry, where we do the waiting instead."""
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
