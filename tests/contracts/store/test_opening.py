"""Opening a database creates it, migrates it, or refuses it and leaves it alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.store import migrations, store_tables
from rover_mcp.store.migrations import open_database
from rover_mcp.store.store import Store
from tests.support.samples import new_task


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
        store.projects.register("p1", "/repo")
        if attempt == 0:
            store.tasks.create(new_task(), frozenset())
        assert [t.number for t in store.tasks.page()] == [1]
        engine.dispose()
    assert run(url, "SELECT value FROM rover_meta") == [(str(store_tables.SCHEMA_VERSION),)]


def test_data_of_a_newer_version_are_refused_and_left_untouched(url: str) -> None:
    """A3: the error names both versions and what to do."""
    engine = open_database(url)
    store = Store(engine)
    store.projects.register("p1", "/repo")
    store.tasks.create(new_task(), frozenset())
    engine.dispose()
    newer = store_tables.SCHEMA_VERSION + 1
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
    """A1: it is never taken for some version."""
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

    next_ones = [store_tables.SCHEMA_VERSION + 1, store_tables.SCHEMA_VERSION + 2]
    monkeypatch.setattr(store_tables, "SCHEMA_VERSION", next_ones[-1])
    monkeypatch.setattr(migrations, "MIGRATIONS", {n: step(n) for n in next_ones})
    for _ in range(2):
        open_database(url).dispose()
    assert ran == next_ones
    assert run(url, "SELECT value FROM rover_meta") == [(str(next_ones[-1]),)]


def test_a_migration_that_fails_leaves_the_old_version(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A3: all migrations run in one transaction."""
    open_database(url).dispose()
    before = contents(url)

    def broken(connection: sa.Connection) -> None:
        connection.execute(sa.text("CREATE TABLE rover_half (x INTEGER)"))
        connection.execute(sa.text("SELECT * FROM rover_nowhere"))

    newer = store_tables.SCHEMA_VERSION + 1
    monkeypatch.setattr(store_tables, "SCHEMA_VERSION", newer)
    monkeypatch.setattr(migrations, "MIGRATIONS", {newer: broken})
    with pytest.raises(EnvironmentFault, match="the database cannot be used"):
        open_database(url)
    assert contents(url) == before


BASE = Path(__file__).parents[2] / "data" / "schema"
"""What the oldest version that can be opened makes, as it makes it: never edited, so that whatever
version comes later shows here that it migrates it."""

PAUSE = (
    '{"reason": "credits", "message": "no credits", "since": "2026-11-23T12:00:00Z", '
    '"step": "plan", "provider": "anthropic", "account": null, "retry_at": null}'
)


def write_base_version(url: str) -> None:
    """A data folder as the base version leaves it: one task, paused, that is resumed at 2000."""
    kind = "sqlite" if url.startswith("sqlite") else "postgresql"
    tables = (BASE / f"version-{store_tables.BASE_VERSION}-{kind}.sql").read_text("utf-8")
    task = {
        "id": "t", "project_id": "p1", "project_path": "/repo", "number": 1, "title": "Fix",
        "description": "Fix", "status": "PAUSED", "branch": "rover/1-fix", "base_commit": "c" * 40,
        "workflow": "swe", "agent": "claude", "engine": "docker", "inputs": "{}",
        "gateway_token": "x", "iteration": 1, "attempt": 1, "auto_retries": 2, "created_at": 1.0,
        "updated_at": 1.0, "started_at": 1.0, "paused_at": 2.0, "pause": PAUSE,
        "retry_at": 2000.0, "warnings": "[]",
    }  # fmt: skip
    names = ", ".join(task)
    values = ", ".join(f"'{v}'" if isinstance(v, str) else str(v) for v in task.values())
    columns = "task_id, attempt, iteration, workflow_id, state, sandbox, created_at"
    run(
        url,
        *(text.replace(":", "\\:") for text in tables.split(";\n") if text.strip()),
        f"INSERT INTO rover_meta VALUES ('schema_version', '{store_tables.BASE_VERSION}')",
        "INSERT INTO rover_projects VALUES ('p1', '/repo', 2, 1.0)",
        f"INSERT INTO rover_tasks ({names}, auto_resume) VALUES ({values}, true)".replace(
            '": ', '"\\: '
        ).replace("12:00:00Z", "12\\:00\\:00Z"),
        f"INSERT INTO rover_attempts ({columns}) VALUES ('t', 1, 1, 'attempt-t-1', 'ended', 's', 1)",
        f"INSERT INTO rover_attempts ({columns}) "
        "VALUES ('t', 2, 1, 'attempt-t-2', 'scheduled', 's', 2)",
    )


def test_a_task_of_the_base_version_is_still_paused_and_scheduled(url: str) -> None:
    """A3, K1: it can be resumed, held and switched off."""
    write_base_version(url)
    engine = open_database(url)
    store = Store(engine, now=lambda: 2000.0)
    task = store.tasks.get("t")
    assert task is not None
    assert (task.status, task.retry_at, task.auto_retries) == ("PAUSED", 2000.0, 2)
    assert task.pause is not None
    assert task.pause.message == "no credits"
    assert (task.agents, task.budget, task.account) == (None, None, None)
    assert store.holds.all() == []
    assert store.switches.off_for(task) is None
    assert store.claims.start("t", 2, "attempt-t-2", account="anthropic-1") is not None
    engine.dispose()
    assert run(url, "SELECT value FROM rover_meta") == [(str(store_tables.SCHEMA_VERSION),)]


@pytest.mark.parametrize("version", [0, 1, store_tables.BASE_VERSION - 1])
def test_data_from_before_the_first_release_are_refused_and_left_untouched(
    url: str, version: int
) -> None:
    """A3."""
    write_base_version(url)
    set_version(url, str(version))
    before = contents(url)
    oldest = store_tables.BASE_VERSION
    with pytest.raises(
        EnvironmentFault, match=f"schema {version};.* reads schema {oldest}"
    ) as caught:
        open_database(url)
    assert caught.value.code == "older_data"
    assert "ROVER_HOME=/path" in str(caught.value.hint)
    assert contents(url) == before


def test_each_version_after_the_base_has_a_migration() -> None:
    versions = range(store_tables.BASE_VERSION + 1, store_tables.SCHEMA_VERSION + 1)
    assert [*migrations.MIGRATIONS] == [*versions]


def test_a_migrated_database_has_what_a_new_one_has(
    url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A3."""
    write_base_version(url)
    open_database(url).dispose()
    is_sqlite = url.startswith("sqlite")
    new = (
        f"sqlite:///{tmp_path / 'new.db'}"
        if is_sqlite
        else request.getfixturevalue("cluster").new_database()
    )
    open_database(new).dispose()

    def columns(where: str) -> dict[str, dict[str, str]]:
        engine = sa.create_engine(where)
        found = sa.inspect(engine)
        tables = {
            t: {c["name"]: str(c["type"]) for c in found.get_columns(t)}
            for t in found.get_table_names()
        }
        engine.dispose()
        return tables

    assert columns(url) == columns(new)
