"""Stored values of tasks made wrong, and everything that is asked of a daemon then."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import anyio
import sqlalchemy as sa
from hypothesis import strategies as st

from agent_runner.models import Budget, RunStatus
from rover_mcp.config.hooks import CommandHook
from rover_mcp.config.task_config import TaskConfig
from rover_mcp.control.attempt_context import AttemptContext
from rover_mcp.control.attempt_runner import Attempts
from rover_mcp.control.disk_full_wait import DiskFullWait
from rover_mcp.control.followed_attempts import FollowerCounts
from rover_mcp.control.journal_watch import JournalWatch
from rover_mcp.control.reconciler import Reconciler
from rover_mcp.control.warm_pool import WarmPool
from rover_mcp.domain.errors import Conflict, RoverError
from rover_mcp.domain.operation import OperationKind, OperationState
from rover_mcp.domain.task_status import Event, TaskStatus
from rover_mcp.domain.usage_window import WindowState
from rover_mcp.gateway.window_headers import Window
from rover_mcp.hooks.runner import HookRunner
from rover_mcp.server.event_broadcast import EventBroadcaster
from rover_mcp.server.pages import task_list
from rover_mcp.store import store_tables
from rover_mcp.store.damaged_records import DamagedRecord
from rover_mcp.store.records import AttemptRow, CallRow, HoldRow, TaskRow
from rover_mcp.store.store import Store
from rover_mcp.store.transitions import AccountRefusal
from rover_mcp.tasks.delete import DeleteTask
from tests.support.attempts_site import FakeAttemptGateway, FakeHub
from tests.support.desk import FakeLeftovers, ServerHarness
from tests.support.requests import create_request
from tests.support.samples import NOW, new_task, pause, run_state

BYSTANDER = "b" * 32
VICTIMS: Final = tuple(letter * 32 for letter in "acdef012")
VICTIM = VICTIMS[0]
TRASHED = "9" * 32
COLUMNS: Final = [
    (table.name, column.name)
    for table in store_tables.metadata.sorted_tables
    if table is not store_tables.meta
    for column in table.columns
]
"""Every stored column there is, new ones too. The version's own is in test_opening.py."""

KEYED: Final = {"rover_tasks": "id"} | dict.fromkeys(
    ("rover_attempts", "rover_events", "rover_acknowledgements", "rover_calls", "rover_deliveries",
     "rover_reports", "rover_operations", "rover_seen"), "task_id",
)  # fmt: skip
"""The column that says whose a row is, by table."""

NOT_UTF8: Final = object()
TEXTS: Final = [
    "", "garbage", "SLEEPING", "\0", "a\0b", "../../../etc", "/", "-", "{", "[]", "[1]", "{}",
    '{"a": 1}', "null", "true", "NaN", "1e999", '"x"', "[" * 100_000, "9" * 5000, "é\u202e\x1b[2J",
    '{"status": 1}', '{"reason": "bored"}', '{"steps": [{}]}', '{"hosts": [1]}', "x" * 100_000,
]  # fmt: skip
NUMBERS: Final = [0, -1, 2, 7, 2**31, 2**63 - 1, -(2**63), 1.5, -0.5, 1e308, 1e18]
values: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([None, b"\xff\x00", NOT_UTF8, float("inf"), float("-inf"), *TEXTS, *NUMBERS]),
    st.text(max_size=20),
    st.binary(max_size=8),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    *(st.sampled_from([str(word) for word in words]) for words in (TaskStatus, Event)),
)


def loosened(path: Path) -> None:
    """A database as a program would leave it that has no rules: any value can be in any column."""
    loose = sa.MetaData()
    for table in store_tables.metadata.sorted_tables:
        keys = [column for column in table.columns if column.primary_key]
        columns = [
            sa.Column(
                column.name, column.type, primary_key=column.primary_key and len(keys) == 1,
                nullable=True,
            )
            for column in table.columns
        ]  # fmt: skip
        unique = [sa.UniqueConstraint(*(key.name for key in keys))] if len(keys) > 1 else []
        unique += [
            sa.UniqueConstraint(*(c.name for c in rule.columns), name=rule.name)
            for rule in table.constraints
            if isinstance(rule, sa.UniqueConstraint)
        ]
        autoincrement = table is store_tables.events
        sa.Table(table.name, loose, *columns, *unique, sqlite_autoincrement=autoincrement)
    engine = sa.create_engine(f"sqlite:///{path}")
    loose.create_all(engine)
    with engine.begin() as connection:
        version = {"key": "schema_version", "value": str(store_tables.SCHEMA_VERSION)}
        connection.execute(store_tables.meta.insert().values(**version))
    engine.dispose()


