"""Damage to one record is that task's: it is shown, it can be removed, and stops no other."""

from __future__ import annotations

import functools
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from rover_mcp.store.damaged_records import DamagedRecord
from rover_mcp.store.records import TaskRow
from tests.crash import damage as d
from tests.support.desk import ServerHarness, open_desk

EXAMPLES = int(os.environ.get("ROVER_DAMAGE_EXAMPLES", "80"))
"""Damaged values. Several tasks of a database have one each, since starting, asking and looking
again take far longer than one more damage."""

Damage = tuple[str, str, Any]
"""Table, column and value."""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="rover-damage-", dir="/dev/shm"))
    yield made
    shutil.rmtree(made)


@functools.cache
def sound(folder: Path) -> tuple[bytes, sa.Engine]:
    """A database in which every column of every table holds something, and what opened it."""
    path = folder / "made.db"
    d.loosened(path)
    with open_desk(folder, path.read_bytes()) as desk:
        d.populate(desk.store, desk.engine, desk.repo)
    return (folder / "home" / "rover.db").read_bytes(), desk.engine


def lay(folder: Path) -> None:
    """The sound database, in place of the one before."""
    content, _ = sound(folder)
    for old in (folder / "home").glob("rover.db*"):
        old.unlink()
    (folder / "home" / "rover.db").write_bytes(content)


def opened(folder: Path, *, anew: bool = False) -> AbstractContextManager[ServerHarness]:
    """A desk on the database as it lies there. What was compiled once is compiled (it takes as
    long as all the rest) unless the database is to be opened anew, as a daemon does."""
    content = (folder / "home" / "rover.db").read_bytes()
    return open_desk(folder, content, None if anew else sound(folder)[1])


def survives(folder: Path, damages: Sequence[Damage], *, anew: bool = False) -> int:
    """The whole of it; each damage is another victim's."""
    lay(folder)
    done = [
        victim
        for victim, (table, column, value) in zip(d.VICTIMS, damages, strict=False)
        if d.damage(folder / "home" / "rover.db", table, column, value, victim)
    ]
    with opened(folder, anew=anew) as desk:
        bystander = desk.store.tasks.get(d.BYSTANDER)
        d.ask_everything(desk)
        made = d.create(desk)
        sound = {row.id for row in desk.store.tasks.page(limit=100) if isinstance(row, TaskRow)}
        assert sound >= {d.BYSTANDER, made.id}
        for victim in done:
            d.act_on_victim(desk, victim)
            d.delete_victim(desk, victim)
        d.ask_everything(desk)
        after = desk.store.tasks.get(d.BYSTANDER)
        assert bystander is not None
        assert after is not None
        assert (after.status, after.run_state) == (bystander.status, bystander.run_state)
    return len(done)


@settings(
    max_examples=max(1, EXAMPLES // len(d.VICTIMS)),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(damages=st.tuples(*[st.tuples(st.sampled_from(d.COLUMNS), d.values)] * len(d.VICTIMS)))
def test_no_value_in_any_column_stops_another_task(
    folder: Path, damages: tuple[tuple[tuple[str, str], Any], ...]
) -> None:
    """U7, L6. Succeeded at 700cc57: a text that is no JSON in one task's `inputs`, or one that is
    not UTF-8, ended list_tasks, the sweep and the daemon for all."""
    taken = survives(folder, [(*place, value) for place, value in damages])
    event(f"the database takes {taken} of the values")


PLAIN = ("garbage", b"\xff", d.NOT_UTF8, 2**63 - 1)


@pytest.mark.parametrize("table", sorted({table for table, _ in d.COLUMNS}))
def test_each_column_can_hold_what_it_should_not(folder: Path, table: str) -> None:
    """U7."""
    columns = [column for name, column in d.COLUMNS if name == table]
    damages = [(table, c, v) for c, v in zip(columns, itertools.cycle(PLAIN), strict=False)]
    # Where a row is nobody's, each damage alone: together they would be in one row.
    at_once = len(d.VICTIMS) if table in d.KEYED else 1
    for first in range(0, len(damages), at_once):
        survives(folder, damages[first : first + at_once], anew=True)


def the_damaged(desk: ServerHarness) -> DamagedRecord:
    (damaged,) = desk.tasks.list(desk.caller, (), None, None, None)[2]
    return damaged


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("status", "SLEEPING"), ("inputs", "{"), ("title", d.NOT_UTF8), ("created_at", "soon"),
        ("run_state", '{"steps": 1}'), ("number", "one"), ("project_id", "../x"),
        ("warnings", "NaN"), ("config", "[" * 100_000), ("auto_resume", "perhaps"),
        ("started_at", float("inf")), ("iteration", -1), ("pause", b"\x00"),
    ],
)  # fmt: skip
def test_a_damaged_task_is_listed_with_what_is_damaged_and_the_next_call(
    folder: Path, column: str, value: Any
) -> None:
    """U7, A1."""
    lay(folder)
    assert d.damage(folder / "home" / "rover.db", "rover_tasks", column, value)
    with opened(folder) as desk:
        listed = the_damaged(desk)
        with pytest.raises(DamagedRecord) as inspected:
            desk.tasks.finder.find(desk.caller, d.VICTIM)
    for damaged in (listed, inspected.value):
        assert column in damaged.message
        assert damaged.next_call == {"tool": "delete_task", "arguments": {"task": d.VICTIM}}
        assert "rover doctor --repair" in str(damaged.hint)
        assert damaged.task is not None
        assert damaged.task.number == (None if column == "number" else 1)
