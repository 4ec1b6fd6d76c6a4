"""What Codex's stream of events says (`codex exec --json`), and its rollout file. Pure; no I/O.

Ground truth: facts/agents.md, section 2.2, and lines recorded from version 0.169.0 in
tests/unit/agent_runner/agents/recorded/codex. The stream loses the class of an error; the rollout,
the session's own file, has it, with the reset time and what each turn used. Nothing that a model
wrote is ever taken for an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

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

PROVIDER = "openai"
SESSION_LOST = "no rollout found for thread id"
_STATUS = "http_status_code"


@dataclass
class Rollout:
    """What the end of a rollout file tells of its last turn."""

    error: Mapping[str, Any] = field(default_factory=dict[str, Any])
    resets_at: datetime | None = None
    usage: Usage | None = None

    @property
    def code(self) -> str | None:
        """The class of the error."""
        info = self.error.get("codex_error_info")
        if isinstance(info, str):
            return info if info != "other" else None
        return next(iter(mapping(info)), None)

    @property
    def status(self) -> int | None:
        """The answer's status, where it is told."""
        statuses = [
            mapping(v).get(_STATUS) for v in mapping(self.error.get("codex_error_info")).values()
        ]
        return next((s for s in statuses if isinstance(s, int)), None)


def read_rollout(lines: Iterable[str]) -> Rollout:
    """Read a rollout file, or its end; a line that was cut is passed over."""
    rollout = Rollout()
    for line in lines:
        record = parse_line(line) or {}
        payload = mapping(record.get("payload"))
        kind = payload.get("type") if record.get("type") == "event_msg" else record.get("type")
        if kind == "task_started":
            rollout = Rollout()
        elif kind == "token_usage_record":
            rollout.usage = tokens(mapping(payload.get("turn_token_usage")))
        elif kind == "token_count":
            rollout.resets_at = _resets_at(mapping(payload.get("rate_limits"))) or rollout.resets_at
        elif kind == "task_complete":
            rollout.error = mapping(payload.get("error"))
    return rollout


@dataclass
class CodexStream:
    """`headless.EventStream` of Codex. `rollout` is set at the end, where it could be read."""

    resumed: bool = False
    session_id: str | None = None
    version: str | None = None
    retry_delay: float | None = None
    text: str = ""
    rollout: Rollout = field(default_factory=Rollout)
    _last: dict[str, Any] = field(default_factory=dict[str, Any])
    _error: str = ""

    def take(self, event: Mapping[str, Any]) -> list[str]:
        """Learn from one event."""
        kind = event.get("type")
        if kind == "thread.started":
            self.session_id = string(event.get("thread_id")) or None
            return ["codex"]
        if kind in ("turn.completed", "turn.failed"):
            self._last = dict(event)
            return [self._end_line()]
        if kind == "error":
            self._error = string(event.get("message"))[:MAX_MESSAGE]
            return [shorten(self._error)]
        if kind in ("item.started", "item.completed"):
            return self._take_item(string(kind), mapping(event.get("item")))
        return []

    def take_stderr(self, line: str) -> list[str]:
        """Nothing is learned from it before the end."""
        return []

    @property
    def ended(self) -> bool:
        """Whether the turn has ended, well or not."""
        return bool(self._last)

    @property
    def succeeded(self) -> bool:
        """Whether it ended well."""
        return self._last.get("type") == "turn.completed"

    @property
    def usage(self) -> Usage:
        """Of this turn. The event tells the whole thread's, so that of a resumed one only the
        rollout knows."""
        if self.rollout.usage is not None:
            return self.rollout.usage
        counts = mapping(self._last.get("usage"))
        return tokens(counts) if counts and not self.resumed else Usage()

    def session_is_lost(self, stderr: Sequence[str]) -> bool:
        """Whether the thread that was to be resumed does not exist."""
        return self.session_id is None and any(SESSION_LOST in line for line in stderr)

    def failure(self, code: int, stderr: Sequence[str]) -> Failure:
        """Why the turn did not succeed: the rollout's class, the stream's message."""
        message = string(mapping(self._last.get("error")).get("message")) or self._error
        rollout = self.rollout
        if not message and not rollout.error:
            return no_result("codex", PROVIDER, code, stderr)
        return Failure(
            source="agent",
            message=(message or string(rollout.error.get("message")))[:MAX_MESSAGE],
            provider=PROVIDER,
            status=rollout.status,
            code=rollout.code,
            reset_at=rollout.resets_at,
        )

    def retry_failure(self) -> Failure:
        """It never says how long it waits."""
        return Failure("agent", self._error or "codex waits to try again", PROVIDER)

    def _take_item(self, event: str, item: Mapping[str, Any]) -> list[str]:
        kind, done = item.get("type"), event == "item.completed"
        if kind == "agent_message" and done:
            self.text = string(item.get("text"))
            return [shorten(self.text)] if self.text.strip() else []
        if kind == "command_execution":
            return _command_lines(item, done=done)
        if kind == "file_change" and done:
            changes = items(item.get("changes"))
            return [shorten(f"{string(c.get('kind'))} {string(c.get('path'))}") for c in changes]
        if kind == "mcp_tool_call" and done:
            return [shorten(f"{string(item.get('server'))} {string(item.get('tool'))}")]
        if kind == "web_search" and done:
            return [shorten(f"web search {string(item.get('query'))}")]
        # An item of the type "error" is a warning of codex itself, not an error of the turn.
        return [shorten(string(item.get("message")))] if kind == "error" and done else []

    def _end_line(self) -> str:
        if not self.succeeded:
            return shorten("failed: " + string(mapping(self._last.get("error")).get("message")))
        counts = mapping(self._last.get("usage"))
        given, out = count(counts.get("input_tokens")), count(counts.get("output_tokens"))
        return f"done ({given} tokens in, {out} out, in all of this session)"


def tokens(counts: Mapping[str, Any]) -> Usage:
    """Tokens as the API counts them: what came from a cache is part of the input."""
    cached = count(counts.get("cached_input_tokens"))
    written = count(counts.get("cache_write_input_tokens"))
    return Usage(
        input_tokens=max(0, count(counts.get("input_tokens")) - cached - written),
        output_tokens=count(counts.get("output_tokens")),
        cache_read_tokens=cached,
        cache_write_tokens=written,
    )


def _command_lines(item: Mapping[str, Any], *, done: bool) -> list[str]:
    if not done:
        return [shorten(f"$ {string(item.get('command'))}")]
    code = item.get("exit_code")
    if not isinstance(code, int) or code == 0:
        return []
    output = string(item.get("aggregated_output")).strip().splitlines()
    return [shorten(f"  exit status {code}: {output[-1] if output else ''}")]


def _resets_at(limits: Mapping[str, Any]) -> datetime | None:
    """When the windows that are used up open again: the last of them."""
    times = [_time(mapping(limits.get(name))) for name in ("primary", "secondary")]
    return max((at for at in times if at is not None), default=None)


def _time(window: Mapping[str, Any]) -> datetime | None:
    used, at = window.get("used_percent"), window.get("resets_at")
    if not isinstance(used, int | float) or used < 100 or not isinstance(at, int | float):
        return None
    try:
        return datetime.fromtimestamp(at, UTC)
    except (OverflowError, ValueError, OSError):
        return None
