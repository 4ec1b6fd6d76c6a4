"""What GitHub Copilot CLI's stream of events says (`--output-format json`). Pure; no I/O.

Ground truth: facts/agents.md, section 2.6, and lines recorded from version 1.0.102 in
tests/unit/agent_runner/agents/recorded. Each failed call to a model is an event of its own, with
the status and the provider's error; what follows it are retries, which the runner does instead.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent_runner.agents.blocks import tool_line
from agent_runner.agents.headless import (
    MAX_MESSAGE,
    count,
    items,
    mapping,
    no_result,
    parse_line,
    shorten,
    string,
)
from agent_runner.models import Failure, Usage

NAME = "copilot"
SESSION_LOST = "Error: No session, task, or name matched"
_TELLING_INPUTS = ("path", "command", "pattern", "url", "query", "description")
RETRIES = 1
"""Of its own, which absorb a blip. It would make five, and has no switch for that."""


@dataclass
class CopilotStream:
    """`headless.EventStream` of Copilot CLI. `provider` is whose API it calls."""

    provider: str
    session_id: str | None = None
    version: str | None = None
    result: dict[str, Any] | None = None
    retry_delay: float | None = None
    usage: Usage = field(default_factory=Usage)
    text: str = ""
    _call: Mapping[str, Any] = field(default_factory=dict[str, Any])
    _error: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def take(self, event: Mapping[str, Any]) -> list[str]:
        """Learn from one event."""
        kind, data = event.get("type"), mapping(event.get("data"))
        self.retry_delay = None
        if kind == "assistant.message":
            self._call = {}
            self.text = string(data.get("content"))
            return list(_message_lines(data))
        if kind == "tool.execution_complete" and data.get("success") is False:
            error = mapping(data.get("error"))
            return [shorten(f"  failed: {string(error.get('message'))}")]
        if kind == "model.call_failure":
            return [self._take_failure(data)]
        if kind == "session.error":
            self._error = data
            return [shorten(string(data.get("message")))]
        if kind == "result":
            self.result = dict(event)
            self.session_id = string(event.get("sessionId")) or self.session_id
            return ["done" if self.succeeded else f"failed: status {event.get('exitCode')}"]
        return []

    def take_stderr(self, line: str) -> list[str]:
        """Nothing is learned from it before the end."""
        return []

    @property
    def ended(self) -> bool:
        """Whether there is a result: it is the last event."""
        return self.result is not None

    @property
    def succeeded(self) -> bool:
        """Whether the result says so, and no error came before it."""
        return self.result is not None and self.result.get("exitCode") == 0 and not self._error

    def failure(self, code: int, stderr: Sequence[str]) -> Failure:
        """Why the run did not succeed. `code` is its exit status."""
        if not self._error and not self._call:
            if self.ended or self.session_is_lost(stderr):
                message = stderr[0] if stderr else f"copilot ended with status {code}"
                return Failure("agent", message[:MAX_MESSAGE], self.provider)
            return no_result(NAME, self.provider, code, stderr)
        return self._failed(string(self._error.get("message")))

    def retry_failure(self) -> Failure:
        """The failed call that it is about to make again."""
        return self._failed("")

    def session_is_lost(self, stderr: Sequence[str]) -> bool:
        """Whether the session that was to be resumed does not exist."""
        return any(line.startswith(SESSION_LOST) for line in stderr)

    def _take_failure(self, data: Mapping[str, Any]) -> str:
        self._call = data
        if count(data.get("retryAttempt")) >= RETRIES and _may_be_retried(data.get("statusCode")):
            self.retry_delay = float("inf")
        return shorten(f"API error {data.get('statusCode')}: {string(data.get('errorMessage'))}")

    def _failed(self, message: str) -> Failure:
        call = self._call
        status = call.get("statusCode", self._error.get("statusCode"))
        body = string(call.get("errorMessage"))
        quoted = string(_parsed(body).get("message"))
        return Failure(
            source="agent",
            message=(message or quoted or body or "the model could not be reached")[:MAX_MESSAGE],
            provider=self.provider,
            status=status if isinstance(status, int) else None,
            type=string(call.get("errorType")) or string(self._error.get("errorType")) or None,
            code=string(call.get("errorCode")) or None,
            body=body[:MAX_MESSAGE],
        )


def stored_usage(lines: Iterable[str]) -> Usage:
    """What the last run of a session used, by the session's own record of its events: nothing of
    it is printed."""
    total = Usage()
    for line in lines:
        event = parse_line(line) or {}
        if event.get("type") in ("session.start", "session.resume"):
            total = Usage()
        elif event.get("type") == "session.usage_record":
            total = total.plus(_call_usage(mapping(event.get("data"))))
    return total


def _call_usage(data: Mapping[str, Any]) -> Usage:
    used = mapping(data.get("usage")) or data
    cached = count(used.get("cacheReadTokens"))
    written = count(used.get("cacheWriteTokens"))
    return Usage(
        input_tokens=max(0, count(used.get("inputTokens")) - cached - written),
        output_tokens=count(used.get("outputTokens")),
        cache_read_tokens=cached,
        cache_write_tokens=written,
    )


def _may_be_retried(status: object) -> bool:
    return not isinstance(status, int) or status == 429 or status >= 500


def _message_lines(data: Mapping[str, Any]) -> Iterable[str]:
    if text := shorten(string(data.get("content"))):
        yield text
    for request in items(data.get("toolRequests")):
        yield tool_line(request.get("name"), request.get("arguments"), _TELLING_INPUTS)


def _parsed(text: str) -> Mapping[str, Any]:
    try:
        return mapping(json.loads(text))
    except (ValueError, RecursionError):
        return {}
