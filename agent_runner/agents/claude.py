"""Drives Claude Code, and reads its events (`--output-format stream-json`).

Lines recorded from version 2.1.330 are in tests/unit/agent_runner/agents/recorded. Nothing that a
model wrote is ever taken for an error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from agent_runner.agents.blocks import message_lines, tool_errors
from agent_runner.agents.headless import (
    MAX_MESSAGE,
    HeadlessAgent,
    count,
    mapping,
    money,
    no_result,
    session_arguments,
    shorten,
    string,
)
from agent_runner.agents.protocol import AgentRequest
from agent_runner.models import Failure, Usage
from agent_runner.process.commands import CommandStarter
from agent_runner.workflow.outputs import as_texts

PROVIDER = "anthropic"
SESSION_LOST = "No conversation found with session ID"
# The inputs of a tool to show in the log: the first one that it has.
_TELLING_INPUTS = ("file_path", "command", "pattern", "path", "url", "query", "description")


@dataclass
class ClaudeStream:
    """The event stream of Claude Code."""

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
        # Any other event after a retry means that the call has gone through.
        self.retry_delay = None
        if kind == "system" and subtype == "init":
            self.session_id = string(event.get("session_id")) or None
            self.version = string(event.get("claude_code_version")) or None
            return [f"claude {self.version or ''} {string(event.get('model'))}"]
        if kind == "system" and subtype == "api_retry":
            return [self._take_retry(dict(event))]
        if kind == "rate_limit_event":
            return self._take_rate_limit(mapping(event.get("rate_limit_info")))
        if kind == "assistant":
            return self._take_assistant(event)
        if kind == "user":
            return tool_errors(mapping(event.get("message")))
        if kind == "result":
            self.result = dict(event)
            return [_result_line(event, self.usage)]
        return []

    @property
    def usage(self) -> Usage:
        """This run's tokens and cost: by its result, or before there is one by its messages."""
        if self.result is not None:
            return result_usage(self.result, resumed=self.resumed)
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
        """Whether the result says so."""
        # By `is_error`: every error of the API comes with `subtype: "success"`.
        return self.result is not None and self.result.get("is_error") is False

    @property
    def text(self) -> str:
        return string((self.result or {}).get("result"))

    @property
    def structured_output(self) -> dict[str, str] | None:
        """The values that `--json-schema` asked for, as texts; None if there are none."""
        return as_texts(mapping((self.result or {}).get("structured_output"))) or None

    def take_stderr(self, line: str) -> list[str]:
        """Ignore it: what matters in it is read at the end."""
        return []

    def session_is_lost(self, stderr: Sequence[str]) -> bool:
        """Whether the session that was to be resumed does not exist."""
        lines = (*_errors(self.result or {}), *stderr)
        return any(line.startswith(SESSION_LOST) for line in lines)

    def failure(self, code: int, stderr: Sequence[str]) -> Failure:
        """Why the run did not succeed. `code` is its exit status."""
        result = self.result
        if result is None:
            return no_result("claude", PROVIDER, code, stderr)
        listed = "; ".join(_errors(result))
        status = result.get("api_error_status")
        # A run that got SIGINT reports `aborted_streaming`, beside an exit status of 0.
        aborted = string(result.get("terminal_reason")).startswith("aborted")
        # The status and the type are the API's. Claude's own class of an error is less exact:
        # behind another base URL it calls a 529 `server_error`, and a 402 `unknown`.
        return Failure(
            source="agent",
            message=(self.text or listed or f"claude ended with status {code}")[:MAX_MESSAGE],
            provider=PROVIDER,
            status=status if isinstance(status, int) else None,
            type=string(result.get("api_error_type")) or None,
            code=string(result.get("api_error")) or self._error_code,
            reset_at=self._reset_at,
            interrupted=aborted,
        )

    def retry_failure(self) -> Failure:
        """The failure that the agent is about to retry, if the runner does the waiting instead."""
        status = self._retry.get("error_status")
        delay = _seconds(self._retry.get("retry_delay_ms"))
        return Failure(
            source="agent",
            message=f"API error {status}: to be tried again in {delay:.0f} s",
            provider=PROVIDER,
            status=status if isinstance(status, int) else None,
            code=string(self._retry.get("error")) or None,
            retry_after=delay,
            reset_at=self._reset_at,
        )

    def _take_retry(self, event: dict[str, Any]) -> str:
        self._retry = event
        self.retry_delay = _seconds(event.get("retry_delay_ms"))
        return (
            f"API error {event.get('error_status')} ({string(event.get('error'))}), "
            f"trying again in {self.retry_delay:.0f} s"
        )

    def _take_rate_limit(self, info: Mapping[str, Any]) -> list[str]:
        # Only with a login of a subscription; with an API key this event does not come. It is the
        # one place with the time of the reset as a number: the message has it as "resets 10:08am".
        resets = info.get("resetsAt")
        if info.get("status") != "rejected" or not isinstance(resets, int | float):
            return []
        try:
            self._reset_at = datetime.fromtimestamp(resets, UTC)
        except (OverflowError, ValueError, OSError):
            return []
        kind = string(info.get("rateLimitType"))
        return [f"usage limit reached ({kind}), resets at {self._reset_at.isoformat()}"]

    def _take_assistant(self, event: Mapping[str, Any]) -> list[str]:
        message = mapping(event.get("message"))
        if event.get("is_api_error_message") is True or "error" in event:
            code = string(event.get("error"))
            self._error_code = code if code != "unknown" else None
            return []
        # Each content block comes as an event of its own and repeats its message's usage.
        self._messages[string(message.get("id"))] = message_usage(mapping(message.get("usage")))
        return message_lines(message, _TELLING_INPUTS)


