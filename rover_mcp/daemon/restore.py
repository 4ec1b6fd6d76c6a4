"""`rover restore`: makes a backup the data folder, and keeps the former one beside it.

The backup is unpacked and checked beside the data folder, and takes its place by a rename. A task
that ran when the backup was made is paused, as after a power cut, and waits for its user.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent_runner.journal.journal import is_locked
from agent_runner.models import Pause, PauseReason
from rover_mcp.daemon.backup import PREFIX
from rover_mcp.daemon.backup_archive import DATABASE, bad, count_tasks, unpack
from rover_mcp.daemon.daemon_lock import hold_alone, hold_lock
from rover_mcp.daemon.offline_program import print_outcome
from rover_mcp.daemon.survey import unreadable
from rover_mcp.domain.attempt_state import OPEN, AttemptState
from rover_mcp.domain.errors import Conflict, EnvironmentFault, NotFound
from rover_mcp.domain.task_status import RUNNING, Event
from rover_mcp.store import store_tables
from rover_mcp.store.migrations import database_url, open_database
from rover_mcp.store.rebuild import Rebuilds
from rover_mcp.store.records import TaskRow
from rover_mcp.store.store import Store

_OURS = frozenset(("daemon.lock", "daemon.log", ".doctor"))
"""The names in a data folder that was never used."""
RAN = "it was running when the backup was made; its work is kept up to that moment"


def restore(home: Path, source: Path) -> dict[str, Any]:
    """Restore a backup while no daemon and no sandbox works in the data folder; return what was
    done.

    Raises:
        RoverError: something works there, the backup is refused, or there is no room.
    """
    source = _archive(source)
    home = home.resolve()
    with hold_alone(home, "restored into"):
        _refuse_sandboxes(home)
        staging = home.with_name(f".{home.name}.restoring-{secrets.token_hex(4)}")
        try:
            # A daemon may start the moment that the folders are exchanged: it finds the new one's
            # lock held until all is done.
            lock = hold_lock(staging)
            try:
                done = _prepare(source, staging)
                kept = _exchange(home, staging)
            finally:
                os.close(lock)
        except BaseException:
            # Ctrl-C included: a half-made folder with all tasks in it would fill the disk.
            shutil.rmtree(staging, ignore_errors=True)
            raise
    return {"home": str(home), "file": str(source), "kept": kept and str(kept), **done}


def _archive(source: Path) -> Path:
    """The backup that is named; in a folder, the newest that `rover backup` made there."""
    if source.is_dir():
        archives = sorted(source.glob(f"{PREFIX}*.tar"))
        if not archives:
            raise NotFound(
                f"{source} holds no file {PREFIX}TIME.tar", hint="name the backup's file"
            )
        source = archives[-1]
    if not source.is_file():
        raise NotFound(f"there is no file {source}", hint="name a file that `rover backup` made")
    return source.resolve()


def _refuse_sandboxes(home: Path) -> None:
    """Refuse while a sandbox runs: it outlives the daemon, and would write into restored tasks."""
    for run in (home / "tasks").glob("*/iterations/*/run"):
        with suppress(PermissionError):
            if not is_locked(run):
                continue
            raise Conflict(
                f"the sandbox of task {run.parents[2].name} still runs in this data folder",
                hint="pause it (rover pause), or let it end, then end the daemon and try again",
                code="sandbox_runs",
            )


def _prepare(source: Path, staging: Path) -> dict[str, Any]:
    """Make a data folder of the backup, ready to be used."""
    about, entries = unpack(source, staging)
    done: dict[str, Any] = {
        "made_at": about.made_at,
        "database": about.database,
        "tasks": count_tasks(entries),
        "paused": [],
        "missing_repositories": [],
    }
    if about.schema_version > store_tables.SCHEMA_VERSION:
        raise bad(source, f"a newer version made it ({about.version}): update rover-mcp")
    if about.schema_version < store_tables.BASE_VERSION:
        raise bad(source, f"it was made before the first release ({about.version})")
    if about.database == "sqlite":
        done |= _settle(source, staging)
    os.sync()
    return done


def _settle(source: Path, staging: Path) -> dict[str, Any]:
    """Open the database as it will be used, and pause what ran."""
    if why := unreadable(staging / DATABASE):
        raise bad(source, f"its database cannot be read: {why}")
    engine = open_database(database_url(staging))
    try:
        store = Store(engine)
        tasks = Rebuilds(store).readable()
        ran = [task for task in tasks if task.status in RUNNING]
        ended = [name for task in ran for name in _pause(store, task)]
        store.checkpoint()
    finally:
        engine.dispose()
    _forget_workflows(staging / DATABASE, ended)
    missing = sorted({t.project_path for t in tasks if not Path(t.project_path).exists()})
    interrupted = [{"id": t.id, "number": t.number, "title": t.title} for t in ran]
    return {"tasks": len(tasks), "paused": interrupted, "missing_repositories": missing}


def _pause(store: Store, task: TaskRow) -> Iterator[str]:
    """Pause a task that ran, and yield the names of the workflows of its attempts."""
    pause = Pause(reason=PauseReason.INTERRUPTED, message=RAN, since=datetime.now(UTC))
    data = pause.model_dump(mode="json")
    store.transitions.apply(task.id, Event.PAUSE, data=data, pause=pause, retry_at=None)
    for attempt in store.attempts.in_states(OPEN):
        if attempt.task_id == task.id:
            store.attempts.move(
                task.id, attempt.attempt, OPEN, state=AttemptState.ENDED, ended_at=time.time(),
                detail=RAN,
            )  # fmt: skip
            yield attempt.workflow_id


def _forget_workflows(path: Path, names: list[str]) -> None:
    """Cancel the workflows of attempts that ended: DBOS would otherwise recover them."""
    with closing(sqlite3.connect(path)) as database, suppress(sqlite3.OperationalError):
        database.executemany(
            "UPDATE workflow_status SET status = 'CANCELLED' WHERE workflow_uuid = ?",
            [(name,) for name in names],
        )
        database.commit()


def _exchange(home: Path, staging: Path) -> Path | None:
    """Put the new folder in place of the old one, and return where the old one is kept."""
    names = {path.name for path in home.iterdir()}
    kept = None if names <= _OURS else _free(home)
    try:
        if kept is None:
            for name in names:
                (home / name).unlink()
            home.rmdir()
        else:
            home.rename(kept)
    except OSError as error:
        raise _cannot_exchange(home, error) from error
    try:
        staging.rename(home)
    except OSError as error:
        with suppress(OSError):
            (kept or home).rename(home)
        raise _cannot_exchange(home, error) from error
    return kept


def _cannot_exchange(home: Path, error: OSError) -> EnvironmentFault:
    return EnvironmentFault(
        f"the restored folder cannot take the place of {home}: {error.strerror}",
        hint="end what starts daemons there; a mount point cannot be renamed, so name a folder "
        "in it (ROVER_HOME, --home)",
        code="restore_failed",
    )


def _free(home: Path) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    name = f"{home.name}.before-restore-{stamp}"
    number = 1
    while os.path.lexists(kept := home.with_name(name)):
        number += 1
        name = f"{home.name}.before-restore-{stamp}-{number}"
    return kept


def main() -> int:
    """`python -m rover_mcp.daemon.restore HOME SOURCE`: prints what was done, or why not, as
    JSON."""
    return print_outcome(lambda: restore(Path(sys.argv[1]), Path(sys.argv[2])))


if __name__ == "__main__":
    sys.exit(main())
