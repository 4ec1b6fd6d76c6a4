"""Daemons that share a database: which are alive, by their leases, and which has which attempt."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from rover_mcp.store import store_tables
from rover_mcp.store.damaged_records import sound_one
from rover_mcp.store.events import insert_for
from rover_mcp.store.migrations import READ_ONLY
from rover_mcp.store.record_reading import attempt_row, executor_row
from rover_mcp.store.records import AttemptRow, ExecutorRow

A = store_tables.attempts
X = store_tables.executors


class Executors:
    """The leases and claims in one database. Times are seconds since 1970, by the clocks of hosts
    that have to agree to within a fraction of a lease."""

    def __init__(self, engine: sa.Engine, now: Callable[[], float]) -> None:
        self._engine = engine
        self._reader = engine.execution_options(**{READ_ONLY: True})
        self._now = now

    def renew(self, executor: str, host: str, lease: float) -> None:
        """Renew an executor's lease for `lease` seconds from now."""
        values = {"host": host, "lease_until": self._now() + lease}
        with self._engine.begin() as connection:
            insert = insert_for(connection, X).values(id=executor, **values)
            connection.execute(insert.on_conflict_do_update(index_elements=[X.c.id], set_=values))

    def find(self, executor: str) -> ExecutorRow | None:
        with self._reader.connect() as connection:
            row = connection.execute(sa.select(X).where(X.c.id == executor)).one_or_none()
        return sound_one(row, executor_row)

    def mark(self, task_id: str, attempt: int, workflow_id: str, executor: str) -> None:
        """Record that the executor's workflow is about to claim the attempt."""
        here = (A.c.task_id == task_id) & (A.c.attempt == attempt)
        with self._engine.begin() as connection:
            connection.execute(
                A.update().where(here, A.c.workflow_id == workflow_id).values(executor=executor)
            )

    def take(
        self, attempt: AttemptRow, state: str, workflow_id: str, executor: str | None
    ) -> AttemptRow | None:
        """Give an attempt that no workflow follows to another workflow. Of several callers one gets
        it; None for the others, and if the record has changed since `attempt` was read."""
        # The condition on the former holder is the fence: a daemon that was thought dead and comes
        # back finds the attempt under another workflow.
        here = (A.c.task_id == attempt.task_id) & (A.c.attempt == attempt.attempt)
        unchanged = (A.c.workflow_id == attempt.workflow_id) & (A.c.state == attempt.state)
        same_holder = A.c.executor.is_not_distinct_from(attempt.executor)
        with self._engine.begin() as connection:
            done = connection.execute(
                A.update()
                .where(here, unchanged, same_holder)
                .values(workflow_id=workflow_id, state=state, executor=executor)
            )
            if done.rowcount != 1:
                return None
            row = connection.execute(sa.select(A).where(here)).one()
        return attempt_row(row)
