"""Decides what an error means: whether to retry, to pause or to fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from agent_runner.classify.failure_facts import FailureFacts, read
from agent_runner.classify.meaning import Meaning
from agent_runner.classify.redact import plain
from agent_runner.classify.reset import MAX_WAIT, reset_time
from agent_runner.classify.rule import Rule
from agent_runner.classify.rules import is_about_the_request, rule_for
from agent_runner.classify.scope import LIMITS, limited_model
from agent_runner.models import Failure, Grounds, PauseReason

__all__ = ["FAR", "MAX_MESSAGE", "MAX_WAIT", "Verdict", "classify"]

MAX_MESSAGE = 500

FAR = timedelta(days=7)
"""A message says so if its reset is further away than the longest rolling window."""

A_DAY = timedelta(days=1)
A_WINDOW = timedelta(hours=1)
"""A rate is counted in minutes; what is closed for so long is a window."""

MONEY_WAITS = timedelta(hours=1)
"""Money does not come back sooner than that: what names a nearer time is about retries."""


@dataclass(frozen=True)
class Verdict:
    """What an error means. `reason` None: it is fatal. `transient`: worth trying again in place,
    if the wait until `retry_at` is short. `model`: the one that a limit is for, see scope.py.
    `grounds` and `retry_grounds` are as in Pause."""

    reason: PauseReason | None
    message: str
    provider: str | None = None
    retry_at: datetime | None = None
    transient: bool = False
    grounds: Grounds = Grounds.AGENT
    retry_grounds: Grounds = Grounds.AGENT
    rule: str | None = None
    """the name of the rule that decided; None: no rule knows the error"""
    model: str | None = None


@dataclass(frozen=True)
class _ClassifiedFailure:
    failure: Failure
    facts: FailureFacts
    rule: str | None
    reason: PauseReason | None
    grounds: Grounds = Grounds.AGENT
    change: str = ""

    @property
    def decides(self) -> bool:
        """Whether no other failure has to be considered."""
        return self.reason is not None or self.change != ""


_ACCOUNT_REFUSED = frozenset({402, 429})
_IN_PLACE = frozenset({PauseReason.TRANSIENT, PauseReason.RATE_LIMIT})
_REFUSED = frozenset({PauseReason.RATE_LIMIT, PauseReason.USAGE_WINDOW})
_OF_A_PROVIDER = frozenset(
    {
        PauseReason.CREDITS,
        PauseReason.USAGE_WINDOW,
        PauseReason.RATE_LIMIT,
        PauseReason.AUTH,
    }
)
# Whose times count for a reason: an older "come back in 3 h" says nothing of an overload now.
_TIMES_FROM: Mapping[PauseReason, frozenset[PauseReason]] = {
    PauseReason.TRANSIENT: frozenset({PauseReason.TRANSIENT}),
    PauseReason.RATE_LIMIT: _REFUSED,
    PauseReason.USAGE_WINDOW: _REFUSED,
    PauseReason.CREDITS: frozenset({PauseReason.CREDITS, PauseReason.USAGE_WINDOW}),
}


def classify(failures: Sequence[Failure], now: datetime, *, answered: bool = False) -> Verdict:
    """What the failures of a turn mean. The gateway's come before the agent's; the first one that a
    rule knows decides, and if none is known, the error is fatal. `answered`: the gateway saw that
    the last call succeeded, so that an agent's words alone do not close an account."""
    judged = [_judge(f) for f in sorted(failures, key=lambda f: f.source != "gateway")]
    if answered:
        judged = [_unless_answered(j) for j in judged]
    if not judged:
        return Verdict(reason=None, message="it failed without a message")
    known = next((j for j in judged if j.decides), None)
    provider = next((j.failure.provider for j in judged if j.failure.provider), None)
    if known is None or known.reason is None:
        last = known or judged[-1]
        message = _message(last, None, now)
        return Verdict(reason=None, message=message, provider=provider, rule=last.rule)
    retry_at, retry_grounds = _retry_at(judged, known.reason, now)
    known = _as_long_as(known, retry_at, now)
    return Verdict(
        reason=known.reason,
        message=_message(known, retry_at, now),
        provider=known.failure.provider or provider,
        retry_at=retry_at,
        transient=known.reason in _IN_PLACE,
        grounds=known.grounds,
        retry_grounds=retry_grounds,
        rule=known.rule,
        model=limited_model(failures, known.failure, known.facts)
        if known.reason in LIMITS
        else None,
    )


