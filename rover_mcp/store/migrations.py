"""Open a data folder's database: create it, migrate it, or refuse a version that is not known."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DatabaseError

from rover_mcp.domain.disk_full_error import disk_full
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.store import store_tables
from rover_mcp.store.column_types import tolerant_json

READ_ONLY: Final = "rover_read_only"
"""Execution option of connections that only read, and so do not wait for the write lock."""

_TROUBLE: Final = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
    }
)
"""SQLite's result codes for faults of the disk."""

_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def _to_version_17(connection: sa.Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE rover_tasks ADD COLUMN onto VARCHAR")


def _to_version_18(connection: sa.Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE rover_tasks ADD COLUMN links JSON")


def _to_version_19(connection: sa.Connection) -> None:
    connection.exec_driver_sql(
        "CREATE TABLE rover_deletions ("
        "task_id VARCHAR NOT NULL, deleted_at FLOAT NOT NULL, PRIMARY KEY (task_id))"
    )


def _to_version_20(connection: sa.Connection) -> None:
    connection.exec_driver_sql(
        "CREATE TABLE rover_seen ("
        "task_id VARCHAR NOT NULL, ended_at FLOAT NOT NULL, PRIMARY KEY (task_id))"
    )


MIGRATIONS: Final[Mapping[int, Callable[[sa.Connection], None]]] = {
    17: _to_version_17,
    18: _to_version_18,
    19: _to_version_19,
    20: _to_version_20,
}
"""By version, from `BASE_VERSION + 1` on: what brings a database of the version before it there.

A migration spells out its own `ALTER TABLE`. `create_all` makes a table in today's form, so a table
that one migration creates so and a later one extends has the later columns already: the later one
has to look before it adds them."""


def database_url(home: Path, shared: str | None = None) -> str:
    """The database of the settings, else the embedded one of the data folder."""
    return shared or f"sqlite:///{home / 'rover.db'}"


def open_database(url: str) -> sa.Engine:
    """An engine for the database at `url`, which is created or migrated.

    SQLite runs in WAL mode with full synchronisation: readers never wait for the writer, and
    a committed transaction survives a power cut.

    Raises:
        EnvironmentFault: "newer_data" where a newer version wrote it, "older_data" where a version
            from before the first release did, "data_folder" where it cannot be opened or written.
            In all three cases the data are left as they are.
    """
    engine = sa.create_engine(url, json_deserializer=tolerant_json)
    if url.startswith("sqlite"):
        _configure_sqlite(engine)
    try:
        with engine.begin() as connection:
            store_tables.metadata.create_all(connection, tables=[store_tables.meta])
            _migrate(connection)
    except EnvironmentFault:
        engine.dispose()
        raise
    except DatabaseError as error:
        engine.dispose()
        damaged = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in _DAMAGE
        raise EnvironmentFault(
            f"the database cannot be used: {error.orig}",
            hint="run `rover doctor --repair`, which keeps it and makes another from the tasks' "
            "files"
            if damaged
            else "check that the data folder is writable and its disk not full",
            code="data_folder",
        ) from error
    return engine


def read_only(url: str) -> sa.Engine:
    """An engine that only reads and creates nothing, for a database that a daemon may be using or
    that has no tables."""
    parsed = sa.make_url(url)
    if not url.startswith("sqlite"):
        return sa.create_engine(parsed, json_deserializer=tolerant_json)
    file = f"{Path(parsed.database or '').absolute().as_uri()}?mode=ro"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(file, uri=True, timeout=30, check_same_thread=False)
        connection.text_factory = _tolerant_text
        return connection

    return sa.create_engine("sqlite://", creator=connect, json_deserializer=tolerant_json)


def _tolerant_text(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")


def _configure_sqlite(engine: sa.Engine) -> None:
    file = Path(engine.url.database or "")

    def on_connect(connection: Any, _record: Any) -> None:
        # The driver would begin a transaction at the first write. One that has read before that
        # fails if another has written meanwhile, and busy_timeout does not help it.
        connection.isolation_level = None
        # With the default, one text that is not UTF-8 makes the whole query fail.
        connection.text_factory = _tolerant_text
        cursor = connection.cursor()
        cursor.execute("PRAGMA busy_timeout=30000")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    def on_begin(connection: sa.Connection) -> None:
        reads = connection.get_execution_options().get(READ_ONLY)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    def on_error(context: sa.engine.ExceptionContext) -> None:
        # The low byte of an extended result code is the primary one (sqlite.org/rescode.html).
        code = getattr(context.original_exception, "sqlite_errorcode", 0) & 0xFF
        if code in _TROUBLE:
            what = "the data folder's database cannot be written"
            if code == sqlite3.SQLITE_FULL:
                raise disk_full(what, file) from context.original_exception
            raise EnvironmentFault(
                f"the data folder's database cannot be used: {context.original_exception}",
                hint="free some space, and make the data folder writable; running tasks continue",
                code="data_folder",
            ) from context.original_exception

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)
    event.listen(engine, "handle_error", on_error)


def _migrate(connection: sa.Connection) -> None:
    recorded = connection.execute(
        sa.select(store_tables.meta.c.value).where(store_tables.meta.c.key == "schema_version")
    ).scalar()
    if recorded is None:
        _complete(connection)
        connection.execute(
            store_tables.meta.insert().values(
                key="schema_version", value=str(store_tables.SCHEMA_VERSION)
            )
        )
        return
    if not recorded.isdecimal():
        raise EnvironmentFault(
            f"the data folder's schema version is damaged: {recorded!r}",
            hint="run `rover doctor --repair`",
            code="data_folder",
        )
    version = int(recorded)
    _refuse_unknown(version)
    for step in range(version + 1, store_tables.SCHEMA_VERSION + 1):
        MIGRATIONS[step](connection)
    if version < store_tables.SCHEMA_VERSION:
        connection.execute(
            store_tables.meta.update()
            .where(store_tables.meta.c.key == "schema_version")
            .values(value=str(store_tables.SCHEMA_VERSION))
        )


def _refuse_unknown(version: int) -> None:
    """Raise an error for a version that no migration starts at and that is not the present one."""
    if version > store_tables.SCHEMA_VERSION:
        raise EnvironmentFault(
            f"this data folder was written by a newer version (schema {version}; this program "
            f"knows {store_tables.SCHEMA_VERSION})",
            hint="update rover-mcp, or use another data folder: ROVER_HOME=/path",
            code="newer_data",
        )
    if version < store_tables.BASE_VERSION:
        raise EnvironmentFault(
            f"this data folder was written before the first release (schema {version}; this "
            f"program reads schema {store_tables.BASE_VERSION} and later)",
            hint="nothing in it was changed; use another data folder: ROVER_HOME=/path (or another "
            "database, if the settings name one)",
            code="older_data",
        )


def checkpoint(url: str) -> None:
    """Move what SQLite's log holds into the database file, so that a copy of the file is a backup.
    Does nothing if the log is empty, if another process uses the database just now, or for
    PostgreSQL."""
    database = sa.make_url(url).database
    if not url.startswith("sqlite") or database is None:
        return
    with suppress(OSError):
        if Path(f"{database}-wal").stat().st_size == 0:
            return
    with suppress(sqlite3.Error), closing(sqlite3.connect(database, timeout=1)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _complete(connection: sa.Connection) -> None:
    """Create the missing tables and columns: all of them in a new database, and in one whose
    version is lost those that later versions added."""
    store_tables.metadata.create_all(connection)
    known = sa.inspect(connection)
    for table in store_tables.metadata.sorted_tables:
        there = {column["name"] for column in known.get_columns(table.name)}
        for column in table.columns:
            if column.name not in there:
                kind = str(sa.schema.CreateColumn(column).compile(dialect=connection.dialect))
                connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {kind}")
        for index in table.indexes:
            index.create(connection, checkfirst=True)


def forget_version(connection: sa.Connection) -> None:
    """Remove the version, so that the next opening completes the tables."""
    connection.execute(
        store_tables.meta.delete().where(store_tables.meta.c.key == "schema_version")
    )
