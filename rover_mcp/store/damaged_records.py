"""Stored records that hold something that this program does not know: which task they belong to,
and what to do about them. A damaged record never hides or stops another one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from pydantic import TypeAdapter, ValidationError

from rover_mcp.domain.errors import RoverError

log = logging.getLogger("rover.store")

REPAIR: Final = (
    "`rover doctor --repair` rebuilds it from its files, delete_task removes the task; no other "
    "task is touched"
)
SHOWN: Final = 60
"""Characters of a value that a message shows."""
SECRET: Final = frozenset({"gateway_token"})
"""Columns whose value no message shows."""

NONSENSE: Final = (
    ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, RecursionError,
)  # fmt: skip
"""Errors that a record can cause whose columns are valid one by one but contradict each other."""

T = TypeVar("T")


@dataclass(frozen=True)
class DamagedTask:
    """The task that a damaged record belongs to, as far as it can be read. `key` is its id as it is
    stored; `id` is None if that is not an identifier."""

    key: Any
    id: str | None
    number: int | None = None
    title: str | None = None
    project: str | None = None
    owner: Any = None
    created_at: float | None = None

    @property
    def named(self) -> Mapping[str, str] | None:
        """The arguments that name it in a tool call; None if nothing can."""
        if self.id is not None:
            return {"task": self.id}
        if self.number is None or self.project is None:
            return None
        return {"task": str(self.number), "repo_path": self.project}


class DamagedRecord(RoverError):
    """A stored record holds something that this program does not know. It is never guessed at."""

    code = "damaged_record"

    def __init__(
        self, message: str, *, task: DamagedTask | None = None, fields: Iterable[str] = ()
    ) -> None:
        named = task.named if task else None
        call = {"tool": "delete_task", "arguments": dict(named)} if named else None
        super().__init__(message, hint=REPAIR, next_call=call)
        self.task = task
        self.fields = frozenset(fields)

    @property
    def place(self) -> tuple[float, str]:
        """The created_at and id of its task, as far as they are known: its place in a list."""
        task = self.task
        return (task.created_at or 0.0, task.id or "") if task else (0.0, "")


def checked(adapter: TypeAdapter[T], values: Mapping[str, Any]) -> T:
    """The record with these values.

    Raises:
        InvalidValues: some values are not allowed in their column.
    """
    try:
        return adapter.validate_python(dict(values))
    except (ValidationError, RecursionError) as error:
        raise InvalidValues(_wrong(error, values)) from error


@dataclass
class InvalidValues(Exception):
    """What is wrong with a record, by column."""

    wrong: Mapping[str, str]

    def __str__(self) -> str:
        return "; ".join(f"{column}: {what}" for column, what in list(self.wrong.items())[:4])


def _wrong(error: ValidationError | RecursionError, values: Mapping[str, Any]) -> dict[str, str]:
    if isinstance(error, RecursionError):
        return {"record": "it is nested too deeply"}
    wrong: dict[str, str] = {}
    for one in error.errors(include_url=False, include_input=False):
        column = str(one["loc"][0]) if one["loc"] else "record"
        wrong.setdefault(column, f"{_value(column, values.get(column))}: {one['msg'][:120]}")
    return wrong


def _value(column: str, value: object) -> str:
    if column in SECRET:
        return "its value"
    shown = repr(value)
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}…"


def sound(rows: Iterable[sa.Row[Any]], read: Callable[[sa.Row[Any]], T]) -> list[T]:
    """The records that can be read. A damaged one is logged once, and hides no other."""
    records: list[T] = []
    for row in rows:
        try:
            records.append(read(row))
        except DamagedRecord as damaged:
            log_once(log, damaged.message)
    return records


def sound_one(row: sa.Row[Any] | None, read: Callable[[sa.Row[Any]], T]) -> T | None:
    """The record, if there is one and it can be read."""
    return next(iter(sound([row], read)), None) if row is not None else None


@dataclass
class _LoggedMessages:
    """The messages that have been logged. After very many they are forgotten, and may come
    again."""

    most: int = 2000
    logged: set[str] = field(default_factory=set[str])
    lock: threading.Lock = field(default_factory=threading.Lock)

    def is_new(self, text: str) -> bool:
        with self.lock:
            if text in self.logged:
                return False
            if len(self.logged) >= self.most:
                self.logged.clear()
            self.logged.add(text)
            return True


_once = _LoggedMessages()


def log_once(logger: logging.Logger, message: str) -> None:
    """Log a warning only once, although each query meets the same damage."""
    if _once.is_new(message):
        logger.warning("%s", message)