def _judge(failure: Failure) -> _ClassifiedFailure:
    facts = read(failure)
    if failure.interrupted:
        return _ClassifiedFailure(failure, facts, "interrupted", PauseReason.INTERRUPTED)
    rule = rule_for(facts)
    if rule is None:
        return _ClassifiedFailure(failure, facts, None, None)
    grounds = _grounds(rule, failure, facts)
    return _ClassifiedFailure(failure, facts, rule.name, rule.reason, grounds, rule.change)


def _unless_answered(judged: _ClassifiedFailure) -> _ClassifiedFailure:
    """What an agent's words mean if the provider did not refuse: a problem of the agent's own,
    which may pass."""
    failure = judged.failure
    fields = (failure.status, failure.code, failure.reset_at, failure.retry_after, failure.body)
    in_words = failure.source == "agent" and not any(fields)
    if not in_words or judged.reason not in _OF_A_PROVIDER:
        return judged
    return replace(judged, rule="the provider had answered", reason=PauseReason.TRANSIENT)


def _as_long_as(
    judged: _ClassifiedFailure, retry_at: datetime | None, now: datetime
) -> _ClassifiedFailure:
    """How long a limit lasts tells its kind: a day at least, or, where nothing is said of it but
    that it is reached, an hour."""
    if judged.reason is not PauseReason.RATE_LIMIT or retry_at is None:
        return judged
    shortest = A_WINDOW if Meaning.LIMIT in judged.facts.meanings else A_DAY
    window = retry_at - now >= shortest
    return replace(judged, reason=PauseReason.USAGE_WINDOW) if window else judged


def _grounds(rule: Rule, failure: Failure, facts: FailureFacts) -> Grounds:
    """What a rule's reason rests on. A status that says nothing but the refusal of an account, a
    code, a header: no words of the caller's make a provider answer so."""
    if failure.source != "gateway":
        return Grounds.AGENT
    if failure.agent_credential or is_about_the_request(facts):
        return Grounds.WORDS
    by_status = facts.status in _ACCOUNT_REFUSED and facts.status in rule.statuses
    if by_status or rule.header is not None or rule.codes & facts.own_codes:
        return Grounds.PROVIDER
    return Grounds.WORDS


def _retry_at(
    judged: Sequence[_ClassifiedFailure], reason: PauseReason, now: datetime
) -> tuple[datetime | None, Grounds]:
    reasons = _TIMES_FROM.get(reason, frozenset())
    for j in judged:
        reset = reset_time(j.failure, j.facts, now) if j.reason in reasons else None
        if reset is not None and reason is PauseReason.CREDITS and reset.at - now < MONEY_WAITS:
            continue
        if reset is not None:
            own = Grounds.WORDS if reset.in_words or j.failure.agent_credential else j.grounds
            return reset.at, own if j.failure.source == "gateway" else Grounds.AGENT
    return None, Grounds.AGENT


def _message(judged: _ClassifiedFailure, retry_at: datetime | None, now: datetime) -> str:
    """What the failure says, in one bounded line without keys."""
    far = f" ({judged.change})" if judged.change else ""
    if retry_at is not None and retry_at - now > FAR:
        far = f" (not before {retry_at:%Y-%m-%d}, in {(retry_at - now).days} days)"
    text = plain(judged.facts.message, MAX_MESSAGE - len(far))
    if not text:
        status = judged.facts.status
        text = f"it failed with status {status}" if status else "it failed without a message"
    return text + far
