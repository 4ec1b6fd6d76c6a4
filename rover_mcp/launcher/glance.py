"""Reads a data folder at a glance: for a status line, and for an assistant that starts.

Standard library only, no daemon, nothing written: a status line is printed every few seconds. What
is shown here does not count as reported. Of tasks that are in PostgreSQL the daemon keeps a copy of
what is shown (daemon/glance_copy.py).
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from contextlib import closing

from rover_mcp.launcher.handshake import data_folder_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

STATUS_LINE, SESSION_START = "status-line", "session-start"
RUNNING = ("NEW", "IN_PROGRESS", "ITERATING")
COPY = "glance.json"
"""The copy in the data folder, if the tasks are in PostgreSQL."""
MOST_NEWS = 5
WAIT_SECONDS = 0.3
"""how long a locked database is waited for"""
MOST_INPUT = 1_000_000

# What is in the trash is not shown.
_COUNTS = (
    "SELECT status, count(*) FROM rover_tasks WHERE owner IS NULL "
    "AND id NOT IN (SELECT task_id FROM rover_deletions) GROUP BY status"
)
_PROJECTS = "SELECT id, path FROM rover_projects WHERE path IN ({})"
_NUMBERS = (
    "SELECT number FROM rover_tasks WHERE owner IS NULL AND project_id = ? "
    "AND id NOT IN (SELECT task_id FROM rover_deletions) ORDER BY number DESC LIMIT 200"
)
_TASKS = """
SELECT t.number, t.status, t.branch, t.project_path, t.pause, t.retry_at, t.project_id
FROM rover_tasks t
LEFT JOIN rover_acknowledgements a ON a.task_id = t.id
WHERE t.owner IS NULL AND (t.project_id = ?1 OR ?1 IS NULL)
  AND t.id NOT IN (SELECT task_id FROM rover_deletions) AND (
  t.status IN ('NEW', 'IN_PROGRESS', 'ITERATING', 'PAUSED')
  OR (SELECT max(e.seq) FROM rover_events e WHERE e.task_id = t.id AND e.notable) >
     coalesce(a.seq, 0))
