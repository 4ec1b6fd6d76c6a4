"""Opening a database: made, migrated, or refused and left alone (ACCEPTANCE A3)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from rover_mcp.errors import EnvironmentFault
from rover_mcp.store import migrations, schema
from rover_mcp.store.migrations import open_database
from rover_mcp.store.store import Store
from tests.support.samples import new_task


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'rover.db'}"
    return request.getfixturevalue("cluster").new_database()


def run(url: str, *statements: str) -> list[tuple[object, ...]]:
    """Statements on a plain connection; the rows of the last."""
    engine = sa.create_engine(url)
    try:
        with engine.begin() as connection:
            results = [connection.execute(sa.text(s)) for s in statements]
            return [tuple(r) for r in results[-1]] if results[-1].returns_rows else []
    finally:
        engine.dispose()


def set_version(url: str, version: str) -> None:
    run(url, f"UPDATE rover_meta SET value = '{version}' WHERE key = 'schema_version'")


def contents(url: str) -> dict[str, object]:
    """Every table, its columns and its rows."""
    engine = sa.create_engine(url)
    try:
        found = sa.inspect(engine)
        columns = {t: [c["name"] for c in found.get_columns(t)] for t in found.get_table_names()}
    finally:
        engine.dispose()
    return {t: (names, run(url, f"SELECT * FROM {t}")) for t, names in columns.items()}


def test_a_database_opened_twice_keeps_everything(url: str) -> None:
    for attempt in range(2):
        engine = open_database(url)
        store = Store(engine)
        store.project("p1", "/repo")
        if attempt == 0:
            store.create_task(new_task(), frozenset())
        assert [t.number for t in store.list_tasks()] == [1]
        engine.dispose()
    assert run(url, "SELECT value FROM rover_meta") == [(str(schema.SCHEMA_VERSION),)]


def test_data_of_a_newer_version_are_refused_and_left_untouched(url: str) -> None:
    """A3, issue 2: with both versions and what to do."""
    engine = open_database(url)
    store = Store(engine)
    store.project("p1", "/repo")
    store.create_task(new_task(), frozenset())
    engine.dispose()
    newer = schema.SCHEMA_VERSION + 1
    set_version(url, str(newer))
    run(url, "DROP TABLE rover_acknowledgements", "CREATE TABLE rover_new (x INTEGER)")
    before = contents(url)
    with pytest.raises(EnvironmentFault, match=f"schema {newer}; this program knows") as caught:
        open_database(url)
    assert caught.value.code == "newer_data"
    assert "update rover-mcp" in str(caught.value.hint)
    assert contents(url) == before


@pytest.mark.parametrize("version", ["", "-1", "one", "1.5"])
def test_a_damaged_version_is_a_clear_error(url: str, version: str) -> None:
    """A1: never taken for some version."""
    open_database(url).dispose()
    set_version(url, version)
    with pytest.raises(EnvironmentFault, match="schema version is damaged") as caught:
        open_database(url)
    assert caught.value.code == "data_folder"


def test_older_data_are_migrated_step_by_step_and_once(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A3."""
    open_database(url).dispose()
    ran: list[int] = []

    def step(number: int) -> Callable[[sa.Connection], None]:
        return lambda _: ran.append(number)

    monkeypatch.setattr(schema, "SCHEMA_VERSION", 3)
    monkeypatch.setattr(migrations, "MIGRATIONS", {2: step(2), 3: step(3)})
    for _ in range(2):
        open_database(url).dispose()
    assert ran == [2, 3]
    assert run(url, "SELECT value FROM rover_meta") == [("3",)]


def test_a_migration_that_fails_leaves_the_old_version(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A3: one transaction for all of it."""
    open_database(url).dispose()
    before = contents(url)

    def broken(connection: sa.Connection) -> None:
        connection.execute(sa.text("CREATE TABLE rover_half (x INTEGER)"))
        connection.execute(sa.text("SELECT * FROM rover_nowhere"))

    monkeypatch.setattr(schema, "SCHEMA_VERSION", 2)
    monkeypatch.setattr(migrations, "MIGRATIONS", {2: broken})
    with pytest.raises(EnvironmentFault, match="the database cannot be used"):
        open_database(url)
    assert contents(url) == before
