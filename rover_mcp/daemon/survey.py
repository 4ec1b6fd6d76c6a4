"""Compares the tasks' records with their files, for `rover doctor`, which changes nothing.

Looked at beside the daemon, and without it, since one that cannot read its database does not start.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sized
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from rover_mcp.config.load_settings import load_settings
from rover_mcp.control.queue_tables import unusable
from rover_mcp.domain.errors import RoverError
from rover_mcp.domain.paths import TaskFolders, project_folder, warm_sandbox_markers
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.store import store_tables
from rover_mcp.store.damaged_records import DamagedRecord
from rover_mcp.store.migrations import read_only
from rover_mcp.store.record_reading import task_row
from rover_mcp.store.records import TaskRow

DATABASE = "rover.db"
REPAIR = "no task is lost: rover doctor --repair rebuilds what is missing or damaged"
_HELPS = {
    "and no hub": "a hub that is gone is made again when a task needs it",
    "and no files": "a record without files is removed by rover delete N (rover doctor --repair "
    "names it)",
    "and no journal": "what a finished task made is kept, what its steps did is lost with its "
    "journal; rover delete N removes it",
}
"""What helps if `--repair` does not, by the end of a line of the survey."""
_FINISHED = frozenset((TaskStatus.COMPLETED, TaskStatus.MERGED, TaskStatus.PUSHED))
Attempts = Mapping[str, int]


def survey(home: Path) -> list[str]:
    """A line for each thing that does not agree; none if all is well."""
    begun = attempts_on_disk(home)
    shared = load_settings(home).database
    if shared is None:
        if not (home / DATABASE).exists():
            return [f"the database is gone, and {_tasks(begun)} files"] if begun else []
        if why := unreadable(home / DATABASE):
            return [f"the database cannot be read: {why}"]
    engine = read_only(shared or f"sqlite:///{home / DATABASE}")
    try:
        return [*_queue(engine), *_compare(home, begun, engine)]
    except SQLAlchemyError as error:
        why = str(getattr(error, "orig", error)).partition("\n")[0]
        return [f"the database cannot be asked: {why}"]
    finally:
        engine.dispose()


def what_helps(line: str) -> str:
    """What to do about a line of the survey."""
    return next((helps for end, helps in _HELPS.items() if line.endswith(end)), REPAIR)


def _queue(engine: sa.Engine) -> Iterator[str]:
    if why := unusable(engine):
        yield f"no task can be started: the tables of the queue (DBOS) cannot be used: {why}"


def attempts_on_disk(home: Path) -> Attempts:
    """Return the newest attempt of each task that has a specification. A sandbox that was started
    ahead waits under a task's id, and is not a task yet."""
    waiting = {path.name for path in warm_sandbox_markers(home).glob("*")}
    attempts: dict[str, int] = {}
    for spec in (home / "tasks").glob("*/iterations/*/spec-*/spec.json"):
        name, attempt = spec.parents[3].name, spec.parent.name.removeprefix("spec-")
        if name not in waiting and attempt.isdecimal():
            attempts[name] = max(attempts.get(name, 0), int(attempt))
    return attempts


def unreadable(path: Path, wait: float = 30) -> str | None:
    """Why SQLite cannot read a database; None if it can, or if that is not known now."""
    try:
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=wait)
    except sqlite3.Error as error:
        return str(error)
    try:
        checked = database.execute("PRAGMA quick_check(1)").fetchone()
        return None if checked == ("ok",) else str(checked[0])
    except sqlite3.DatabaseError as error:
        return None if is_passing(error) else str(error)
    finally:
        database.close()


def is_passing(error: sqlite3.Error) -> bool:
    """Whether an error is about another program or the disk's space rather than the database."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL)


def _compare(home: Path, begun: Attempts, engine: sa.Engine) -> Iterator[str]:
    missing = set(store_tables.metadata.tables) - set(sa.inspect(engine).get_table_names())
    if store_tables.tasks.name in missing:
        if begun:
            yield f"the database has no tasks, and {_tasks(begun)} files"
        return
    if missing:
        yield f"the database lacks {', '.join(sorted(missing))}"
    rows: dict[str, TaskRow] = {}
    damaged: set[str] = set()
    unknown = 0
    with engine.connect() as connection:
        for row in connection.execute(sa.select(store_tables.tasks)):
            try:
                rows[row.id] = task_row(row)
            except DamagedRecord as error:
                known = error.task.id if error.task else None
                unknown += known is None
                damaged |= {known} if known else set()
    if lost := begun.keys() - rows.keys() - damaged:
        yield f"{_tasks(lost)} files and no record"
    if count := len(damaged) + unknown:
        yield f"{_tasks(range(count))} a damaged record"
    if old := [name for name, row in rows.items() if begun.get(name, 0) > row.attempt]:
        yield f"{_tasks(old)} a record that is older than its files"
    yield from _without_files(home, list(rows.values()))


def _without_files(home: Path, rows: list[TaskRow]) -> Iterator[str]:
    gone = [row for row in rows if lacks_files(home, row)]
    if gone:
        yield f"{_tasks(gone)} a record and no files"
    ran = [row for row in rows if row.status in _FINISHED and row not in gone]
    if lost := [r for r in ran if not TaskFolders(home, r.id, r.iteration).journal.exists()]:
        yield f"{_tasks(lost)} a record that says finished, and no journal"
    kept = {row.project_id for row in rows if row.run_state and row.run_state.snapshot}
    hubs = [name for name in kept if not (project_folder(home, name) / "hub.git").is_dir()]
    if hubs:
        projects = "1 project has" if len(hubs) == 1 else f"{len(hubs)} projects have"
        yield f"{projects} tasks with checkpoints, and no hub"


def lacks_files(home: Path, row: TaskRow) -> bool:
    """Whether nothing is left of a task but its record."""
    folder = TaskFolders(home, row.id, row.iteration).root
    return row.status is not TaskStatus.NEW and not folder.exists()


def _tasks(some: Sized) -> str:
    count = len(some)
    return "1 task has" if count == 1 else f"{count} tasks have"


def main() -> int:
    """`python -m rover_mcp.daemon.survey HOME`: prints what does not agree and what helps, or why
    that is not known, as JSON."""
    try:
        report = survey(Path(sys.argv[1]))
    except RoverError as error:
        print(json.dumps({"message": error.message, "hint": error.hint, "code": error.code}))
        return 1
    print(json.dumps([[line, what_helps(line)] for line in report]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
