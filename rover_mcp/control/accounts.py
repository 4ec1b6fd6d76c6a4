"""Which account is closed until when, and which agent an attempt uses. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from agent_runner.models import Grounds, Pause
from rover_mcp.config.settings import RetrySettings
from rover_mcp.control.control_ports import Account
from rover_mcp.control.decide import backoff, is_worth_the_wait
from rover_mcp.store.records import HoldRow, Limit, ReportRow
from rover_mcp.tasks.pause_view import CLOSED

Attempt = tuple[str, int]
"""A task's id and the number of one of its attempts."""


@dataclass(frozen=True)
class Need:
    """What an agent of a task needs of an account: models by their canonical names, or the model
    that the agent chooses (`default_of`)."""

    models: frozenset[str] = frozenset()
    default_of: str | None = None

    def limits(self, account: str) -> list[str]:
        """The keys of all holds on an account that can concern it."""
        return [account, *(str(Limit(account, model)) for model in sorted(self.models))]


@dataclass(frozen=True)
class Option:
    """An agent with one of the accounts that it may use, and what it needs of that."""

    agent: str
    account: Account
    need: Need = Need()


@dataclass(frozen=True)
class Use:
    """The attempt runs this agent. `limits` are the keys of the holds that must let it pass."""

    agent: str
    account: str | None
    limits: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wait:
    """Every account is closed to every agent. `limit` is the key of the hold that ends first."""

    agent: str
    limit: str


@dataclass(frozen=True)
class NoCredential:
    """A person has to supply a credential first."""

    agent: str
    missing: str


def refuses(pause: Pause) -> bool:
    """Whether a pause means that an account is closed, whatever the evidence."""
    return pause.reason in CLOSED and pause.account is not None


def limit_of(pause: Pause) -> str:
    """The key of what a pause closes: its account, or one model of it."""
    if pause.account is None:
        raise ValueError("a pause without an account closes none")
    return str(Limit(pause.account, pause.model))


def keeps_its_time(pause: Pause, now: datetime) -> bool:
    """Whether a task waits for a time of its own, and not for its account's hold. The time is one
    that does not close the account for others; without it the task would be refused again and
    again."""
    names_time = pause.retry_at is not None and pause.retry_at > now
    return names_time and pause.retry_grounds is not Grounds.PROVIDER


