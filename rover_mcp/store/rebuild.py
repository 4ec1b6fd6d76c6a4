"""Rebuilding records that were lost or damaged. No daemon may run meanwhile."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from rover_mcp.domain.attempt_state import AttemptState
from rover_mcp.domain.ids import sandbox_name
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.store import store_tables
from rover_mcp.store.damaged_records import DamagedRecord, InvalidValues, sound, sound_one
from rover_mcp.store.events import insert_event
from rover_mcp.store.record_reading import columns_of, project_row, task_of, task_row
from rover_mcp.store.records import TaskRow
from rover_mcp.store.store import Store

T, A, P = store_tables.tasks, store_tables.attempts, store_tables.projects
RAN = (
    "status", "iteration", "attempt", "pause", "error", "run_state", "started_at", "ended_at",
    "updated_at", "paused_at", "retry_at", "iteration_input", "onto",
)  # fmt: skip
"""Columns that say how far a task came. They only make sense together, from one time."""


class Rebuilds:
    """Writes of a task's columns without the checks of a transition."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._database = store.database

    def is_sound(self, task_id: str, attempt: int) -> bool:
        """Whether the task's record can be read and is not older than its files."""
        try:
            row = self._store.tasks.get(task_id, deleted=True)
        except DamagedRecord:
            return False
        return row is not None and row.attempt >= attempt

    def readable(self) -> list[TaskRow]:
        """Every task whose record can be read."""
        with self._database.read() as connection:
            return list(sound(connection.execute(sa.select(T)), task_row))

    def path_of(self, project_id: str) -> str | None:
        """The repository of a project, if there is a record of it."""
        with self._database.read() as connection:
            row = connection.execute(sa.select(P).where(P.c.id == project_id)).one_or_none()
        project = sound_one(row, project_row)
        return project.path if project else None

    def put(self, values: Mapping[str, Any], *, lives: bool) -> str:
        """Write a task's record with its last attempt; a line that says so. Of a damaged record the
        readable columns stay; of one that is older than the files, those that the files lack."""
        project = self._store.projects.register(values["project_id"], values["project_path"])
        values = {**values, "project_id": project.id, "project_path": project.path}
        with self._database.write() as connection:
            values = self._mixed(connection, values)
            connection.execute(A.delete().where(A.c.task_id == values["id"]))
            connection.execute(T.delete().where(T.c.id == values["id"]))
            number = values["number"]
            values["number"] = self._free(connection, project.id, number)
            connection.execute(T.insert().values(**values))
            connection.execute(A.insert().values(**_attempt(values, lives=lives)))
            status = TaskStatus(values["status"])
            data = {"message": "its record was rebuilt from its files"}
            insert_event(
                connection,
                self._database.now(),
                values["id"],
                "task.rebuilt",
                status,
                data,
                notable=False,
            )
        was = f", which was {number}" if number != values["number"] else ""
        return f"task {values['number']}{was} {values['title'][:60]!r} ({values['id']}): {status}"

    def _mixed(self, connection: sa.Connection, values: Mapping[str, Any]) -> dict[str, Any]:
        row = connection.execute(sa.select(T).where(T.c.id == values["id"])).one_or_none()
        if row is None:
            return dict(values)
        old = columns_of(row)
        try:
            task_of(old)
        except InvalidValues as bad:
            lost = set(bad.wrong)
            if lost & set(RAN):
                lost |= set(RAN)
            kept = {k: v for k, v in old.items() if k not in lost}
            mixed = {c.name: values.get(c.name) for c in T.columns} | kept
            return mixed | {"warnings": values["warnings"]}
        # The record is older than the files, so the files count for the columns of the run.
        return old | {name: values[name] for name in RAN}

    def _free(self, connection: sa.Connection, project_id: str, number: int) -> int:
        taken = sa.select(T.c.id).where(T.c.project_id == project_id, T.c.number == number)
        if connection.execute(taken).first() is None:
            return number
        return self._store.projects.next_number(connection, project_id)

    def remove_lost(self) -> list[str]:
        """Remove records of tasks whose id is lost; tasks with files were rebuilt under their ids.
        Return a line for each of these, and for each record that still cannot be read."""
        lines: list[str] = []
        with self._database.read() as connection:
            rows = connection.execute(sa.select(T)).all()
        for row in rows:
            try:
                task_row(row)
            except DamagedRecord as damaged:
                if damaged.task is None or damaged.task.id is not None:
                    lines.append(f"left as it is: {damaged.message}; delete_task removes it")
                    continue
                self._store.tasks.delete_damaged(damaged.task)
                values = json.dumps({k: repr(v)[:200] for k, v in columns_of(row).items()})
                lines.append(f"a record without an id is removed: {values}")
        return lines


def _attempt(values: Mapping[str, Any], *, lives: bool) -> dict[str, Any]:
    name, number = values["id"], values["attempt"]
    return {
        "task_id": name, "attempt": number, "iteration": values["iteration"],
        "workflow_id": f"attempt-{name}-{number}-rebuilt",
        "state": AttemptState.RUNNING if lives else AttemptState.ENDED,
        "sandbox": sandbox_name(name, number),
        "created_at": values["created_at"], "started_at": values["started_at"],
        "ended_at": None if lives else values["updated_at"],
    }  # fmt: skip