def message_usage(usage: Mapping[str, Any]) -> Usage:
    """The tokens of one message; its cost is not known."""
    return Usage(
        input_tokens=count(usage.get("input_tokens")),
        output_tokens=count(usage.get("output_tokens")),
        cache_read_tokens=count(usage.get("cache_read_input_tokens")),
        cache_write_tokens=count(usage.get("cache_creation_input_tokens")),
    )


def result_usage(result: Mapping[str, Any], *, resumed: bool) -> Usage:
    """What one run used. In a resumed session `total_cost_usd` and `modelUsage` include the earlier
    runs (2.1.330), and the part since the last result is this run's."""
    models = result.get("model_usage_since_last_result")
    if not isinstance(models, dict):
        cost = None if resumed else money(result.get("total_cost_usd"))
        return message_usage(mapping(result.get("usage"))).model_copy(update={"cost_usd": cost})
    total = Usage(cost_usd=0.0)
    for value in cast(dict[str, object], models).values():
        model = mapping(value)
        total = total.plus(
            Usage(
                input_tokens=count(model.get("inputTokens")),
                output_tokens=count(model.get("outputTokens")),
                cache_read_tokens=count(model.get("cacheReadInputTokens")),
                cache_write_tokens=count(model.get("cacheCreationInputTokens")),
                cost_usd=money(model.get("costUSD")),
            )
        )
    return total


def _result_line(event: Mapping[str, Any], usage: Usage) -> str:
    verdict = "failed: " + string(event.get("result")) if event.get("is_error") else "done"
    tokens = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    cost = "" if usage.cost_usd is None else f", {usage.cost_usd:.4f} USD"
    return shorten(f"{verdict} ({tokens} tokens in, {usage.output_tokens} out{cost})")


def _errors(result: Mapping[str, Any]) -> list[str]:
    errors = result.get("errors")
    return [string(e) for e in cast(list[object], errors)] if isinstance(errors, list) else []


def _seconds(milliseconds: object) -> float:
    return float(milliseconds) / 1000 if isinstance(milliseconds, int | float) else 0.0


NAME = "claude"
# The runner does the waiting. With its own default of ten retries Claude Code 2.1 hides an error
# for three minutes, even a refused key; one retry absorbs a blip.
_ENVIRONMENT = {
    "CLAUDE_CODE_MAX_RETRIES": "1",
    # Claude's own limit is ten minutes, in which a provider that hangs looks like a slow model.
    "API_TIMEOUT_MS": "120000",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
}


def _forks(request: AgentRequest) -> bool:
    return request.resume is not None and request.resume.fork


class ClaudeAgent(HeadlessAgent[ClaudeStream]):
    """Drives `claude -p`. `on_usage` is given each message's tokens; the cost comes with the
    outcome."""

    name = NAME
    provider = PROVIDER

    def _stream(self, request: AgentRequest) -> ClaudeStream:
        return ClaudeStream(resumed=request.resume is not None)

    async def _command(
        self, request: AgentRequest, commands: CommandStarter
    ) -> tuple[list[str], dict[str, str]]:
        argv = [
            self._program,
            "-p",
            # With plain json no retry is printed, and a run is silent for minutes.
            "--output-format",
            "stream-json",
            "--verbose",
            # The sandbox is what protects: it holds nothing but the task. In any other mode a tool
            # that nobody is there to allow is denied, and the run ends with status 0.
            "--dangerously-skip-permissions",
            *session_arguments(request),
            # The copy gets an id of its own, so that the two conversations are never taken for one.
            *(["--fork-session", "--session-id", request.session_id] if _forks(request) else []),
            *(["--model", request.model] if request.model else []),
            *(["--json-schema", json.dumps(request.schema)] if request.schema else []),
        ]
        environment = {
            **_ENVIRONMENT,
            "ANTHROPIC_BASE_URL": f"{request.base_url}/anthropic",
            "ANTHROPIC_API_KEY": request.token,
        }
        return argv, environment

    def _outputs(self, stream: ClaudeStream) -> Mapping[str, str] | None:
        return stream.structured_output
