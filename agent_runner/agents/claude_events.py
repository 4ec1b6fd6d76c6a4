"""What Claude Code's stream of events says (`--output-format stream-json`). Pure; no I/O.

Ground truth: facts/agents.md, section 2.1, and lines recorded from version 2.1.330 in
tests/unit/runner_process/recorded. Nothing that a model wrote is ever taken for an error (D3).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from agent_runner.agents.protocol import Failure
from agent_runner.models import Usage

PROVIDER = "anthropic"
LOG_WIDTH = 200
MAX_MESSAGE = 2000
SESSION_LOST = "No conversation found with session ID"
# What to show of a tool's input: the first of these that it has.
_TELLING_INPUTS = ("file_path", "command", "pattern", "path", "url", "query", "description")
# Exit statuses of forward.py and of a shell: the program could not be started.
_NOT_STARTED = (126, 127)


def parse_line(line: str) -> dict[str, Any] | None:
    """The event in a line of stdout; None for anything else."""
    try:
        value = cast(object, json.loads(line))
    except (ValueError, RecursionError):
        return None
    return cast(dict[str, Any], value) if isinstance(value, dict) else None


@dataclass
class Reading:
    """A fold over one run's events. `take` returns lines for people."""

    resumed: bool = False
    session_id: str | None = None
    version: str | None = None
    result: dict[str, Any] | None = None
    retry_delay: float | None = None
    _retry: dict[str, Any] = field(default_factory=dict[str, Any])
    _reset_at: datetime | None = None
    _error_code: str | None = None
    _messages: dict[str, Usage] = field(default_factory=dict[str, Usage])

    def take(self, event: Mapping[str, Any]) -> list[str]:
        """Learn from one event."""
        kind, subtype = event.get("type"), event.get("subtype")
        self.retry_delay = None
        if kind == "system" and subtype == "init":
            self.session_id = _text(event.get("session_id")) or None
            self.version = _text(event.get("claude_code_version")) or None
            return [f"claude {self.version or ''} {_text(event.get('model'))}"]
        if kind == "system" and subtype == "api_retry":
            return [self._take_retry(dict(event))]
        if kind == "rate_limit_event":
            return self._take_rate_limit(_mapping(event.get("rate_limit_info")))
        if kind == "assistant":
            return self._take_assistant(event)
        if kind == "user":
            return list(_tool_errors(_mapping(event.get("message"))))
        if kind == "result":
            self.result = dict(event)
            return [_result_line(event, self.usage)]
        return []

    @property
    def usage(self) -> Usage:
        """This run's tokens and cost: the result's own account of it, or before there is one
        what the messages said."""
        if self.result is not None:
            return result_usage(self.result, resumed=self.resumed)
        total = Usage()
        for usage in self._messages.values():
            total = total.plus(usage)
        return total

    @property
    def succeeded(self) -> bool:
        """Whether the run says so: `is_error` decides, not `subtype` or the exit status."""
        return self.result is not None and self.result.get("is_error") is False

    @property
    def text(self) -> str:
        return _text((self.result or {}).get("result"))

    def session_is_lost(self, stderr: Iterable[str]) -> bool:
        """Whether the session that was to be resumed does not exist."""
        told = (*_errors(self.result or {}), *stderr)
        return any(line.startswith(SESSION_LOST) for line in told)

    def failure(self, code: int, stderr: list[str]) -> Failure:
        """Why the run did not succeed. `code` is its exit status."""
        result = self.result
        if result is None:
            return _no_result(code, stderr)
        listed = "; ".join(_errors(result))
        status = result.get("api_error_status")
        aborted = _text(result.get("terminal_reason")).startswith("aborted")
        return Failure(
            source="agent",
            message=(self.text or listed or f"claude ended with status {code}")[:MAX_MESSAGE],
            provider=PROVIDER,
            status=status if isinstance(status, int) else None,
            type=_text(result.get("api_error_type")) or None,
            code=_text(result.get("api_error")) or self._error_code,
            reset_at=self._reset_at,
            interrupted=aborted,
        )

    def retry_failure(self) -> Failure:
        """The failure that the agent is waiting to retry, where we do the waiting instead."""
        status = self._retry.get("error_status")
        delay = _seconds(self._retry.get("retry_delay_ms"))
        return Failure(
            source="agent",
            message=f"API error {status}: to be tried again in {delay:.0f} s",
            provider=PROVIDER,
            status=status if isinstance(status, int) else None,
            code=_text(self._retry.get("error")) or None,
            retry_after=delay,
            reset_at=self._reset_at,
        )

    def _take_retry(self, event: dict[str, Any]) -> str:
        self._retry = event
        self.retry_delay = _seconds(event.get("retry_delay_ms"))
        return (
            f"API error {event.get('error_status')} ({_text(event.get('error'))}), "
            f"trying again in {self.retry_delay:.0f} s"
        )

    def _take_rate_limit(self, info: Mapping[str, Any]) -> list[str]:
        resets = info.get("resetsAt")
        if info.get("status") != "rejected" or not isinstance(resets, int | float):
            return []
        try:
            self._reset_at = datetime.fromtimestamp(resets, UTC)
        except (OverflowError, ValueError, OSError):
            return []
        kind = _text(info.get("rateLimitType"))
        return [f"usage limit reached ({kind}), resets at {self._reset_at.isoformat()}"]

    def _take_assistant(self, event: Mapping[str, Any]) -> list[str]:
        message = _mapping(event.get("message"))
        if event.get("is_api_error_message") is True or "error" in event:
            code = _text(event.get("error"))
            self._error_code = code if code != "unknown" else None
            return []
        # Each content block comes as an event of its own and repeats its message's usage.
        self._messages[_text(message.get("id"))] = message_usage(_mapping(message.get("usage")))
        return [line for block in _blocks(message) for line in _block_lines(block)]


