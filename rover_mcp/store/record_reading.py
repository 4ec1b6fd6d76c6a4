"""Reads stored rows as records; a row that holds something unknown is a DamagedRecord.

Rows are checked when they are read, and not when they are written: another version may have written
them, or a disk may have changed them.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, TypeVar

import sqlalchemy as sa
from pydantic import TypeAdapter, ValidationError

from rover_mcp.store.column_types import Line, Moment, Name, Number, Text
from rover_mcp.store.damaged_records import DamagedRecord, DamagedTask, InvalidValues, checked
from rover_mcp.store.records import (
    AttemptRow,
    CallRow,
    DeliveryRow,
    EventRow,
    ExecutorRow,
    HoldRow,
    ProjectRow,
    ReportRow,
    TaskRow,
    WindowRow,
)

T = TypeVar("T")


@functools.cache
def _adapter(kind: type[T]) -> TypeAdapter[T]:
    return TypeAdapter(kind)


def columns_of(row: sa.Row[Any]) -> dict[str, Any]:
    """A row's values by column."""
    return dict(row._mapping)  # pyright: ignore[reportPrivateUsage]  # SQLAlchemy's documented accessor


def task_row(row: sa.Row[Any]) -> TaskRow:
    """A task from its stored row.

    Raises:
        DamagedRecord: some column holds an invalid value; it names the task and the columns.
    """
    values = columns_of(row)
    try:
        return task_of(values)
    except InvalidValues as bad:
        task = damaged_task(values)
        raise DamagedRecord(
            f"the record of {task_name(task)} is damaged: {bad}", task=task, fields=bad.wrong
        ) from bad


def task_of(values: Mapping[str, Any]) -> TaskRow:
    """A task with these columns.

    Raises:
        InvalidValues: some hold an invalid value.
    """
    return checked(_adapter(TaskRow), values)


def damaged_task(values: Mapping[str, Any]) -> DamagedTask:
    """The readable part of a damaged task's record."""
    key = values["id"]
    return DamagedTask(
        key,
        _read(Name, key),
        number=_read(Number, values["number"]),
        title=_read(Text, values["title"]),
        project=_read(Line, values["project_path"]),
        owner=values["owner"],
        created_at=_read(Moment, values["created_at"]),
    )


def not_shown(task: TaskRow, error: Exception) -> DamagedRecord:
    """The error for a task whose columns are valid one by one but contradict each other."""
    known = DamagedTask(
        task.id, task.id, task.number, task.title, task.project_path, task.owner, task.created_at
    )
    what = f"{type(error).__name__}: {error}"[:200]
    return DamagedRecord(f"the record of {task_name(known)} is damaged: {what}", task=known)


def _read(kind: Any, value: object) -> Any:
    try:
        return _adapter(kind).validate_python(value)
    except ValidationError:
        return None


def task_name(task: DamagedTask) -> str:
    """The name of a damaged task in messages."""
    number = f"task {task.number}" if task.number is not None else "a task without a number"
    title = f" {task.title[:80]!r}" if task.title else ""
    return f"{number}{title} ({task.id or 'its id is damaged'})"


def attempt_row(row: sa.Row[Any]) -> AttemptRow:
    """An attempt from its stored row.

    Raises:
        DamagedRecord: some column holds an invalid value.
    """
    values = columns_of(row)
    task = DamagedTask(values["task_id"], _read(Name, values["task_id"]))
    return _of(AttemptRow, values, f"attempt {values['attempt']} of task {values['task_id']}", task)


def hold_row(row: sa.Row[Any]) -> HoldRow:
    """A hold from its stored row. Raises DamagedRecord."""
    values = columns_of(row)
    return _of(HoldRow, values, f"the hold of the account {values['account']}")


def report_row(row: sa.Row[Any]) -> ReportRow:
    """A report from its stored row. Raises DamagedRecord."""
    values = columns_of(row)
    return _of(ReportRow, values, f"a report of the account {values['account']}")


def window_row(row: sa.Row[Any]) -> WindowRow:
    """A window from its stored row. Raises DamagedRecord."""
    values = columns_of(row)
    return _of(WindowRow, values, f"a window of the account {values['account']}")


def event_row(row: sa.Row[Any]) -> EventRow:
    """An event from its stored row. Raises DamagedRecord."""
    values = columns_of(row)
    task = DamagedTask(values["task_id"], _read(Name, values["task_id"]))
    return _of(EventRow, values, f"event {values['seq']} of task {values['task_id']}", task)


def call_row(row: sa.Row[Any]) -> CallRow:
    """A call's usage from its stored row. Raises DamagedRecord."""
    values = columns_of(row)
    return _of(CallRow, values, f"a usage record of task {values['task_id']}")


def executor_row(row: sa.Row[Any]) -> ExecutorRow:
    """A daemon from its stored row. Raises DamagedRecord."""
    values = columns_of(row)
    return _of(ExecutorRow, values, f"the lease of the daemon {values['id']}")


def delivery_row(row: sa.Row[Any]) -> DeliveryRow:
    """A delivery from its stored row. Raises DamagedRecord."""
    values = columns_of(row)
    return _of(DeliveryRow, values, f"delivery {values['id']} of the hook {values['hook']}")


def project_row(row: sa.Row[Any]) -> ProjectRow:
    """A project from its stored row. Raises DamagedRecord."""
    values = {name: value for name, value in columns_of(row).items() if name in ("id", "path")}
    return _of(ProjectRow, values, f"the record of the project {values['path']}")


def _of(kind: type[T], values: Mapping[str, Any], name: str, task: DamagedTask | None = None) -> T:
    try:
        return checked(_adapter(kind), values)
    except InvalidValues as bad:
        wrong = f"{name[:300]} is damaged: {bad}"
        raise DamagedRecord(wrong, task=task, fields=bad.wrong) from bad
