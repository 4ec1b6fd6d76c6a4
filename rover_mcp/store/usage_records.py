"""The gateway's books: what providers' answers told, by task. Written again as more is told."""

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
MOST = 10**12
"""Of anything that one entry counts; more is damage, and is left out of every sum."""
_SOUND = sa.and_(
    *(
        C.c[name].between(0, 2**31 - 1 if name in ("calls", "estimated") else MOST)
        for name in _COUNTS
    ),
    C.c.cost_usd.is_(None) | C.c.cost_usd.between(0.0, float(MOST)),
)


class UsageStore:
    """Safe to use from many threads."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._reader = engine.execution_options(**{READ_ONLY: True})

    def write(self, calls: Sequence[CallRow]) -> None:
        """Record calls, each in place of what its id said before: writing one again adds
        nothing. All of them or none."""
        if not calls:
            return
        with self._engine.begin() as connection:
            insert = insert_for(connection, C)
            new = {c.name: insert.excluded[c.name] for c in C.columns if not c.primary_key}
            statement = insert.on_conflict_do_update(index_elements=[C.c.task_id, C.c.id], set_=new)
            connection.execute(statement, [_values(call) for call in calls])

    def by_model(self, task_id: str) -> list[ModelUse]:
        """What a task used, of each model, with and without a price."""
        priced = C.c.cost_usd.is_not(None)
        sums = [sa.func.sum(C.c[name]).label(name) for name in _COUNTS]
        query = (
            sa.select(C.c.provider, C.c.model, sa.func.sum(C.c.cost_usd).label("cost_usd"), *sums)
            .where(C.c.task_id == task_id, C.c.calls > 0, _SOUND)
            .group_by(C.c.provider, C.c.model, priced)
            .order_by(C.c.provider, C.c.model)
        )
        with self._reader.connect() as connection:
            rows = connection.execute(query).all()
        return [_use(row) for row in rows if _named(row)]

    def damaged(self, task_id: str) -> int:
        """How many entries of a task say something that cannot be, and count for nothing."""
        unsound = sa.case((_SOUND, 0), else_=1)
        query = sa.select(sa.func.sum(unsound)).where(C.c.task_id == task_id)
        with self._reader.connect() as connection:
            return int(connection.execute(query).scalar() or 0)

    def unpriced(self, statuses: Collection[str]) -> list[str]:
        """Models without a price that tasks of these statuses used against a budget in USD, each
        as `provider/model`."""
        query = (
            sa.select(C.c.provider, C.c.model, C.c.task_id)
            .join(T, T.c.id == C.c.task_id)
            .where(T.c.status.in_(list(statuses)), C.c.cost_usd.is_(None), C.c.model != "")
            .where(_SOUND, C.c.input_tokens + C.c.output_tokens > 0)
            .distinct()
            .order_by(C.c.provider, C.c.model)
        )
        # Not by the database: a budget that is no JSON would end its query for all.
        with self._reader.connect() as connection:
            rows = connection.execute(query).all()
            ids = {row.task_id for row in rows}
            budgets = connection.execute(sa.select(T.c.id, T.c.budget).where(T.c.id.in_(ids)))
            limited = {row.id for row in budgets if _in_money(row.budget)}
        named = [
            f"{row.provider}/{row.model}" for row in rows if _named(row) and row.task_id in limited
        ]
        return list(dict.fromkeys(named))

    def spent(self, task_id: str) -> Usage:
        """All that a task used. The cost is of what has a price, None where nothing has."""
        total = Usage()
        for use in self.by_model(task_id):
            total = total.plus(use.usage)
        return total

    def on_their_way(self, task_id: str) -> list[CallRow]:
        """The calls of a task that have not ended, as far as is known here."""
        query = sa.select(C).where(C.c.task_id == task_id, C.c.reserved.is_not(None))
        with self._reader.connect() as connection:
            return sound(connection.execute(query), call_row)

    def fold(self, task_id: str) -> None:
        """Make one row per attempt, model and price or none of a task whose attempt has ended:
        no call of it is written again. Does nothing while there are few."""
        count = sa.select(sa.func.count()).where(C.c.task_id == task_id)
        with self._reader.connect() as connection:
            if connection.execute(count).scalar_one() <= FEW:
                return
        with self._engine.begin() as connection:
            rows = connection.execute(sa.select(C).where(C.c.task_id == task_id, _SOUND)).all()
            calls = sound(rows, call_row)
            if len(calls) < len(rows):
                return
            folded: dict[str, CallRow] = {}
            for call in calls:
                key = "/".join(
                    (str(call.attempt), call.provider, call.model, str(call.cost_usd is not None))
                )
                folded[key] = call.added_to(folded.get(key), key)
            connection.execute(C.delete().where(C.c.task_id == task_id, _SOUND))
            connection.execute(C.insert(), [_values(call) for call in folded.values()])


def _values(call: CallRow) -> dict[str, Any]:
    return {column.name: getattr(call, column.name) for column in C.columns}


def _named(row: Any) -> bool:
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
