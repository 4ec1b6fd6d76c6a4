"""What words mean, clause by clause: kinds, not sentences (Q1)."""

from __future__ import annotations

import pytest

from agent_runner.classify.failure_facts import read
from agent_runner.classify.meaning import Meaning, meaning_of, meaning_of_code, meanings
from agent_runner.classify.profiles import ALIASES, PROFILES, profile_named, profile_of
from agent_runner.classify.verdict import classify
from agent_runner.models import Failure, Grounds, PauseReason
from tests.limits import NOW

M = Meaning


@pytest.mark.parametrize(
    ("clause", "meaning"),
    [
        # Money that is gone, in any order of the words.
        ("Your prepaid funds have been exhausted", M.CREDITS),
        ("There is not enough balance left in the wallet", M.CREDITS),
        ("Team spending cap exceeded for September", M.CREDITS),
        ("The project is over budget", M.CREDITS),
        ("Payment required", M.CREDITS),
        ("This app now draws from your extra usage", M.CREDITS),
        ("Calls of this model are billed to your credits", M.CREDITS),
        ("账户余额不足", M.CREDITS),
        ("Your team doesn't have any credits yet", M.CREDITS),
        ("The account lacks funds", M.CREDITS),
        ("Wallet balance is zero", M.CREDITS),
        ("The project has spent its budget", M.CREDITS),
        ("No credits left", M.CREDITS),
        ("Your trial has ended", M.CREDITS),
        # A longer window.
        ("Daily request quota exceeded", M.WINDOW),
        ("You have used up this week's allowance", M.WINDOW),
        ("Your plan's usage is exhausted", M.WINDOW),
        ("7-day limit hit", M.WINDOW),
        ("You are at your limit for the week", M.WINDOW),
        ("Used 100% of the weekly quota", M.WINDOW),
        ("Daily token limit of 1,000,000 surpassed", M.WINDOW),
        ("tokens per day (TPD): limit reached", M.WINDOW),
        ("今日调用次数已达上限", M.WINDOW),
        ("You are out of user messages", M.WINDOW),
        ("You have run out of premium requests", M.WINDOW),
        # Too much at a time.
        ("Requests per minute limit exceeded", M.RATE),
        ("Rate limit exceeded, retry after 2 days", M.RATE),
        ("Too many concurrent requests: concurrency limit reached", M.RATE),
        ("并发数已达上限", M.RATE),
        # The request itself.
        ("Your prompt is too long", M.REQUEST),
        ("Rate limit: Limit 6000, Requested 9000", M.REQUEST),
        ("Rate limit reached: Limit 6000, Used 5900, Requested 200", M.RATE),
        ("Quota exceeded for metric: x, limit: 0", M.REQUEST),
        ("Quota exceeded for metric: x, limit: 20", M.LIMIT),
        # The account, the login.
        ("This workspace has been deactivated", M.ACCOUNT),
        ("Please log in again", M.SIGN_IN),
        ("模型当前访问量过大", M.BUSY),
        # Words alone are no refusal.
        ("Add 10 credits to unlock 1000 requests per day", None),
        ("The weekly limit is 50 requests", None),
        ("Upgrade your plan for a higher monthly limit", None),
        ("Reached the end of the file", None),
        ("The plan does not have this model", None),
        ("Used 87% of the weekly quota", None),
        # Limits of a machine or of a program.
        ("disk quota exceeded", None),
        ("Memory limit exceeded", None),
        ("the recursion limit was reached", None),
        ("exceeded the step's time limit", None),
        ("Reached maximum number of turns (50)", None),
        ("thinking budget exceeded", None),
    ],
)
def test_a_clause_means_what_its_words_do(clause: str, meaning: Meaning | None) -> None:
    assert meaning_of(clause) == meaning


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        ("free_quota_exceeded", M.WINDOW),
        ("SPEND_LIMIT_EXCEEDED", M.CREDITS),
        ("GoUsageLimitError", M.WINDOW),
        ("insufficient_balance_error", M.CREDITS),
        ("requests-per-minute-limit", M.RATE),
        ("throttlingException", M.RATE),
        ("token_quota_exceeded", None),
        ("permission_error", None),
        ("invalid_request_error", None),
        ("server_error", None),
    ],
)
def test_a_code_is_read_as_words(code: str, meaning: Meaning | None) -> None:
    assert meaning_of_code(code) == meaning


