"""Which account refuses until when, and which agent an attempt uses. Pure (K2, K5)."""

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
    """What an agent of a task asks an account for: models by their canonical names, or the model
    that the agent chooses by itself."""

    models: frozenset[str] = frozenset()
    default_of: str | None = None

    def limits(self, account: str) -> list[str]:
        """The keys of all that may be closed to it on an account."""
        return [account, *(str(Limit(account, model)) for model in sorted(self.models))]


@dataclass(frozen=True)
class Option:
    """An agent with one of the accounts that it may use, and what it asks that for."""

    agent: str
    account: Account
    need: Need = Need()


@dataclass(frozen=True)
class Use:
    """The attempt runs this agent. `limits`: the keys of all that may not be closed to it."""

    agent: str
    account: str | None
    limits: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wait:
    """Every account is closed to every agent; this limit, by its key, ends first."""

    agent: str
    limit: str


@dataclass(frozen=True)
class NoCredential:
    """A person has to supply a credential first (D9)."""

    agent: str
    missing: str


def refuses(pause: Pause) -> bool:
    """Whether a pause says that an account refuses, whoever says it."""
    return pause.reason in CLOSED and pause.account is not None


def limit_of(pause: Pause) -> str:
    """The key of what a pause says is closed: its account, or one model of it."""
    if pause.account is None:
        raise ValueError("a pause without an account holds none")
    return str(Limit(pause.account, pause.model))


def keeps_its_time(pause: Pause, now: datetime) -> bool:
    """Whether a task waits for a time of its own, and not for its account's hold: it was told one
    that holds nobody else, or not so long. Else it would try, and be refused, again and again."""
    names_time = pause.retry_at is not None and pause.retry_at > now
    return names_time and pause.retry_grounds is not Grounds.PROVIDER


def report_of(pause: Pause, task_id: str, until: datetime, now: datetime) -> ReportRow | None:
    """What a pause reports of its account where that closes it for this task alone, until a time.
    None: the provider itself said it, and the account is closed for all."""
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


def closed_longer(holds: Mapping[str, HoldRow], own: Mapping[str, HoldRow]) -> dict[str, HoldRow]:
    """Of what is closed to all and what is closed to one task alone, what ends last. A hold whose
    time has come lets anybody ask, but not whom the provider has told of a later one."""
    later = {k: o for k, o in own.items() if k not in holds or holds[k].until < o.until}
    return {**holds, **later}


def hold_until(
    pause: Pause, refusals: int, retry: RetrySettings, now: datetime, random: float
) -> datetime:
    """Until when the account of a pause is held: what the provider told, if that is yet to come,
    else a backoff that doubles with each refusal. A time that stands in words is believed no
    further than the longest backoff, and one that only the agent named not at all. A short one
    that was told before, and in vain, is the backoff's least."""
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
    """What a refusal makes of the hold of an account, or of one model of it. `default_of`: the
    agent that chose the model by itself.

    Only the first refusal, the probe's, and one that comes when the hold's time is over count:
    tasks that ran when the account closed tell nothing new, unless the provider told them a
    later time in a field of its own.
    """
    limit = limit_of(pause)
    is_probe = hold is not None and (hold.probe_task, hold.probe_attempt) == attempt
    counts = hold is None or is_probe or hold.until <= now.timestamp()
    refusals = (hold.refusals if hold else 0) + counts
    until = hold.until if hold and not counts else 0.0
    is_provider_time = pause.retry_at is not None and pause.retry_grounds is Grounds.PROVIDER
    if counts or is_provider_time:
        until = max(until, hold_until(pause, refusals, retry, now, random).timestamp())
    keeps = hold is not None and not counts
    return HoldRow(
        account=limit,
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
    """Whether an account lets an attempt through: the probe, or, once its time has come, whoever
    asks first."""
    if hold is None or (hold.probe_task, hold.probe_attempt) == attempt:
        return True
    return hold.probe_task is None and hold.until <= now


def closing(holds: Mapping[str, HoldRow], account: str, need: Need) -> list[HoldRow]:
    """The holds that concern what an agent needs of an account."""
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
    """The first agent, in their order, with the first of its accounts, in theirs, that is open.

    Where all are closed the attempt waits for the earliest; one that a person asked for goes all
    the same, with the first. A missing credential is said of the first agent only: another
    without one cannot take over. No account is looked at that is not needed: a credential may be
    a command that asks its user.
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
    """What using an option would be, and the hold that keeps it closed for longest, if one does."""
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
    """`choose` by the holds and by what the task itself reported of its accounts; where those
    reports leave no account open they count for nothing: nobody else waits for their end."""
    own = closed_to(task_id, reports, now)
    if own and isinstance(choice := choose(closed_longer(holds, own)), Use):
        return choice
    return choose(holds)
