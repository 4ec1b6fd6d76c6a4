"""The event log: what happened to tasks, and what has been reported of it to whom."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from rover_mcp.domain.task_status import ENDED, TaskStatus
from rover_mcp.store import store_tables
from rover_mcp.store.column_types import LATEST
from rover_mcp.store.damaged_records import sound, sound_one
from rover_mcp.store.database import Database
from rover_mcp.store.record_reading import event_row
from rover_mcp.store.records import EventRow
from rover_mcp.store.store_tables import not_deleted

T = store_tables.tasks
E = store_tables.events


def insert_for(connection: sa.Connection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """An insert with `on_conflict_do_...`, in the database's own dialect: SQLAlchemy has no common
    one."""
    is_sqlite = connection.dialect.name == "sqlite"
    return sqlite.insert(table) if is_sqlite else postgresql.insert(table)


EVENTS_LOCK = 0x726F766572
"""The number of PostgreSQL's advisory lock under which events get their numbers: "rover" in
ASCII."""


LAST_NUMBER: Final = 2**31 - 2
"""The highest number of an event. A record with a higher one is damaged, and does not count."""
NUMBERED = E.c.seq <= LAST_NUMBER


MOST_EVENTS = 500
"""The most events that are read at once."""

MOST_NOTICES = 5000
"""Greatest number of notices that are kept. The oldest are dropped."""


def has_event(connection: sa.Connection, task_id: str, kind: str) -> bool:
    """Whether an event of this kind was ever recorded of a task."""
    query = sa.select(E.c.seq).where(E.c.task_id == task_id, E.c.kind == kind).limit(1)
    return connection.execute(query).first() is not None


def insert_event(
    connection: sa.Connection,
    at: float,
    task_id: str,
    kind: str,
    status: TaskStatus,
    data: dict[str, Any],
    *,
    notable: bool,
) -> None:
    """Append an event to the log, in the transaction of the change that it describes."""
    if connection.dialect.name == "postgresql":
        # A number is drawn before its transaction commits. Without the lock a later number could be
        # visible first, and a reader that follows the log would miss the earlier one.
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(EVENTS_LOCK)))
    values: dict[str, Any] = {"at": at, "task_id": task_id, "kind": str(kind)}
    values |= {"status": str(status), "notable": notable, "data": data}
    if connection.dialect.name == "sqlite":
        values |= _number(connection)
    connection.execute(E.insert().values(values))


def _number(connection: sa.Connection) -> dict[str, int]:
    """The number for a new event if a damaged record has a number that is too high; else empty.
    SQLite counts on from the highest number there ever was, and would fail at the last one."""
    used = sa.column("seq", sa.Integer)
    drawn = sa.select(used).select_from(sa.table("sqlite_sequence"))
    before: int = connection.execute(drawn.where(sa.column("name") == E.name)).scalar() or 0
    highest: int = connection.execute(sa.select(sa.func.max(E.c.seq))).scalar() or 0
    if max(before, highest) <= LAST_NUMBER:
        return {}
    last: int = connection.execute(sa.select(sa.func.max(E.c.seq)).where(NUMBERED)).scalar() or 0
    return {"seq": max(last, before if before <= LAST_NUMBER else 0) + 1}


def readable(rows: Iterable[sa.Row[Any]]) -> list[EventRow]:
    """The events that can be read. A damaged one is logged, and hides no other."""
    return sound(rows, event_row)


class EventLog:
    """Reads and writes the log of events, and how far each task's events have been reported."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, task_id: str, kind: str, data: dict[str, Any], *, notable: bool = False) -> None:
        """Record an event that changes no status: a step began, a step ended, a warning."""
        query = sa.select(T.c.status).where(T.c.id == task_id)
        with self._database.write() as connection:
            status = connection.execute(query).scalar()
            if status is not None:
                insert_event(
                    connection, self._database.now(), task_id, kind, TaskStatus(status), data,
                    notable=notable,
                )  # fmt: skip
        self._database.on_event()

    def after(self, seq: int, *, task_id: str | None = None, limit: int = 500) -> list[EventRow]:
        query = sa.select(E).where(E.c.seq > seq, NUMBERED).order_by(E.c.seq).limit(limit)
        if task_id is not None:
            query = query.where(E.c.task_id == task_id)
        with self._database.read() as connection:
            return [event_row(row) for row in connection.execute(query)]

    def last(self, task_id: str, limit: int = 20) -> list[EventRow]:
        """The newest events of a task, oldest first."""
        query = sa.select(E).where(E.c.task_id == task_id).order_by(E.c.seq.desc()).limit(limit)
        with self._database.read() as connection:
            return readable(connection.execute(query))[::-1]

    def tail(self, seq: int, limit: int = MOST_EVENTS) -> tuple[list[EventRow], int]:
        """What came after `seq`, and the last number of it. A damaged event is logged and left
        out: whoever follows the sequence gets past it."""
        query = sa.select(E).where(E.c.seq > seq, NUMBERED).order_by(E.c.seq).limit(limit)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return readable(rows), rows[-1].seq if rows else seq

    def last_of(self, task_id: str, kind: str) -> EventRow | None:
        """The newest event of one kind."""
        query = sa.select(E).where(E.c.task_id == task_id, E.c.kind == kind)
        with self._database.read() as connection:
            row = connection.execute(query.order_by(E.c.seq.desc()).limit(1)).one_or_none()
        return sound_one(row, event_row)

    def of_kinds(self, task_id: str, kinds: Collection[str]) -> list[EventRow]:
        """All events of a task that are of one of these kinds, oldest first."""
        query = sa.select(E).where(E.c.task_id == task_id, E.c.kind.in_([str(k) for k in kinds]))
        with self._database.read() as connection:
            return readable(connection.execute(query.order_by(E.c.seq)))

    def last_seq(self) -> int:
        with self._database.read() as connection:
            return connection.execute(sa.select(sa.func.max(E.c.seq)).where(NUMBERED)).scalar() or 0

    def notable_after(self, seq: int, limit: int = 1000) -> list[EventRow]:
        query = sa.select(E).where(E.c.seq > seq, NUMBERED, E.c.notable).order_by(E.c.seq)
        with self._database.read() as connection:
            return readable(connection.execute(query.limit(limit)))

    def unseen(
        self,
        limit: int = 100,
        *,
        owner: str | None = None,
        project: str | None = None,
        besides: Collection[str] = (),
    ) -> list[EventRow]:
        """The last notable event of each paused or ended task of which no session knows: of the
        owner's tasks, in one project or in all, and of the tasks `besides`."""
        ack = store_tables.acknowledgements
        inner = E.alias()
        waiting = [s for s in TaskStatus if s in (TaskStatus.PAUSED, *ENDED)]
        last = (
            sa.select(sa.func.max(inner.c.seq))
            .where(inner.c.task_id == T.c.id, inner.c.notable, inner.c.seq <= LAST_NUMBER)
            .correlate(T)
            .scalar_subquery()
        )
        of_owner = T.c.owner.is_not_distinct_from(owner)
        if project is not None:
            of_owner &= T.c.project_id == project
        query = (
            sa.select(E)
            .join(T, T.c.id == E.c.task_id)
            .outerjoin(ack, ack.c.task_id == E.c.task_id)
            .where(T.c.status.in_([str(s) for s in waiting]), E.c.seq == last)
            .where(not_deleted())
            .where(E.c.seq > sa.func.coalesce(ack.c.seq, 0))
            .where(sa.or_(of_owner, T.c.id.in_(besides)))
            .order_by(E.c.seq.desc())
            .limit(limit)
        )
        with self._database.read() as connection:
            return readable(connection.execute(query))[::-1]

    def forget(self, task_id: str) -> None:
        """Remove a task's events, with the notices and deliveries of them."""
        own = sa.select(E.c.seq).where(E.c.task_id == task_id)
        notices, deliveries = store_tables.notices, store_tables.deliveries
        with self._database.write() as connection:
            connection.execute(notices.delete().where(notices.c.seq.in_(own)))
            connection.execute(deliveries.delete().where(deliveries.c.task_id == task_id))
            connection.execute(E.delete().where(E.c.task_id == task_id))

    def acknowledge(self, seen: Sequence[EventRow]) -> None:
        """Record that a session has received these events."""
        if not seen:
            return
        ack = store_tables.acknowledgements
        newest = {event.task_id: event.seq for event in sorted(seen, key=lambda e: e.seq)}
        with self._database.write() as connection:
            # Sorted, so that two sessions do not lock the same rows in different orders.
            for task_id, seq in sorted(newest.items()):
                insert = insert_for(connection, ack).values(task_id=task_id, seq=seq)
                connection.execute(
                    insert.on_conflict_do_update(
                        index_elements=[ack.c.task_id],
                        set_={"seq": seq},
                        where=ack.c.seq < seq,
                    )
                )

    # Over which channel

    def record_reported(self, events: Sequence[tuple[int, str]], at: float) -> None:
        """Record that events, by their numbers, were reported over channels at the time `at`."""
        if not events:
            return
        t = store_tables.notices
        with self._database.write() as connection:
            for seq, channel in sorted(set(events)):
                insert = insert_for(connection, t).values(seq=seq, channel=channel, at=at, times=1)
                connection.execute(
                    insert.on_conflict_do_update(
                        index_elements=[t.c.seq, t.c.channel], set_={"times": t.c.times + 1}
                    )
                )
            # The table must not fill the disk, so only the newest rows are kept.
            newest = sa.select(t.c.seq).order_by(t.c.seq.desc()).offset(MOST_NOTICES).limit(1)
            last = connection.execute(newest).scalar()
            if last is not None:
                connection.execute(t.delete().where(t.c.seq <= last))

    def reported(self, seqs: Collection[int]) -> dict[int, dict[str, float]]:
        """For each event, the channels over which it was reported, and when first. A hook's channel
        is `hook NAME`."""
        t, d = store_tables.notices, store_tables.deliveries
        over = sa.select(t.c.seq, t.c.channel, t.c.at).where(t.c.seq.in_(seqs))
        hooks = sa.select(d.c.seq, d.c.hook, d.c.ended_at).where(
            d.c.seq.in_(seqs), d.c.state == "delivered"
        )
        channels: dict[int, dict[str, float]] = {}
        with self._database.read() as connection:
            rows = [*connection.execute(over)]
            rows += [(seq, f"hook {hook}", at) for seq, hook, at in connection.execute(hooks)]
        for seq, channel, at in rows:
            if isinstance(channel, str) and isinstance(at, float) and 0 <= at <= LATEST:
                channels.setdefault(seq, {})[channel] = at
        return channels
