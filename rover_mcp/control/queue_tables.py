"""The tables of DBOS, in the same database as the store: checking them, and replacing damaged ones.

They hold the queue. Rover's own tables and the tasks' files say what a task is and how far it came,
so nothing of a task is lost with the queue: each open attempt is enqueued again.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Mapping
from functools import cache
from typing import Final

import sqlalchemy as sa
from dbos import DBOS
from sqlalchemy.exc import DBAPIError

from rover_mcp.domain.errors import EnvironmentFault

SCHEMA: Final = "dbos"
"""The schema of the tables on PostgreSQL. SQLite has no schemas."""
VERSIONS: Final = "dbos_migrations"
REPAIR: Final = "run `rover doctor --repair`, which rebuilds them; no task is lost"

_OF_SQLITE: Final = frozenset(
    {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH}
)
"""Result codes of a statement that does not fit the tables. Others mean a fault of the disk."""
_NO_PERMISSION: Final = "42501"
"""PostgreSQL's code for a missing permission; the rest of class 42 means that tables do not fit."""

Columns = Mapping[str, frozenset[str]]


def prepare(url: str) -> None:
    """Bring the tables up to date, and create them if there are none.

    Raises:
        EnvironmentFault: DBOS cannot work with them ("queue_tables").
        SQLAlchemyError: the database cannot be read or written now.
    """
    if (why := _unusable_at(url)) is None:
        try:
            DBOS.migrate(url)
        except DBAPIError as error:
            if not _is_damage(error):
                raise
            why = str(error.orig).partition("\n")[0]
        else:
            why = _unusable_at(url)
    if why is not None:
        raise _fault(why)


def examine(url: str) -> None:
    """Check the tables of a DBOS that is running.

    Raises:
        EnvironmentFault: DBOS cannot work with them any more ("queue_tables").
        SQLAlchemyError: the database cannot be read now.
    """
    engine = sa.create_engine(url)
    try:
        if (why := unusable(engine, must_exist=True)) is not None:
            raise _fault(why)
    finally:
        engine.dispose()


def _fault(why: str) -> EnvironmentFault:
    message = f"no task can be started: the tables of the queue (DBOS) cannot be used: {why}"
    return EnvironmentFault(message, hint=REPAIR, code="queue_tables")


def renew(url: str) -> list[str]:
    """Replace the tables if DBOS cannot work with them; what was done, a line each.

    Raises:
        EnvironmentFault: the new tables cannot be used either.
        SQLAlchemyError: the database cannot be read or written now.
    """
    try:
        prepare(url)
    except EnvironmentFault as fault:
        kept = _set_aside(url)
        prepare(url)
        return [f"{fault.message}: they are rebuilt{kept}, and open attempts start again"]
    return []


def unusable(engine: sa.Engine, *, must_exist: bool = False) -> str | None:
    """Why DBOS cannot work with its tables. None if it can, if there are none yet (unless they
    `must_exist`), and if it will migrate them when it starts, so that this is not known. Only
    reads."""
    present, wanted = _columns(engine), newest()
    if not present.keys() & wanted[1].keys():
        return "they are missing" if must_exist else None
    if VERSIONS not in present:
        return f"{VERSIONS} is missing"
    version = _version(engine) if "version" in present[VERSIONS] else None
    if not isinstance(version, int) or version < 1:
        return f"{VERSIONS} names no version"
    return _lacks(present, wanted[1]) if version == wanted[0] else None


def _unusable_at(url: str) -> str | None:
    engine = sa.create_engine(url)
    try:
        return unusable(engine)
    finally:
        engine.dispose()


def _lacks(present: Columns, wanted: Columns) -> str | None:
    if missing := sorted(wanted.keys() - present.keys()):
        return f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
    for table, columns in sorted(wanted.items()):
        if lost := sorted(columns - present[table]):
            return f"{table} lacks {', '.join(lost)}"
    return None


def _schema(engine: sa.Engine) -> str | None:
    return None if engine.dialect.name == "sqlite" else SCHEMA


def _columns(engine: sa.Engine) -> Columns:
    tables = sa.inspect(engine).get_multi_columns(schema=_schema(engine))
    return {table: frozenset(c["name"] for c in of) for (_, table), of in tables.items()}


def _version(engine: sa.Engine) -> object:
    """The version by which DBOS migrates; None if there is not exactly one."""
    table = sa.table(VERSIONS, sa.column("version"), schema=_schema(engine))
    with engine.connect() as connection:
        versions = connection.execute(sa.select(table.c.version)).scalars().all()
    return versions[0] if len(versions) == 1 else None


@cache
def newest() -> tuple[object, Columns]:
    """The version and tables that DBOS creates in an empty SQLite database: it has no description
    of them that could be read. On PostgreSQL they have further columns."""
    with tempfile.TemporaryDirectory(prefix="rover-") as folder:
        engine = sa.create_engine(url := f"sqlite:///{folder}/queue.db")
        try:
            DBOS.migrate(url)
            return _version(engine), _columns(engine)
        finally:
            engine.dispose()


def _is_damage(error: DBAPIError) -> bool:
    """Whether a statement failed because of the tables, and not because of the disk or a
    permission."""
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return str(state).startswith("42") and state != _NO_PERMISSION
    return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in _OF_SQLITE


def _set_aside(url: str) -> str:
    """Remove the tables; where they are kept, if they are. On PostgreSQL the schema is renamed,
    since other programs may use DBOS in the same database."""
    engine = sa.create_engine(url)
    try:
        with engine.begin() as connection:
            if engine.dialect.name != "sqlite":
                kept = f"{SCHEMA}_damaged_{time.strftime('%Y%m%d_%H%M%S')}"
                connection.exec_driver_sql(f"ALTER SCHEMA {SCHEMA} RENAME TO {kept}")
                return f" (the schema {kept} keeps those before)"
            query = "SELECT type, name FROM sqlite_master WHERE type IN ('table', 'view')"
            for kind, name in connection.exec_driver_sql(query).all():
                if name in newest()[1]:
                    connection.exec_driver_sql(f'DROP {kind} "{name}"')
            return ""
    finally:
        engine.dispose()
