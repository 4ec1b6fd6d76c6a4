"""What Gemini CLI's stream of events says (`-o stream-json`). Pure; no I/O.

Ground truth: facts/agents.md, section 2.3, and lines recorded from version 0.61.0 in
tests/unit/agent_runner/agents/recorded. `error.type` is always "unknown": the message and the exit
status, which is the HTTP status less 256, tell what it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent_runner.agents.blocks import tool_line
from agent_runner.agents.headless import (
    MAX_MESSAGE,
    count,
    mapping,
    no_result,
    shorten,
    string,
)
from agent_runner.models import Failure, Usage

NAME = "gemini"
PROVIDER = "google"
SESSION_LOST = ("Error resuming session:", "No previous sessions found for this project.")
_TELLING_INPUTS = ("file_path", "absolute_path", "command", "pattern", "path", "url", "query")
_STATUSES = range(400, 512)  # what an exit status of 144 to 255 can have been
_NO_KEY = 41


@dataclass
class GeminiStream:
    """`headless.EventStream` of Gemini CLI."""

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
        """Nothing is learned from it: it is noisy in runs that go well."""
        return []

    @property
    def usage(self) -> Usage:
        """This run's tokens, all calls together; there is no cost."""
        stats = mapping((self.result or {}).get("stats"))
        cached = count(stats.get("cached"))
        return Usage(
            input_tokens=max(0, count(stats.get("input_tokens")) - cached),
            output_tokens=count(stats.get("output_tokens")),
            cache_read_tokens=cached,
        )

    @property
    def ended(self) -> bool:
        """Whether there is a result: it is the last event."""
        return self.result is not None

    @property
    def succeeded(self) -> bool:
        """Whether the result says so."""
        return self.result is not None and self.result.get("status") == "success"

    @property
    def text(self) -> str:
        """What it said after its last tool."""
        return "".join(self._text)

    def failure(self, code: int, stderr: Sequence[str]) -> Failure:
        """Why the run did not succeed. `code` is its exit status."""
        error = mapping((self.result or {}).get("error"))
        reported = string(error.get("message")) or "; ".join(self._errors)
        if not reported and not self.ended and code != _NO_KEY and not _lost(stderr):
            return no_result(NAME, PROVIDER, code, stderr)
        message = reported or (stderr[-1] if stderr else f"gemini ended with status {code}")
        status = code + 256
        return Failure(
            source="agent",
            message=message[:MAX_MESSAGE],
            provider=PROVIDER,
            status=status if status in _STATUSES else None,
            type=string(error.get("type")) or None,
        )

    def retry_failure(self) -> Failure:
        """It announces no retry on its standard output."""
        return Failure("agent", "gemini tries again", PROVIDER)

    def session_is_lost(self, stderr: Sequence[str]) -> bool:
        """Whether the session that was to be resumed does not exist."""
        return not self.ended and _lost(stderr)

    def _take_message(self, event: Mapping[str, Any]) -> list[str]:
        content = string(event.get("content"))
        if event.get("role") != "assistant":
            self._text.clear()
            return []
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
