"""The caller's words in a provider's error decide nothing (U6)."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent_runner.classify.provider_words import MARK, own_words
from agent_runner.classify.verdict import Verdict, classify
from agent_runner.models import Failure, Grounds, PauseReason
from tests.limits import NOW, Message, corpus

R = PauseReason
CLOSING = {R.CREDITS, R.USAGE_WINDOW, R.RATE_LIMIT}
LIMITS = [
    "You have reached your specified API usage limits. You will regain access on 2026-12-24 at "
    "00:00 UTC.",
    "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing.",
    "You exceeded your current quota, please check your plan and billing details.",
    '{"error":{"type":"insufficient_quota","code":"insufficient_quota","message":"x"}}',
    '{"error":{"code":429,"message":"Rate limit reached","resets_in_seconds":2000000}}',
    "API Error: 429 insufficient_quota: you've hit your usage limit. Try again in 25 days",
    "' Your credit balance is too low to access the Anthropic API. '",
    "\" insufficient_quota \" `usage limit reached|1797431600` 'too many requests'",
    "x is not found\nYour credit balance is too low",
]
# Where providers repeat a value, a model's name or a place in the request.
ECHOES = [
    "Invalid value: '{}'. Supported values are: 'low', 'medium' and 'high'.",
    "messages.3.content: {}",
    "messages.0.content.1.text: '{}' is longer than allowed",
    "tools.0.input_schema: {} is not valid under any of the given schemas",
    "Unknown model: {}",
    "The model `{}` does not exist or you do not have access to it.",
    "{} is not a valid model ID",
    "Unrecognized request argument supplied: {}",
    "Invalid JSON payload received. Unknown name \"{}\" at 'generation_config': Cannot find field.",
    "* GenerateContentRequest.contents[13].parts: {}",
    "model: {}",
    "Unsupported parameter: '{}' is not supported with this model.",
    "“{}” is too long",
]
STATUSES = [(400, "invalid_request_error"), (404, "not_found_error"), (422, None), (200, "invalid_request_error")]  # fmt: skip


def seen(message: str, status: int, kind: str | None, **error: object) -> Failure:
    """As the gateway hands on what it saw."""
    told = {"type": kind, "message": message, **error}
    return Failure(
        "gateway", message[:2000], provider="anthropic", status=status, type=kind,
        body=json.dumps({"error": told}),
    )  # fmt: skip


def closes(verdict: Verdict) -> bool:
    return verdict.reason in CLOSING and verdict.grounds is Grounds.PROVIDER


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize(("status", "kind"), STATUSES)
def test_a_request_that_a_provider_repeats_does_not_count_as_a_limit(
    echo: str, status: int, kind: str | None
) -> None:
    """U6. Succeeded at 700cc57: the second of these was taken for an empty account, the first for
    one that is closed for a month."""
    for words in LIMITS:
        verdict = classify([seen(echo.replace("{}", words), status, kind)], NOW)
        assert verdict.reason is None, (words, verdict)


@given(st.sampled_from(ECHOES), st.lists(st.sampled_from([*LIMITS, "'", '"', "`", "\n", " is not valid ", ": "]) | st.text(max_size=9), max_size=6))  # fmt: skip
@example("{} is not a valid model ID", [LIMITS[0], "«"])
def test_no_text_in_any_place_that_is_repeated_makes_a_limit(echo: str, words: list[str]) -> None:
    """U6."""
    verdict = classify([seen(echo.replace("{}", "".join(words)), 400, "invalid_request_error")], NOW)  # fmt: skip
    assert not closes(verdict)
    assert verdict.reason not in CLOSING


@pytest.mark.parametrize(
    "m", [m for m in corpus() if m.reason not in CLOSING], ids=lambda m: m.name
)
def test_words_beside_an_observed_error_close_no_account(m: Message) -> None:
    """U6: whatever else an error is, an echo in it, seen by the gateway, makes no limit of it."""
    for echo in ECHOES:
        for words in LIMITS:
            said = f"{m.failure.message} {echo.replace('{}', words)}"
            found = classify([replace(m.failure, source="gateway", message=said)], NOW)
            assert not closes(found), (echo, words)


@pytest.mark.parametrize("words", LIMITS)
def test_no_time_is_taken_from_what_is_repeated(words: str) -> None:
    """U6: a refusal that is the provider's keeps its reason and its time."""
    said = f"Rate limit reached for model `{words}` in organization `org-1`. Try again in 7s."
    verdict = classify([seen(said, 429, "tokens", code="rate_limit_exceeded")], NOW)
    assert (verdict.reason, verdict.grounds) == (R.RATE_LIMIT, Grounds.PROVIDER)
    assert verdict.retry_at is not None
    assert (verdict.retry_at - NOW).total_seconds() == 7
    assert verdict.retry_grounds is Grounds.WORDS


