"""Nights in which nobody looks, on the real control plane, store and sweep; the clock is simulated.

Accounts close and open at random: windows with and without a time that is told, windows that open
early or later than was told, windows of one model, credits that somebody buys at some time, outages.
Logins come late, expire and are renewed. Sandboxes are killed; daemons die, between two writes too,
and another one opens the same database. Tasks may use several accounts. What DBOS does with its
tables and threads a stand-in does, so that nobody has to wait; see tests/support/fake_dbos.py.
`ROVER_NIGHTS=200` plays so many nights, `ROVER_NIGHTS_FROM` says from which seed.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa

from agent_runner.journal.journal import Journal, RecordType
from agent_runner.models import PauseReason, Usage
from rover_mcp.config.settings import Settings
from rover_mcp.control import (
    account_verdicts,
    attempt_context,
    attempt_finish,
    attempt_launch,
    plane,
    waiting_attempts,
    work_delivery,
)
from rover_mcp.control.accounts import closing, is_open
from rover_mcp.control.attempt_context import AttemptContext
from rover_mcp.control.attempt_runner import Attempts
from rover_mcp.control.journal_watch import JournalWatch
from rover_mcp.control.needed_models import need_of
from rover_mcp.control.plane import ControlPlane
from rover_mcp.control.reconciler import Reconciler
from rover_mcp.control.warm_pool import WarmPool
from rover_mcp.domain.ids import sandbox_name
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.sandbox.protocol import SandboxExit, SandboxSpec
from rover_mcp.store.migrations import open_database
from rover_mcp.store.records import CallRow, TaskRow
from rover_mcp.store.store import Store
from rover_mcp.testing.fake_engine import FakeEngine, FakeEngineState
from tests.support.attempts_site import FakeHub, Run
from tests.support.fake_dbos import DaemonDied, FakeDBOS, StillRuns
from tests.support.nights import (
    DAY,
    HOUR,
    ProviderSchedule,
    SimulatedGateway,
    SimulatedTask,
    a_world,
    moment,
)
from tests.support.samples import new_task, pause

FIRST = int(os.environ.get("ROVER_NIGHTS_FROM", "0"))
NIGHTS = int(os.environ.get("ROVER_NIGHTS", "4"))
BEGIN = 1_795_464_000.0  # 2026-11-23T20:00Z
LONGEST = 60 * DAY
SWEEP = 2 * HOUR
OUTPUT = 50


class SimulatedEngine(FakeEngine):
    """Plays the runner in the thread of whoever starts a sandbox, and waits for nobody."""

    begin: object

    def ensure(self, spec: SandboxSpec) -> None:
        is_new = spec.name not in self.world.sandboxes
        super().ensure(spec)
        if is_new:
            self.begin(spec)  # pyright: ignore[reportCallIssue]

    def follow(self, name: str) -> SandboxExit:
        sandbox = self.world.sandboxes.get(name)
        if sandbox is not None and sandbox.exit is None:
            raise StillRuns
        return super().follow(name)


@dataclass
class SimulatedNight:
    """`daemon` opens the database anew; everything else outlives it."""

    home: Path
    seed: int
    clock: list[float] = field(default_factory=lambda: [BEGIN])
    works: dict[str, SimulatedTask] = field(default_factory=dict[str, SimulatedTask])
    early: dict[str, float] = field(default_factory=dict[str, float])
    daemons: int = 0

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.engines = FakeEngineState()
        self.dbos = FakeDBOS(self.now, random.Random(-self.seed), deaths=0.01)
        self.url = f"sqlite:///{self.home / 'rover.db'}"
        self.world: ProviderSchedule = a_world(self.dice, BEGIN)
        (self.home / "tasks").mkdir(parents=True)
        self.database: sa.Engine | None = None

    def now(self) -> float:
        return self.clock[0]

    # A daemon's life

    def daemon(self) -> None:
        """Another daemon on the same files: nothing that was in memory is left."""
        self.daemons += 1
        if self.database is not None:
            self.database.dispose()
        self.database = open_database(self.url)
        sa.event.listen(
            self.database, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=OFF")
        )
        self.database.dispose()
        self.store = Store(self.database, now=self.now)
        settings = Settings(home=self.home, min_free_bytes=0, spare_sandboxes=0, concurrency=8)
        engine = SimulatedEngine(self.engines, "docker")
        engine.begin = self._begins
        door = SimulatedGateway()
        door.world, door.works, door.clock = self.world, self.works, self.now
        door.refused_of = lambda task_id: self._task(task_id).refused_keys or []
        self.door = door
        self.attempts = Attempts(AttemptContext(
            settings=settings, store=self.store, engines={"docker": engine},
            hub_of=lambda _: FakeHub(), gateway=door, live=JournalWatch(self.home, self.store),
            warm_pool=WarmPool(settings, self.store, {}), sleep=lambda _: None,
            uniform=self.dice.random,
        ))  # fmt: skip
        self.plane = ControlPlane(settings, self.store, self.url)
        self.sweeper = Reconciler(
            self.attempts, self.plane, now=self.now, spawn=lambda work: work()
        )
        self.plane.start(self.attempts)
        self.swept = float("-inf")

    def _lives_on(self) -> None:
        """What a daemon does until nothing moves. One that dies is followed by another."""
        while True:
            try:
                if self.now() - self.swept >= SWEEP:
                    self.swept = self.now()
                    self.plane.reconcile()
                    self.sweeper.sweep()
                self.plane.enqueue_signed_in()
                self.plane.warn_of_log_ins()
                self.dbos.run()
            except DaemonDied:
                self.daemon()
            else:
                return

    # The night

    def play(self) -> None:
        """Until every task is done, without a person who resumes one."""
        self.daemon()
        self.store.projects.register("p1", "/repo")
        for number in range(self.dice.randint(2, 5)):
            self._create(number)
        while not all(self._is_done(work) for work in self.works.values()):
            self._lives_on()
            self.clock[0] = max(self.now() + 1, self._next())
            assert self.now() < BEGIN + LONGEST, "what time or money can end has not ended"
            for work in self.works.values():
                if work.ends is not None and work.ends <= self.now():
                    self._ends(work)
            if self.dice.random() < 0.02:
                self.daemon()

    def _create(self, number: int) -> None:
        labels = list(self.world.closures)
        accounts = self.dice.sample(labels, self.dice.randint(1, len(labels)))
        model = self.dice.choice([None, "opus", "sonnet"])
        task_id = f"{number:04x}{self.seed:08x}{0:020x}"
        dice = random.Random(f"{self.seed} {number}")
        work = SimulatedTask(task_id, self.dice.uniform(0.5, 14) * HOUR, accounts, model, dice)
        self.works[task_id] = work
        self.store.tasks.create(new_task(task_id, model=model), frozenset())
        row = self.store.attempts.get(task_id, 1)
        assert row is not None
        self.plane.enqueue(row)

    def _is_done(self, work: SimulatedTask) -> bool:
        task = self._task(work.task_id)
        assert task.status is not TaskStatus.FAILED, task.error
        return task.status is TaskStatus.COMPLETED

    def _task(self, task_id: str) -> TaskRow:
        task = self.store.tasks.get(task_id)
        assert task is not None
        return task

    def _next(self) -> float:
        times = [work.ends for work in self.works.values()]
        times += [self.dbos.due(), self.world.news(self.now()), self.swept + SWEEP]
        return min(t for t in times if t is not None and t > self.now())

    # The agent and its provider

    def _begins(self, spec: SandboxSpec) -> None:
        """A runner begins, and its agent asks the provider."""
        work, now = self.works[spec.task_id], self.now()
        task = self._task(spec.task_id)
        account = str(task.account)
        assert account in work.accounts
        self._is_allowed(task, account, spec, work)
        work.account, work.begun, work.refused = account, now, False
        work.killed, work.token = False, None
        is_new = not TaskFolders(self.home, spec.task_id, 1).journal.exists()
        begins = Run.begin(spec.attempt) if is_new else Run.resume(spec.attempt)
        self._write(work, begins, Run.start("plan"))
        token = self.world.token(account, now)
        assert token is not None
        assert token.until > now, "asked with a credential that has expired"
        work.closure = self.world.closure(account, work.model, now)
        if work.closure is not None:
            work.refused, work.ends = True, now + 20
            return
        self._answers(work, spec.attempt)
        work.ends = now + work.left
        coming = self.world.coming(account, work.model, now)
        if coming is not None and coming.since < work.ends:
            work.closure, work.ends = coming, coming.since
        if token.until < work.ends:
            work.closure, work.token, work.ends = None, token, token.until
        if work.dice.random() < 0.1:
            work.closure, work.token, work.killed = None, None, True
            work.ends = now + (work.ends - now) * work.dice.random()

    def _answers(self, work: SimulatedTask, attempt: int) -> None:
        call = CallRow(
            work.task_id, f"{attempt}-{self.now():.0f}", attempt, self.now(), "anthropic",
            work.model or "opus", 1, 10, OUTPUT, 0, 0, 0.01,
        )  # fmt: skip
        self.store.usage.write([call])
        self.plane.answered(work.task_id, attempt, work.model)

    def _is_allowed(
        self, task: TaskRow, account: str, spec: SandboxSpec, work: SimulatedTask
    ) -> None:
        """Fails where something is asked that is known to be closed, and that is no probe."""
        now, attempt = self.now(), (spec.task_id, spec.attempt)
        need = need_of(self.home, task, task.agent)
        for hold in closing({h.account: h for h in self.store.holds.all()}, account, need):
            assert is_open(hold, attempt, now), f"asked {hold.account}, known to be closed"
            if hold.until > now + 1:
                assert hold.reason in ("usage_window", "credits")
                assert now - self.early.get(hold.account, 0) >= 6 * HOUR, "looked too often"
                self.early[hold.account] = now

    def _ends(self, work: SimulatedTask) -> None:
        """A sandbox ends: the work is done, the account refuses, the credential is, or a kill."""
        task = self._task(work.task_id)
        assert work.ends is not None
        done = 0.0 if work.refused else work.ends - work.begun
        work.left -= done
        if done:
            used = Usage(output_tokens=1 + int(done)).model_dump(mode="json")
            self._write(work, (RecordType.USAGE, {"step": "plan", "usage": used}))
        code = None if work.killed else self._says(work)
        work.ends = None
        self.engines.end(sandbox_name(work.task_id, task.attempt), code)

    def _says(self, work: SimulatedTask) -> int:
        work.digests = []
        if work.token is not None:
            work.digests = [f"{work.account} {work.token.digest}"]
            refused = pause(PauseReason.AUTH, since=moment(self.now()), account=work.account)
            self._write(work, Run.pause(refused))
            return 2
        if work.closure is not None:
            self._write(work, Run.pause(work.closure.pause(self.now(), work.account)))
            return 2
        self._write(work, Run.done("plan"), Run.COMPLETE)
        return 0

    def _write(self, work: SimulatedTask, *records: tuple[RecordType, dict[str, object]]) -> None:
        folders = TaskFolders(self.home, work.task_id, 1)
        folders.run.mkdir(parents=True, exist_ok=True)
        at = moment(self.now())
        journal = Journal.open(folders.journal, lambda: at, sync=lambda _: None)
        for kind, data in records:
            journal.append(kind, data)
        journal.close()


@contextmanager
def simulated(night: SimulatedNight) -> Iterator[SimulatedNight]:
    """The time is what the night's clock says, everywhere."""
    with pytest.MonkeyPatch.context() as patched:
        for module in (
            account_verdicts, attempt_context, attempt_finish, attempt_launch, waiting_attempts,
            work_delivery,
        ):  # fmt: skip
            patched.setattr(module, "now", lambda: moment(night.now()))
        patched.setattr(time, "time", night.now)
        patched.setattr(plane, "DBOS", night.dbos)
        patched.setattr(plane, "prepare", lambda _url: None)
        patched.setattr(plane, "discard_unreadable", lambda _url: [])
        yield night
        if night.database is not None:
            night.database.dispose()


@pytest.mark.parametrize("seed", range(FIRST, FIRST + NIGHTS))
def test_a_night_ends_with_everything_done_that_time_or_money_can_end(
    tmp_path: Path, seed: int
) -> None:
    """Q3, Q4, Q5, Q6, K1, K3, K5: without a person, and without a request to an account that is
    known to be closed, except probes."""
    with simulated(SimulatedNight(tmp_path / "home", seed)) as night:
        night.play()
