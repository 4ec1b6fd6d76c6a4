"""Reads an agent's messages over the Agent Client Protocol, version 1. Pure; no I/O.

The protocol has no convention for errors: most agents answer -32603 to everything, Gemini CLI the
HTTP status, and Copilot reports a refused model call as a turn that ended well, with the error as
its last message. No message announces a retry, so a retrying agent is just silent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent_runner.agents.headless import MAX_MESSAGE, count, mapping, money, shorten, string
from agent_runner.agents.protocol import DoubtfulSuccess
from agent_runner.classify.failure_facts import read
from agent_runner.classify.rules import rule_for
from agent_runner.models import Failure, Usage

AUTH_REQUIRED = -32000
_CERTAIN, _SUSPECT = "Ran into this error:", "Error:"
# Words of a report about work, which no provider's refusal has.
_PROSE = re.compile(
    r"\bI(?:'ve|'m|'ll|'d)?\b(?![/.-])"
    r"|\b(?:tests?|checks?|suite|build)\b.{0,40}\b(?:pass(?:es|ed|ing)?|fails?|failed|green)\b"
    r"|\b[\w/-]{1,80}\.(?:py|jsx?|tsx?|go|rs|java|rb|c|h|cpp|cs|md|ya?ml|toml)\b"
)
_STATUSES = range(400, 600)


class RpcError(Exception):
    """The agent answered a call with an error."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(string(error.get("message")))
        self.error = error
        code = error.get("code")
        self.code = code if isinstance(code, int) else 0


@dataclass
class AcpStream:
    """Folds the updates of one turn. `replaying`: the agent repeats the history of its session."""

    resumed: bool = False
    replaying: bool = False
    _text: list[str] = field(default_factory=list[str])
    _message: str | None = None
    _cost: float | None = None
    _notice: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def take(self, update: Mapping[str, Any]) -> list[str]:
        """Learn from one session update. Returns lines for the log."""
        kind = update.get("sessionUpdate")
        if self.replaying:
            return []
        if kind == "agent_message_chunk":
            return self._take_chunk(update)
        if kind == "tool_call":
            self._text.clear()
            return [shorten(f"{string(update.get('kind'))} {string(update.get('title'))}")]
        if kind == "tool_call_update" and update.get("status") == "failed":
            return [shorten(f"  failed: {string(update.get('title'))}")]
        if kind == "usage_update":
            self._cost = money(mapping(update.get("cost")).get("amount"))
        if "notificationType" in update:
            self._notice = update
        return []

    @property
    def text(self) -> str:
        """The agent's text after its last tool call."""
        return "".join(self._text)

    def usage(self, answer: Mapping[str, Any]) -> Usage:
        """The usage of the turn, by the answer that ended it. A cost is that of the session."""
        used = mapping(answer.get("usage"))
        quota = mapping(mapping(mapping(answer.get("_meta")).get("quota")).get("token_count"))
        return Usage(
            input_tokens=count(used.get("inputTokens")) or count(quota.get("input_tokens")),
            output_tokens=count(used.get("outputTokens")) or count(quota.get("output_tokens")),
            cache_read_tokens=count(used.get("cachedReadTokens")),
            cache_write_tokens=count(used.get("cachedWriteTokens")),
            cost_usd=None if self.resumed else self._cost,
        )

    def verdict(self, answer: Mapping[str, Any], provider: str | None) -> Failure | None:
        """Why a turn that ended with `answer` did not succeed; None: it did."""
        reason = string(answer.get("stopReason"))
        if self._notice:
            code = string(self._notice.get("notificationType"))
            notice = string(self._notice.get("message")) or code
            return Failure("agent", notice[:MAX_MESSAGE], provider, code=code)
        if reason == "cancelled":
            return Failure("agent", "the turn was cancelled", provider, interrupted=True)
        if reason != "end_turn":
            return Failure("agent", f"the turn ended: {reason}", provider, code=reason)
        return None

    def doubt(self, provider: str | None) -> DoubtfulSuccess:
        """What the last message says of a turn that ended well: some agents report refusals of a
        provider like that. But a model may begin a message with "Error:", too. Without the
        gateway's word that counts only if it is a known error, and nothing in the message is about
        work."""
        text = self.text.lstrip()
        failure = Failure("agent", text[:MAX_MESSAGE], provider)
        if text.startswith(_CERTAIN):
            return DoubtfulSuccess(failure, begins_so=True, counts=True)
        if text and not text.startswith(_SUSPECT):
            return DoubtfulSuccess(failure, begins_so=False, counts=False)
        counts = text != "" and not _PROSE.search(text) and rule_for(read(failure)) is not None
        return DoubtfulSuccess(failure, begins_so=True, counts=counts)

    def _take_chunk(self, update: Mapping[str, Any]) -> list[str]:
        message = update.get("messageId")
        if isinstance(message, str) and message != self._message:
            self._message = message
            self._text.clear()
        text = string(mapping(update.get("content")).get("text"))
        self._text.append(text)
        return [line] if (line := shorten(text)) else []


def failure_of(error: RpcError, provider: str | None) -> Failure:
    """The failure that an error answer reports in its fields."""
    data = mapping(error.error.get("data"))
    info = data.get("codex_error_info")
    details = string(data.get("details"))
    # Codex's: a word, or an object with one word for its key.
    name, nested = next(iter(mapping(info).items()), (info, None))
    candidates = (mapping(nested).get("http_status_code"), error.code, _leading(details))
    status = next((s for s in candidates if isinstance(s, int) and s in _STATUSES), None)
    code = string(data.get("errorKind")) or string(name) or string(data.get("errorName"))
    if error.code == AUTH_REQUIRED:
        code = "authentication_error"
    return Failure(
        source="agent",
        message=(details or str(error) or f"error {error.code}")[:MAX_MESSAGE],
        provider=provider,
        status=status,
        type=None if error.code in _STATUSES else str(error.code),
        code=code or None,
    )


def _leading(text: str) -> int | None:
    match = re.match(r"(\d{3})\b", text)
    return int(match[1]) if match else None
