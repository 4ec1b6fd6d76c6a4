"""Nights in which nobody looks, on the real control plane and store; the clock is simulated.

Accounts close and open at random: windows with and without a time that is told, windows that open
early, credits that somebody buys at some time, outages. Sandboxes are killed, daemons die. Some
tasks may use two accounts. `ROVER_NIGHTS=200` plays so many nights.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent_runner.journal import Journal, RecordType
from agent_runner.models import PauseReason, Usage
from rover_mcp.control import attempts, parts, settle, start
from rover_mcp.control.ports import Account
from rover_mcp.store.rows import AttemptRow
from rover_mcp.tasks.folders import TaskFolders
from rover_mcp.tasks.identifiers import new_task_id, sandbox_name
from rover_mcp.tasks.models import TaskStatus
from tests.support.attempts_site import CrashingStore, FakeDoor, Run, Site, open_site
from tests.support.samples import new_task, pause

NIGHTS = int(os.environ.get("ROVER_NIGHTS", "3"))
BEGIN = datetime(2026, 11, 23, 20, tzinfo=UTC).timestamp()
HOUR = 3600.0
LONGEST = 30 * 24 * HOUR
SWEEP = 2 * HOUR
R = PauseReason


@dataclass(frozen=True)
class Closure:
    """An account refuses from `since` to `end`. `told` is what it says of that; None: nothing."""

    reason: PauseReason
    since: float
    end: float
    told: float | None


@dataclass
class Work:
    """A task: what it still needs, and the accounts that it may use, in order."""

    task_id: str
    left: float
    accounts: list[str]
    ends: float | None = None
    closure: Closure | None = None
    killed: bool = False
    begun: float = 0
    looks: list[float] = field(default_factory=list[float])


class Door(FakeDoor):
    works: dict[str, Work]

    def accounts(self, task_id: str, attempt: int, agent: str) -> list[Account]:
        return [Account(label) for label in self.works[task_id].accounts]


class Night:
    def __init__(self, site: Site, dice: random.Random, clock: list[float]) -> None:
        self.site, self.dice, self.clock = site, dice, clock
        self.closures = {label: self._closures() for label in ("a-1", "a-2")}
        self.works: dict[str, Work] = {}
        self.early: dict[str, float] = {}
        site.store.project("p1", "/repo")
        for _ in range(dice.randint(2, 4)):
            accounts = dice.choice([["a-1"], ["a-2"], ["a-1", "a-2"]])
            work = Work(new_task_id(), dice.uniform(0.5, 14) * HOUR, accounts)
            self.works[work.task_id] = work
            site.store.create_task(new_task(work.task_id), frozenset())
        self.restart()

    def _closures(self) -> list[Closure]:
        found: list[Closure] = []
        at = BEGIN + self.dice.uniform(-2, 3) * HOUR
        for _ in range(self.dice.randint(2, 9)):
            length = self.dice.choice([0.3, 5, 5, 5, 20, 4 * 24]) * HOUR
            end = at + length * self.dice.uniform(0.3, 1)
            reason = self.dice.choice([R.USAGE_WINDOW, R.USAGE_WINDOW, R.RATE_LIMIT, R.CREDITS])
            if length < HOUR:
                reason = R.TRANSIENT
            tells = reason in (R.USAGE_WINDOW, R.RATE_LIMIT) and self.dice.random() < 0.7
            early = self.dice.random() < 0.2
            told = (at + length if early else end) if tells else None
            found.append(Closure(reason, at, end, told))
            at = end + self.dice.uniform(0.2, 5) * HOUR
        return found

    def restart(self) -> None:
        """Another daemon: nothing that was in memory is left."""
        self.site.restart()
        self.site.door.__class__ = Door
        self.site.attempts.gateway.works = self.works  # pyright: ignore[reportAttributeAccessIssue]

    def play(self) -> None:
        """Until every task is done. Fails where something was asked that was known to be closed."""
        while not all(self._is_done(work) for work in self.works.values()):
            self.site.attempts.tend()
            for row in self._due():
                self._begin(row)
            self.clock[0] = max(self.clock[0] + 1, self._next())
            assert self.clock[0] < BEGIN + LONGEST, (
                "a task that time or money can end has not ended"
            )
            for work in self.works.values():
                if work.ends is not None and work.ends <= self.clock[0]:
                    self._end(work)
            if self.dice.random() < 0.02:
                self.restart()

    def _is_done(self, work: Work) -> bool:
        task = self.site.task(work.task_id)
        assert task.status is not TaskStatus.FAILED, task.error
        return task.status is TaskStatus.COMPLETED

    def _due(self) -> list[AttemptRow]:
        rows = self.site.store.attempts_in(("queued", "scheduled", "released"))
        return [r for r in rows if r.state != "scheduled" or self._time_of(r) <= self.clock[0]]

    def _time_of(self, row: AttemptRow) -> float:
        return self.site.task(row.task_id).retry_at or 0

    def _next(self) -> float:
        rows = self.site.store.attempts_in(("scheduled",))
        times = [self._time_of(row) for row in rows]
        times += [work.ends for work in self.works.values() if work.ends is not None]
        holds = self.site.store.holds()
        times += [hold.until for hold in holds]
        return min([t for t in times if t > self.clock[0]] + [self.clock[0] + SWEEP])

    def _begin(self, row: AttemptRow) -> None:
        work, now = self.works[row.task_id], self.clock[0]
        if not self.site.attempts.claim(row.task_id, row.attempt, row.workflow_id):
            return
        account = self.site.task(row.task_id).account
        assert account in work.accounts
        self._is_allowed(account, row, now)
        assert self.site.attempts.launch(row.task_id, row.attempt)
        work.begun, work.killed = now, False
        self._write(row, Run.begin(1) if row.attempt == 1 else Run.resume(row.attempt),
                    Run.start("plan"))  # fmt: skip
        closures = self.closures[account]
        work.closure = next((c for c in closures if c.since <= now < c.end), None)
        if work.closure is not None:
            work.ends = now + 20
            return
        self.site.attempts.answered(row.task_id, row.attempt, None)
        coming = next((c for c in closures if c.since > now), None)
        work.ends = now + work.left
        if coming is not None and coming.since < work.ends:
            work.closure, work.ends = coming, coming.since
        if self.dice.random() < 0.1:
            work.closure, work.killed = None, True
            work.ends = now + (work.ends - now) * self.dice.random()

    def _is_allowed(self, account: str, row: AttemptRow, now: float) -> None:
        hold = self.site.store.hold(account)
        if hold is None:
            return
        probe = (hold.probe_task, hold.probe_attempt)
        assert probe == (row.task_id, row.attempt), "asked an account that is known to be closed"
        if hold.until > now + 1:
            assert hold.reason in ("usage_window", "credits")
            assert now - self.early.get(account, 0) >= 6 * HOUR, "looked too often"
            self.early[account] = now

    def _end(self, work: Work) -> None:
        row = self.site.store.attempt(work.task_id, self.site.task(work.task_id).attempt)
        assert row is not None
        assert work.ends is not None
        refused = work.closure is not None and work.closure.since <= work.begun
        done = 0.0 if refused else work.ends - work.begun
        work.left -= done
        if done:
            used = Usage(output_tokens=1 + int(done)).model_dump(mode="json")
            self._write(row, (RecordType.USAGE, {"step": "plan", "usage": used}))
        code: int | None = None
        if not work.killed:
            code = self._say(work, row)
        work.ends = None
        self.site.world.end(sandbox_name(work.task_id, row.attempt), code)
        ended = self.site.attempts.follow(work.task_id, row.attempt)
        self.site.attempts.settle(work.task_id, row.attempt, ended)

    def _say(self, work: Work, row: AttemptRow) -> int:
        closure = work.closure
        if closure is None:
            self._write(row, Run.done("plan"), Run.COMPLETE)
            return 0
        told = datetime.fromtimestamp(closure.told, UTC) if closure.told else None
        since = datetime.fromtimestamp(self.clock[0], UTC)
        self._write(row, Run.pause(pause(closure.reason, since=since, retry_at=told)))
        return 2

    def _write(self, row: AttemptRow, *records: tuple[RecordType, dict[str, object]]) -> None:
        folders = TaskFolders(self.site.home, row.task_id, 1)
        folders.run.mkdir(parents=True, exist_ok=True)
        moment = datetime.fromtimestamp(self.clock[0], UTC)
        journal = Journal.open(folders.journal, lambda: moment, sync=lambda _: None)
        for kind, data in records:
            journal.append(kind, data)
        journal.close()


@contextmanager
def simulated(clock: list[float], folder: Path) -> Iterator[Site]:
    """A site on which the time is what `clock` says."""
    with pytest.MonkeyPatch.context() as patched, open_site(folder) as site:
        for module in (attempts, parts, settle, start):
            patched.setattr(module, "now", lambda: datetime.fromtimestamp(clock[0], UTC))
        patched.setattr(time, "time", lambda: clock[0])
        site.store = CrashingStore(site.store._engine, now=lambda: clock[0])
        yield site


@pytest.mark.parametrize("seed", range(NIGHTS))
def test_a_night_ends_with_everything_done_that_time_or_money_can_end(
    tmp_path: Path, seed: int
) -> None:
    """Q3, K1, K3, K5: without a person, and without a request to an account that is known to be
    closed, except probes."""
    clock = [BEGIN]
    with simulated(clock, tmp_path) as site:
        Night(site, random.Random(seed), clock).play()
