"""Moments that a test waits for, set in the daemon's database, as if hours or days had passed. However
slow the machine is, such a moment does not come before the test wants it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.e2e.processes import wait_until
from tests.support.hangs import HANG_SECONDS

ANY_TASK = "%"


def its_time_comes(home: Path, task: str) -> None:
    """A paused task resumes automatically; ANY_TASK: the only one that will."""
    query = """UPDATE workflow_status SET delay_until_epoch_ms = 1
               WHERE status = 'DELAYED' AND workflow_uuid LIKE ?"""
    name = f"attempt-{task}-%"
    wait_until(lambda: changed(home, query, name) == 1, f"task {task} has a timer")


def its_account_opens(home: Path, account: str) -> None:
    """The hold of an account has come to its end."""
    held = "UPDATE rover_holds SET until = 1 WHERE account = ?"
    assert changed(home, held, account) == 1, f"{account} is held"
    timer = """UPDATE workflow_status SET delay_until_epoch_ms = 1
               WHERE status = 'DELAYED' AND workflow_uuid LIKE ?"""
    wait_until(lambda: changed(home, timer, f"hold-{account}-%") > 0, f"{account} has a timer")


def its_trash_days_pass(home: Path, task: str) -> None:
    """A deleted task has been in the trash for as long as it is kept there."""
    query = "UPDATE rover_deletions SET deleted_at = 1 WHERE task_id = ?"
    assert changed(home, query, task) == 1, f"task {task} is in the trash"


def changed(home: Path, query: str, *values: str | float) -> int:
    """How many rows of the data folder a change was made to."""
    with closing(sqlite3.connect(home / "rover.db", timeout=HANG_SECONDS)) as database, database:
        return database.execute(query, values).rowcount
