"""Damage to one record is that task's on PostgreSQL too, which takes fewer values than SQLite."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from rover_mcp.store import store_tables
from rover_mcp.store.migrations import open_database
from tests.crash import damage as d
from tests.support.desk import ServerHarness, open_desk
from tests.support.postgres import Cluster

T = store_tables.tasks


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerHarness]:
    cluster = Cluster()
    cluster.start()
    engine = open_database(cluster.new_database())
    with open_desk(tmp_path_factory.mktemp("desk"), None, engine) as made:
        d.populate(made.store, made.engine, made.repo)
        yield made
    engine.dispose()
    cluster.stop()


def put(desk: ServerHarness, column: str, value: Any) -> None:
    """Write into the victim's record as any program could."""
    what = "CAST(:value AS JSON)" if isinstance(T.c[column].type, sa.JSON) else ":value"
    update = sa.text(f"UPDATE rover_tasks SET {column} = {what} WHERE id = :id")
    with desk.engine.begin() as connection:
        connection.execute(update, {"value": value, "id": d.VICTIM})


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("status", "SLEEPING"), ("inputs", "[1]"), ("run_state", '{"steps": 1}'), ("number", -5),
        ("warnings", '"x"'), ("config", '{"image": 7}'), ("started_at", float("inf")),
        ("iteration", -1), ("pause", '{"reason": "bored"}'), ("title", ""),
        ("created_at", float("nan")), ("budget", "[]"), ("agents", "{}"),
    ],
)  # fmt: skip
def test_no_value_in_a_column_stops_another_task(
    desk: ServerHarness, column: str, value: Any
) -> None:
    """U7. Only SQLite was tried."""
    with desk.engine.connect() as connection:
        before = connection.execute(sa.select(T.c[column]).where(T.c.id == d.VICTIM)).scalar()
    put(desk, column, value)
    d.ask_everything(desk)
    is_json = isinstance(T.c[column].type, sa.JSON)
    put(desk, column, json.dumps(before) if is_json else before)
    assert desk.store.tasks.get(d.VICTIM) is not None
