"""Deliveries to the user's hooks: planned from the event log, and kept until they are done.

A delivery is recorded in the transaction that advances its hook's place in the log, so none is lost
and none recorded twice, whenever the daemon is killed.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from rover_mcp.store import store_tables
from rover_mcp.store.column_types import LATEST
from rover_mcp.store.damaged_records import DamagedRecord, sound
from rover_mcp.store.events import LAST_NUMBER, NUMBERED, readable
from rover_mcp.store.migrations import READ_ONLY
from rover_mcp.store.record_reading import delivery_row
from rover_mcp.store.records import DeliveryRow, EventRow

H = store_tables.hooks
D = store_tables.deliveries
E = store_tables.events

PENDING, DELIVERED, DEAD = "pending", "delivered", "dead"
MOST_PENDING: Final = 1000
"""Greatest number of pending deliveries of one hook. The oldest ones beyond it are dead."""
MOST_KEPT: Final = 500
"""Greatest number of delivered ones, and of dead ones, that are kept for each hook."""
PAGE: Final = 500
"""Greatest number of events that are read from the log at once."""

Wanted = Callable[[EventRow], bool]


class Deliveries:
    """The deliveries of one daemon's hooks, `executor`. Safe to use from many threads."""

    def __init__(
        self, engine: sa.Engine, executor: str, now: Callable[[], float] = time.time
    ) -> None:
        self._engine = engine
        self._reader = engine.execution_options(**{READ_ONLY: True})
        self._executor = executor
        self._now = now

    def configure(self, names: Sequence[str]) -> None:
        """Set the names of the configured hooks. A new hook begins at the end of the log. The
        pending deliveries of a removed hook are dead."""
        gone = "no such hook is configured any more"
        with self._engine.begin() as connection:
            mine = H.c.executor == self._executor
            known = set(connection.execute(sa.select(H.c.name).where(mine)).scalars())
            last = connection.execute(sa.select(sa.func.max(E.c.seq)).where(NUMBERED)).scalar() or 0
            # A hook whose place is damaged begins at the end of the log, like a new one.
            connection.execute(H.update().where(mine, ~_is_place(H.c.seq)).values(seq=last))
            for name in sorted(set(names) - known):
                connection.execute(H.insert().values(executor=self._executor, name=name, seq=last))
            connection.execute(H.delete().where(mine, H.c.name.not_in(names)))
            left = (D.c.hook.not_in(names), D.c.state == PENDING, D.c.executor == self._executor)
            connection.execute(D.update().where(*left).values(self._ended(DEAD, gone)))

    def places(self) -> dict[str, int]:
        """The number of the last event that was examined for each hook."""
        query = sa.select(H.c.name, H.c.seq).where(H.c.executor == self._executor)
        query = query.where(_is_place(H.c.seq))
        with self._reader.connect() as connection:
            return {row.name: row.seq for row in connection.execute(query)}

    def plan(self, wanted: Mapping[str, Wanted], after: int) -> int:
        """Examine the events with numbers above `after` for each hook; the number of the last one.

        If no hook wants any of them, nothing is written, and a restarted daemon examines them
        again: a write for every event would cost more.
        """
        query = sa.select(E).where(E.c.seq > after, NUMBERED).order_by(E.c.seq).limit(PAGE)
        with self._reader.connect() as connection:
            rows = connection.execute(query).all()
        if not rows:
            return after
        events, last = readable(rows), rows[-1].seq
        if len(rows) == PAGE or any(want(event) for want in wanted.values() for event in events):
            with self._engine.begin() as connection:
                for name, want in sorted(wanted.items()):
                    self._plan(connection, name, [e for e in events if want(e)], last)
        return last

    def _plan(
        self, connection: sa.Connection, name: str, events: Sequence[EventRow], last: int
    ) -> None:
        mine = (H.c.executor == self._executor) & (H.c.name == name)
        place = connection.execute(sa.select(H.c.seq).where(mine).with_for_update()).scalar()
        if not isinstance(place, int) or place >= last:
            return
        connection.execute(H.update().where(mine).values(seq=last))
        rows = [self._new(name, event) for event in events if event.seq > place]
        if rows:
            connection.execute(D.insert(), rows)
            self._limit(connection, name)

    def _new(self, hook: str, event: EventRow) -> dict[str, Any]:
        now = self._now()
        return {
            "id": f"msg_{secrets.token_hex(16)}",
            "executor": self._executor,
            "hook": hook,
            "seq": event.seq,
            "task_id": event.task_id,
            "state": PENDING,
            "attempts": 0,
            "next_at": now,
            "created_at": now,
        }

    def _limit(self, connection: sa.Connection, hook: str) -> None:
        """Drop the oldest deliveries beyond the limits, so that the table cannot fill the disk."""
        mine = (D.c.executor == self._executor) & (D.c.hook == hook)

        def beyond(state: str, most: int) -> sa.ColumnElement[bool]:
            newest = sa.select(D.c.seq).where(mine, D.c.state == state).order_by(D.c.seq.desc())
            first = connection.execute(newest.offset(most).limit(1)).scalar()
            return mine & (D.c.state == state) & (D.c.seq <= (first if first is not None else -1))

        many = self._ended(DEAD, f"more than {MOST_PENDING} were waiting")
        connection.execute(D.update().where(beyond(PENDING, MOST_PENDING)).values(many))
        for state in (DELIVERED, DEAD):
            connection.execute(D.delete().where(beyond(state, MOST_KEPT)))

    def due(self, hook: str, limit: int = 20) -> list[DeliveryRow]:
        """The deliveries of a hook that are due, oldest first."""
        query = self._pending([hook]).where(D.c.next_at <= self._now()).order_by(D.c.seq)
        with self._reader.connect() as connection:
            rows = connection.execute(query.limit(limit)).all()
        deliveries = sound(rows, delivery_row)
        if len(deliveries) < len(rows):
            self._bury(rows)
        return deliveries

    def _bury(self, rows: Sequence[sa.Row[Any]]) -> None:
        """Mark deliveries as dead that cannot be read: they can never be done."""
        for row in rows:
            try:
                delivery_row(row)
            except DamagedRecord as damaged:
                dead = self._ended(DEAD, damaged.message[:500])
                with self._engine.begin() as connection:
                    connection.execute(D.update().where(D.c.id == row.id).values(**dead))

    def next_at(self, hooks: Collection[str]) -> float | None:
        """When the next delivery of these hooks is due; None if none is pending."""
        query = self._pending(hooks).with_only_columns(sa.func.min(D.c.next_at))
        with self._reader.connect() as connection:
            earliest = connection.execute(query.where(D.c.next_at.between(0, LATEST))).scalar()
        return earliest if isinstance(earliest, float) else None

    def _pending(self, hooks: Collection[str]) -> sa.Select[Any]:
        mine = (D.c.executor == self._executor, D.c.state == PENDING)
        return sa.select(D).where(*mine, D.c.hook.in_(hooks))

    def delivered(self, delivery: DeliveryRow) -> None:
        """Record that a delivery succeeded."""
        self._write(delivery, attempts=delivery.attempts + 1, **self._ended(DELIVERED, None))

    def failed(self, delivery: DeliveryRow, error: str, next_at: float | None) -> None:
        """Record that a try failed. Without `next_at` it was the last one: the delivery is dead."""
        values: dict[str, Any] = {"attempts": delivery.attempts + 1, "error": error}
        if next_at is None:
            values |= self._ended(DEAD, error)
        else:
            values |= {"next_at": next_at}
        self._write(delivery, **values)

    def _write(self, delivery: DeliveryRow, **values: Any) -> None:
        with self._engine.begin() as connection:
            connection.execute(D.update().where(D.c.id == delivery.id).values(**values))

    def _ended(self, state: str, error: str | None) -> dict[str, Any]:
        return {"state": state, "error": error, "ended_at": self._now()}

    def retry(self, name: str, hooks: Collection[str]) -> bool:
        """Try a dead delivery of these hooks again, at once and as often as a new one; whether
        there is one of this name."""
        mine = (D.c.executor == self._executor, D.c.state == DEAD, D.c.id == name)
        again = {"state": PENDING, "attempts": 0, "next_at": self._now(), "ended_at": None}
        with self._engine.begin() as connection:
            done = connection.execute(D.update().where(*mine, D.c.hook.in_(hooks)).values(**again))
        return done.rowcount == 1

    def dead(self, limit: int = 100) -> list[DeliveryRow]:
        """The newest first."""
        query = (
            sa.select(D)
            .where(D.c.executor == self._executor, D.c.state == DEAD)
            .order_by(D.c.ended_at.desc(), D.c.seq.desc())
            .limit(limit)
        )
        with self._reader.connect() as connection:
            return sound(connection.execute(query), delivery_row)

    def counts(self) -> dict[str, dict[str, int]]:
        """The number of deliveries by hook and state."""
        query = (
            sa.select(D.c.hook, D.c.state, sa.func.count().label("many"))
            .where(D.c.executor == self._executor)
            .group_by(D.c.hook, D.c.state)
        )
        counts: dict[str, dict[str, int]] = {}
        with self._reader.connect() as connection:
            for row in connection.execute(query):
                counts.setdefault(row.hook, {})[row.state] = row.many
        return counts

    def event(self, seq: int) -> EventRow | None:
        """The event of a delivery; None if it cannot be read."""
        with self._reader.connect() as connection:
            return next(
                iter(readable(connection.execute(sa.select(E).where(E.c.seq == seq)))), None
            )


def _is_place(column: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    return column.between(0, LAST_NUMBER)
