"""The moment for which a task or an account waits is now: it is set so in the daemon's database, as if
the hours had passed. However slow the machine is, the moment does not come before a test wants it."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from tests.e2e.processes import wait_until


def its_time_comes(home: Path, task: str) -> None:
    """A paused task resumes automatically."""
    query = """UPDATE workflow_status SET delay_until_epoch_ms = 1
               WHERE status = 'DELAYED' AND workflow_uuid LIKE ?"""
    name = f"attempt-{task}-%"
    wait_until(lambda: changed(home, query, name) == 1, f"task {task} has a timer")


def account_opens(home: Path, account: str) -> None:
    """The hold of an account, and the reports of tasks that it is closed, have reached their end."""
    query = "UPDATE rover_holds SET until = ? WHERE account = ?"
    assert changed(home, query, time.time() - 1, account) == 1, f"{account} is held"


def changed(home: Path, query: str, *values: str | float) -> int:
    """How many rows of the data folder a change was made to."""
    with closing(sqlite3.connect(home / "rover.db", timeout=120)) as database, database:
        return database.execute(query, values).rowcount