def populate(store: Store, database: sa.Engine, repo: Path) -> None:
    """Victims of which every column is filled, a bystander, and what else a daemon keeps."""
    at = {"project_id": repo.name, "project_path": str(repo)}
    store.projects.register(repo.name, str(repo))
    rich: dict[str, Any] = {
        "agents": ["claude", "scripted"],
        "budget": Budget(usd=5, tokens=10**6),
        "network": {"mode": "allowlist", "allow": ["example.org"]},
        "config": TaskConfig(image="debian"),
        "model": "opus",
        "agent_binary": "/bin/claude",
    }
    for task_id in (*VICTIMS, BYSTANDER):
        more = {} if task_id == BYSTANDER else rich | {"request_key": f"k-{task_id}"}
        store.tasks.create(new_task(task_id, **at | more), frozenset())
        store.executors.mark(task_id, 1, f"attempt-{task_id}-1", "roverd")
        store.claims.start(
            task_id, 1, f"attempt-{task_id}-1", account="anthropic key", agent="claude"
        )
        store.usage.write([_call(task_id, str(n)) for n in range(3)])
        wait = pause(account="anthropic key", retry_at=NOW + timedelta(hours=1))
        refused = {"host": "evil.example", "reason": "not allowed", "remedy": None, "count": 2}
        store.transitions.apply(
            task_id, Event.PAUSE, attempt=1, schedule=True, data=wait.model_dump(mode="json"),
            pause=wait, retry_at=NOW.timestamp() + 3600, run_state=run_state(RunStatus.PAUSED),
            refused={"hosts": [refused], "more": 0}, warnings=["one"], error=None,
            closes=AccountRefusal("anthropic key", _refused, waits=True) if task_id == VICTIM else None,
        )  # fmt: skip
        store.attempts.move(
            task_id, 1, ("starting",), state="ended", exit_code=2, detail="x",
            started_at=NOW.timestamp(), ended_at=NOW.timestamp(),
        )  # fmt: skip
    # In the trash, of which no victim can be: a task that is hidden has no record to look at.
    store.tasks.create(new_task(TRASHED, **at), frozenset())
    store.transitions.apply(TRASHED, Event.CANCEL)
    reports = [
        {"account": "anthropic key", "task_id": task_id, "reason": "credits", "seen": True,
         "at": NOW.timestamp(), "until": NOW.timestamp() + 60}
        for task_id in VICTIMS
    ]  # fmt: skip
    with database.begin() as connection:
        connection.execute(store_tables.reports.insert(), reports)
        trashed = {"task_id": TRASHED, "deleted_at": NOW.timestamp()}
        connection.execute(store_tables.deletions.insert().values(**trashed))
    opens = NOW + timedelta(hours=1)
    nearly = Window("5-hour window", WindowState.NEARLY, 0.9, opens)
    store.windows.record("anthropic key", [nearly], NOW.timestamp())
    store.switches.set_for_project("elsewhere", enabled=False)
    store.executors.renew("roverd-2", "host/boot:/home", 60)
    operations = store.operations("roverd")
    for task_id in VICTIMS:
        merge = operations.begin(task_id, OperationKind.MERGE, {"target": "refs/heads/main"})
        operations.end(merge.id, OperationState.UNDONE, "the branch has moved")
        store.seen.mark(task_id, NOW.timestamp())
    events = store.events.after(0)
    store.events.acknowledge([event for event in events if event.kind == "task.created"])
    store.events.record_reported([(events[-1].seq, "attention")], NOW.timestamp())
    deliveries = store.deliveries("roverd")
    deliveries.configure(["bell"])
    for task_id in VICTIMS:
        store.events.add(task_id, "task.warning", {"message": "m"})
    deliveries.plan({"bell": lambda event: True}, 0)


def _refused(hold: HoldRow | None) -> HoldRow:
    now = NOW.timestamp()
    return HoldRow(
        "anthropic key", "anthropic", "credits", "none left", now, now + 60, 1, VICTIM, 1
    )


def _call(task_id: str, name: str) -> CallRow:
    return CallRow(task_id, name, 1, NOW.timestamp(), "anthropic", "opus", 1, 10, 5, 0, 0, 0.01)


def damage(path: Path, table: str, column: str, value: Any, victim: str = VICTIM) -> bool:
    """Put a value where the victim's is, or, where nothing is one task's, in one row. False: the
    database itself does not take it there."""
    key = KEYED.get(table)
    where = f"WHERE {key} = '{victim}'" if key else ""
    what = "CAST(x'ff41' AS TEXT)" if value is NOT_UTF8 else "?"
    chosen = f"(SELECT max(rowid) FROM {table} {where})"
    with sqlite3.connect(path) as database:
        try:
            done = database.execute(
                f"UPDATE {table} SET {column} = {what} WHERE rowid = {chosen}",  # our own names
                () if value is NOT_UTF8 else (value,),
            )
        except (sqlite3.IntegrityError, UnicodeEncodeError, OverflowError):
            return False
        finally:
            database.commit()
    database.close()
    assert done.rowcount == 1
    return True


