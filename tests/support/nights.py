"""The world of a night: accounts that close and open, logins that expire, tasks that need them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from agent_runner.models import Grounds, Pause, PauseReason
from rover_mcp.control.control_ports import Account, LoginExpiry
from tests.support.attempts_site import FakeAttemptGateway
from tests.support.samples import pause

HOUR = 3600.0
DAY = 24 * HOUR
R = PauseReason


@dataclass(frozen=True)
class AccountClosure:
    """An account, or one `model` of it, refuses from `since` to `end`. `told` is what it says of
    that; None: nothing. `grounds`: who says it."""

    reason: PauseReason
    since: float
    end: float
    told: float | None
    model: str | None
    grounds: Grounds

    def pause(self, now: float, account: str) -> Pause:
        told = None if self.told is None or self.told <= now else self.told
        return pause(
            self.reason, since=moment(now), retry_at=moment(told) if told else None,
            grounds=self.grounds, retry_grounds=self.grounds, model=self.model, account=account,
        )  # fmt: skip


@dataclass(frozen=True)
class Token:
    """A login's credential, from when it is there until it has expired."""

    since: float
    until: float

    @property
    def digest(self) -> str:
        return f"{self.since:.0f}"


@dataclass
class ProviderSchedule:
    """What the provider does, and what of that a person does (log in, renew, buy)."""

    closures: dict[str, list[AccountClosure]]
    tokens: dict[str, list[Token]]

    def closure(self, account: str, model: str | None, now: float) -> AccountClosure | None:
        """What is closed to a request now."""
        found = (c for c in self._for(account, model) if c.since <= now < c.end)
        return next(found, None)

    def coming(self, account: str, model: str | None, now: float) -> AccountClosure | None:
        found = (c for c in self._for(account, model) if c.since > now)
        return min(found, key=lambda c: c.since, default=None)

    def token(self, account: str, now: float) -> Token | None:
        """The one that lies in the login's file; it may have expired."""
        return next((t for t in reversed(self.tokens[account]) if t.since <= now), None)

    def news(self, now: float) -> float | None:
        """When a person does the next thing about a login."""
        times = [token.since for tokens in self.tokens.values() for token in tokens]
        return min((t for t in times if t > now), default=None)

    def _for(self, account: str, model: str | None) -> list[AccountClosure]:
        return [c for c in self.closures[account] if c.model in (None, model)]


def a_world(dice: random.Random, begin: float) -> ProviderSchedule:
    labels = ("a-1", "a-2", "a-3")[: dice.randint(2, 3)]
    return ProviderSchedule(
        {label: _closures(dice, begin) for label in labels},
        {label: _tokens(dice, begin) for label in labels},
    )


def _closures(dice: random.Random, begin: float) -> list[AccountClosure]:
    found: list[AccountClosure] = []
    at = begin + dice.uniform(-2, 3) * HOUR
    for _ in range(dice.randint(2, 9)):
        length = dice.choice([0.3, 5, 5, 5, 20, 4 * 24]) * HOUR
        end = at + length * dice.uniform(0.3, 1)
        reason = dice.choice([R.USAGE_WINDOW, R.USAGE_WINDOW, R.RATE_LIMIT, R.CREDITS])
        if length < HOUR:
            reason = R.TRANSIENT
        tells = reason in (R.USAGE_WINDOW, R.RATE_LIMIT) and dice.random() < 0.7
        # It opens early, or when it said, or a little later than it said.
        told = dice.choice([at + length, end, end, end, end - 600]) if tells else None
        model = "opus" if reason is R.USAGE_WINDOW and dice.random() < 0.3 else None
        grounds = dice.choice([Grounds.PROVIDER, Grounds.PROVIDER, Grounds.WORDS, Grounds.AGENT])
        found.append(AccountClosure(reason, at, end, told, model, grounds))
        at = end + dice.uniform(0.2, 5) * HOUR
    return found


def _tokens(dice: random.Random, begin: float) -> list[Token]:
    """A key that is there and stays; one that comes late; or a login that expires again and again
    and is renewed, sooner or later."""
    kind = dice.choice(["stays", "stays", "late", "expires", "expires"])
    at = begin - HOUR if kind != "late" else begin + dice.uniform(0.5, 12) * HOUR
    if kind != "expires":
        return [Token(at, begin + 1000 * DAY)]
    found: list[Token] = []
    for _ in range(dice.randint(1, 6)):
        ends = at + dice.choice([2, 8, 8, 30]) * HOUR
        found.append(Token(at, ends))
        at = ends + dice.choice([-0.5, 0.1, 1, 9]) * HOUR
    return [*found, Token(at, begin + 1000 * DAY)]


@dataclass
class SimulatedTask:
    """A task: what it still needs, and the accounts that it may use, in order. `ends`: when its
    present sandbox does, for `closure`, for a refused `token`, or `killed`."""

    task_id: str
    left: float
    accounts: list[str]
    model: str | None
    dice: random.Random
    ends: float | None = None
    begun: float = 0
    account: str = ""
    refused: bool = False
    closure: AccountClosure | None = None
    token: Token | None = None
    killed: bool = False
    digests: list[str] = field(default_factory=list[str])


class SimulatedGateway(FakeAttemptGateway):
    """The gateway of a night. A credential that was refused is not offered again."""

    world: ProviderSchedule
    works: dict[str, SimulatedTask]
    clock: Callable[[], float]
    refused_of: Callable[[str], list[str]]

    def accounts(self, task_id: str, attempt: int, agent: str) -> list[Account]:
        work, refused = self.works[task_id], self.refused_of(task_id)
        found: list[Account] = []
        for label in work.accounts:
            token = self.world.token(label, self.clock())
            if token and token.until > self.clock() and f"{label} {token.digest}" not in refused:
                found.append(Account(label))
        return found or [Account(missing=f"no login for {' or '.join(work.accounts)}")]

    def refused_keys(self, task_id: str, attempt: int, agent: str) -> list[str]:
        return self.works[task_id].digests

    def expiry(self, task_id: str, attempt: int, agent: str) -> LoginExpiry | None:
        token = self.world.token(self.works[task_id].accounts[0], self.clock())
        return LoginExpiry("claude", token.until, "run it once", "no program") if token else None


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
