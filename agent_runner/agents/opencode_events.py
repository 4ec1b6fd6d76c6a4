"""What opencode's stream of events says (`opencode run --format json --print-logs`). Pure; no I/O.

Ground truth: facts/agents.md, section 2.4, and lines recorded from version 1.18.33 in
tests/unit/agent_runner/agents/recorded/opencode. There is no line that ends a run: the last call
that stopped by itself does. Its log, on standard error, tells the session's id and the errors that
it waits out in silence. Nothing that a model wrote is ever taken for an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent_runner.agents.blocks import tool_line
from agent_runner.agents.headless import (
    MAX_MESSAGE,
    count,
    mapping,
    money,
    no_result,
    shorten,
    string,
)
from agent_runner.models import Failure, Usage

SESSION_LOST = re.compile(r"Session not found|NotFoundError.*\bses_")
MAX_BODY = 64_000
_TELLING_INPUTS = ("filePath", "command", "pattern", "path", "url", "query", "description")
# Whole beginnings of log lines, as the program writes them: what a model wrote stands behind.
_LOG = r"timestamp=\S+ level={} +run=\w+ "
_CREATED = re.compile(
    _LOG.format("INFO") + r"message=created id=(ses_\w+) (?:slug=\S+ )?version=(\d[\w.-]*)"
)
_STREAM_ERROR = re.compile(
    _LOG.format("ERROR") + r'message="stream error" .*?error\.error="(\w{1,60}: [^"]{0,400})'
)


@dataclass
class OpencodeStream:
    """`headless.EventStream` of opencode."""

    provider: str
    session_id: str | None = None
    version: str | None = None
    retry_delay: float | None = None
    text: str = ""
    usage: Usage = field(default_factory=Usage)
    _reason: str | None = None
    _error: Mapping[str, Any] | None = None
    _logged: str = ""

    def take(self, event: Mapping[str, Any]) -> list[str]:
        """Learn from one event."""
        self.session_id = string(event.get("sessionID")) or self.session_id
        kind, part = event.get("type"), mapping(event.get("part"))
        if kind == "step_start":
            self._reason, self._error = None, None
        elif kind == "step_finish":
            self._reason = string(part.get("reason"))
            self.usage = self.usage.plus(step_usage(part))
            return [self._step_line(part)]
        elif kind == "text":
            self.text = string(part.get("text"))
            return [shorten(self.text)] if self.text.strip() else []
        elif kind == "tool_use":
            return _tool_lines(part)
        elif kind == "error":
            self._error = mapping(event.get("error"))
            return [shorten("failed: " + self._error_message())]
        return []

    def take_stderr(self, line: str) -> list[str]:
        """Learn from a line of its log: long before the first event there is an id."""
        if self.session_id is None and (created := _CREATED.match(line)):
            self.session_id, self.version = created[1], created[2]
            return [f"opencode {self.version}"]
        if failed := _STREAM_ERROR.match(line):
            self._logged = failed[1]
            return [shorten(f"API error, trying again: {failed[1]}")]
        return []

    @property
    def ended(self) -> bool:
        """Whether the last model call stopped by itself, and nothing came after it."""
        return self._reason == "stop" and self._error is None

    @property
    def succeeded(self) -> bool:
        """The same: no event says more."""
        return self.ended

    def session_is_lost(self, stderr: Sequence[str]) -> bool:
        """Whether the session that was to be resumed does not exist."""
        return self._reason is None and any(SESSION_LOST.search(line) for line in stderr)

    def failure(self, code: int, stderr: Sequence[str]) -> Failure:
        """Why the run did not succeed: the error event, else the last that its log told."""
        if self._error is None:
            if self._reason == "length":
                message = "the model's answer was cut: it reached its longest length"
                return Failure("agent", message, self.provider, code="max_output_tokens")
            if self._logged:
                # It ends by itself with an event: somebody ended it while it waited.
                return Failure("agent", self._logged, self.provider, interrupted=True)
            return no_result("opencode", self.provider, code, stderr)
        data = mapping(self._error.get("data"))
        status = data.get("statusCode")
        headers = mapping(data.get("responseHeaders"))
        return Failure(
            source="agent",
            message=self._error_message() or f"opencode ended with status {code}",
            provider=self.provider,
            status=status if isinstance(status, int) else None,
            type=string(self._error.get("name")) or None,
            headers={k.lower(): v for k, v in headers.items() if isinstance(v, str)},
            body=string(data.get("responseBody"))[:MAX_BODY],
            interrupted=self._error.get("name") == "MessageAbortedError",
        )

    def retry_failure(self) -> Failure:
        """It never says how long it waits."""
        return Failure("agent", self._logged or "opencode waits to try again", self.provider)

    def _error_message(self) -> str:
        error = self._error or {}
        message = string(mapping(error.get("data")).get("message")) or string(error.get("message"))
        return (message or string(error.get("name")))[:MAX_MESSAGE]

    def _step_line(self, part: Mapping[str, Any]) -> str:
        used = step_usage(part)
        given = used.input_tokens + used.cache_read_tokens + used.cache_write_tokens
        done = "done" if self._reason == "stop" else f"model call: {self._reason}"
        cost = f", {used.cost_usd:.4f} USD" if used.cost_usd else ""
        return shorten(f"{done} ({given} tokens in, {used.output_tokens} out{cost})")


def step_usage(part: Mapping[str, Any]) -> Usage:
    """What one model call used. A cost of 0 is that of a model whose price it does not know."""
    counts = mapping(part.get("tokens"))
    cache = mapping(counts.get("cache"))
    return Usage(
        input_tokens=count(counts.get("input")),
        output_tokens=count(counts.get("output")) + count(counts.get("reasoning")),
        cache_read_tokens=count(cache.get("read")),
        cache_write_tokens=count(cache.get("write")),
        cost_usd=money(part.get("cost")) or None,
    )


def _tool_lines(part: Mapping[str, Any]) -> list[str]:
    state = mapping(part.get("state"))
    lines = [tool_line(part.get("tool"), state.get("input"), _TELLING_INPUTS)]
    if state.get("status") == "error":
        lines.append(shorten(f"  failed: {string(state.get('error'))}"))
    return lines
