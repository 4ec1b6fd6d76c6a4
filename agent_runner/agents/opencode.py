"""Drives opencode, and reads its events and its log (`--format json --print-logs`).

Lines recorded from version 1.18.33 are in tests/unit/agent_runner/agents/recorded/opencode. Nothing
that a model wrote is ever taken for an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent_runner.agents.blocks import tool_line
from agent_runner.agents.headless import (
    MAX_MESSAGE,
    HeadlessAgent,
    count,
    mapping,
    money,
    no_result,
    shorten,
    string,
)
from agent_runner.agents.protocol import AgentRequest
from agent_runner.models import Failure, Usage
from agent_runner.process.commands import CommandStarter

SESSION_LOST = re.compile(r"Session not found|NotFoundError.*\bses_")
MAX_BODY = 64_000
_TELLING_INPUTS = ("filePath", "command", "pattern", "path", "url", "query", "description")
# They match log lines from their beginning, as the program writes it: what a model wrote comes only
# after it.
_LOG = r"timestamp=\S+ level={} +run=\w+ "
_CREATED = re.compile(
    _LOG.format("INFO") + r"message=created id=(ses_\w+) (?:slug=\S+ )?version=(\d[\w.-]*)"
)
_STREAM_ERROR = re.compile(
    _LOG.format("ERROR") + r'message="stream error" .*?error\.error="(\w{1,60}: [^"]{0,400})'
)


@dataclass
class OpencodeStream:
    """The event stream of opencode. No event ends a run: it is over after a model call whose reason
    to stop is `stop`."""

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
        """Learn from a line of its log, which has the session's id long before the first event."""
        if self.session_id is None and (created := _CREATED.match(line)):
            self.session_id, self.version = created[1], created[2]
            return [f"opencode {self.version}"]
        if failed := _STREAM_ERROR.match(line):
            self._logged = failed[1]
            return [shorten(f"API error, trying again: {failed[1]}")]
        return []

    @property
    def ended(self) -> bool:
        """Whether the last model call was complete, and nothing came after it."""
        return self._reason == "stop" and self._error is None

    @property
    def succeeded(self) -> bool:
        """Whether it ended: no event says more."""
        return self.ended

    def session_is_lost(self, stderr: Sequence[str]) -> bool:
        """Whether the session that was to be resumed does not exist."""
        return self._reason is None and any(SESSION_LOST.search(line) for line in stderr)

    def failure(self, code: int, stderr: Sequence[str]) -> Failure:
        """Why the run did not succeed: by the error event, or by the last error in its log."""
        if self._error is None:
            if self._reason == "length":
                message = "the model's answer was cut off at its maximum length"
                return Failure("agent", message, self.provider, code="max_output_tokens")
            if self._logged:
                # It reports an error that ended it as an event. Without one, somebody ended it
                # while it waited for a retry.
                return Failure("agent", self._logged, self.provider, interrupted=True)
            return no_result("opencode", self.provider, code, stderr)
        data = mapping(self._error.get("data"))
        status = data.get("statusCode")
        headers = mapping(data.get("responseHeaders"))
        # Not read: `isRetryable`, which is true for an empty account, too. The headers and the body
        # are the provider's own, which no other agent passes on.
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
        """The last error in its log. It never says how long it waits."""
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
    """The usage of one model call. opencode gives models without a known price a cost of 0."""
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


NAME = "opencode"
DEFAULT_MODEL = "anthropic/claude-sonnet-4-5"
# Where each provider's own client appends its paths: the gateway's prefix, and the API's version.
_BASES: Mapping[str, str] = {
    "anthropic": "/anthropic/v1",
    "openai": "/openai/v1",
    "google": "/google/v1beta",
}
# Nothing is fetched at the start: a sandbox reaches nothing but the gateway.
_ENVIRONMENT = {
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
}


class OpencodeAgent(HeadlessAgent[OpencodeStream]):
    """Drives `opencode run`. It chooses the ids of its sessions, and logs them early.

    It has no setting for its retries, and obeys a `retry-after` of any length in silence: the
    runner watches the gateway meanwhile, and ends a wait that is pointless.
    """

    name = NAME
    provider = "anthropic"
    takes_session_id = False

    def _provider(self, request: AgentRequest) -> str:
        return split_model(request.model)[0]

    def _stream(self, request: AgentRequest) -> OpencodeStream:
        return OpencodeStream(self._provider(request))

    async def _command(
        self, request: AgentRequest, commands: CommandStarter
    ) -> tuple[list[str], dict[str, str]]:
        provider, model = split_model(request.model)
        # With a title given, it does not ask the model for one. A session that is resumed must be
        # resumed in the same folder: in another one opencode hangs without output.
        session = ["-s", request.resume.session_id] if request.resume else ["--title", "rover"]
        argv = [
            self._program,
            "run",
            *("--format", "json"),
            # Shows what it retries, which nothing else does, and the session's id at once.
            *("--print-logs", "--log-level", "INFO"),
            *("-m", f"{provider}/{model}"),
            *session,
        ]
        config = _config(request, provider, model)
        return argv, {**_ENVIRONMENT, "OPENCODE_CONFIG_CONTENT": config}


def split_model(model: str | None) -> tuple[str, str]:
    """The provider and its model; a name without a provider is one of Anthropic's."""
    prefix, slash, rest = (model or DEFAULT_MODEL).partition("/")
    if slash and rest and prefix in _BASES:
        return prefix, rest
    return "anthropic", model or DEFAULT_MODEL


def _config(request: AgentRequest, provider: str, model: str) -> str:
    options = {"baseURL": f"{request.base_url}{_BASES[provider]}", "apiKey": request.token}
    return json.dumps(
        {
            "provider": {provider: {"options": options, "models": {model: {}}}},
            "enabled_providers": [provider],
            "model": f"{provider}/{model}",
            "small_model": f"{provider}/{model}",
            # The sandbox is what protects: it holds nothing but the task.
            "permission": "allow",
            "autoupdate": False,
            "share": "disabled",
            # Its copies of the work tree, with git in HOME before and after each step, are for its
            # undo command. A run without a terminal has none, and they take a tenth of its time.
            "snapshot": False,
        }
    )
