"""The log of operations in users' repositories: merges, pushes, checkouts.

A row is written before an operation begins and closed after it has ended. A daemon that finds an
open row of its own knows that its predecessor died during that operation, and finishes or undoes
it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

import sqlalchemy as sa
from pydantic import AfterValidator, TypeAdapter

from rover_mcp.domain.operation import OperationKind, OperationState
from rover_mcp.store import store_tables
from rover_mcp.store.column_types import Line, Moment, Name, Text
from rover_mcp.store.damaged_records import DamagedRecord, InvalidValues, checked, sound
from rover_mcp.store.migrations import READ_ONLY
from rover_mcp.store.record_reading import columns_of

O = store_tables.operations  # noqa: E741

MOST_KEPT: Final = 1000
"""Greatest number of ended operations that are kept as history."""


@dataclass(frozen=True)
class OperationRow:
    """One operation. `plan` holds what is needed to finish or to undo it."""

    id: Name
    executor: Line
    task_id: Name
    kind: Annotated[str, AfterValidator(OperationKind)]
    state: Annotated[str, AfterValidator(OperationState)]
    plan: dict[str, Any]
    created_at: Moment
    ended_at: Moment | None
    error: Text | None


class Operations:
    """The operations of one daemon. Safe to use from many threads."""

    def __init__(self, engine: sa.Engine, executor: str, now: Callable[[], float]) -> None:
        self._engine = engine
        self._reader = engine.execution_options(**{READ_ONLY: True})
        self._executor = executor
        self._now = now

    def begin(self, task_id: str, kind: OperationKind, plan: Mapping[str, Any]) -> OperationRow:
        """Record that an operation begins."""
        row = OperationRow(
            id=secrets.token_hex(8),
            executor=self._executor,
            task_id=task_id,
            kind=kind,
            state=OperationState.OPEN,
            plan=dict(plan),
            created_at=self._now(),
            ended_at=None,
            error=None,
        )
        with self._engine.begin() as connection:
            connection.execute(O.insert().values(**vars(row)))
        return row

    def end(self, operation_id: str, state: OperationState, error: str | None = None) -> None:
        """Record how an operation ended. An operation that has ended stays as it is."""
        mine = (O.c.id == operation_id) & (O.c.state == OperationState.OPEN)
        with self._engine.begin() as connection:
            connection.execute(
                O.update().where(mine).values(state=state, ended_at=self._now(), error=error)
            )
            ended = O.c.state != OperationState.OPEN
            oldest = sa.select(O.c.id).where(ended).order_by(O.c.ended_at.desc()).offset(MOST_KEPT)
            connection.execute(O.delete().where(O.c.id.in_(oldest.limit(MOST_KEPT))))

    def open(self) -> list[OperationRow]:
        """The operations of this daemon that have not ended, oldest first."""
        query = (
            sa.select(O)
            .where(O.c.executor == self._executor, O.c.state == OperationState.OPEN)
            .order_by(O.c.created_at)
        )
        with self._reader.connect() as connection:
            return sound(connection.execute(query), operation_row)

    def is_open(self, operation_id: str) -> bool:
        """Whether an operation has not ended."""
        mine = (O.c.id == operation_id) & (O.c.state == OperationState.OPEN)
        with self._reader.connect() as connection:
            return connection.execute(sa.select(O.c.id).where(mine)).first() is not None

    def of_task(self, task_id: str) -> list[OperationRow]:
        """The operations of a task, oldest first."""
        query = sa.select(O).where(O.c.task_id == task_id).order_by(O.c.created_at)
        with self._reader.connect() as connection:
            return sound(connection.execute(query), operation_row)


def has_open_operation(connection: sa.Connection, task_id: str, kind: OperationKind) -> bool:
    """Whether an operation of this kind is at work in a task's repository, or was cut off."""
    mine = (O.c.task_id == task_id) & (O.c.kind == kind) & (O.c.state == OperationState.OPEN)
    return connection.execute(sa.select(O.c.id).where(mine).limit(1)).first() is not None


_ROW: Final = TypeAdapter(OperationRow)


def operation_row(row: sa.Row[Any]) -> OperationRow:
    """An operation from its stored row.

    Raises:
        DamagedRecord: some column holds an invalid value.
    """
    values = columns_of(row)
    try:
        return checked(_ROW, values)
    except InvalidValues as bad:
        raise DamagedRecord(f"the operation {values['id']} is damaged: {bad}") from bad