@dataclass
class NoControlPlane:
    """A control plane that follows nobody."""

    following: FollowerCounts = field(default_factory=FollowerCounts)
    adopted: list[str] = field(default_factory=list[str])
    disk_full_wait: DiskFullWait = field(default_factory=DiskFullWait)

    def followed(self, attempt: AttemptRow) -> bool:
        return True

    def foreign(self, attempt: AttemptRow) -> bool:
        return False

    def adopt(self, attempt: AttemptRow) -> bool:
        self.adopted.append(attempt.task_id)
        return True

    def reconcile(self) -> None: ...


def ask_everything(desk: ServerHarness) -> list[DamagedRecord]:
    """Every use case, of the bystander and of all tasks together. What is listed as damaged."""
    tasks, caller = desk.tasks, desk.caller
    views, _, damaged = tasks.list(caller, (), None, None, None)
    assert BYSTANDER in {view.id for view in views}
    task_list(views, None, damaged).model_dump_json()
    tasks.list(caller, (TaskStatus.PAUSED,), str(desk.repo), None, 5)
    bystander = tasks.finder.find(caller, BYSTANDER)
    tasks.inspect(bystander, full=True)
    tasks.events(bystander)
    assert tasks.finder.find(caller, str(bystander.number), str(desk.repo)).id == BYSTANDER
    desk.status.report(caller)
    _attention(desk)
    _sweep(desk)
    _hooks(desk)
    return damaged


def _attention(desk: ServerHarness) -> None:
    broadcaster, session = EventBroadcaster(desk.store), desk.session()

    async def look() -> None:
        for _ in range(2):
            news = await broadcaster.attention(session, 10)
            desk.status.event_views(news.events, session.caller)
            session.report(news, 0)
        await broadcaster.confirm(session)

    anyio.run(look)
    events, _ = desk.store.events.tail(0)
    assert any(event.task_id == BYSTANDER for event in events)


def _sweep(desk: ServerHarness) -> None:
    settings = desk.tasks.settings
    engines = {"docker": desk.tasks.create_task.engines.select("docker")}
    attempts = Attempts(AttemptContext(
        settings=settings, store=desk.store, engines=engines,
        hub_of=lambda _: FakeHub(desk.home), gateway=FakeAttemptGateway(),
        live=JournalWatch(desk.home, desk.store), warm_pool=WarmPool(settings, desk.store, engines),
        uniform=lambda: 0.0, sleep=lambda _: None,
    ))  # fmt: skip
    Reconciler(attempts, NoControlPlane(), spawn=lambda work: work()).sweep()
    attempts.waiting.release_due()


def _hooks(desk: ServerHarness) -> None:
    hook = CommandHook(name="bell", kind="command", run=("true",))
    settings = desk.tasks.settings.model_copy(update={"hooks": (hook,)})
    hooks = HookRunner(settings, desk.store, desk.store.deliveries("roverd"), {}, now=NOW.timestamp)

    async def work() -> None:
        for due in (await hooks.plan_and_list_due()).values():
            for delivery in due:
                await hooks.deliver(delivery)
        hooks.seconds_until_retry()

    anyio.run(work)
    hooks.dead()


def create(desk: ServerHarness) -> TaskRow:
    """A new task in the project whose records are damaged."""
    request = create_request(description="Another", repo_path=str(desk.repo))
    return desk.tasks.create_task(desk.caller, request)


def delete_victim(desk: ServerHarness, victim: str = VICTIM) -> None:
    """It can be told what is lost, and removed, whatever is wrong with it."""
    delete = DeleteTask(desk.store, FakeLeftovers(), lambda _: None)
    named: TaskRow | DamagedRecord | None = None
    for name in (victim, str(VICTIMS.index(victim) + 1)):
        with suppress(RoverError):
            named = _found(desk, name)
            break
    if named is None:
        return  # neither its id nor its number is left: `rover doctor --repair` sees to it
    try:
        delete.preview(named)
        delete(named)
    except Conflict:
        return  # it says of itself that it runs
    with suppress(RoverError):
        again = _found(desk, victim)
        raise AssertionError(f"{again} is still there")


def _found(desk: ServerHarness, name: str) -> TaskRow | DamagedRecord:
    try:
        return desk.tasks.finder.find(desk.caller, name, str(desk.repo))
    except DamagedRecord as damaged:
        return damaged


def act_on_victim(desk: ServerHarness, victim: str = VICTIM) -> None:
    """What is asked of a victim is done, or refused in words: nothing else ever escapes."""
    actions: Sequence[Callable[[TaskRow], object]] = (
        lambda task: desk.tasks.inspect(task, full=True),
        desk.tasks.events,
        lambda task: desk.tasks.logs(task, None, 10),
        desk.tasks.pause,
        lambda task: desk.tasks.resume(desk.caller, task, "now"),
        desk.tasks.cancel,
    )
    for act in actions:
        with suppress(RoverError):
            act(desk.tasks.finder.find(desk.caller, victim))
