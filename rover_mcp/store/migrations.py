"""Opening a data folder's database: create, migrate, or refuse what is newer than this program."""

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
"""Execution option of connections that only read: they do not queue for the write lock."""

_TROUBLE: Final = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
    }
)
"""Result codes that tell of the disk, not of us."""

_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def _to_version_2(connection: sa.Connection) -> None:
    store_tables.metadata.create_all(
        connection, tables=[store_tables.holds, store_tables.switches, store_tables.executors]
    )
    for table, column, kind in (
        ("rover_tasks", "agents", "JSON"),
        ("rover_tasks", "budget", "JSON"),
        ("rover_tasks", "account", "VARCHAR"),
        ("rover_attempts", "executor", "VARCHAR"),
    ):
        connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")


def _to_version_3(connection: sa.Connection) -> None:
    store_tables.metadata.create_all(connection, tables=[store_tables.calls])


def _to_version_4(connection: sa.Connection) -> None:
    for column in ("network", "refused"):
        connection.exec_driver_sql(f"ALTER TABLE rover_tasks ADD COLUMN {column} JSON")


def _to_version_5(connection: sa.Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE rover_tasks ADD COLUMN config JSON")


def _to_version_6(connection: sa.Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE rover_tasks ADD COLUMN owner VARCHAR")
    store_tables.by_owner.create(connection)


def _to_version_7(connection: sa.Connection) -> None:
    tables = [store_tables.hooks, store_tables.deliveries, store_tables.tellings]
    store_tables.metadata.create_all(connection, tables=tables)


def _to_version_8(connection: sa.Connection) -> None:
    store_tables.metadata.create_all(connection, tables=[store_tables.reports])


def _to_version_9(connection: sa.Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE rover_tasks ADD COLUMN sent JSON")
    if "reserved" in {c["name"] for c in sa.inspect(connection).get_columns("rover_calls")}:
        return  # version 3 has just made the table as it is now
    for column in ("reserved JSON", "estimated INTEGER DEFAULT 0 NOT NULL"):
        connection.exec_driver_sql(f"ALTER TABLE rover_calls ADD COLUMN {column}")


def _to_version_10(connection: sa.Connection) -> None:
    if "default_of" not in {c["name"] for c in sa.inspect(connection).get_columns("rover_holds")}:
        connection.exec_driver_sql("ALTER TABLE rover_holds ADD COLUMN default_of VARCHAR")


def _to_version_11(connection: sa.Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE rover_tasks ADD COLUMN refused_keys JSON")


def _to_version_12(connection: sa.Connection) -> None:
    store_tables.metadata.create_all(connection, tables=[store_tables.windows])


def _to_version_13(connection: sa.Connection) -> None:
    if "looked_at" not in {c["name"] for c in sa.inspect(connection).get_columns("rover_holds")}:
        connection.exec_driver_sql("ALTER TABLE rover_holds ADD COLUMN looked_at FLOAT")


def _to_version_14(connection: sa.Connection) -> None:
    store_tables.metadata.create_all(connection, tables=[store_tables.operations])


def _to_version_15(connection: sa.Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE rover_tasks ADD COLUMN iteration_input JSON")


# version -> what brings the version before it there. Version 1 is the first.
MIGRATIONS: Final[Mapping[int, Callable[[sa.Connection], None]]] = {
    2: _to_version_2,
    3: _to_version_3,
    4: _to_version_4,
    5: _to_version_5,
    6: _to_version_6,
    7: _to_version_7,
    8: _to_version_8,
    9: _to_version_9,
    10: _to_version_10,
    11: _to_version_11,
    12: _to_version_12,
    13: _to_version_13,
    14: _to_version_14,
    15: _to_version_15,
}


def database_url(home: Path, shared: str | None = None) -> str:
    """The database of the settings, else the embedded one of the data folder."""
    return shared or f"sqlite:///{home / 'rover.db'}"


def open_database(url: str) -> sa.Engine:
    """An engine on the migrated database at `url`.

    SQLite runs in WAL mode with full synchronisation: readers never wait for the writer, and
    a committed transaction survives a power cut.

    Raises:
        EnvironmentFault: "newer_data" where a newer version wrote it, "data_folder" where it
            cannot be opened or written.
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
    """An engine that changes nothing, and makes nothing: for a look at a database that a daemon
    may be using, or that has no tables."""
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
        # The driver's own transaction handling would begin too late for a read-then-write.
        connection.isolation_level = None
        # One text that is not UTF-8 must not keep its neighbours from being read.
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
        # The low byte is the primary result code (sqlite.org/rescode.html).
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
    if version > store_tables.SCHEMA_VERSION:
        raise EnvironmentFault(
            f"this data folder was written by a newer version (schema {version}; this program "
            f"knows {store_tables.SCHEMA_VERSION})",
            hint="update rover-mcp, or use another data folder: ROVER_HOME=/path",
            code="newer_data",
        )
    for step in range(version + 1, store_tables.SCHEMA_VERSION + 1):
        MIGRATIONS[step](connection)
    if version < store_tables.SCHEMA_VERSION:
        connection.execute(
            store_tables.meta.update()
            .where(store_tables.meta.c.key == "schema_version")
            .values(value=str(store_tables.SCHEMA_VERSION))
        )


def checkpoint(url: str) -> None:
    """Bring what was written into the database's one file, so that a copy of that is a backup.
    Nothing where it is whole, where somebody else is at it just now, or where it is no file."""
    database = sa.make_url(url).database
    if not url.startswith("sqlite") or database is None:
        return
    with suppress(OSError):
        if Path(f"{database}-wal").stat().st_size == 0:
            return
    with suppress(sqlite3.Error), closing(sqlite3.connect(database, timeout=1)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _complete(connection: sa.Connection) -> None:
    """Make what is missing of the tables and of their columns: all of it in a new database; in one
    whose version is lost, what later versions added."""
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
    """Let the next opening find the version by what is there."""
    connection.execute(
        store_tables.meta.delete().where(store_tables.meta.c.key == "schema_version")
    )
