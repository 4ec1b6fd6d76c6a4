"""The gateway's books: what providers' answers told, by task. Written again as more is told."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from agent_runner.models import Usage
from rover_mcp.store import schema
from rover_mcp.store.events import insert_for
from rover_mcp.store.migrations import READ_ONLY
from rover_mcp.store.rows import CallRow, ModelUse

C = schema.calls
T = schema.tasks
_COUNTS = (
    *("calls", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"),
    "estimated",
)
FEW = 100


class Books:
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
            .where(C.c.task_id == task_id, C.c.calls > 0)
            .group_by(C.c.provider, C.c.model, priced)
            .order_by(C.c.provider, C.c.model)
        )
        with self._reader.connect() as connection:
            return [_use(row) for row in connection.execute(query)]

    def unpriced(self, statuses: Collection[str]) -> list[str]:
        """Models without a price that tasks of these statuses used against a budget in USD, each
        as `provider/model`."""
        query = (
            sa.select(C.c.provider, C.c.model)
            .join(T, T.c.id == C.c.task_id)
            .where(T.c.status.in_(list(statuses)), C.c.cost_usd.is_(None), C.c.model != "")
            .where(C.c.input_tokens + C.c.output_tokens > 0)
            .where(T.c.budget["usd"].as_float().is_not(None))
            .distinct()
            .order_by(C.c.provider, C.c.model)
        )
        with self._reader.connect() as connection:
            return [f"{row.provider}/{row.model}" for row in connection.execute(query)]

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
            return [_call(row) for row in connection.execute(query)]

    def fold(self, task_id: str) -> None:
        """Make one row per attempt, model and price or none of a task whose attempt has ended:
        no call of it is written again. Does nothing while there are few."""
        count = sa.select(sa.func.count()).where(C.c.task_id == task_id)
        with self._reader.connect() as connection:
            if connection.execute(count).scalar_one() <= FEW:
                return
        with self._engine.begin() as connection:
            rows = connection.execute(sa.select(C).where(C.c.task_id == task_id)).all()
            folded: dict[str, CallRow] = {}
            for call in map(_call, rows):
                key = "/".join(
                    (str(call.attempt), call.provider, call.model, str(call.cost_usd is not None))
                )
                folded[key] = call.added_to(folded.get(key), key)
            connection.execute(C.delete().where(C.c.task_id == task_id))
            connection.execute(C.insert(), [_values(call) for call in folded.values()])


def _call(row: sa.Row[Any]) -> CallRow:
    return CallRow(**row._mapping)  # pyright: ignore[reportPrivateUsage]  # SQLAlchemy's documented accessor


def _values(call: CallRow) -> dict[str, Any]:
    return {column.name: getattr(call, column.name) for column in C.columns}


def _use(row: sa.Row[Any]) -> ModelUse:
    usage = Usage(
        input_tokens=int(row.input_tokens),
        output_tokens=int(row.output_tokens),
        cache_read_tokens=int(row.cache_read_tokens),
        cache_write_tokens=int(row.cache_write_tokens),
        cost_usd=row.cost_usd,
    )
    return ModelUse(row.provider, row.model, int(row.calls), usage, int(row.estimated))