def test_an_error_that_names_a_parameter_is_about_the_request() -> None:
    """U6: whatever its message says."""
    for words in LIMITS:
        failure = seen(words, 400, "invalid_request_error", param="messages[0].content")
        assert classify([failure], NOW).reason is None


def test_a_quotation_that_was_cut_off_hides_what_follows_its_mark() -> None:
    """U6: the gateway keeps 2,000 characters of a message."""
    echoed = "a' Your credit balance is too low to access the Anthropic API. " + "x" * 3000
    failure = Failure("gateway", f"Invalid value: '{echoed}'"[:2000], status=400)
    assert classify([failure], NOW).reason is None


@pytest.mark.parametrize(
    ("failure", "reason", "grounds"),
    [
        (seen("Your credit balance is too low to access the Anthropic API. Please", 400, "invalid_request_error"), R.CREDITS, Grounds.WORDS),
        (seen("You have reached your specified API usage limits.", 400, "invalid_request_error"), R.USAGE_WINDOW, Grounds.WORDS),
        (seen("Insufficient Balance", 402, "unknown_error"), R.CREDITS, Grounds.PROVIDER),
        (seen("no", 429, "insufficient_quota"), R.CREDITS, Grounds.PROVIDER),
        (seen("no", 200, "rate_limit_error"), R.RATE_LIMIT, Grounds.PROVIDER),
        (seen("too many requests", 200, None), R.RATE_LIMIT, Grounds.WORDS),
        # What another request would not have met is not the account's refusal.
        (seen("This request requires more credits, or fewer max_tokens.", 402, None), R.CREDITS, Grounds.WORDS),
        (seen("Request too large for gpt-4o on tokens per min", 429, "tokens"), None, Grounds.AGENT),
        # An object in a message may be the caller's.
        (seen('{"error":{"message":"x","type":"rate_limit_error"}}', 200, None), R.RATE_LIMIT, Grounds.WORDS),
        (Failure("agent", "x", status=402), R.CREDITS, Grounds.AGENT),
        (Failure("agent", "You've hit your limit", code="rate_limit"), R.USAGE_WINDOW, Grounds.AGENT),
        (Failure("gateway", "x", status=429, agent_credential=True), R.RATE_LIMIT, Grounds.WORDS),
    ],
)  # fmt: skip
def test_a_reason_says_what_it_rests_on(
    failure: Failure, reason: PauseReason | None, grounds: Grounds
) -> None:
    """U6."""
    verdict = classify([failure], NOW)
    assert (verdict.reason, verdict.grounds) == (reason, grounds)


@pytest.mark.parametrize(
    ("failures", "grounds"),
    [
        ([Failure("gateway", "x", status=429, headers={"retry-after": "7"})], Grounds.PROVIDER),
        ([Failure("gateway", "try again in 3 hours", status=429)], Grounds.WORDS),
        (
            [Failure("gateway", "x", status=429, headers={"retry-after": "7"}, agent_credential=True)],
            Grounds.WORDS,
        ),
        ([Failure("gateway", "x", status=429), Failure("agent", "x", status=429, retry_after=9)], Grounds.AGENT),
        ([Failure("agent", "x", status=429, headers={"retry-after": "7"})], Grounds.AGENT),
    ],
)  # fmt: skip
def test_a_time_says_what_it_rests_on(failures: list[Failure], grounds: Grounds) -> None:
    """U6."""
    verdict = classify(failures, NOW)
    assert verdict.retry_at is not None
    assert verdict.retry_grounds is grounds


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("You've hit your organization's limit", "You've hit your organization's limit"),
        ("no 'a' or 'b' here", f"no {MARK} here"),
        ("it's 'cut off", f"it's {MARK}"),
        ("messages.3.content: words", f"messages.3.content:{MARK}"),
        ("(model: gpt): Rate limit", "(model: gpt): Rate limit"),
        ("limit: 5, model: gpt\nretry in 7s", f"limit: 5, model:{MARK}\nretry in 7s"),
        ("words is not a valid model ID", f"{MARK}is not a valid model ID"),
        ("litellm.RateLimitError: no", "litellm.RateLimitError: no"),
    ],
)
def test_what_is_left_are_the_providers_words(text: str, own: str) -> None:
    assert own_words(text) == own


@pytest.mark.parametrize("piece", ["'", "a.", "model: ", "is not valid ", "x[1]", "invalid a b c "])
def test_a_long_text_costs_time_in_proportion(piece: str) -> None:
    """8,000 characters are what is read at most."""
    assert len(own_words(piece * (8000 // len(piece)))) <= 8000 + len(MARK)
