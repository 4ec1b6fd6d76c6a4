"""A database that is lost, old or damaged is built anew from the tasks' files."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_runner.models import RunStatus
from rover_mcp.daemon.lock import hold_lock
from rover_mcp.daemon.repair import repair
from rover_mcp.errors import Conflict
from rover_mcp.store.migrations import open_database
from rover_mcp.store.rows import TaskRow
from rover_mcp.store.store import Store
from rover_mcp.tasks.folders import TaskFolders
from rover_mcp.tasks.models import TaskStatus
from tests.support.attempts_site import STARTED, Run, Site, open_site
from tests.support.desk import open_desk
from tests.support.samples import TASK, pause


def ran(folder: Path, ending: tuple[object, object] | None) -> TaskRow:
    """A data folder with a task that ran; the database is closed."""
    with open_site(folder) as site:
        site.started()
        write_spec(site)
        site.record(*STARTED)
        if ending is not None:
            site.record(ending)  # pyright: ignore[reportArgumentType]
        hub = site.home / "projects" / "p1"
        (hub / "hub.git").mkdir(parents=True)
        (hub / "repository").write_text("/repo")
        return site.task()


def write_spec(site: Site) -> None:
    """What the engine writes when it starts a sandbox."""
    (spec,) = [s.spec for s in site.world.sandboxes.values()]
    (site.folders.spec(1) / "spec.json").write_text(spec.run.model_dump_json())


def gone(home: Path) -> None:
    for path in home.glob("rover.db*"):
        path.unlink()


def empty(home: Path) -> None:
    gone(home)
    (home / "rover.db").touch()


def without_rows(home: Path) -> None:
    """As where a -wal was lost."""
    gone(home)
    open_database(f"sqlite:///{home / 'rover.db'}").dispose()


def malformed(home: Path) -> None:
    gone(home)
    (home / "rover.db").write_bytes(b"no database at all" * 1000)


def bad_field(home: Path) -> None:
    with sqlite3.connect(home / "rover.db") as database:
        database.execute("UPDATE rover_tasks SET inputs = '{', number = 'x', status = 'SLEEPING'")
    database.close()


def bad_version(home: Path) -> None:
    with sqlite3.connect(home / "rover.db") as database:
        database.execute("UPDATE rover_meta SET value = 'one'")
        database.execute("UPDATE rover_tasks SET title = x'ff'")
    database.close()


HARM = (gone, empty, without_rows, malformed, bad_field, bad_version)


def read(home: Path) -> TaskRow:
    engine = open_database(f"sqlite:///{home / 'rover.db'}")
    task = Store(engine).task(TASK)
    engine.dispose()
    assert task is not None
    return task


@pytest.mark.parametrize("harm", HARM)
def test_a_tasks_record_is_built_anew(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    """U7. Succeeded at 700cc57: a lost -wal left "No tasks." beside a finished one."""
    before, home = ran(tmp_path, Run.COMPLETE), tmp_path / "home"
    harm(home)
    told = repair(home)
    task = read(home)
    for name in ("number", "title", "description", "branch", "base_commit", "iteration", "agent",
                 "project_id", "project_path", "inputs", "gateway_token", "attempt"):  # fmt: skip
        assert getattr(task, name) == getattr(before, name), name
    if harm is bad_version:
        # What can be read stays: the next sweep settles it by its journal.
        assert task.status is TaskStatus.IN_PROGRESS
    else:
        assert task.status is TaskStatus.COMPLETED
        assert task.run_state is not None
        assert task.run_state.status is RunStatus.COMPLETED
    assert any("not known any more" in warning for warning in task.warnings)
    assert any(TASK in line for line in told)
    assert repair(home) == []
    assert (harm is malformed) == bool(list(home.glob("rover.db.damaged-*")))


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        (Run.fail("no"), TaskStatus.FAILED),
        (Run.pause(pause()), TaskStatus.PAUSED),
        (None, TaskStatus.PAUSED),
    ],
)
def test_its_status_is_the_journals(
    tmp_path: Path, ending: tuple[object, object] | None, status: TaskStatus
) -> None:
    """U7. What has no end waits for a person: it may have been cancelled."""
    ran(tmp_path, ending)
    gone(tmp_path / "home")
    repair(tmp_path / "home")
    task = read(tmp_path / "home")
    assert (task.status, task.retry_at) == (status, None)
    assert (task.pause is not None) == (status is TaskStatus.PAUSED)


def test_nothing_is_repaired_under_a_daemon(tmp_path: Path) -> None:
    """U7."""
    lock = hold_lock(tmp_path)
    assert lock
    with pytest.raises(Conflict, match="a daemon serves"):
        repair(tmp_path)


def test_an_empty_list_names_what_has_files_and_no_record(tmp_path: Path) -> None:
    """U7. Succeeded at 700cc57: "No tasks." beside a finished one."""
    with open_desk(tmp_path) as desk:
        spec = TaskFolders(desk.home, TASK, 1).spec(1)
        spec.mkdir(parents=True)
        (spec / "spec.json").write_text("{}")
        for where in (None, str(desk.repo)):
            _, _, (told,) = desk.tasks.list(desk.caller, (), where, None, None)
            assert "1 task has files and no record: run `rover doctor --repair`" in told.message