ORDER BY t.updated_at DESC LIMIT 200
"""


def status_line(counts: dict[str, int]) -> str:
    """How many tasks are running and paused; empty if there are none."""
    running = sum(counts.get(status, 0) for status in RUNNING)
    paused = counts.get("PAUSED", 0)
    parts = [f"{running} running"] * bool(running) + [f"{paused} PAUSED"] * bool(paused)
    return f"rover: {', '.join(parts)}" if parts else ""


def news(tasks: Sequence[Sequence[Any]], *, everywhere: bool) -> str:
    """The note that a model gets before its first turn; empty if there is none. It contains no
    text of an agent or a provider. `everywhere`: numbers need their repository."""
    running = sum(task[1] in RUNNING for task in tasks)
    lines = [_line(task, everywhere=everywhere) for task in tasks if task[1] not in RUNNING]
    if not lines and not running:
        return ""
    parts = [f"{running} running in the background"] * bool(running) + lines[:MOST_NEWS]
    more = [f"and {len(lines) - MOST_NEWS} more"] if len(lines) > MOST_NEWS else []
    tell = " Tell the user first of what paused or ended." if lines else ""
    return (
        f"Rover tasks: {'; '.join([*parts, *more])}.{tell} "
        "The tools of the MCP server rover say more: list_tasks, inspect, get_diff, resume_task."
    )


def _line(task: Sequence[Any], *, everywhere: bool) -> str:
    number, status, branch, path, pause, retry_at, _ = task
    where = f" of {path}" if everywhere else ""
    text = f"task {number}{where} is {status}"
    if status != "PAUSED":
        return f"{text} on branch {branch}"
    details = json.loads(pause or "{}") if isinstance(pause, str | None) else pause
    reason = details.get("reason", "")
    when = time.strftime("%Y-%m-%d %H:%MZ", time.gmtime(retry_at)) if retry_at else None
    after = f"it resumes automatically at {when}" if when else "it does not resume at a set time"
    return f"{text} ({reason}; {after})"


def main(argv: list[str], given: dict[str, Any], say: Callable[[str], object] = print) -> int:
    """`rover status-line` and `rover session-start`: `given` is what an assistant puts into it.

    They print nothing rather than disturb an assistant: without a data folder, with one that
    cannot be read, and with one of another version.
    """
    named = argv[argv.index("--home") + 1] if "--home" in argv[:-1] else None
    home = os.path.abspath(named) if named else data_folder_name(os.environ)  # noqa: PTH100
    try:
        output = _answer(argv[0], home, given)
    except (sqlite3.Error, OSError, ValueError, TypeError, LookupError, AttributeError):
        return 0
    if output:
        say(output)
    return 0


def task_numbers(home: str) -> list[str]:
    """The numbers of the tasks of the project of the working folder, newest first; none if
    they cannot be read."""
    try:
        opened = _open(home)
        if opened is None:
            return []
        with closing(opened) as database:
            folders = _parents(os.getcwd())  # noqa: PTH109
            query = _PROJECTS.format(",".join("?" * len(folders)))
            project = _innermost(database.execute(query, folders))
            return [str(row[0]) for row in database.execute(_NUMBERS, (project,))]
    except (sqlite3.Error, OSError):
        return []


def counts(home: str) -> dict[str, int] | None:
    """The number of tasks by status; None if that cannot be read."""
    try:
        if (copy := _copy(home)) is not None:
            return copy["counts"]
        opened = _open(home)
        if opened is None:
            return None
        with closing(opened) as database:
            return dict(database.execute(_COUNTS))
    except (sqlite3.Error, OSError, ValueError, TypeError, LookupError):
        return None


def _copy(home: str) -> dict[str, Any] | None:
    """The copy that the daemon keeps of a store that is elsewhere."""
    path = os.path.join(home, COPY)  # noqa: PTH118
    if not os.path.exists(path):  # noqa: PTH110
        return None
    with open(path, encoding="utf-8") as file:  # noqa: PTH123
        return json.load(file)


def _open(home: str) -> sqlite3.Connection | None:
    path = os.path.join(home, "rover.db")  # noqa: PTH118
    if not os.path.exists(path):  # noqa: PTH110
        return None
    # A path in a URI: SQLite takes these characters for escapes, options and a fragment.
    quoted = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return sqlite3.connect(f"file:{quoted}?mode=ro", WAIT_SECONDS, uri=True)


def _answer(command: str, home: str, given: dict[str, Any]) -> str:
    if command == STATUS_LINE:
        return status_line(counts(home) or {})
    folder = given.get("cwd")
    parents = _parents(folder if isinstance(folder, str) else os.getcwd())  # noqa: PTH109
    rows = _copied(home, parents) or _stored(home, parents)
    if rows is None:
        return ""
    project, tasks = rows
    text = news(tasks, everywhere=project is None)
    if not text:
        return ""
    context = {"additionalContext": text}
    if "sessionId" in given:  # Copilot's form; Codex takes the other one alone
        return json.dumps(context)
    event = str(given.get("hook_event_name", "SessionStart"))
    return json.dumps({"hookSpecificOutput": {"hookEventName": event, **context}})


def _copied(home: str, folders: Sequence[str]) -> tuple[str | None, list[Any]] | None:
    copy = _copy(home)
    if copy is None:
        return None
    project = _innermost(row for row in copy["projects"] if row[1] in folders)
    return project, [task for task in copy["tasks"] if project in (None, task[6])]


def _stored(home: str, folders: Sequence[str]) -> tuple[str | None, list[Any]] | None:
    opened = _open(home)
    if opened is None:
        return None
    with closing(opened) as database:
        query = _PROJECTS.format(",".join("?" * len(folders)))
        project = _innermost(database.execute(query, folders))
        return project, database.execute(_TASKS, (project,)).fetchall()


def _parents(folder: str) -> list[str]:
    """A folder and all that hold it."""
    parents = [os.path.realpath(folder)]
    while (parent := os.path.dirname(parents[-1])) != parents[-1]:  # noqa: PTH120
        parents.append(parent)
    return parents


def _innermost(projects: Iterable[Sequence[str]]) -> str | None:
    """The project whose repository holds a folder, the innermost of several."""
    return max(projects, key=lambda row: len(row[1]), default=(None, ""))[0]


def from_input() -> dict[str, Any]:
    """The JSON with which an assistant describes its session; empty at a terminal."""
    if sys.stdin is None or sys.stdin.isatty():
        return {}
    try:
        given: dict[str, Any] = json.loads(sys.stdin.read(MOST_INPUT) or "{}")
    except ValueError:
        return {}
    return given if type(given) is dict else {}
