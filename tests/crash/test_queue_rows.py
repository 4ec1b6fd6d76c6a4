"""What one task has in the queue's tables is damaged: every other task goes on."""

from __future__ import annotations

import itertools
import sqlite3
import time
from pathlib import Path

import pytest

from rover_mcp.domain.task_status import Event, TaskStatus
from rover_mcp.store.migrations import database_url
from tests.support.planes import Plane, eventually, open_plane
from tests.support.samples import pause

NOT_UTF8 = "CAST(x'ff' AS TEXT)"
DAMAGE = (
    f"workflow_uuid = {NOT_UTF8}", "workflow_uuid = x'ff'", f"name = {NOT_UTF8}",
    f"inputs = {NOT_UTF8}", "status = x'00'", "status = 'SLEEPING'", "created_at = 'x'",
    "delay_until_epoch_ms = 'x'", "priority = 'x'", "queue_name = NULL", "inputs = '{'",
)  # fmt: skip

STATES = ("ENQUEUED", "PENDING")
"""Of one that waits for its turn, and of one that was at work when the daemon died."""


def waiting(plane: Plane) -> str:
    """A task that goes on in an hour; its attempt waits in the queue."""
    task_id = plane.create(enqueue=False)
    plane.store.transitions.apply(
        task_id,
        Event.PAUSE,
        schedule=True,
        data=pause().model_dump(mode="json"),
        pause=pause(),
        retry_at=time.time() + 3600,
    )
    plane.plane.reconcile()
    assert plane.workflow(task_id, 2) == "DELAYED"
    return task_id


def harm(home: Path, statement: str) -> None:
    with sqlite3.connect(home / "rover.db", timeout=300) as database:
        database.execute(statement)
    database.close()


def damage(home: Path, task_id: str, change: str, state: str) -> None:
    # At once: a queue that is being read would take it in between. The last of two values counts.
    what = f"status = '{state}', delay_until_epoch_ms = NULL, {change}"
    harm(home, f"UPDATE workflow_status SET {what} WHERE workflow_uuid = 'attempt-{task_id}-2'")


# A worker of the queue that reads a damaged row before it is repaired ends, and DBOS starts another.
@pytest.mark.filterwarnings(
    "ignore:Exception in thread queue-worker:pytest.PytestUnhandledThreadExceptionWarning"
)
def test_what_one_task_has_in_the_queue_stops_no_other(tmp_path: Path) -> None:
    """U7, L6. One identifier that is not UTF-8 kept every task waiting: the queue is read in one
    go."""
    home = tmp_path / "home"
    with open_plane(home, database_url(home)) as plane:
        victims = [waiting(plane) for _ in DAMAGE]
    for victim, change, state in zip(victims, DAMAGE, itertools.cycle(STATES), strict=False):
        damage(home, victim, change, state)
    harm(home, "UPDATE queues SET polling_interval_sec = 'x', name = x'ff'")
    harm(home, f"INSERT INTO application_versions SELECT {NOT_UTF8}, 'x', 0, 'x', {NOT_UTF8}")
    (home / "tasks").rmdir()
    with open_plane(home, database_url(home)) as plane:
        plane.reaches(plane.create(), TaskStatus.COMPLETED)
        plane.plane.reconcile()
        for change, victim in zip(DAMAGE, victims, strict=True):
            # What cannot be read is enqueued again, to wait for its time.
            if change.startswith(("workflow_uuid", "status")):
                assert plane.workflow(victim, 2) == "DELAYED", change

        fresh = waiting(plane)
        damage(home, fresh, f"workflow_uuid = {NOT_UTF8}", "ENQUEUED")
        harm(home, "UPDATE queues SET worker_concurrency = 'x'")
        plane.plane.reconcile()
        plane.reaches(plane.create(), TaskStatus.COMPLETED)
        eventually(lambda: plane.workflow(fresh, 2) == "DELAYED")
