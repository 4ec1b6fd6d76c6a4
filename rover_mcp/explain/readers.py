"""A case as it arrives in a run: through the agent's own reader, or the gateway's. Pure.

Each function here makes the event that the program prints, or the answer that the provider sends,
and hands it to the code that reads it in a run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast
from urllib.parse import urlsplit

from agent_runner.agents import agent_provider
from agent_runner.agents.acp_events import AcpStream, RpcError, failure_of
from agent_runner.agents.claude import ClaudeStream
from agent_runner.agents.codex import CodexStream, read_rollout
from agent_runner.agents.copilot import CopilotStream
from agent_runner.agents.gemini import GeminiStream
from agent_runner.agents.opencode import OpencodeStream
from agent_runner.agents.qwen import QwenStream
from agent_runner.classify.profiles import profile_named
from agent_runner.gateway_evidence import RecordedAnswer, last_failures
from agent_runner.models import Failure
from rover_mcp.explain.cases import BadCase, Case
from rover_mcp.gateway.grant import ProviderAnswer, ProviderError
from rover_mcp.gateway.response_formats import response_format_of
from rover_mcp.gateway.routes import recorded_headers
from rover_mcp.gateway.upstream import CONNECTION_FAILED
from rover_mcp.gateway.usage_meter import UsageMeter

Failures = Sequence[Failure]
"""The failures of a run, as `classify` takes them; none: it succeeded."""

# What counts as a call of a model depends on the path, so a case from the web gets a typical one.
_CALLS: Mapping[str, tuple[str, str]] = {
    "anthropic": ("anthropic", "/v1/messages"),
    "openai": ("openai", "/chat/completions"),
    "openai-responses": ("openai", "/responses"),
    "google": ("google", "/v1beta/models/m:generateContent"),
}
_ALIASES = {"openai-chat": "openai", "gemini": "google", "responses": "openai-responses"}


def read_failures(case: Case) -> Failures:
    """What a run would hear.

    Raises:
        BadCase: no reader has that name, or the text is not what it reads.
    """
    return [replace(failure, host=_host(case)) for failure in _reader(case)(case)]


def _host(case: Case) -> str | None:
    """Whose API it is: by its address, or by the provider's name."""
    if case.base_url:
        return urlsplit(case.base_url if "//" in case.base_url else f"//{case.base_url}").hostname
    known = profile_named(case.provider) if case.provider else None
    return next(iter(known.hosts), known.name) if known else None


def _reader(case: Case) -> Callable[[Case], Failures]:
    name = case.reader.strip().lower().replace("-", "_") or _by_arrival(case)
    if name in _READERS:
        return _READERS[name]
    agent, _, how = name.partition("_")
    if agent in _READERS and how == "success":
        return lambda c: _succeeded(c, agent)
    if agent in _READERS:
        return _READERS[agent]
    known = ", ".join(sorted(_READERS))
    raise BadCase(f"unknown reader {case.reader!r}; known: {known}")


def _by_arrival(case: Case) -> str:
    """Where no reader is named: the agent's, if it has one."""
    agent = case.agent.strip().lower()
    if case.arrives_as == "http":
        return "http"
    if agent in _READERS:
        return agent
    if case.arrives_as == "text" and "acp" in agent:
        return "acp_end"
    if case.arrives_as or agent:
        return "acp_error"
    return "http" if case.status is not None else "acp_error"


# The gateway


def _http(case: Case) -> Failures:
    # The case's own field first: services with OpenAI's API are named by it.
    named = str(case.fields.get("provider") or _dialect_name(case))
    named = _ALIASES.get(named, named)
    if named not in _CALLS:
        raise BadCase(f"fields.provider: unknown API {named!r}; known: {', '.join(_CALLS)}")
    provider, path = _CALLS[named]
    raw = [(k.encode(), v.encode("latin-1", "replace")) for k, v in case.headers.items()]
    seen = ProviderAnswer(
        at=case.now,
        method="POST",
        path=path,
        status=case.status,
        headers=recorded_headers(raw),
        error=_error(case, provider, path),
        provider=provider,
    )
    answer = RecordedAnswer.model_validate(seen.as_json())
    return last_failures([answer], case.now - timedelta(seconds=1))


def _dialect_name(case: Case) -> str:
    if case.provider and case.provider in _CALLS:
        return case.provider
    return agent_provider(case.agent) or "anthropic"


def _error(case: Case, provider: str, path: str) -> ProviderError | None:
    if case.status is None:
        return ProviderError(None, CONNECTION_FAILED, case.text or "no answer came")
    content_type = str(case.fields.get("ctype") or case.headers.get("content-type") or "")
    # The same reader as the gateway's, so that an explanation cannot differ from what a task would
    # do.
    meter = UsageMeter(
        response_format_of(provider, path), case.status, content_type or "application/json", ""
    )
    meter.feed(case.text.encode())
    meter.end()
    return meter.error


# Agents


