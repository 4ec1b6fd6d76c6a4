"""Which model a limit is for (Q6)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from agent_runner.classify.scope import canonical_model
from agent_runner.classify.verdict import classify
from agent_runner.models import Failure

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
OPUS, GPT, GEMINI = "claude-opus-4-5-20251101", "gpt-5", "gemini-2.5-pro"
CLAIM = "anthropic-ratelimit-unified-representative-claim"
REJECTED = {"anthropic-ratelimit-unified-status": "rejected"}


def limited(message: str, model: str | None, status: int | None = 429, **more: Any) -> str | None:
    source = "gateway" if model else "agent"
    failure = Failure(source, message, status=status, model=model, **more)
    return classify([failure], NOW).model


@pytest.mark.parametrize(
    ("message", "model", "expected"),
    [
        ("You've hit your Opus limit · resets Nov 26", OPUS, "opus"),
        ("You've hit your weekly Opus limit", OPUS, "opus"),
        ("Opus weekly limit reached ∙ resets Oct 6, 1pm", OPUS, "opus"),
        ("Claude Opus 4 usage limit reached", None, "opus"),
        ("You've hit your usage limit for GPT-5.3-Codex-Spark. Switch to another model now, or "
         "try again at Jun 6th, 2027 12:30 AM.", None, "gpt-5.3-codex-spark"),
        ("Rate limit reached for gpt-5 in organization org-x on tokens per min (TPM)", GPT, GPT),
        ("Rate limit reached for model `llama-3.1-8b-instant` in organization `x` on tokens per "
         "day (TPD)", "llama-3.1-8b-instant", "llama-3.1-8b-instant"),
        ("Quota exceeded for metric: generate_content, limit: 50, model: gemini-2.5-pro",
         GEMINI, GEMINI),
        ("Quota exceeded for quota metric 'Gemini 2.5 Pro Requests' and limit 'Gemini 2.5 Pro "
         "Requests per day per user per tier'", GEMINI, GEMINI),
        ("You have exhausted your capacity on this model. Your quota will reset after 8h44m7s.",
         GEMINI, GEMINI),
        ("deepseek/deepseek-r1:free is temporarily rate-limited upstream",
         "deepseek/deepseek-r1:free", "deepseek-r1:free"),
        # Of the whole account.
        ("You've hit your limit · resets 3pm (UTC)", OPUS, None),
        ("You've hit your session limit · resets 3pm (UTC)", OPUS, None),
        ("You've hit your 5-hour limit. Switch to Sonnet with /model", OPUS, None),
        ("Claude AI usage limit reached|1790000000", OPUS, None),
        ("Rate limit exceeded: free-models-per-day", "x/y:free", None),
        ("This request would exceed your organization's rate limit.", OPUS, None),
        ("litellm.RateLimitError: 429. Received Model Group=gpt-5", GPT, None),
        # Another than the one that was asked for: a provider repeats what it is sent.
        ("You've hit your Sonnet limit", OPUS, None),
        ("Rate limit reached for gpt-5-mini in organization org-x", GPT, None),
        ("Rate limit reached for gpt-5.1 in organization org-x", GPT, None),
    ],
)  # fmt: skip
def test_a_limit_is_a_models_where_the_provider_says_so(
    message: str, model: str | None, expected: str | None
) -> None:
    """Q6."""
    assert limited(message, model) == expected


@pytest.mark.parametrize(
    ("headers", "model", "expected"),
    [
        ({**REJECTED, CLAIM: "seven_day_opus"}, OPUS, "opus"),
        ({**REJECTED, CLAIM: "seven_day_sonnet"}, "claude-sonnet-4-5", "sonnet"),
        ({**REJECTED, CLAIM: "seven_day"}, OPUS, None),
        ({**REJECTED, CLAIM: "five_hour"}, OPUS, None),
        ({**REJECTED, CLAIM: "seven_day_opus"}, "claude-haiku-4-5", None),
        ({"x-ratelimit-remaining-requests": "0"}, GPT, GPT),
        ({"x-ratelimit-remaining-tokens": "90"}, GPT, None),
        ({"anthropic-ratelimit-input-tokens-remaining": "0"}, OPUS, "opus"),
        ({"x-ratelimit-remaining": "0"}, GPT, None),
    ],
)
def test_headers_that_tell_whose_limit_it_is(
    headers: dict[str, str], model: str, expected: str | None
) -> None:
    """Q6: the window's name goes before any words."""
    assert limited("Number of requests: Opus limit", model, headers=headers) == expected


def test_googles_quotas_are_a_models_where_they_name_one() -> None:
    """Q6."""

    def body(**violation: Any) -> str:
        details = [{"violations": [violation]}]
        return json.dumps({"error": {"code": 429, "message": "quota", "details": details}})

    per_model = body(quotaId="GenerateRequestsPerDayPerProjectPerModel-FreeTier")
    named = body(quotaId="RequestsPerDay", quotaDimensions={"model": GEMINI})
    other = body(quotaId="RequestsPerDay", quotaDimensions={"model": "gemini-2.5-flash"})
    assert limited("quota", GEMINI, body=per_model) == GEMINI
    assert limited("quota", GEMINI, body=named) == GEMINI
    assert limited("quota", GEMINI, body=other) is None
    assert limited("quota", GEMINI, body=body(quotaId="RequestsPerDayPerProject")) is None


def test_money_is_the_accounts() -> None:
    """Q6."""
    assert limited("insufficient credits for gpt-5", GPT, 402) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("claude-opus-4-5-20251101", "opus"),
        ("us.anthropic.claude-sonnet-4-5-v1:0", "sonnet"),
        ("Opus", "opus"),
        ("sonnet[1m]", "sonnet"),
        ("gpt-5-2025-08-07", "gpt-5"),
        ("gpt-5.3-codex-spark", "gpt-5.3-codex-spark"),
        ("models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("Gemini 2.5 Pro", "gemini-2.5-pro"),
        ("a b#c\n;", "a-b-c"),
    ],
)
def test_a_model_has_one_name_however_it_is_spelled(name: str, expected: str) -> None:
    """Q6."""
    assert canonical_model(name) == expected
