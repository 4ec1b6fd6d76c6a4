"""`rover doctor --repair`: rebuilds the tasks' records from the files in the data folder.

Specs say what a task is, journals how far it came, hubs which project it belongs to. What none of
them says is reported as unknown. Nothing of a task is deleted: an unreadable database is kept
beside the new one.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml
from pydantic import ValidationError
from sqlalchemy.exc import DatabaseError

from agent_runner.journal.journal import is_locked
from agent_runner.models import Pause, PauseReason, RunState, RunStatus
from agent_runner.spec import RunSpec
from rover_mcp.config.load_settings import load_settings
from rover_mcp.config.settings import Settings
from rover_mcp.control.journal_watch import UNREADABLE, read_state
from rover_mcp.control.queue_tables import renew
from rover_mcp.daemon.daemon_lock import hold_alone
from rover_mcp.daemon.offline_program import print_outcome
from rover_mcp.daemon.survey import lacks_files, unreadable
from rover_mcp.domain.errors import RoverError
from rover_mcp.domain.iteration import IterationInput, with_earlier
from rover_mcp.domain.paths import TaskFolders, project_folder, warm_sandbox_markers
from rover_mcp.domain.task_links import TaskLinks
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.git.hub import Hub
from rover_mcp.store import store_tables
from rover_mcp.store.migrations import database_url, forget_version, open_database
from rover_mcp.store.rebase_notes import rebase_notes, round_note
from rover_mcp.store.rebuild import Rebuilds
from rover_mcp.store.store import Store

UNKNOWN = "its record was lost and is rebuilt from its files; not known any more"
_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_DATABASE = ("rover.db", "rover.db-wal", "rover.db-shm")
_AFTER = {RunStatus.COMPLETED: TaskStatus.COMPLETED, RunStatus.FAILED: TaskStatus.FAILED}


def repair(home: Path) -> list[str]:
    """Repair while no daemon serves the data folder; return a line for each thing that was done.

    Raises:
        RoverError: a daemon runs, or the data folder cannot be used.
    """
    with hold_alone(home, "repaired"):
        return _repair(home, load_settings(home))


def _repair(home: Path, settings: Settings) -> list[str]:
    lines = [] if settings.database else _set_aside(home)
    url = database_url(home, settings.database)
    if settings.database or (home / "rover.db").exists():
        _complete(url)
    engine = open_database(url)
    lines += renew(url)
    try:
        store = Rebuilds(Store(engine))
        for task_id in sorted(_folders(home)):
            lines += _one(home, settings, store, task_id)
        lines += store.remove_lost()
        lines += _without_files(home, store)
    finally:
        engine.dispose()
    return lines


def _folders(home: Path) -> Iterator[str]:
    """Yield the tasks that have files, without the sandboxes that still wait for a task."""
    waiting = {path.name for path in warm_sandbox_markers(home).glob("*")}
    for path in (home / "tasks").glob("*"):
        if _ID.fullmatch(path.name) and path.name not in waiting:
            yield path.name


def _without_files(home: Path, store: Rebuilds) -> list[str]:
    """Report tasks of which only the record is left: it cannot be rebuilt, and is not deleted."""
    gone = [row for row in store.readable() if lacks_files(home, row)]
    return [
        f"left as it is: task {row.number} {row.title[:60]!r} ({row.id}) has a record and no "
        "files; delete_task removes it"
        for row in gone
    ]


def _set_aside(home: Path) -> list[str]:
    """Move a database that SQLite cannot read aside, so that a new one is made."""
    if not os.path.lexists(home / "rover.db") or (why := unreadable(home / "rover.db")) is None:
        return []
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for name in _DATABASE:
        with suppress(FileNotFoundError):
            (home / name).rename(home / f"{name}.damaged-{stamp}")
    return [f"the database could not be read ({why}): it is kept as rover.db.damaged-{stamp}"]


def _complete(url: str) -> None:
    """Forget a missing or unreadable schema version, so that opening the database completes it. A
    version that this program does not know stays, and is refused when the database is opened."""
    is_version = sa.select(store_tables.meta.c.value).where(
        store_tables.meta.c.key == "schema_version"
    )
    engine, known = sa.create_engine(url), ""
    try:
        with suppress(DatabaseError), engine.connect() as connection:
            known = str(connection.execute(is_version).scalar())
        versions = range(store_tables.BASE_VERSION, store_tables.SCHEMA_VERSION + 1)
        if not known.isdecimal() or int(known) in versions:
            with suppress(DatabaseError), engine.begin() as connection:
                forget_version(connection)
    finally:
        engine.dispose()


@dataclass(frozen=True)
class _Found:
    """What the files of a task say of it."""

    spec: RunSpec
    folders: TaskFolders
    state: RunState
    begun: float
    lives: bool


def _newest(home: Path, task_id: str) -> RunSpec | None:
    """The specification of its last attempt."""
    specs = TaskFolders(home, task_id, 1).root.glob("iterations/*/spec-*/spec.json")
    newest_specs: list[RunSpec] = []
    for path in specs:
        with suppress(OSError, ValidationError):
            newest_specs.append(RunSpec.load(path.parent))
    return max(newest_specs, key=lambda spec: (spec.iteration, spec.attempt), default=None)


def _one(home: Path, settings: Settings, store: Rebuilds, task_id: str) -> list[str]:
    spec = _newest(home, task_id)
    if store.is_sound(task_id, spec.attempt if spec else 0):
        return []
    if spec is None or spec.task_id != task_id:
        return [f"task {task_id}: no attempt of it has begun, so nothing is known of it"]
    folders = TaskFolders(home, task_id, spec.iteration)
    try:
        state = read_state(folders.journal)
    except UNREADABLE as error:
        state = RunState(warnings=[f"its journal cannot be used: {error}"])
    begun = folders.root.stat().st_mtime
    if state.started_at is not None:
        begun = state.started_at.timestamp()
    remains = _Found(spec, folders, state, begun, is_locked(folders.run))
    project_id, path, unknown = _project(home, store, task_id)
    if project_id is None:
        return [f"task {spec.number} ({task_id}): its repository is not known"]
    values = _values(settings, remains, unknown)
    values |= {"project_id": project_id, "project_path": path}
    return [store.put(values, lives=remains.lives)]


def _project(home: Path, store: Rebuilds, task_id: str) -> tuple[str | None, str, list[str]]:
    """The project's id, its repository, and what of that is not known."""
    folders = sorted((home / "projects").glob("*/hub.git"))
    names = [folder.parent.name for folder in folders]
    with suppress(RoverError):
        names = [n for n in names if Hub(project_folder(home, n)).snapshots(task_id)] or names
    if len(names) != 1:
        return None, "", []
    note, base = project_folder(home, names[0]) / "repository", project_folder(home, names[0])
    path = store.path_of(names[0])
    if path is None and note.is_file():
        path = note.read_text("utf-8").strip()
    if path is not None:
        return names[0], path, []
    return names[0], str(base / "base.git"), ["its repository (its branch goes to base.git here)"]