def test_a_message_that_is_a_code_is_read_as_words() -> None:
    failure = Failure("gateway", "local:insufficient_quota", provider="openai", status=403)
    assert classify([failure], NOW).reason is PauseReason.CREDITS


def test_each_clause_is_judged_by_itself() -> None:
    said = "You've reached your weekly limit. To continue now, purchase credits: the balance is 0."
    assert meanings([said]) == {M.WINDOW}
    assert meanings(["", "…"]) == frozenset()


@pytest.mark.parametrize("status", [400, 401, 403, 409, 412, 422, 423, 429, 500, 503])
def test_words_outweigh_the_status(status: int) -> None:
    """Q1."""
    weekly = Failure("gateway", "Weekly usage limit reached", "openai", status)
    empty = Failure("gateway", "Insufficient balance, please recharge", "openai", status)
    assert classify([weekly], NOW).reason is PauseReason.USAGE_WINDOW
    assert classify([empty], NOW).reason is PauseReason.CREDITS


@pytest.mark.parametrize("status", [400, 403, 500])
def test_words_under_another_status_close_the_account_to_their_task_alone(status: int) -> None:
    """U6: only 402 and 429 are refusals of an account whatever the words."""
    verdict = classify([Failure("gateway", "Weekly limit reached", "openai", status)], NOW)
    assert verdict.grounds is Grounds.WORDS


@pytest.mark.parametrize(
    "said",
    [
        "Unexpected value. Weekly usage limit reached",
        "messages.1.content: Insufficient balance",
        "Unknown model: weekly-limit-exhausted",
        "Invalid value: 'your credits are exhausted'",
        "Tool 'x' is unknown. You're out of extra usage",
    ],
)
def test_a_bad_request_counts_by_its_beginning_alone(said: str) -> None:
    """U6: behind it may stand what the caller wrote."""
    failure = Failure("gateway", said, "anthropic", 400, "invalid_request_error")
    assert classify([failure], NOW).reason is None


def test_a_fatal_request_error_outweighs_the_agents_own_reading() -> None:
    """Q1: the agent would be tried again for hours."""
    too_large = Failure("gateway", "Request too large for gpt-4o: Limit 1, Requested 2", None, 429)
    agent = Failure("agent", "Rate limit reached", None, 429)
    verdict = classify([agent, too_large], NOW)
    assert verdict.reason is None
    assert "waiting does not help" in verdict.message


# --- profiles ----------------------------------------------------------------------------------


def test_each_profile_has_a_source_and_hosts_of_its_own() -> None:
    hosts = [host for p in PROFILES for host in p.hosts]
    assert len(set(hosts)) == len(hosts)
    assert len({p.name for p in PROFILES}) == len(PROFILES)
    assert all(p.source.startswith("https://") for p in PROFILES)
    assert all(profile_named(alias) is not None for alias in ALIASES)


@pytest.mark.parametrize(
    ("host", "said", "name"),
    [
        ("api.z.ai", "", "zai"),
        ("eu.api.openrouter.ai", "", "openrouter"),
        ("notopenrouter.ai", "", None),
        ("litellm", "", "litellm"),
        (None, "see https://help.aliyun.com/zh/model-studio/error-code#token-limit", "dashscope"),
        ("127.0.0.1", "upgrade at https://openrouter.ai/settings", "openrouter"),
        (None, "nothing", None),
    ],
)
def test_a_profile_is_found_by_the_host_or_an_address(
    host: str | None, said: str, name: str | None
) -> None:
    found = profile_of(read(Failure("gateway", said, host=host)))
    assert (found and found.name) == name


def test_the_same_code_means_what_its_provider_means() -> None:
    """Q1: OpenAI's word for an empty account is DashScope's for a full minute."""
    body = {"status": 429, "code": "insufficient_quota"}
    openai = Failure("gateway", "no", "openai", **body, host="api.openai.com")
    dashscope = Failure("gateway", "no", "openai", **body, host="dashscope.aliyuncs.com")
    assert classify([openai], NOW).reason is PauseReason.CREDITS
    assert classify([dashscope], NOW).reason is PauseReason.RATE_LIMIT
