"""Moments that a test waits for, set in the daemon's database, as if hours or days had passed. However
slow the machine is, such a moment does not come before the test wants it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.e2e.processes import wait_until
from tests.support.hangs import HANG_SECONDS

ANY_TASK = ANY_ACCOUNT = "%"
_FIRE = """UPDATE workflow_status SET delay_until_epoch_ms = 1
           WHERE status = 'DELAYED' AND workflow_uuid LIKE ?"""


def its_time_comes(home: Path, task: str) -> None:
    """A paused task resumes automatically; ANY_TASK: the only one that will. Where it waits for an
    account, no other account is held."""

    def fires() -> bool:
        held = "SELECT 1 FROM rover_attempts WHERE state = 'held' AND task_id LIKE ?"
        if _found(home, held, task):
            its_account_opens(home, ANY_ACCOUNT)
            return True
        return changed(home, _FIRE, f"attempt-{task}-%") == 1

    wait_until(fires, f"task {task} has a timer")


def its_account_opens(home: Path, account: str) -> None:
    """The hold of an account has come to its end. Its timer is set soon after the pause: it is
    waited for, as an end that has passed gets none."""
    timer = f"hold-{account}-%"
    waits = "SELECT 1 FROM workflow_status WHERE status = 'DELAYED' AND workflow_uuid LIKE ?"
    wait_until(lambda: _found(home, waits, timer), f"{account} has a timer")
    held = "UPDATE rover_holds SET until = 1 WHERE account LIKE ?"
    assert changed(home, held, account) == 1, f"{account} is held"
    assert changed(home, _FIRE, timer) == 1, f"{account} has one timer"


def its_trash_days_pass(home: Path, task: str) -> None:
    """A deleted task has been in the trash for as long as it is kept there."""
    query = "UPDATE rover_deletions SET deleted_at = 1 WHERE task_id = ?"
    assert changed(home, query, task) == 1, f"task {task} is in the trash"


def changed(home: Path, query: str, *values: str | float) -> int:
    """How many rows of the data folder a change was made to."""
    with closing(sqlite3.connect(home / "rover.db", timeout=HANG_SECONDS)) as database, database:
        return database.execute(query, values).rowcount


def _found(home: Path, query: str, *values: str) -> bool:
    with closing(sqlite3.connect(home / "rover.db", timeout=HANG_SECONDS)) as database:
        return database.execute(query, values).fetchone() is not None
