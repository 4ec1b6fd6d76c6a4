"""Until when an account is held, and which agent an attempt uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.models import Grounds, Pause, PauseReason
from rover_mcp.config.settings import RetrySettings
from rover_mcp.control.accounts import (
    Need,
    NoCredential,
    Option,
    Use,
    Wait,
    choose_agent,
    choose_for,
    closed_longer,
    closed_to,
    confirms,
    hold_after,
    hold_until,
    is_open,
    refuses,
    report_of,
)
from rover_mcp.control.control_ports import Account
from rover_mcp.store.records import HoldRow, Limit, ReportRow
from tests.support.samples import NOW, pause

R = PauseReason
G = Grounds
EXACT = RetrySettings(jitter=0)
AT = NOW.timestamp()
ME, OTHER = ("a" * 32, 2), ("b" * 32, 5)
HOLD = HoldRow("anthropic-1", "anthropic", "credits", "no credits", AT - 60, AT + 840, 1)
DUE = replace(HOLD, until=AT)


def refusal(reason: PauseReason = R.CREDITS, **changes: object) -> Pause:
    return pause(reason, account="anthropic-1", **changes)


def options(accounts: Mapping[str, Account]) -> Callable[[str], list[Option]]:
    """One account each."""
    return lambda agent: [Option(agent, accounts[agent])]


def seconds(at: datetime) -> float:
    return (at - NOW).total_seconds()


@pytest.mark.parametrize("reason", sorted(PauseReason))
def test_only_a_refusal_of_the_account_closes_it(reason: PauseReason) -> None:
    """K5, D8: and only where the account is known."""
    expected = reason in {R.CREDITS, R.USAGE_WINDOW, R.RATE_LIMIT}
    assert refuses(refusal(reason)) is expected
    assert not refuses(pause(reason))


@pytest.mark.parametrize(
    ("reason", "waits"),
    [
        (R.CREDITS, [900, 1800, 3600, 7200, 14400, 21600, 21600]),
        (R.USAGE_WINDOW, [900, 1800, 3600, 7200, 14400, 21600, 21600]),
        (R.RATE_LIMIT, [60, 120, 240, 480, 960, 1920, 3600]),
    ],
)
def test_an_account_is_held_longer_with_each_refusal(
    reason: PauseReason, waits: list[float]
) -> None:
    """K2."""
    told = [hold_until(refusal(reason), n, EXACT, NOW, 0.7) for n in range(1, 8)]
    assert [seconds(at) for at in told] == waits


def test_the_providers_time_decides_how_long_an_account_is_held() -> None:
    """K2: a time that has passed tells nothing."""
    reset = NOW + timedelta(days=2)
    assert hold_until(refusal(retry_at=reset), 4, EXACT, NOW, 0.5) == reset
    past = NOW - timedelta(hours=1)
    assert seconds(hold_until(refusal(retry_at=past), 1, EXACT, NOW, 0.5)) == 900


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True), st.floats(0, 1))
def test_a_hold_has_a_ceiling_and_jitter_only_delays(
    refusals: int, random: float, jitter: float
) -> None:
    """K2."""
    spread = RetrySettings(jitter=jitter)
    until = seconds(hold_until(refusal(), refusals, spread, NOW, random))
    assert 900 <= until <= 6 * 3600 * (1 + jitter) + 1e-6


def test_the_first_refusal_makes_a_hold_that_says_why_and_since_when() -> None:
    """D10, K5."""
    made = hold_after(None, refusal(), ME, EXACT, NOW, 0)
    assert made == HoldRow(
        "anthropic-1", "anthropic", "credits", "credit balance is too low", AT, AT + 900, 1
    )


@pytest.mark.parametrize(
    ("hold", "retry_at", "refusals", "until"),
    [
        # Tasks that ran when the account closed are refused one after the other.
        pytest.param(HOLD, None, 1, 840, id="one of many, nothing told"),
        pytest.param(HOLD, 7200, 1, 7200, id="one of many, told a later time"),
        pytest.param(HOLD, 60, 1, 840, id="one of many, told an earlier time"),
        pytest.param(
            replace(HOLD, probe_task=OTHER[0], probe_attempt=5), None, 1, 840, id="beside"
        ),
        pytest.param(
            replace(DUE, probe_task=ME[0], probe_attempt=2), None, 2, 1800, id="the probe"
        ),
        pytest.param(
            replace(DUE, probe_task=ME[0], probe_attempt=2), 7200, 2, 7200, id="the probe, told"
        ),
        pytest.param(
            replace(HOLD, probe_task=ME[0], probe_attempt=2), None, 2, 1800, id="an early probe"
        ),
        pytest.param(DUE, None, 2, 1800, id="when its time is over"),
    ],
)
def test_what_a_refusal_makes_of_a_hold(
    hold: HoldRow, retry_at: float | None, refusals: int, until: float
) -> None:
    """K2, K5: the account is closed since the first refusal; only tries of it count."""
    told = NOW + timedelta(seconds=retry_at) if retry_at else None
    after = hold_after(hold, refusal(retry_at=told), ME, EXACT, NOW, 0)
    assert (after.refusals, after.until - AT, after.since) == (refusals, until, hold.since)
    probe = (hold.probe_task, hold.probe_attempt)
    assert (after.probe_task, after.probe_attempt) == ((None, None) if probe == ME else probe)


def test_a_refusal_leaves_when_the_account_was_last_tried() -> None:
    """Q3."""
    assert hold_after(None, refusal(), ME, EXACT, NOW, 0).probed_at is None
    tried = replace(HOLD, probed_at=AT - 5)
    assert hold_after(tried, refusal(), ME, EXACT, NOW, 0).probed_at == AT - 5


LATER = NOW + timedelta(days=25)


@pytest.mark.parametrize(
    ("grounds", "waits"),
    [(G.PROVIDER, 25 * 86400), (G.WORDS, 6 * 3600), (G.AGENT, 900)],
)
def test_a_time_in_words_is_limited_by_the_longest_backoff(grounds: Grounds, waits: float) -> None:
    """U6. Succeeded at 700cc57: an account was held for 25 days, on the words of one agent."""
    told = refusal(retry_at=LATER, retry_grounds=grounds)
    assert seconds(hold_until(told, 1, EXACT, NOW, 0)) == waits
    after = hold_after(HOLD, told, ME, EXACT, NOW, 0)
    moved = LATER.timestamp() if grounds is G.PROVIDER else HOLD.until
    assert (after.until, after.refusals) == (moved, 1)


REPORT = ReportRow("anthropic-1", ME[0], "credits", True, AT, AT + 900)
SAME = replace(REPORT, task_id=OTHER[0], at=AT - 60)


@pytest.mark.parametrize(
    ("report", "others", "answered", "expected"),
    [
        pytest.param(REPORT, [SAME], None, True, id="two tasks say the same"),
        pytest.param(REPORT, [SAME], AT - 61, True, id="it answered before that"),
        pytest.param(REPORT, [SAME], AT - 59, False, id="it has answered since"),
        pytest.param(REPORT, [], None, False, id="alone"),
        pytest.param(REPORT, [replace(REPORT, at=AT - 60)], None, False, id="the same task"),
        pytest.param(REPORT, [replace(SAME, reason="rate_limit")], None, False, id="another"),
        pytest.param(REPORT, [replace(SAME, account="openai-1")], None, False, id="elsewhere"),
        pytest.param(REPORT, [replace(SAME, at=AT - 6 * 3600 - 1)], None, False, id="long ago"),
        pytest.param(REPORT, [replace(SAME, seen=False)], None, False, id="nobody saw the other"),
        pytest.param(replace(REPORT, seen=False), [SAME], None, False, id="nobody saw this one"),
    ],
)
def test_only_two_tasks_that_say_the_same_close_an_account(
    report: ReportRow, others: list[ReportRow], answered: float | None, *, expected: bool
) -> None:
    """U6."""
    assert confirms(report, others, answered, EXACT) is expected


def test_what_the_provider_itself_said_needs_no_report() -> None:
    """U6."""
    until = NOW + timedelta(hours=1)
    assert report_of(refusal(), ME[0], until, NOW) is None
    seen = report_of(refusal(grounds=G.WORDS), ME[0], until, NOW)
    assert seen == ReportRow("anthropic-1", ME[0], "credits", True, AT, AT + 3600)
    said = report_of(refusal(grounds=G.AGENT), ME[0], until, NOW)
    assert said == replace(REPORT, seen=False, until=AT + 3600)


def test_a_report_closes_an_account_to_one_task_if_another_agent_can_run() -> None:
    """U6, K5."""

    def choose(names: dict[str, Account], task: str, now: float = AT) -> object:
        return choose_for(
            task, {}, [REPORT], now,
            lambda holds: choose_agent(list(names), options(names), holds, (task, 2), now),
        )  # fmt: skip

    both, one = {"claude": CLAUDE, "codex": CODEX}, {"claude": CLAUDE}
    assert choose(both, ME[0]) == USE_CODEX
    assert choose(both, ME[0], AT + 900) == USE_CLAUDE
    assert choose(both, OTHER[0]) == USE_CLAUDE
    assert choose(one, ME[0]) == USE_CLAUDE, "nobody else waits for its end"


def test_a_hold_whose_time_has_come_does_not_outweigh_what_a_task_was_told() -> None:
    """U6, K5: the task alternated between the two, every few seconds, until the later time."""
    past = HoldRow("anthropic-1", "anthropic", "credits", "", AT - 99, AT - 9, 1, *ME)
    both = closed_longer({past.account: past}, closed_to(ME[0], [REPORT], AT))
    assert both[past.account].until == REPORT.until
    far = replace(past, until=REPORT.until + 60)
    assert closed_longer({far.account: far}, closed_to(ME[0], [REPORT], AT)) == {far.account: far}


def test_a_pause_without_an_account_holds_none() -> None:
    with pytest.raises(ValueError, match="without an account"):
        hold_after(None, pause(), ME, EXACT, NOW, 0)


@pytest.mark.parametrize(
    ("hold", "expected"),
    [
        (None, True),
        (HOLD, False),
        (DUE, True),
        (replace(HOLD, probe_task=ME[0], probe_attempt=ME[1]), True),
        (replace(DUE, probe_task=OTHER[0], probe_attempt=OTHER[1]), False),
        (replace(DUE, probe_task=ME[0], probe_attempt=1), False),
    ],
)
def test_a_closed_account_lets_its_probe_through(hold: HoldRow | None, expected: bool) -> None:
    """K5."""
    assert is_open(hold, ME, AT) is expected


# Agents

CLAUDE = Account("anthropic-1")
CODEX = Account("openai-1")
USE_CLAUDE = Use("claude", "anthropic-1", ("anthropic-1",))
USE_CODEX = Use("codex", "openai-1", ("openai-1",))
MISSING = Account(missing="set a key")
CODEX_HOLD = replace(HOLD, account="openai-1", until=AT + 60)


@pytest.mark.parametrize(
    ("accounts", "holds", "expected"),
    [
        ({"claude": CLAUDE}, [], USE_CLAUDE),
        ({"scripted": Account()}, [HOLD], Use("scripted", None)),
        ({"claude": CLAUDE}, [HOLD], Wait("claude", "anthropic-1")),
        ({"claude": CLAUDE}, [DUE], USE_CLAUDE),
        ({"claude": CLAUDE}, [CODEX_HOLD], USE_CLAUDE),
        ({"claude": MISSING}, [], NoCredential("claude", "set a key")),
        ({"claude": CLAUDE, "codex": CODEX}, [], USE_CLAUDE),
        ({"claude": CLAUDE, "codex": CODEX}, [HOLD], USE_CODEX),
        ({"claude": CLAUDE, "codex": CODEX}, [HOLD, CODEX_HOLD], Wait("codex", "openai-1")),
        ({"claude": CLAUDE, "codex": MISSING}, [HOLD], Wait("claude", "anthropic-1")),
        ({"claude": MISSING, "codex": CODEX}, [], NoCredential("claude", "set a key")),
        ({"claude": CLAUDE, "scripted": Account()}, [HOLD], Use("scripted", None)),
    ],
)
def test_the_first_agent_whose_account_is_open_is_used(
    accounts: dict[str, Account], holds: list[HoldRow], expected: object
) -> None:
    """K5, D9: all closed, it waits for the earliest; a missing credential is never passed over."""
    chosen = choose_agent(list(accounts), options(accounts), {h.account: h for h in holds}, ME, AT)
    assert chosen == expected


def test_what_a_person_asked_for_goes_on_an_account_that_is_closed() -> None:
    """K5: another agent, if its account is open, is better still."""
    holds = {HOLD.account: HOLD, CODEX_HOLD.account: CODEX_HOLD}
    both = {"claude": CLAUDE, "codex": CODEX}
    asked = choose_agent(list(both), options(both), holds, ME, AT, asked_for=True)
    assert asked == USE_CLAUDE
    del holds["openai-1"]
    asked = choose_agent(list(both), options(both), holds, ME, AT, asked_for=True)
    assert asked == USE_CODEX


def test_no_further_credential_is_looked_up_than_is_needed() -> None:
    """A credential may be a command that asks its user."""
    asked: list[str] = []

    def options_of(agent: str) -> Iterator[Option]:
        for account in (CLAUDE, CODEX):
            asked.append(f"{agent} {account.label}")
            yield Option(agent, account)

    choose_agent(["claude", "codex"], options_of, {}, ME, AT)
    assert asked == ["claude anthropic-1"]


# Several accounts, and models of one

WORK, HOME = Account("anthropic:work"), Account("anthropic:home")
WORK_HOLD = replace(HOLD, account="anthropic:work")
HOME_HOLD = replace(HOLD, account="anthropic:home", until=AT + 60)


@pytest.mark.parametrize(
    ("accounts", "holds", "expected"),
    [
        ([WORK, HOME], [], "anthropic:work"),
        ([WORK, HOME], [WORK_HOLD], "anthropic:home"),
        ([WORK, HOME], [HOME_HOLD], "anthropic:work"),
        ([MISSING, HOME], [], "anthropic:home"),
        ([WORK, HOME], [WORK_HOLD, HOME_HOLD], Wait("claude", "anthropic:home")),
        ([MISSING, Account(missing="nor this")], [], NoCredential("claude", "set a key")),
        ([WORK, MISSING], [WORK_HOLD], Wait("claude", "anthropic:work")),
    ],
)
def test_accounts_of_one_provider_take_over_in_their_order(
    accounts: list[Account], holds: list[HoldRow], expected: object
) -> None:
    """Q6: before another agent does; one that cannot sign in is passed over."""

    def options_of(agent: str) -> list[Option]:
        return [Option(agent, account) for account in accounts]

    chosen = choose_agent(["claude"], options_of, {h.account: h for h in holds}, ME, AT)
    assert (chosen.account if isinstance(chosen, Use) else chosen) == expected


OPUS = replace(HOLD, account="anthropic-1#opus", default_of="claude")
ASKS_OPUS, ASKS_SONNET = Need(frozenset({"opus"})), Need(frozenset({"sonnet"}))
BY_ITSELF = Need(default_of="claude")


@pytest.mark.parametrize(
    ("need", "holds", "expected"),
    [
        (ASKS_OPUS, [OPUS], Wait("claude", "anthropic-1#opus")),
        (ASKS_SONNET, [OPUS], ("anthropic-1", "anthropic-1#sonnet")),
        (BY_ITSELF, [OPUS], Wait("claude", "anthropic-1#opus")),
        (BY_ITSELF, [replace(OPUS, default_of=None)], ("anthropic-1",)),
        (Need(), [OPUS], ("anthropic-1",)),
        (ASKS_SONNET, [OPUS, HOLD], Wait("claude", "anthropic-1")),
        (ASKS_OPUS, [replace(OPUS, until=AT + 9000), HOLD], Wait("claude", "anthropic-1#opus")),
        (ASKS_OPUS, [OPUS, DUE], Wait("claude", "anthropic-1#opus")),
        (BY_ITSELF, [replace(OPUS, until=AT)], ("anthropic-1", "anthropic-1#opus")),
    ],
)
def test_a_models_limit_stops_those_who_ask_for_that_model(
    need: Need, holds: list[HoldRow], expected: object
) -> None:
    """Q6: of two limits the one that ends last is waited for."""

    def options_of(agent: str) -> list[Option]:
        return [Option(agent, CLAUDE, need)]

    chosen = choose_agent(["claude"], options_of, {h.account: h for h in holds}, ME, AT)
    assert (chosen.limits if isinstance(chosen, Use) else chosen) == expected


def test_a_models_refusal_closes_that_model_alone() -> None:
    """Q6: and says whose own choice it was, also when somebody named it later."""
    of_opus = refusal(R.USAGE_WINDOW, model="opus")
    first = hold_after(None, of_opus, ME, EXACT, NOW, 0, "claude")
    assert (first.account, first.default_of) == ("anthropic-1#opus", "claude")
    assert first.limit == Limit("anthropic-1", "opus")
    assert hold_after(first, of_opus, OTHER, EXACT, NOW, 0).default_of == "claude"
    assert hold_after(None, refusal(), ME, EXACT, NOW, 0, "claude").default_of is None
    reported = report_of(refusal(grounds=G.WORDS, model="opus"), ME[0], NOW, NOW)
    assert reported is not None
    assert reported.account == "anthropic-1#opus"