def message_usage(usage: Mapping[str, Any]) -> Usage:
    """Tokens in the API's own words; no cost."""
    return Usage(
        input_tokens=_count(usage.get("input_tokens")),
        output_tokens=_count(usage.get("output_tokens")),
        cache_read_tokens=_count(usage.get("cache_read_input_tokens")),
        cache_write_tokens=_count(usage.get("cache_creation_input_tokens")),
    )


def result_usage(result: Mapping[str, Any], *, resumed: bool) -> Usage:
    """What one run used. `total_cost_usd` and `modelUsage` cover the whole session, earlier runs
    too, where it was resumed (seen in 2.1.330): the part since the last result is this run's."""
    models = result.get("model_usage_since_last_result")
    if not isinstance(models, dict):
        cost = None if resumed else _money(result.get("total_cost_usd"))
        return message_usage(_mapping(result.get("usage"))).model_copy(update={"cost_usd": cost})
    total = Usage(cost_usd=0.0)
    for value in cast(dict[str, object], models).values():
        model = _mapping(value)
        total = total.plus(
            Usage(
                input_tokens=_count(model.get("inputTokens")),
                output_tokens=_count(model.get("outputTokens")),
                cache_read_tokens=_count(model.get("cacheReadInputTokens")),
                cache_write_tokens=_count(model.get("cacheCreationInputTokens")),
                cost_usd=_money(model.get("costUSD")),
            )
        )
    return total


def _no_result(code: int, stderr: list[str]) -> Failure:
    said = stderr[-1][:MAX_MESSAGE] if stderr else ""
    if code in _NOT_STARTED:
        message = f"claude could not be started: {said or f'exit status {code}'}"
        return Failure(source="agent", message=message, code="agent_missing")
    message = f"claude ended with status {code} before it gave a result"
    return Failure(
        source="agent",
        message=f"{message}: {said}" if said else message,
        provider=PROVIDER,
        interrupted=True,
    )


def _block_lines(block: Mapping[str, Any]) -> Iterable[str]:
    if block.get("type") == "text" and (text := shorten(_text(block.get("text")))):
        yield text
    elif block.get("type") == "tool_use":
        given = _mapping(block.get("input"))
        telling = next((_text(given[k]) for k in _TELLING_INPUTS if given.get(k)), "")
        yield shorten(f"{_text(block.get('name'))} {telling}")


def _tool_errors(message: Mapping[str, Any]) -> Iterable[str]:
    for block in _blocks(message):
        if block.get("type") == "tool_result" and block.get("is_error") is True:
            content = block.get("content")
            yield shorten(f"  failed: {content if isinstance(content, str) else ''}")


def _result_line(event: Mapping[str, Any], usage: Usage) -> str:
    verdict = "failed: " + _text(event.get("result")) if event.get("is_error") else "done"
    tokens = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    cost = "" if usage.cost_usd is None else f", {usage.cost_usd:.4f} USD"
    return shorten(f"{verdict} ({tokens} tokens in, {usage.output_tokens} out{cost})")


def shorten(text: str) -> str:
    """One line of at most LOG_WIDTH characters."""
    line = " ".join(text[: 4 * LOG_WIDTH].split())
    return line if len(line) <= LOG_WIDTH else line[: LOG_WIDTH - 1] + "…"


def _blocks(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    content = message.get("content")
    return [_mapping(b) for b in cast(list[object], content)] if isinstance(content, list) else []


def _errors(result: Mapping[str, Any]) -> list[str]:
    errors = result.get("errors")
    return [_text(e) for e in cast(list[object], errors)] if isinstance(errors, list) else []


def _mapping(value: object) -> Mapping[str, Any]:
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _money(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _seconds(milliseconds: object) -> float:
    return float(milliseconds) / 1000 if isinstance(milliseconds, int | float) else 0.0