def _values(settings: Settings, remains: _Found, unknown: list[str]) -> dict[str, Any]:
    """The columns of a task, as far as its files hold them."""
    spec, resolves = remains.spec, round_note(remains.folders)
    given = resolves.given if resolves else _iteration_input(spec)
    links = TaskLinks(resolves=resolves.resolves) if resolves else None
    state = with_earlier(remains.state, given)
    now, notes = time.time(), rebase_notes(remains.folders)
    if notes:
        state = state.model_copy(update={"snapshot": notes[-1].snapshot})
    status, pause = _status(remains)
    lost = [*unknown, "automatic resumes, network and project settings: the defaults hold"]
    return {
        "id": spec.task_id, "number": spec.number, "title": spec.title,
        "description": spec.description, "status": status, "branch": spec.branch,
        "base_branch": resolves.resolves.base_branch if resolves else None,
        "base_commit": spec.base_commit,
        "links": links.model_dump(mode="json") if links else None,
        "workflow": _workflow(remains), "agent": spec.agent, "agent_binary": None,
        "model": spec.model, "engine": _engine(settings, spec), "inputs": spec.inputs,
        "auto_resume": True, "request_key": None, "client_id": None,
        "gateway_token": spec.gateway.token or f"rover-{secrets.token_hex(24)}",
        "iteration": spec.iteration, "attempt": spec.attempt, "auto_retries": 0,
        "created_at": remains.begun, "updated_at": now, "started_at": remains.begun,
        "paused_at": now if pause else None,
        "ended_at": state.ended_at.timestamp() if state.ended_at else None,
        "pause": pause.model_dump(mode="json") if pause else None, "retry_at": None,
        "error": state.error if status is TaskStatus.FAILED else None,
        "run_state": state.model_dump(mode="json"),
        "warnings": [f"{UNKNOWN}: {'; '.join(lost)}"],
        "budget": spec.budget.model_dump(mode="json") if spec.budget else None,
        "iteration_input": given.model_dump(mode="json") if given else None,
        "onto": notes[-1].onto if notes else spec.onto,
    }  # fmt: skip


def _iteration_input(spec: RunSpec) -> IterationInput | None:
    if spec.instructions is None:
        return None
    return IterationInput(instructions=spec.instructions, sessions=spec.sessions, usage=spec.spent)


def _status(remains: _Found) -> tuple[TaskStatus, Pause | None]:
    """The status of a task by its journal. Without an end, a task runs if its runner lives; else it
    waits for a person, because the journal does not say whether it was cancelled."""
    state = remains.state
    if remains.lives:
        return (
            TaskStatus.ITERATING if remains.spec.iteration > 1 else TaskStatus.IN_PROGRESS
        ), None
    if (after := _AFTER.get(state.status)) is not None:
        return after, None
    if state.status is RunStatus.PAUSED and state.pause is not None:
        return TaskStatus.PAUSED, state.pause.model_copy(update={"retry_at": None})
    message = "its record was lost; resume_task continues from its last checkpoint"
    since = state.started_at or datetime.fromtimestamp(remains.begun, UTC)
    return TaskStatus.PAUSED, Pause(reason=PauseReason.INTERRUPTED, message=message, since=since)


def _workflow(remains: _Found) -> str:
    with suppress(OSError, ValueError, yaml.YAMLError, AttributeError):
        text = (remains.folders.input / "workflow.yaml").read_text("utf-8")
        name = yaml.safe_load(text).get("name")
        if isinstance(name, str):
            return name
    return remains.state.workflow or "unknown"


def _engine(settings: Settings, spec: RunSpec) -> str:
    """The engine, by the isolation in the specification. Two engines switch users: of those the
    configured one, or else Docker."""
    known = {"wrap": "bubblewrap", "none": "process"}.get(spec.isolation.kind)
    return known or ("podman" if settings.engine == "podman" else "docker")


def main() -> int:
    """`python -m rover_mcp.daemon.repair HOME`: prints what was done, or why not, as JSON."""
    return print_outcome(lambda: repair(Path(sys.argv[1])))


if __name__ == "__main__":
    sys.exit(main())