def report_of(pause: Pause, task_id: str, until: datetime, now: datetime) -> ReportRow | None:
    """What a pause reports of its account, if that closes it for this task alone, until a time.
    None if the provider itself reported it: then the account is closed for all tasks."""
    if pause.account is None or pause.grounds is Grounds.PROVIDER:
        return None
    return ReportRow(
        account=limit_of(pause),
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
    """Whether a report closes its account for all tasks.

    It does if the gateway saw the answer, and another task got the same answer, not longer ago than
    a task waits between two tries, and the account has answered no task since. The words in one
    task's answer never do alone: a provider's error repeats text that the agent wrote, so an agent
    could close an account for everybody.
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
    """The accounts that a task's own reports close for it alone, as holds."""
    return {
        r.account: HoldRow(r.account, None, r.reason, "", r.at, r.until, 1)
        for r in reports
        if r.task_id == task_id and r.until > now
    }


def closed_longer(holds: Mapping[str, HoldRow], own: Mapping[str, HoldRow]) -> dict[str, HoldRow]:
    """The holds for all tasks and those for one task alone; of two with one key, the one that ends
    last. A hold whose time has come lets other tasks ask, but not one with a later time of its
    own."""
    later = {k: o for k, o in own.items() if k not in holds or holds[k].until < o.until}
    return {**holds, **later}


def hold_until(
    pause: Pause, refusals: int, retry: RetrySettings, now: datetime, random: float
) -> datetime:
    """Until when the account of a pause is closed: the provider's time, if that lies in the future,
    or else a backoff that doubles with each refusal. A time from the words of an answer counts up
    to the longest backoff, and one that only the agent reported does not count. After a refusal at
    a short time of the provider's, the wait is at least the backoff."""
    at = pause.retry_at
    if at is None or at <= now or pause.retry_grounds is Grounds.AGENT:
        return now + backoff(pause.reason, refusals - 1, retry, random)
    if pause.retry_grounds is Grounds.WORDS:
        at = min(at, now + timedelta(seconds=retry.credits_most))
    if refusals > 1 and not is_worth_the_wait(pause, retry, now):
        at = max(at, now + backoff(pause.reason, refusals - 2, retry, 0))
    return at + timedelta(seconds=30 * retry.jitter * random)


def hold_after(
    hold: HoldRow | None,
    pause: Pause,
    attempt: Attempt,
    retry: RetrySettings,
    now: datetime,
    random: float,
    default_of: str | None = None,
) -> HoldRow:
    """The hold of an account, or of one model of it, after a refusal. `default_of` is the agent
    that chose the model, if the task named none.

    Only the first refusal, the probe's, and one after the end of the hold count. Tasks that were
    running when the account closed are refused for the same reason, unless the provider gives them
    a later time in a field of its own.
    """
    is_probe = hold is not None and (hold.probe_task, hold.probe_attempt) == attempt
    counts = hold is None or is_probe or hold.until <= now.timestamp()
    refusals = (hold.refusals if hold else 0) + counts
    until = hold.until if hold and not counts else 0.0
    is_provider_time = pause.retry_at is not None and pause.retry_grounds is Grounds.PROVIDER
    if counts or is_provider_time:
        until = max(until, hold_until(pause, refusals, retry, now, random).timestamp())
    keeps = hold is not None and not counts
    return HoldRow(
        account=limit_of(pause),
        provider=pause.provider,
        reason=hold.reason if hold and keeps else str(pause.reason),
        message=hold.message if hold and keeps else pause.message,
        since=hold.since if hold else now.timestamp(),
        until=until,
        refusals=refusals,
        probe_task=None if is_probe or hold is None else hold.probe_task,
        probe_attempt=None if is_probe or hold is None else hold.probe_attempt,
        default_of=(default_of if pause.model else None) or (hold.default_of if hold else None),
        probed_at=hold.probed_at if hold else None,
    )


def is_open(hold: HoldRow | None, attempt: Attempt, now: float) -> bool:
    """Whether an account lets an attempt pass: the probe, or after the end of the hold the attempt
    that asks first."""
    if hold is None or (hold.probe_task, hold.probe_attempt) == attempt:
        return True
    return hold.probe_task is None and hold.until <= now


def closing(holds: Mapping[str, HoldRow], account: str, need: Need) -> list[HoldRow]:
    """The holds on an account that concern what an agent needs of it."""
    return [
        hold
        for hold in holds.values()
        if hold.limit.account == account
        and (
            hold.limit.model is None
            or hold.limit.model in need.models
            or (need.default_of is not None and hold.default_of == need.default_of)
        )
    ]


def choose_agent(
    agents: Sequence[str],
    options_of: Callable[[str], Iterable[Option]],
    holds: Mapping[str, HoldRow],
    attempt: Attempt,
    now: float,
    *,
    asked_for: bool = False,
) -> Use | Wait | NoCredential:
    """The first agent in the given order, with the first of its accounts that is open.

    If all are closed the attempt waits for the one that opens first; an attempt that a person asked
    for starts anyway, with the first. A missing credential is only reported for the first agent;
    any other agent without one cannot take over. Accounts are read one by one as far as needed,
    because a credential can be a command that asks its user.
    """
    closed: list[tuple[float, Use, str]] = []
    for agent in agents:
        missing: str | None = None
        at_hand = False
        for option in options_of(agent):
            if option.account.missing is not None:
                missing = missing or option.account.missing
                continue
            at_hand = True
            use, shut = _judge(option, holds, attempt, now)
            if shut is None:
                return use
            closed.append((shut.until, use, shut.account))
        if missing is not None and not at_hand and agent == agents[0]:
            return NoCredential(agent, missing)
    if asked_for:
        return closed[0][1]
    _, use, limit = min(closed, key=lambda entry: entry[0])
    return Wait(use.agent, limit)


def _judge(
    option: Option, holds: Mapping[str, HoldRow], attempt: Attempt, now: float
) -> tuple[Use, HoldRow | None]:
    """The choice of an option, and the hold that keeps it closed for longest, if one does."""
    label = option.account.label
    if label is None:
        return Use(option.agent, None), None
    concern = closing(holds, label, option.need)
    keys = dict.fromkeys((*option.need.limits(label), *(hold.account for hold in concern)))
    shut = [hold for hold in concern if not is_open(hold, attempt, now)]
    use = Use(option.agent, label, tuple(keys))
    return use, max(shut, key=lambda hold: hold.until, default=None)


def choose_for(
    task_id: str,
    holds: Mapping[str, HoldRow],
    reports: Sequence[ReportRow],
    now: float,
    choose: Callable[[Mapping[str, HoldRow]], Use | Wait | NoCredential],
) -> Use | Wait | NoCredential:
    """Choose by the holds and by the task's own reports of its accounts. If these reports leave no
    account open they do not count, because no hold with a timer stands for them."""
    own = closed_to(task_id, reports, now)
    if own and isinstance(choice := choose(closed_longer(holds, own)), Use):
        return choice
    return choose(holds)
