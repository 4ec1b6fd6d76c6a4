"""Rows in the queue's tables that SQLite holds and DBOS cannot read: one of them stops the whole
queue.

SQLite takes any value in any column. DBOS reads the rows of all waiting workflows in one query, and
if it fails at one row it starts none. PostgreSQL refuses such values.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from typing import Final

import sqlalchemy as sa
from dbos import WorkflowStatusString

_READ_TOGETHER: Final[Mapping[str, str]] = {
    "workflow_status": (
        "status IS NULL OR status NOT IN "
        "('SUCCESS', 'ERROR', 'CANCELLED', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED')"
    ),
    "queues": "TRUE",
    "application_versions": "TRUE",
}
"""The rows that DBOS reads in one query, by table. Other rows are read for one workflow at a
time."""

_NUMBERS: Final = frozenset({"INTEGER", "BIGINT", "BOOLEAN"})
_STATUSES: Final = frozenset(status.value for status in WorkflowStatusString)


def discard_unreadable(url: str) -> list[str]:
    """Delete the rows; the table of each. The caller enqueues again what is missing then.

    Raises:
        sqlite3.Error: the database cannot be read or written now.
    """
    path = sa.make_url(url).database
    if not url.startswith("sqlite") or path is None:
        return []
    discarded: list[str] = []
    with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as database:
        database.text_factory = _tolerant_text
        database.execute("PRAGMA foreign_keys=ON")
        for table, which in _READ_TOGETHER.items():
            for row in _unreadable(database, table, which):
                database.execute(f"DELETE FROM {table} WHERE rowid = ?", (row,))  # noqa: S608  # ours
                discarded.append(table)
    return discarded


def _unreadable(database: sqlite3.Connection, table: str, which: str) -> list[int]:
    columns = [(name, kind) for _, name, kind, *_ in _info(database, table)]
    rows = database.execute(f"SELECT rowid, * FROM {table} WHERE {which}").fetchall()  # noqa: S608  # ours
    return [row for row, *values in rows if not all(map(_fits, columns, values))]


def _info(database: sqlite3.Connection, table: str) -> list[tuple[int, str, str]]:
    return database.execute(f"PRAGMA table_info({table})").fetchall()


def _fits(column: tuple[str, str], value: object) -> bool:
    """Whether DBOS can read a value in a column of this name and kind."""
    name, kind = column
    if name == "status" and value not in _STATUSES:
        return False  # DBOS would neither start it nor take it for ended
    if value is None:
        return True
    if kind == "TEXT":
        return isinstance(value, str) and (value.isascii() or _is_utf8(value))
    return isinstance(value, int if kind in _NUMBERS else (int, float))


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _tolerant_text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
