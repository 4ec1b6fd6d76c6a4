"""Drives GitHub Copilot CLI with an API key of a model provider, and reads its events
(`--output-format json`).

Lines recorded from version 1.0.102 are in tests/unit/agent_runner/agents/recorded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent_runner.agents.blocks import tool_line
from agent_runner.agents.headless import (
    MAX_MESSAGE,
    HeadlessAgent,
    count,
    items,
    mapping,
    no_result,
    parse_line,
    session_arguments,
    shorten,
    string,
)
from agent_runner.agents.protocol import AgentRequest
from agent_runner.models import Failure, Usage
from agent_runner.process.commands import CommandStarter

NAME = "copilot"
SESSION_LOST = "Error: No session, task, or name matched"
_TELLING_INPUTS = ("path", "command", "pattern", "url", "query", "description")
RETRIES = 1
"""Its own retries that are allowed, to absorb a blip. It makes five, and has no setting for
that."""


@dataclass
class CopilotStream:
    """The event stream of Copilot CLI. `provider` is whose API it calls."""

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
        """Ignore it: what matters in it is read at the end."""
        return []

    @property
    def ended(self) -> bool:
        """Whether there is a result, which is the last event."""
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
            # It does not say how long it waits; up to five tries take over a minute.
            self.retry_delay = float("inf")
        return shorten(f"API error {data.get('statusCode')}: {string(data.get('errorMessage'))}")

    def _failed(self, message: str) -> Failure:
        call = self._call
        # By status and code: errorType is `query` for a 402 and a 400 alike.
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
    """The usage of a session's last run, by the session's own record of its events. Copilot does
    not print it."""
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


MODELS = {"openai": "gpt-5", "anthropic": "claude-sonnet-4.5"}
"""The model if the task names none: with a provider's key Copilot has no default."""

_ENVIRONMENT = {"COPILOT_OFFLINE": "true", "COPILOT_AUTO_UPDATE": "false"}
# grep and cut, because an event holds what a tool printed and a session's file can be huge.
_READ_EVENTS = (
    "grep -hE '^.{0,40}\"session\\.(start|resume|usage_record)\"' "
    '"$HOME/.copilot/session-state/$1/events.jsonl" | cut -c1-2000'
)
_MAX_EVENTS = 4_000_000


class CopilotAgent(HeadlessAgent[CopilotStream]):
    """Drives `copilot --output-format json`. Its usage comes with the outcome."""

    name = NAME
    provider = "openai"

    def _provider(self, request: AgentRequest) -> str:
        return provider_of(request.model)

    def _stream(self, request: AgentRequest) -> CopilotStream:
        # Its result has the id, but that is the last event, and a killed run prints none.
        session = request.resume.session_id if request.resume else request.session_id
        return CopilotStream(provider_of(request.model), session_id=session)

    async def _command(
        self, request: AgentRequest, commands: CommandStarter
    ) -> tuple[list[str], dict[str, str]]:
        session = "=".join(session_arguments(request))
        # The sandbox is what protects: it holds nothing but the task.
        allow = ["--allow-all-tools", "--allow-all-paths", "--no-ask-user"]
        argv = [self._program, "--output-format", "json", *allow, session]
        return argv, _environment(request, provider_of(request.model))

    async def _read_files(self, stream: CopilotStream, commands: CommandStarter) -> None:
        argv = ["sh", "-c", _READ_EVENTS, "usage", stream.session_id or ""]
        done = await commands.run(argv, output_limit=_MAX_EVENTS)
        stream.usage = stored_usage(done.stdout.decode(errors="replace").splitlines())


def provider_of(model: str | None) -> str:
    """Whose API is called for a model."""
    return "anthropic" if (model or "").startswith("claude") else "openai"


def _environment(request: AgentRequest, provider: str) -> dict[str, str]:
    path = "/anthropic" if provider == "anthropic" else "/openai/v1"
    return {
        **_ENVIRONMENT,
        "COPILOT_PROVIDER_BASE_URL": request.base_url + path,
        "COPILOT_PROVIDER_TYPE": provider,
        "COPILOT_PROVIDER_API_KEY": request.token,
        "COPILOT_MODEL": request.model or MODELS[provider],
    }
