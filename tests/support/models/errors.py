"""The errors of the providers' APIs, in the shapes that their documents show. Pure.

https://docs.claude.com/en/api/errors, https://platform.openai.com/docs/guides/error-codes,
https://ai.google.dev/gemini-api/docs/troubleshooting; the usage windows as Claude Code and Codex
read them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.models.turns import Behaviour

CREDIT_MESSAGE = (
    "Your credit balance is too low to access the Anthropic API. "
    "Please go to Plans & Billing to upgrade or purchase credits."
)
_OPENAI_QUOTA = (
    "You exceeded your current quota, please check your plan and billing details. For more "
    "information on this error, read the docs: "
    "https://platform.openai.com/docs/guides/error-codes/api-errors."
)
_GOOGLE_QUOTA = (
    "You exceeded your current quota, please check your plan and billing details. For more "
    "information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits."
)
_GOOGLE_STATUS = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


@dataclass(frozen=True)
class ErrorAnswer:
    """An answer of 400 or more. `body` is the whole JSON."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def error(self) -> dict[str, Any]:
        """The error object in it."""
        return self.body["error"]


def error_answer(provider: str, behaviour: Behaviour, now: float) -> ErrorAnswer:
    """How a provider says it. `now` is in seconds since 1970."""
    kind = behaviour["do"]
    if kind == "stream_error":
        kind = "overloaded"
    answer = _SHAPES[provider](kind, behaviour, now)
    return ErrorAnswer(
        answer.status, answer.body, {**answer.headers, **behaviour.get("headers", {})}
    )


def _anthropic(kind: str, behaviour: Behaviour, now: float) -> ErrorAnswer:
    def made(status: int, name: str, message: str, **headers: str) -> ErrorAnswer:
        body = {
            "type": "error",
            "error": {
                "type": behaviour.get("type", name),
                "message": behaviour.get("message", message),
            },
        }
        return ErrorAnswer(status, body, _dashed(headers))

    if kind == "error":
        return made(behaviour["status"], "", "")
    if kind == "credit":
        return made(400, "invalid_request_error", CREDIT_MESSAGE)
    if kind == "usage_window":
        ends = str(int(now + behaviour["resets_in"]))
        return made(
            429,
            "rate_limit_error",
            "This request would exceed your account's rate limit. Please try again later.",
            anthropic_ratelimit_unified_status="rejected",
            anthropic_ratelimit_unified_representative_claim="five_hour",
            anthropic_ratelimit_unified_reset=ends,
            anthropic_ratelimit_unified_5h_status="rejected",
            anthropic_ratelimit_unified_5h_utilization="1.0",
            anthropic_ratelimit_unified_5h_reset=ends,
            retry_after=f"{behaviour['resets_in']:.0f}",
            x_should_retry="false",
        )
    if kind == "rate_limit":
        message = "This request would exceed your organization's rate limit."
        return made(429, "rate_limit_error", message, **_retry_after(behaviour))
    if kind == "overloaded":
        return made(529, "overloaded_error", "Overloaded")
    if kind == "server_error":
        return made(500, "api_error", "Internal server error")
    return made(401, "authentication_error", "invalid x-api-key")


def _openai(kind: str, behaviour: Behaviour, now: float) -> ErrorAnswer:
    def made(
        status: int, name: str | None, code: str | None, message: str, **headers: str
    ) -> ErrorAnswer:
        told = {
            "message": behaviour.get("message", message),
            "type": behaviour.get("type", name),
            "param": None,
            "code": code,
        }
        return ErrorAnswer(status, {"error": told}, _dashed(headers))

    if kind == "error":
        return made(behaviour["status"], None, behaviour.get("code"), "")
    if kind == "credit":
        return made(429, "insufficient_quota", "insufficient_quota", _OPENAI_QUOTA)
    if kind == "usage_window":
        return _chatgpt_window(behaviour["resets_in"], now)
    if kind == "rate_limit":
        after = behaviour.get("retry_after")
        when = "" if after is None else f" Please try again in {after:g}s."
        message = (
            "Rate limit reached for gpt-5 in organization org-fake on tokens per min (TPM): "
            f"Limit 30000, Used 28000, Requested 3000.{when} Visit "
            "https://platform.openai.com/account/rate-limits to learn more."
        )
        return made(429, "tokens", "rate_limit_exceeded", message, **_retry_after(behaviour))
    if kind == "overloaded":
        message = "Our servers are currently overloaded. Please try again later."
        return made(503, "service_unavailable_error", "server_is_overloaded", message)
    if kind == "server_error":
        message = "The server had an error while processing your request. Sorry about that!"
        return made(500, "server_error", None, message)
    message = (
        "Incorrect API key provided: sk-fake. You can find your API key at "
        "https://platform.openai.com/account/api-keys."
    )
    return made(401, "invalid_request_error", "invalid_api_key", message)


def _chatgpt_window(seconds: float, now: float) -> ErrorAnswer:
    told = {
        "type": "usage_limit_reached",
        "message": "The usage limit has been reached",
        "plan_type": "plus",
        "resets_at": int(now + seconds),
        "resets_in_seconds": int(seconds),
    }
    headers = {
        "x-codex-primary-used-percent": "100",
        "x-codex-primary-window-minutes": "300",
        "x-codex-primary-reset-at": str(int(now + seconds)),
    }
    return ErrorAnswer(429, {"error": told}, headers)


def _google(kind: str, behaviour: Behaviour, now: float) -> ErrorAnswer:
    def made(status: int, message: str, *details: dict[str, Any]) -> ErrorAnswer:
        told: dict[str, Any] = {
            "code": status,
            "message": behaviour.get("message", message),
            "status": _GOOGLE_STATUS.get(status, "UNKNOWN"),
        }
        if details:
            told["details"] = list(details)
        return ErrorAnswer(status, {"error": told})

    if kind == "error":
        return made(behaviour["status"], "")
    if kind == "credit":
        return made(
            429, "Your prepayment credits are depleted. Please go to AI Studio to add more."
        )
    if kind == "usage_window":
        return made(429, _GOOGLE_QUOTA, _quota("PerDay"), _retry_info(43))
    if kind == "rate_limit":
        after = behaviour.get("retry_after")
        if after is None:
            message = "Resource has been exhausted (e.g. check quota)."
            return made(429, message)
        message = f"{_GOOGLE_QUOTA}\nPlease retry in {after:g}s."
        return made(429, message, _quota("PerMinute"), _retry_info(after))
    if kind == "overloaded":
        return made(503, "The model is overloaded. Please try again later.")
    if kind == "server_error":
        return made(500, "An internal error has occurred. Please retry.")
    reason = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "API_KEY_INVALID",
        "domain": "googleapis.com",
    }
    return made(400, "API key not valid. Please pass a valid API key.", reason)


def _quota(per: str) -> dict[str, Any]:
    return {
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [
            {
                "quotaMetric": "generativelanguage.googleapis.com/generate_content_requests",
                "quotaId": f"GenerateRequests{per}PerProjectPerModel",
                "quotaDimensions": {"model": "gemini", "location": "global"},
                "quotaValue": "5",
            }
        ],
    }


def _retry_info(seconds: float) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{seconds:g}s"}


def _retry_after(behaviour: Behaviour) -> dict[str, str]:
    after = behaviour.get("retry_after")
    return {} if after is None else {"retry_after": f"{after:g}"}


def _dashed(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


_SHAPES: Mapping[str, Callable[[str, Behaviour, float], ErrorAnswer]] = {
    "anthropic": _anthropic,
    "openai": _openai,
    "google": _google,
}
