"""The store: everything that Rover records of projects, tasks and attempts, in one database."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from rover_mcp.store.account_holds import HoldStore
from rover_mcp.store.account_windows import Windows
from rover_mcp.store.attempt_claims import AttemptClaims
from rover_mcp.store.attempts import AttemptStore
from rover_mcp.store.database import Database
from rover_mcp.store.deletions import Deletions
from rover_mcp.store.deliveries import Deliveries
from rover_mcp.store.events import EventLog
from rover_mcp.store.executors import Executors
from rover_mcp.store.glance_rows import glanced
from rover_mcp.store.migrations import checkpoint
from rover_mcp.store.operations import Operations
from rover_mcp.store.projects import ProjectStore
from rover_mcp.store.resume_switches import ResumeSwitches
from rover_mcp.store.seen_tasks import SeenTasks
from rover_mcp.store.stacked_tasks import StackedTasks
from rover_mcp.store.tasks import TaskStore
from rover_mcp.store.transitions import TaskTransitions
from rover_mcp.store.usage_history import UsageHistory
from rover_mcp.store.usage_records import UsageStore


class Store:
    """The parts of the store over one database. Safe to use from many threads.

    Every part takes its locks in one order, so that no two transactions wait for each other: the
    account's hold, the task, its attempts. PostgreSQL would end one of the two with an error;
    SQLite has one writer at a time.
    """

    def __init__(
        self,
        engine: sa.Engine,
        now: Callable[[], float] = time.time,
        on_event: Callable[[], object] = lambda: None,
    ) -> None:
        self.database = Database(engine, now, on_event)
        self.projects = ProjectStore(self.database)
        self.tasks = TaskStore(self.database, self.projects)
        self.deletions = Deletions(self.database)
        self.transitions = TaskTransitions(self.database)
        self.stacked = StackedTasks(self.database)
        self.attempts = AttemptStore(self.database)
        self.windows = Windows(engine)
        self.claims = AttemptClaims(self.database, self.windows)
        self.holds = HoldStore(self.database)
        self.switches = ResumeSwitches(self.database)
        self.events = EventLog(self.database)
        self.executors = Executors(engine, now)
        self.seen = SeenTasks(self.database)
        self.usage = UsageStore(engine)
        self.usage_history = UsageHistory(self.database)

    def deliveries(self, executor: str) -> Deliveries:
        """The deliveries to the hooks of one daemon."""
        return Deliveries(self.database.engine, executor, self.database.now)

    def operations(self, executor: str) -> Operations:
        """The operations of one daemon in users' repositories."""
        return Operations(self.database.engine, executor, self.database.now)

    def checkpoint(self) -> None:
        """Write what SQLite's log holds into the database file, so that a copy of the file is
        complete."""
        checkpoint(str(self.database.engine.url))

    def glanced(self) -> dict[str, Any]:
        """What `rover status-line` shows, see glance_rows.py."""
        return glanced(self.database.reader)
