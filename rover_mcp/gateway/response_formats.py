"""Reads tokens, the model's name and errors from each API's answers. Pure; no I/O.

Anthropic Messages: https://docs.claude.com/en/api/messages-streaming. OpenAI Responses and Chat:
https://platform.openai.com/docs/api-reference. Gemini:
https://ai.google.dev/api/generate-content. Later counts are totals so far, not additions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from agent_runner.classify.failure_facts import MAX_MESSAGE
from agent_runner.classify.reset import tells_a_time
from rover_mcp.gateway.grant import ProviderError

# Where providers, and the proxies in front of them, put the text of an error.
_SAYING = ("message", "msg", "detail", "error_description", "errorMessage")
_NAMED = (("type", "type"), ("__type", "type"), ("status", "status"), ("reason", "code"),
          ("code", "code"), ("param", "param"))  # fmt: skip

MAX_ERROR_BODY = 8000
MAX_MODEL = 200


@dataclass(frozen=True)
class ResponseFacts:
    """What one JSON value reports. Its `cache_write_1h` tokens are a part of the cache writes."""

    tokens: Mapping[str, int]
    model: str | None = None
    error: ProviderError | None = None


@dataclass(frozen=True)
class ResponseFormat:
    """How answers of one API are read.

    Only events of a stream that `events` names are read (None: its events have no names), and of
    those only data that contains one of `marks`: everything else is the model's text. That text
    cannot contain a mark, since JSON escapes its quotation marks. `bills`: its answers cost money.
    """

    read: Callable[[Mapping[str, Any]], ResponseFacts]
    marks: tuple[bytes, ...]
    events: frozenset[bytes] | None = None
    bills: bool = True

    def concerns(self, event: bytes, data: bytes, begin: int, end: int) -> bool:
        """Whether a line of a stream's event has to be read."""
        if self.events is not None and event not in self.events:
            return False
        return any(data.find(mark, begin, end) >= 0 for mark in self.marks)


def _anthropic(value: Mapping[str, Any]) -> ResponseFacts:
    message = mapping(value.get("message"))
    # In a stream message_start reports the input inside `message`, and each message_delta the
    # output so far beside it; a complete answer has one `usage` at its top.
    tokens: dict[str, int] = {}
    for usage in (mapping(message.get("usage")), mapping(value.get("usage"))):
        tokens |= _counts(
            usage,
            input_tokens="input_tokens",
            output_tokens="output_tokens",
            cache_read_input_tokens="cache_read_tokens",
            cache_creation_input_tokens="cache_write_tokens",
        )
        created = mapping(usage.get("cache_creation"))
        tokens |= _counts(created, ephemeral_1h_input_tokens="cache_write_1h")
    return ResponseFacts(tokens, _model(message) or _model(value), _error(value, value.get("type")))


def _responses(value: Mapping[str, Any]) -> ResponseFacts:
    """Read an event of a stream, or a complete response."""
    response = mapping(value.get("response")) or value
    usage = mapping(response.get("usage"))
    tokens = _openai_cached(
        _counts(usage, input_tokens="input_tokens", output_tokens="output_tokens"),
        mapping(usage.get("input_tokens_details")),
    )
    error = _error(response) or _error(value)
    if error is None and value.get("type") == "error":
        # In this API's streams an error event has the error's fields at its top, where `type` is
        # the event's.
        error = provider_error({"error": {**value, "type": None}})
    return ResponseFacts(tokens, _model(response), error)


def _chat(value: Mapping[str, Any]) -> ResponseFacts:
    # A stream reports its usage in a last chunk without choices, and only if the request had
    # stream_options.include_usage (call_estimate.with_counts sets it).
    usage = mapping(value.get("usage"))
    tokens = _openai_cached(
        _counts(usage, prompt_tokens="input_tokens", completion_tokens="output_tokens"),
        mapping(usage.get("prompt_tokens_details")),
    )
    return ResponseFacts(tokens, _model(value), _error(value))


def _gemini(value: Mapping[str, Any]) -> ResponseFacts:
    usage = mapping(value.get("usageMetadata"))
    counts = _counts(
        usage,
        promptTokenCount="prompt",
        toolUsePromptTokenCount="tools",
        cachedContentTokenCount="cached",
        candidatesTokenCount="candidates",
        thoughtsTokenCount="thoughts",
    )
    tokens: dict[str, int] = {}
    if counts:
        # Thoughts are billed as output, and are not a part of the candidates' count.
        prompt = counts.get("prompt", 0) + counts.get("tools", 0)
        tokens = _without_cached(
            {
                "input_tokens": prompt,
                "output_tokens": counts.get("candidates", 0) + counts.get("thoughts", 0),
            },
            counts.get("cached"),
        )
    return ResponseFacts(tokens, _text(value.get("modelVersion"), MAX_MODEL), _error(value))


def _errors_only(value: Mapping[str, Any]) -> ResponseFacts:
    return ResponseFacts({}, None, _error(value))


