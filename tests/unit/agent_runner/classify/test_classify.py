"""Provider errors to pause reasons: one file of the corpus a message."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from agent_runner.classify.failure_facts import HEAD, TAIL, FailureFacts, read
from agent_runner.classify.profiles import PROFILES
from agent_runner.classify.rules import FIRST, RULES, rule_for
from agent_runner.classify.verdict import FAR, MAX_MESSAGE, MAX_WAIT, classify
from agent_runner.models import Failure, PauseReason
from agent_runner.run.step import wait_in_place
from rover_mcp.explain.readers import read_failures
from tests.limits import FOLDER, NOW, PAGE, Message, as_markdown, corpus, failure, message
from tests.reported import cases

CORPUS = corpus()
FACTS_AGENTS = ("claude", "codex", "gemini", "opencode", "qwen", "copilot")


def agent(said: str, **fields: object) -> Failure:
    return replace(Failure("agent", said), **fields)


def gateway(said: str, **fields: object) -> Failure:
    return replace(Failure("gateway", said, provider="anthropic"), **fields)


def by_rule() -> dict[str, list[FailureFacts]]:
    found: dict[str, list[FailureFacts]] = {}
    reported = [f for c in cases() for f in read_failures(c)]
    for each in (*(m.failure for m in CORPUS if not m.failure.interrupted), *reported):
        told = read(each)
        if (rule := rule_for(told)) is not None:
            found.setdefault(rule.name, []).append(told)
    return found


@pytest.mark.parametrize("m", CORPUS, ids=lambda m: m.name)
def test_each_observed_message_has_its_reason_and_its_time(m: Message) -> None:
    """D1, D2, D8: and what only looks like a limit is fatal."""
    verdict = m.verdict
    assert verdict.reason == m.reason
    assert verdict.transient is (m.reason in {PauseReason.TRANSIENT, PauseReason.RATE_LIMIT})
    after = (verdict.retry_at - NOW).total_seconds() if verdict.retry_at else None
    assert (None if after is None else round(after)) == m.seconds


def test_the_corpus_has_every_agent_with_every_reason_that_it_can_tell() -> None:
    """D8: of the six agents, headless, and over the agent client protocol where it tells more
    than silence."""
    told = {(m.agent, m.reason) for m in CORPUS}
    provider = {
        PauseReason.TRANSIENT,
        PauseReason.RATE_LIMIT,
        PauseReason.CREDITS,
        PauseReason.AUTH,
    }
    for name in FACTS_AGENTS:
        assert {(name, r) for r in (*provider, None)} <= told, name
    for name in ("claude", "codex", "gemini", "opencode", "cursor"):
        assert (name, PauseReason.USAGE_WINDOW) in told, name
    acp = {m.agent for m in CORPUS if "-acp-" in m.name}
    assert acp == set(FACTS_AGENTS)


def test_each_rule_each_code_and_each_wording_is_of_an_observed_message() -> None:
    """Nothing in the table is a guess."""
    found = by_rule()
    general = (*FIRST, *RULES)
    assert [rule.name for rule in general if rule.name not in found] == []
    for rule in general:
        assert rule.codes <= frozenset().union(*(t.codes for t in found[rule.name])), rule.name
    wordings = {pattern for rule in general for pattern in rule.text}
    seen = {
        pattern
        for rule in general
        for told in found[rule.name]
        for pattern in rule.text
        if pattern.search(told.text)
    }
    assert {p.pattern for p in wordings - seen} == set()


def test_rules_have_names_of_their_own() -> None:
    every = [*FIRST, *RULES, *(rule for p in PROFILES for rule in p.rules)]
    assert len({rule.name for rule in every}) == len(every)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda p: p.stem)
def test_the_order_of_fields_and_headers_means_nothing(path: Path) -> None:
    fields = json.loads(path.read_text("utf-8"))
    if headers := fields.get("headers"):
        shuffled = random.Random(1).sample(sorted(headers.items()), len(headers))
        for order in (shuffled, shuffled[::-1]):
            other = failure({**fields, "headers": dict(order)})
            assert classify([other], NOW) == message(path).verdict
    other = failure(dict(reversed(fields.items())))
    assert classify([other], NOW) == message(path).verdict


def test_the_documented_table_is_the_corpus() -> None:
    """Write it anew with: python -m tests.limits > docs/limits.md"""
    assert PAGE.read_text("utf-8") == as_markdown()


# --- evidence ----------------------------------------------------------------------------------

_RATE = gateway("Too many", status=429, headers={"retry-after": "7"})
_LONG = gateway("Too many", status=429, headers={"retry-after": "10800"})
_BUSY = gateway("Overloaded", status=529, type="overloaded_error")
_EMPTY = gateway("Your credit balance is too low to access the Anthropic API.", status=400)
_LOST = gateway("connection error: no answer came")
_NOT_FOUND = gateway("no such model", status=404)
_RESET = NOW + timedelta(hours=3)


@pytest.mark.parametrize(
    ("failures", "reason", "seconds", "said"),
    [
        # The gateway first, whatever the agent makes of it.
        ([agent("Overloaded", status=529), _EMPTY], "credits", None, _EMPTY.message),
        ([_RATE, agent("The model is overloaded")], "rate_limit", 7, "Too many"),
        ([_RATE, agent("killed", interrupted=True)], "rate_limit", 7, "Too many"),
        (
            [_BUSY, agent("Rate limit exceeded. Try again in 3 hours")],
            "transient",
            None,
            "Overloaded",
        ),
        ([_LOST, agent("Not logged in")], "transient", None, _LOST.message),
        # A plain 429 is told, and the agent knows until when: both are about the same refusal.
        (
            [
                gateway("Too many", status=429),
                agent("limit", code="usage_limit_reached", reset_at=_RESET),
            ],
            "rate_limit",
            10800,
            "Too many",
        ),
        # The newest answer first; what an older one said of another trouble has passed.
        ([_BUSY, _LONG], "transient", None, "Overloaded"),
        ([_RATE, _LONG], "rate_limit", 7, "Too many"),
        ([_LONG, _BUSY], "rate_limit", 10800, "Too many"),
        # An answer that no rule knows says nothing; the next one does.
        (
            [_NOT_FOUND, agent("Credit balance is too low")],
            "credits",
            None,
            "Credit balance is too low",
        ),
        ([_NOT_FOUND, _RATE], "rate_limit", 7, "Too many"),
        ([_NOT_FOUND, agent("model: nope", code="model_not_found")], None, None, "model: nope"),
        # The gateway saw a success last, so it has no failure: what the agent reports is from
        # before, and is still all that is known of why it stopped.
        ([agent("Overloaded", status=529)], "transient", None, "Overloaded"),
        (
            [agent("You've hit your limit", status=429, reset_at=_RESET)],
            "usage_window",
            10800,
            None,
        ),
        ([agent("I could not find the file")], None, None, "I could not find the file"),
        ([], None, None, "it failed without a message"),
    ],
)
def test_evidence_is_believed_in_its_order(
    failures: list[Failure], reason: str | None, seconds: float | None, said: str | None
) -> None:
    """D1, D2."""
    verdict = classify(failures, NOW)
    assert verdict.reason == (reason and PauseReason(reason))
    assert (verdict.retry_at and (verdict.retry_at - NOW).total_seconds()) == seconds
    if said is not None:
        assert verdict.message == said


def test_the_provider_is_that_of_the_failure_or_of_any_that_names_one() -> None:
    """D1."""
    assert classify([agent("Overloaded", provider="openai"), _NOT_FOUND], NOW).provider == "openai"
    assert classify([agent("Overloaded"), _NOT_FOUND], NOW).provider == "anthropic"
    assert classify([agent("nothing known"), _NOT_FOUND], NOW).provider == "anthropic"
    assert classify([agent("Overloaded")], NOW).provider is None


def test_our_own_signal_is_an_interruption() -> None:
    """D8."""
    verdict = classify([agent("rate limit reached", interrupted=True)], NOW)
    assert verdict.reason is PauseReason.INTERRUPTED
    assert verdict.retry_at is None


@pytest.mark.parametrize(
    "said",
    [
        "step timeout after 1800s",
        "the step timed out",
        "bash timed out after 120 s",
        "timeout: 30 s",
    ],
)
def test_a_step_s_own_time_out_is_not_retryable(said: str) -> None:
    """D4."""
    assert classify([agent(said)], NOW).reason is None


@pytest.mark.parametrize(
    "said", ["connection timed out", "Request timed out.", "read ECONNRESET", "Connection refused"]
)
def test_a_connection_s_time_out_is(said: str) -> None:
    """D4, D5."""
    assert classify([agent(said)], NOW).transient


def test_auth_and_credits_have_no_date() -> None:
    """D9: even where the answer names one."""
    assert classify([agent("no", status=401, retry_after=5.0)], NOW).retry_at is None
    assert classify([agent("no", status=402, retry_after=5.0)], NOW).retry_at is None


def test_short_waits_happen_in_place_and_long_ones_are_pauses() -> None:
    """D5."""
    limited = classify([agent("x", status=429, retry_after=30.0)], NOW)
    assert wait_in_place(limited, 10, 60, NOW) == 30
    assert wait_in_place(limited, 40, 60, NOW) == 40
    assert wait_in_place(limited, 10, 20, NOW) is None
    assert wait_in_place(limited, None, 60, NOW) is None
    assert wait_in_place(classify([agent("x", status=500)], NOW), 10, 60, NOW) == 10
    assert wait_in_place(classify([agent("x", status=402)], NOW), 10, 60, NOW) is None


# --- what is read ------------------------------------------------------------------------------


def test_a_status_is_an_error_s_wherever_it_stands() -> None:
    assert read(agent("API Error: 503 x", status=429)).status == 429
    assert read(agent("API Error: 503 x", status=200)).status == 503
    assert read(agent("x", status=700)).status is None
    assert read(agent("x", body='{"error":{"message":"m","code":429}}')).status == 429
    assert read(agent("x", body='{"error":{"message":"m","code":"429"}}')).status is None
    assert read(agent("429 files changed")).status is None


def test_an_error_that_quotes_another_is_read_to_its_core() -> None:
    inner = json.dumps({"error": {"message": "slow down", "code": 503, "status": "UNAVAILABLE"}})
    outer = json.dumps({"error": {"message": inner, "code": 429, "type": "proxy"}})
    told = read(agent(f"[API Error: {outer}]"))
    assert (told.status, told.message) == (503, "slow down")
    assert told.codes == {"proxy", "503", "unavailable"}


def test_quotes_within_quotes_are_followed_for_three_levels() -> None:
    text = "core"
    for level in range(9):
        text = json.dumps({"error": {"message": text, "type": f"level {level}"}})
    assert read(agent(text)).codes == {"level 6"}


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "}{",
        "{}",
        '{"error": 1}',
        '{"error": {"message": 1}}',
        '{"message": {"error": "x"}}',
        '{"error": [' + "[" * 50_000,
        '{"error": {"message": "m", "code": ' + "9" * 5000 + "}}",
        '{"error": {"message": "m", "code": true, "status": null, "type": {}}}',
        '{"error": {"message": "m", "resets_at": "soon", "details": {"0": 1}}}',
    ],
)
def test_json_of_any_shape_is_survived(text: str) -> None:
    told = agent(f"it broke: {text}", body=text)
    assert classify([told], NOW).reason is None


def test_an_empty_message_takes_the_body_s() -> None:
    body = '{"error":{"type":"overloaded_error","message":"Overloaded"}}'
    assert classify([agent("", body=body)], NOW).message == "Overloaded"
    assert classify([agent("", status=503)], NOW).message == "it failed with status 503"
    assert classify([agent(" \n ")], NOW).message == "it failed without a message"


@pytest.mark.parametrize(
    "pattern",
    ["x" * 1_000_000, "{" * 1_000_000, "you've hit your " * 60_000, "last error: a" * 80_000],
)
def test_a_huge_message_costs_no_more_than_a_long_one(pattern: str) -> None:
    """What the rules see is bounded, and nothing in a rule repeats without a bound."""
    told = read(agent(pattern, body=pattern, headers={"retry-after": pattern}))
    assert len(told.text) <= 2 * (HEAD + TAIL) + 3
    assert not told.headers
    assert len(classify([agent(pattern)], NOW).message) <= MAX_MESSAGE
    for rule in RULES:
        for p in (*rule.text, *rule.unless):
            assert not set("*+") & set(p.pattern), p.pattern


def test_the_end_of_a_huge_message_is_read_too() -> None:
    said = "You exceeded your current quota, please check your plan and billing" + " x" * 500_000
    limited = classify([agent(f"{said} Please retry in 7s.", status=429)], NOW)
    assert limited.reason is PauseReason.RATE_LIMIT
    assert limited.retry_at == NOW + timedelta(seconds=7)


# --- what people read --------------------------------------------------------------------------


def test_a_message_is_one_bounded_line() -> None:
    """D10."""
    verdict = classify([agent("bad\n\x1b[31m  and\u202e red " + "x" * 900, status=401)], NOW)
    assert verdict.message.startswith("bad [31m and red xxx")
    assert len(verdict.message) == MAX_MESSAGE


A = "A1b2C3d4E5f6G7h8I9j0K1l2"


@pytest.mark.parametrize(
    "key",
    [
        f"sk-ant-api03-{A}",
        f"sk-proj-{A}",
        f"sk-or-v1-{A}",
        "sk-mock**********0001",
        f"AIzaSy{A}",
        f"ya29.{A}",
        f"ghp_{A}",
        f"gho_{A}",
        f"github_pat_{A}",
        f"glpat-{A}",
        f"gsk_{A}",
        f"xai-{A}",
        f"hf_{A}",
        f"xoxb-{A}",
        f"key_{A}",
        "AKIAIOSFODNN7EXAMPLE",
        f"eyJhbGciOiJIUzI1.{A}.{A}",
        f"sk-ant-\u200bapi03-{A}",
        f"sk-ant-api03-{A}" + "x" * 800,
    ],
)
def test_a_key_of_any_provider_is_masked(key: str) -> None:
    """Also where a provider quotes it half masked, or a space that is none hides it."""
    said = classify([agent(f"Incorrect API key provided: {key} (see 'keys')", status=401)], NOW)
    assert said.message == "Incorrect API key provided: [key] (see 'keys')"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (f"Authorization: Bearer {A}.{A}== refused", "Authorization: Bearer [key] refused"),
        (f"Basic {A}", "Basic [key]"),
        (f"x-api-key: {A}", "x-api-key: [key]"),
        (f"GET /v1beta/models?api_key={A}&x=1", "GET /v1beta/models?api_key=[key]&x=1"),
        (f'{{"token":"{A}"}}', '{"token":"[key]"}'),
        ("bearer authentication is required", "bearer authentication is required"),
        ("task-1 and risk-assessment of key-value stores", None),
    ],
)
def test_a_credential_that_has_no_prefix_is_masked_by_its_name(
    said: str, shown: str | None
) -> None:
    """A secret is where it is needed, and nowhere else."""
    assert classify([agent(said, status=401)], NOW).message == (shown or said)


def test_a_reset_that_is_weeks_away_is_in_the_message() -> None:
    """D10: the reason and the time stay what they are."""
    at = NOW + timedelta(days=24, hours=14)
    verdict = classify([agent("You've hit your limit", code="rate_limit", reset_at=at)], NOW)
    assert (verdict.reason, verdict.retry_at) == (PauseReason.USAGE_WINDOW, at)
    assert verdict.message == "You've hit your limit (not before 2026-12-18, in 24 days)"
    long = classify([agent("You've hit your limit " + "x" * 999, reset_at=at)], NOW)
    assert long.message.endswith("x (not before 2026-12-18, in 24 days)")
    assert len(long.message) == MAX_MESSAGE
    near = classify([agent("You've hit your limit", reset_at=NOW + FAR)], NOW)
    assert near.message == "You've hit your limit"
    beyond = classify([agent("You've hit your limit", reset_at=NOW + 2 * MAX_WAIT)], NOW)
    assert (beyond.message, beyond.retry_at) == ("You've hit your limit", None)
