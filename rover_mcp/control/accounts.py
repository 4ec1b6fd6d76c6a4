"""Which account refuses until when, and which agent an attempt uses. Pure (K2, K5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from agent_runner.models import Grounds, Pause
from rover_mcp.control.decide import backoff
from rover_mcp.control.ports import Account
from rover_mcp.settings import RetrySettings
from rover_mcp.store.rows import HoldRow, ReportRow
from rover_mcp.tasks.pauses import CLOSED

Attempt = tuple[str, int]
"""A task's id and the number of one of its attempts."""


@dataclass(frozen=True)
class Use:
    """The attempt runs this agent."""

    agent: str
    account: str | None


@dataclass(frozen=True)
class Wait:
    """Every agent's account is closed; this one opens first."""

    agent: str
    account: str


@dataclass(frozen=True)
class NoCredential:
    """A person has to supply a credential first (D9)."""

    agent: str
    missing: str


def refuses(pause: Pause) -> bool:
    """Whether a pause says that an account refuses, whoever says it."""
    return pause.reason in CLOSED and pause.account is not None


def keeps_its_time(pause: Pause, now: datetime) -> bool:
    """Whether a task waits for a time of its own, and not for its account's hold: it was told one
    that holds nobody else, or not so long. Else it would try, and be refused, again and again."""
    told = pause.retry_at is not None and pause.retry_at > now
    return told and pause.retry_grounds is not Grounds.PROVIDER


def report_of(pause: Pause, task_id: str, until: datetime, now: datetime) -> ReportRow | None:
    """What a pause reports of its account where that closes it for this task alone, until a time.
    None: the provider itself said it, and the account is closed for all."""
    if pause.account is None or pause.grounds is Grounds.PROVIDER:
        return None
    return ReportRow(
        account=pause.account,
        task_id=task_id,
        reason=str(pause.reason),
        seen=pause.grounds is Grounds.WORDS,
        at=now.timestamp(),
        until=until.timestamp(),
    )


def confirms(
    report: ReportRow,
    others: Sequence[ReportRow],
    answered_at: float | None,
    retry: RetrySettings,
) -> bool:
    """Whether a report closes its account for all.

    It does where the gateway saw it and the answer to another task said the same, not longer ago
    than a task waits between two tries, and the account has answered nobody since. The words of
    one task alone never do: a provider repeats what an agent wrote.
    """
    since = max(report.at - retry.credits_most, answered_at or 0.0)
    return report.seen and any(
        other.seen
        and (other.account, other.reason) == (report.account, report.reason)
        and other.task_id != report.task_id
        and other.at >= since
        for other in others
    )


def closed_to(task_id: str, reports: Sequence[ReportRow], now: float) -> dict[str, HoldRow]:
    """The accounts that reports of a task close for it alone, as holds of its own."""
    return {
        r.account: HoldRow(r.account, None, r.reason, "", r.at, r.until, 1)
        for r in reports
        if r.task_id == task_id and r.until > now
    }


def hold_until(
    pause: Pause, refusals: int, retry: RetrySettings, now: datetime, random: float
) -> datetime:
    """Until when the account of a pause is held: what the provider told, if that is yet to come,
    else a backoff that doubles with each refusal. A time that stands in words is believed no
    further than the longest backoff, and one that only the agent named not at all."""
    at = pause.retry_at
    if at is None or at <= now or pause.retry_grounds is Grounds.AGENT:
        return now + backoff(pause.reason, refusals - 1, retry, random)
    if pause.retry_grounds is Grounds.WORDS:
        at = min(at, now + timedelta(seconds=retry.credits_most))
    return at + timedelta(seconds=30 * retry.jitter * random)


def hold_after(
    hold: HoldRow | None,
    pause: Pause,
    attempt: Attempt,
    retry: RetrySettings,
    now: datetime,
    random: float,
) -> HoldRow:
    """What a refusal makes of the account's hold.

    Only the first refusal, the probe's, and one that comes when the hold's time is over count:
    tasks that ran when the account closed tell nothing new, unless the provider told them a
    later time in a field of its own.
    """
    if pause.account is None:
        raise ValueError("a pause without an account holds none")
    is_probe = hold is not None and (hold.probe_task, hold.probe_attempt) == attempt
    counts = hold is None or is_probe or hold.until <= now.timestamp()
    refusals = (hold.refusals if hold else 0) + counts
    until = hold.until if hold and not counts else 0.0
    told = pause.retry_at is not None and pause.retry_grounds is Grounds.PROVIDER
    if counts or told:
        until = max(until, hold_until(pause, refusals, retry, now, random).timestamp())
    keeps = hold is not None and not counts
    return HoldRow(
        account=pause.account,
        provider=pause.provider,
        reason=hold.reason if hold and keeps else str(pause.reason),
        message=hold.message if hold and keeps else pause.message,
        since=hold.since if hold else now.timestamp(),
        until=until,
        refusals=refusals,
        probe_task=None if is_probe or hold is None else hold.probe_task,
        probe_attempt=None if is_probe or hold is None else hold.probe_attempt,
    )


def is_open(hold: HoldRow | None, attempt: Attempt, now: float) -> bool:
    """Whether an account lets an attempt through: the probe, or, once its time has come, whoever
    asks first."""
    if hold is None or (hold.probe_task, hold.probe_attempt) == attempt:
        return True
    return hold.probe_task is None and hold.until <= now


def choose_agent(
    agents: Sequence[str],
    account_of: Callable[[str], Account],
    holds: Mapping[str, HoldRow],
    attempt: Attempt,
    now: float,
    *,
    asked_for: bool = False,
) -> Use | Wait | NoCredential:
    """The first agent, in their order, whose account is open.

    Where all are closed the attempt waits for the earliest; one that a person asked for goes all
    the same, with the first. A missing credential is said of the first agent only: another
    without one cannot take over.
    """
    closed: list[tuple[float, Wait]] = []
    for agent in agents:
        account = account_of(agent)
        if account.missing is not None:
            if agent == agents[0]:
                return NoCredential(agent, account.missing)
            continue
        hold = holds.get(account.label) if account.label is not None else None
        if account.label is None or hold is None or is_open(hold, attempt, now):
            return Use(agent, account.label)
        closed.append((hold.until, Wait(agent, account.label)))
    if asked_for:
        return Use(closed[0][1].agent, closed[0][1].account)
    return min(closed, key=lambda found: found[0])[1]


def choose_for(
    task_id: str,
    holds: Mapping[str, HoldRow],
    reports: Sequence[ReportRow],
    now: float,
    choose: Callable[[Mapping[str, HoldRow]], Use | Wait | NoCredential],
) -> Use | Wait | NoCredential:
    """`choose` by the holds and by what the task itself reported of its accounts; where those
    reports leave no account open they count for nothing: nobody else waits for their end."""
    own = closed_to(task_id, reports, now)
    if own and isinstance(choice := choose({**own, **holds}), Use):
        return choice
    return choose(holds)