# An event that names the model without its usage is of no use: the name is needed for the price.
_USAGE = (b'"usage"', b'"error"')
_ANTHROPIC = ResponseFormat(
    _anthropic, _USAGE, frozenset((b"", b"message_start", b"message_delta", b"error"))
)
_RESPONSES = ResponseFormat(
    _responses,
    _USAGE,
    frozenset(
        (
            b"",
            b"error",
            b"response.created",
            b"response.completed",
            b"response.incomplete",
            b"response.failed",
        )
    ),
)
# All chunks but the last have `"usage": null`, which is not worth parsing: hence the brace.
_CHAT = ResponseFormat(_chat, (b'"usage":{', b'"usage": {', b'"error":', b'"error" :'))
_GEMINI = ResponseFormat(_gemini, (b'"usageMetadata"', b'"error"'))
_OTHER = ResponseFormat(_errors_only, (b'"error"',), bills=False)


def response_format_of(provider: str, path: str) -> ResponseFormat:
    """The format of a provider's answers on a path."""
    if provider == "anthropic" and path.endswith("/messages"):
        return _ANTHROPIC
    if provider == "openai" and "/responses" in path:
        return _RESPONSES
    if provider == "openai" and path.endswith("/chat/completions"):
        return _CHAT
    if provider == "google" and path.lower().endswith("generatecontent"):
        return _GEMINI
    return _OTHER


def provider_error(body: object) -> ProviderError:
    """The error in `{"error": {"type" or "status", "message", "code"?}}`, or what can be made out
    of something like it."""
    error = mapping(body).get("error")
    described = mapping(body).get("error_description")
    if isinstance(error, str) and isinstance(described, str) and described:
        error = {"code": error, "message": described}  # OAuth, RFC 6749
    if isinstance(error, str):
        # xAI, Ollama and others write the text alone, with its code and type beside it.
        error = {**_beside(mapping(body)), "message": error} if _beside(mapping(body)) else error
    fields = mapping(error)
    message = fields.get("message") or (error if isinstance(error, str) else "")
    return ProviderError(
        type=_text(fields.get("type") or fields.get("status")),
        code=_text(fields.get("code")),
        message=str(message)[:MAX_MESSAGE],
        body=_shown({"error": error}) if fields else "",
    )


def failed_body(body: object) -> ProviderError | None:
    """The error in a body of a failed answer that has no error object as the API defines it: some
    providers, and the proxies before them, write its fields at the top, or a bare text."""
    if isinstance(body, str) and body.strip():
        return ProviderError(None, None, body[:MAX_MESSAGE])
    fields = mapping(body)
    if errors := fields.get("errors"):  # ModelScope has an object there, JSON:API a list of them.
        first = next(iter(cast(list[object], errors)), None) if isinstance(errors, list) else errors
        return provider_error({"error": first})
    if detail := mapping(fields.get("detail")):
        return provider_error({"error": detail})
    message = next(
        (fields[k] for k in _SAYING if isinstance(fields.get(k), str) and fields[k]), None
    )
    if message is None:
        return None
    times = {k: v for k, v in fields.items() if tells_a_time(k) and isinstance(v, str | int)}
    return provider_error({"error": {**times, **_beside(fields), "message": message}})


def mapping(value: object) -> dict[str, Any]:
    """Return a JSON object as it is, and anything else as an empty one."""
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _beside(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What an error is, where its fields stand at the top of a body."""
    named = {name: fields.get(theirs) for theirs, name in _NAMED if fields.get(theirs)}
    return {name: value for name, value in named.items() if isinstance(value, str | int)}


def _error(value: Mapping[str, Any], kind: object = None) -> ProviderError | None:
    """An error object; Anthropic's says `"type": "error"` beside it."""
    error = value.get("error")
    if not isinstance(error, dict | str) or not error:
        return provider_error(value) if kind == "error" else None
    return provider_error(value)


def _without_cached(tokens: dict[str, int], cached: object) -> dict[str, int]:
    """OpenAI and Google count what came from the cache as input as well."""
    if not isinstance(cached, int) or cached <= 0 or "input_tokens" not in tokens:
        return tokens
    cached = min(cached, tokens["input_tokens"])
    fresh = tokens["input_tokens"] - cached
    return {**tokens, "input_tokens": fresh, "cache_read_tokens": cached}


def _openai_cached(tokens: dict[str, int], details: Mapping[str, Any]) -> dict[str, int]:
    """Its newer models charge for what they put into the cache, and count that as input too."""
    tokens = _without_cached(tokens, details.get("cached_tokens"))
    counts = _counts(details, cache_write_tokens="cache_write_tokens")
    fresh = tokens.get("input_tokens", 0)
    written = min(counts.get("cache_write_tokens", 0), fresh)
    if not written:
        return tokens
    kept = mapping(details.get("cache_write_tokens_details"))
    longer = _counts(kept, ttl_12h_tokens="cache_write_1h")
    return {**tokens, "input_tokens": fresh - written, "cache_write_tokens": written, **longer}


def _counts(usage: Mapping[str, Any], **names: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for theirs, ours in names.items():
        count = usage.get(theirs)
        if isinstance(count, int) and not isinstance(count, bool) and count >= 0:
            counts[ours] = count
    return counts


def _model(value: Mapping[str, Any]) -> str | None:
    return _text(value.get("model"), MAX_MODEL)


def _text(value: object, most: int = MAX_MESSAGE) -> str | None:
    known = isinstance(value, str | int) and not isinstance(value, bool) and value != ""
    return str(value)[:most] if known else None


def _shown(value: object) -> str:
    """Return a value as JSON, or nothing if that is too long: cut JSON could not be parsed."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_ERROR_BODY else ""
