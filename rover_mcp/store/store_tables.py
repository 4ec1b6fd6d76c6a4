"""The tables of the store. They are in the same database as those of DBOS, and begin with
rover_."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa


class StrictBoolean(sa.types.TypeDecorator[bool]):
    """A boolean, which SQLite keeps as a number. Any other number or a text is returned as it is,
    so that the check of the row finds the damage; SQLAlchemy would return True for it."""

    impl = sa.Boolean
    cache_ok = True

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Any:
        """The function that converts each value that is read."""
        if dialect.supports_native_boolean:
            return None

        def read(value: Any) -> Any:
            return bool(value) if value in (0, 1) else value

        return read


metadata = sa.MetaData()

BASE_VERSION = 16
"""The oldest version that can be opened. Versions 1 to 15 came before the first release."""

SCHEMA_VERSION = 20
"""The version that these tables have; migrations.py brings the versions between up to it."""

meta = sa.Table(
    "rover_meta",
    metadata,
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("value", sa.String, nullable=False),
)

projects = sa.Table(
    "rover_projects",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("path", sa.String, nullable=False, unique=True),
    sa.Column("next_number", sa.Integer, nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
)

tasks = sa.Table(
    "rover_tasks",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("project_id", sa.String, sa.ForeignKey("rover_projects.id"), nullable=False),
    sa.Column("project_path", sa.String, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("title", sa.String, nullable=False),
    sa.Column("description", sa.String, nullable=False),
    sa.Column("status", sa.String, nullable=False),
    sa.Column("branch", sa.String, nullable=False),
    sa.Column("base_branch", sa.String),
    sa.Column("base_commit", sa.String, nullable=False),
    sa.Column("workflow", sa.String, nullable=False),
    sa.Column("agent", sa.String, nullable=False),
    sa.Column("agent_binary", sa.String),
    sa.Column("model", sa.String),
    sa.Column("engine", sa.String, nullable=False),
    sa.Column("inputs", sa.JSON, nullable=False),
    sa.Column("auto_resume", StrictBoolean, nullable=False),
    sa.Column("request_key", sa.String),
    sa.Column("client_id", sa.String),
    sa.Column("gateway_token", sa.String, nullable=False),
    sa.Column("iteration", sa.Integer, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("auto_retries", sa.Integer, nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("updated_at", sa.Float, nullable=False),
    sa.Column("started_at", sa.Float),
    sa.Column("paused_at", sa.Float),
    sa.Column("ended_at", sa.Float),
    sa.Column("pause", sa.JSON),
    sa.Column("retry_at", sa.Float),
    sa.Column("error", sa.String),
    sa.Column("run_state", sa.JSON),
    sa.Column("warnings", sa.JSON, nullable=False),
    sa.Column("agents", sa.JSON),
    sa.Column("budget", sa.JSON),
    sa.Column("account", sa.String),
    sa.Column("network", sa.JSON),
    sa.Column("refused", sa.JSON),
    # What the project's configuration said when the task was made.
    sa.Column("config", sa.JSON),
    # The user over HTTP who made it; NULL: the user of this machine.
    sa.Column("owner", sa.String),
    # Bytes that it sent, by host.
    sa.Column("sent", sa.JSON),
    # Digests of the credentials that its provider refused.
    sa.Column("refused_keys", sa.JSON),
    # What the present iteration started with; NULL: it is the first.
    sa.Column("iteration_input", sa.JSON),
    # Since version 17: the commit that its branch was rebased onto; NULL: it never was.
    sa.Column("onto", sa.String),
    # Since version 18: the other tasks that it comes from.
    sa.Column("links", sa.JSON),
    sa.UniqueConstraint("project_id", "number", name="rover_task_number"),
    sa.UniqueConstraint("project_id", "request_key", name="rover_task_request"),
)
sa.Index("rover_tasks_recent", tasks.c.created_at.desc())
sa.Index("rover_tasks_status", tasks.c.status, tasks.c.created_at.desc())
sa.Index("rover_tasks_project", tasks.c.project_id, tasks.c.created_at.desc())
sa.Index("rover_tasks_owner", tasks.c.owner, tasks.c.created_at.desc())

attempts = sa.Table(
    "rover_attempts",
    metadata,
    sa.Column("task_id", sa.String, sa.ForeignKey("rover_tasks.id"), primary_key=True),
    sa.Column("attempt", sa.Integer, primary_key=True),
    sa.Column("iteration", sa.Integer, nullable=False),
    sa.Column("workflow_id", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("sandbox", sa.String, nullable=False),
    sa.Column("client_id", sa.String),
    sa.Column("before", sa.JSON),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("started_at", sa.Float),
    sa.Column("ended_at", sa.Float),
    sa.Column("exit_code", sa.Integer),
    sa.Column("detail", sa.String),
    # The daemon that has claimed it, where several share a database.
    sa.Column("executor", sa.String),
)
sa.Index("rover_attempts_state", attempts.c.state)

events = sa.Table(
    "rover_events",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("task_id", sa.String, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("status", sa.String, nullable=False),
    sa.Column("notable", StrictBoolean, nullable=False),
    sa.Column("data", sa.JSON, nullable=False),
    sqlite_autoincrement=True,
)
sa.Index("rover_events_task", events.c.task_id, events.c.seq)

acknowledgements = sa.Table(
    "rover_acknowledgements",
    metadata,
    sa.Column("task_id", sa.String, primary_key=True),
    sa.Column("seq", sa.Integer, nullable=False),
)

# An account that refuses, or one model of it: tasks that need it wait, and one probe goes first.
# `account` is the key of a Limit (records.py), so it can name one model.
holds = sa.Table(
    "rover_holds",
    metadata,
    sa.Column("account", sa.String, primary_key=True),
    sa.Column("provider", sa.String),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("message", sa.String, nullable=False),
    sa.Column("since", sa.Float, nullable=False),
    sa.Column("until", sa.Float, nullable=False),
    sa.Column("refusals", sa.Integer, nullable=False),
    sa.Column("probe_task", sa.String),
    sa.Column("probe_attempt", sa.Integer),
    # The agent whose own choice the closed model was.
    sa.Column("default_of", sa.String),
    # When its last probe was released, or began.
    sa.Column("probed_at", sa.Float),
)

# What single tasks reported of an account. One report alone does not close it for other tasks.
reports = sa.Table(
    "rover_reports",
    metadata,
    sa.Column("account", sa.String, primary_key=True),
    sa.Column("task_id", sa.String, primary_key=True),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("seen", StrictBoolean, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("until", sa.Float, nullable=False),
)

# How full the windows of accounts are by their providers' last reports. `warned` is the opening
# time of the window of which the user was warned.
windows = sa.Table(
    "rover_windows",
    metadata,
    sa.Column("account", sa.String, primary_key=True),
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("used", sa.Float),
    sa.Column("opens_at", sa.Float),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("warned", sa.Float),
)

# Where automatic resumes are switched on or off: a project's id, or "" for all.
switches = sa.Table(
    "rover_switches",
    metadata,
    sa.Column("scope", sa.String, primary_key=True),
    sa.Column("auto_resume", StrictBoolean, nullable=False),
    sa.Column("changed_at", sa.Float, nullable=False),
)

# Daemons that share a database; each renews its lease.
executors = sa.Table(
    "rover_executors",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("host", sa.String, nullable=False),
    sa.Column("lease_until", sa.Float, nullable=False),
)

# The usage that the gateway saw in each answer of a provider, under an id that the gateway gives. A
# row is written again while the answer comes in. When an attempt has ended, its rows are folded
# into one per model and quarter of an hour.
calls = sa.Table(
    "rover_calls",
    metadata,
    sa.Column("task_id", sa.String, primary_key=True),
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("provider", sa.String, nullable=False),
    sa.Column("model", sa.String, nullable=False),
    sa.Column("calls", sa.Integer, nullable=False),
    sa.Column("input_tokens", sa.BigInteger, nullable=False),
    sa.Column("output_tokens", sa.BigInteger, nullable=False),
    sa.Column("cache_read_tokens", sa.BigInteger, nullable=False),
    sa.Column("cache_write_tokens", sa.BigInteger, nullable=False),
    sa.Column("cost_usd", sa.Float),
    # The most that a call can use which is under way (NULL: it has ended), and how many of these
    # calls were estimated.
    sa.Column("reserved", sa.JSON(none_as_null=True)),
    sa.Column("estimated", sa.Integer, nullable=False, server_default="0"),
)

# The user's hooks, and up to which event each has been served. A new hook begins at the end.
# `executor` is the daemon whose configuration names it.
hooks = sa.Table(
    "rover_hooks",
    metadata,
    sa.Column("executor", sa.String, primary_key=True),
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("seq", sa.Integer, nullable=False),
)

# One row for each event and hook: pending, delivered or dead.
deliveries = sa.Table(
    "rover_deliveries",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("executor", sa.String, nullable=False),
    sa.Column("hook", sa.String, nullable=False),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("task_id", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_at", sa.Float, nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("ended_at", sa.Float),
    sa.Column("error", sa.String),
    sa.UniqueConstraint("executor", "hook", "seq", name="rover_delivery_once"),
)
sa.Index("rover_deliveries_due", deliveries.c.executor, deliveries.c.state, deliveries.c.next_at)

# Over which channels a notable event was reported, when first, and how often.
notices = sa.Table(
    "rover_notices",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("channel", sa.String, primary_key=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("times", sa.Integer, nullable=False),
)

# Tasks that were deleted and can be given back for a while.
deletions = sa.Table(
    "rover_deletions",
    metadata,
    sa.Column("task_id", sa.String, primary_key=True),
    sa.Column("deleted_at", sa.Float, nullable=False),
)

# When each task ended whose end a person has seen on the board.
seen = sa.Table(
    "rover_seen",
    metadata,
    sa.Column("task_id", sa.String, primary_key=True),
    sa.Column("ended_at", sa.Float, nullable=False),
)

# Operations in users' repositories: a row is written before one begins, and closed afterwards, so
# that a daemon that died in between can finish or undo it. `plan` holds the expected old and the
# planned new values.
operations = sa.Table(
    "rover_operations",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("executor", sa.String, nullable=False),
    sa.Column("task_id", sa.String, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("plan", sa.JSON, nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("ended_at", sa.Float),
    sa.Column("error", sa.String),
)
sa.Index("rover_operations_state", operations.c.executor, operations.c.state)


def not_deleted() -> sa.ColumnElement[bool]:
    """The condition that a task is not in the trash. Not with NOT IN: one damaged row, with no id
    in it, would hide every task."""
    return ~sa.exists().where(deletions.c.task_id == tasks.c.id)