def _claude(case: Case) -> Failures:
    fields, reading = case.fields, ClaudeStream()
    resets = fields.get("resetsAt", fields.get("resets_at"))
    if resets is not None:
        limit = {"status": "rejected", "resetsAt": _epoch(resets), **_part(fields, "rateLimitType")}
        reading.take({"type": "rate_limit_event", "rate_limit_info": limit})
    if isinstance(limit := fields.get("rate_limit_info"), dict):
        reading.take({"type": "rate_limit_event", "rate_limit_info": limit})
    if code := fields.get("assistant_error"):
        reading.take({"type": "assistant", "error": code, "is_api_error_message": True})
    result = {"type": "result", "is_error": True, "result": case.text}
    rate_info = {
        "api_error_status": case.status,
        "api_error_type": fields.get("etype", fields.get("api_error_type")),
        **_part(fields, "api_error", "terminal_reason", "errors"),
    }
    reading.take({**result, **rate_info})
    return [reading.failure(_exit_code(case, 1), ())]


def _succeeded(case: Case, agent: str) -> Failures:
    """A run that says that it went well, whatever its last message is."""
    if agent not in ("claude", "qwen"):
        raise BadCase(f"reader {case.reader!r}: only claude and qwen end with such an event")
    reading = ClaudeStream() if agent == "claude" else QwenStream()
    reading.take({"type": "result", "is_error": False, "result": case.text})
    # Some programs report an error as the text of a successful result.
    return [] if reading.succeeded else [reading.failure(0, ())]


def _codex(case: Case) -> Failures:
    fields, reading = case.fields, CodexStream()
    info = fields.get("rollout", fields.get("codex_error_info"))
    resets = fields.get("resets_at", fields.get("resetsAt"))
    if info is not None or resets is not None:
        window = {"used_percent": 100.0, "resets_at": _epoch(resets)}
        counted = {"type": "token_count", "rate_limits": {"primary": window}}
        error = {"message": case.text, "codex_error_info": info}
        end = {"type": "task_complete", "error": error}
        events = [{"type": "event_msg", "payload": p} for p in (counted, end)]
        reading.rollout = read_rollout(json.dumps(e) for e in events)
    reading.take({"type": "turn.failed", "error": {"message": case.text}})
    return [reading.failure(_exit_code(case, 1), ())]


def _gemini(case: Case) -> Failures:
    reading = GeminiStream()
    error = {"type": case.fields.get("etype", "unknown"), "message": case.text}
    reading.take({"type": "result", "status": "error", "error": error})
    # Gemini CLI exits with the HTTP status, of which a process keeps the lowest byte.
    code = (case.status & 0xFF) if case.status else 1
    return [reading.failure(_exit_code(case, code), ())]


def _qwen(case: Case) -> Failures:
    reading = QwenStream()
    reading.take({"type": "result", "is_error": True, "error": {"message": case.text}})
    return [reading.failure(_exit_code(case, 1), ())]


def _opencode(case: Case) -> Failures:
    fields = case.fields
    data = {
        "message": case.text,
        "statusCode": case.status,
        "responseHeaders": dict(case.headers),
        "responseBody": fields.get("responseBody", fields.get("body", "")),
    }
    name = fields.get("name") or ("APIError" if case.status else "UnknownError")
    reading = OpencodeStream(agent_provider("opencode") or "anthropic")
    reading.take({"type": "error", "error": {"name": name, "data": data}})
    return [reading.failure(_exit_code(case, 1), ())]


def _copilot(case: Case) -> Failures:
    fields = case.fields
    reading = CopilotStream(agent_provider("copilot") or "openai")
    kind = fields.get("error_type", fields.get("errorType"))
    call = {
        "statusCode": case.status,
        "errorType": kind,
        "errorCode": fields.get("error_code", fields.get("errorCode")),
        "errorMessage": fields.get("errorMessage", fields.get("body", "")),
    }
    if call["errorCode"] or call["errorMessage"]:
        reading.take({"type": "model.call_failure", "data": call})
    error = {"errorType": kind, "statusCode": case.status, "message": case.text}
    reading.take({"type": "session.error", "data": error})
    return [reading.failure(_exit_code(case, 1), ())]


def _acp_error(case: Case) -> Failures:
    try:
        value = cast(object, json.loads(case.text))
    except (ValueError, RecursionError) as error:
        raise BadCase(f"text: not the JSON of an error over ACP: {error}") from error
    if not isinstance(value, dict):
        raise BadCase("text: the error over ACP is not a JSON object")
    return [failure_of(RpcError(cast(dict[str, Any], value)), None)]


def _acp_end(case: Case) -> Failures:
    reading = AcpStream()
    content = {"type": "text", "text": case.text}
    reading.take({"sessionUpdate": "agent_message_chunk", "content": content})
    failure = reading.verdict({"stopReason": case.fields.get("stopReason", "end_turn")}, None)
    doubt = reading.doubt(None)
    failure = failure or (doubt.failure if doubt.counts else None)
    return [failure] if failure else []


_READERS: Mapping[str, Callable[[Case], Failures]] = {
    "http": _http,
    "claude": _claude,
    "codex": _codex,
    "gemini": _gemini,
    "qwen": _qwen,
    "opencode": _opencode,
    "copilot": _copilot,
    "acp_error": _acp_error,
    "acp_end": _acp_end,
}


def _exit_code(case: Case, default: int) -> int:
    code = case.fields.get("code")
    return code if isinstance(code, int) else default


def _part(fields: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: fields[name] for name in names if name in fields}


def _epoch(value: object) -> object:
    """Seconds since 1970, as the programs write them."""
    if not isinstance(value, str):
        return value
    try:
        return datetime.fromisoformat(value).timestamp()
    except (ValueError, OverflowError):
        return value
