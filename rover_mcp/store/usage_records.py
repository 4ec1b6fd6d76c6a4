"""Tokens and money that tasks used, as the gateway saw it in the answers of providers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError

from agent_runner.models import Budget, Usage
from rover_mcp.store import store_tables
from rover_mcp.store.damaged_records import sound
from rover_mcp.store.events import insert_for
from rover_mcp.store.migrations import READ_ONLY
from rover_mcp.store.record_reading import call_row
from rover_mcp.store.records import CallRow, ModelUse

C = store_tables.calls
T = store_tables.tasks
_COUNTS = (
    *("calls", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"),
    "estimated",
)
FEW = 100
"""The number of a task's records from which they are folded."""
SPAN = 900
"""Seconds that a folded record covers. Days begin at a multiple of it in every time zone, so that
`rover usage` can count each call on its day."""
MOST = 10**12
"""The greatest sound value of a column. A record with more is damaged, and left out of every
sum."""
SOUND = sa.and_(
    *(
        C.c[name].between(0, 2**31 - 1 if name in ("calls", "estimated") else MOST)
        for name in _COUNTS
    ),
    C.c.cost_usd.is_(None) | C.c.cost_usd.between(0.0, float(MOST)),
)
"""The condition that a record has possible values."""


class UsageStore:
    """Reads and writes the usage of tasks. Safe to use from many threads."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._reader = engine.execution_options(**{READ_ONLY: True})

    def write(self, calls: Sequence[CallRow]) -> None:
        """Record calls, all of them or none. A call replaces the record with its id, so that an
        answer that is still coming in can be written again and again."""
        if not calls:
            return
        with self._engine.begin() as connection:
            insert = insert_for(connection, C)
            new = {c.name: insert.excluded[c.name] for c in C.columns if not c.primary_key}
            statement = insert.on_conflict_do_update(index_elements=[C.c.task_id, C.c.id], set_=new)
            connection.execute(statement, [_values(call) for call in calls])

    def by_model(self, task_id: str) -> list[ModelUse]:
        """What a task used of each model, with and without a price."""
        priced = C.c.cost_usd.is_not(None)
        sums = [sa.func.sum(C.c[name]).label(name) for name in _COUNTS]
        query = (
            sa.select(C.c.provider, C.c.model, sa.func.sum(C.c.cost_usd).label("cost_usd"), *sums)
            .where(C.c.task_id == task_id, C.c.calls > 0, SOUND)
            .group_by(C.c.provider, C.c.model, priced)
            .order_by(C.c.provider, C.c.model)
        )
        with self._reader.connect() as connection:
            rows = connection.execute(query).all()
        return [_use(row) for row in rows if is_named(row)]

    def damaged(self, task_id: str) -> int:
        """The number of a task's records with impossible values, which do not count."""
        unsound = sa.case((SOUND, 0), else_=1)
        query = sa.select(sa.func.sum(unsound)).where(C.c.task_id == task_id)
        with self._reader.connect() as connection:
            return int(connection.execute(query).scalar() or 0)

    def unpriced(self, statuses: Collection[str]) -> list[str]:
        """The models without a price that tasks of these statuses with a budget in USD have used,
        each as `provider/model`."""
        query = (
            sa.select(C.c.provider, C.c.model, C.c.task_id)
            .join(T, T.c.id == C.c.task_id)
            .where(T.c.status.in_(list(statuses)), C.c.cost_usd.is_(None), C.c.model != "")
            .where(SOUND, C.c.input_tokens + C.c.output_tokens > 0)
            .distinct()
            .order_by(C.c.provider, C.c.model)
        )
        # Not by a condition in the query: on PostgreSQL one budget that is not JSON would end it
        # with an error for all tasks.
        with self._reader.connect() as connection:
            rows = connection.execute(query).all()
            ids = {row.task_id for row in rows}
            budgets = connection.execute(sa.select(T.c.id, T.c.budget).where(T.c.id.in_(ids)))
            limited = {row.id for row in budgets if _in_money(row.budget)}
        named = [
            f"{row.provider}/{row.model}"
            for row in rows
            if is_named(row) and row.task_id in limited
        ]
        return list(dict.fromkeys(named))

    def spent(self, task_id: str) -> Usage:
        """The total that a task used. The cost is that of models with a price, None if none has
        one."""
        total = Usage()
        for use in self.by_model(task_id):
            total = total.plus(use.usage)
        return total

    def on_their_way(self, task_id: str) -> list[CallRow]:
        """The calls of a task that have not ended."""
        query = sa.select(C).where(C.c.task_id == task_id, C.c.reserved.is_not(None))
        with self._reader.connect() as connection:
            return sound(connection.execute(query), call_row)

    def fold(self, task_id: str) -> None:
        """Fold the records of a task into one per attempt, model and quarter of an hour, with and
        without a price. Its attempt has ended, so no call of it is written again. Few records are
        left as they are."""
        count = sa.select(sa.func.count()).where(C.c.task_id == task_id)
        with self._reader.connect() as connection:
            if connection.execute(count).scalar_one() <= FEW:
                return
        with self._engine.begin() as connection:
            rows = connection.execute(sa.select(C).where(C.c.task_id == task_id, SOUND)).all()
            calls = sound(rows, call_row)
            if len(calls) < len(rows):
                return
            folded: dict[str, CallRow] = {}
            for call in calls:
                quarter = int(call.at // SPAN)
                priced = call.cost_usd is not None
                key = f"{call.attempt}/{call.provider}/{call.model}/{priced}/{quarter}"
                folded[key] = call.added_to(folded.get(key), key)
            connection.execute(C.delete().where(C.c.task_id == task_id, SOUND))
            connection.execute(C.insert(), [_values(call) for call in folded.values()])


def _values(call: CallRow) -> dict[str, Any]:
    return {column.name: getattr(call, column.name) for column in C.columns}


def is_named(row: Any) -> bool:
    """Whether the provider and the model of a record are texts."""
    return isinstance(row.provider, str) and isinstance(row.model, str)


def _in_money(budget: Any) -> bool:
    try:
        return Budget.model_validate(budget).usd is not None
    except ValidationError:
        return False


def _use(row: sa.Row[Any]) -> ModelUse:
    usage = Usage(
        input_tokens=int(row.input_tokens),
        output_tokens=int(row.output_tokens),
        cache_read_tokens=int(row.cache_read_tokens),
        cache_write_tokens=int(row.cache_write_tokens),
        cost_usd=row.cost_usd,
    )
    return ModelUse(row.provider, row.model, int(row.calls), usage, int(row.estimated))
