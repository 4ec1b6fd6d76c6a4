"""A database that is lost, old or damaged is rebuilt from the tasks' files."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_runner.models import RunStatus
from rover_mcp.cli.doctor_command import _records  # pyright: ignore[reportPrivateUsage]
from rover_mcp.daemon.daemon_lock import hold_lock
from rover_mcp.daemon.repair import repair
from rover_mcp.daemon.survey import survey, unreadable
from rover_mcp.domain.errors import Conflict, EnvironmentFault
from rover_mcp.domain.iteration import IterationInput, ResolutionRound
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.domain.task_links import ResolvesFor, TaskLinks
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.store.migrations import open_database
from rover_mcp.store.rebase_notes import RebaseNote, RoundNote, write_note, write_round
from rover_mcp.store.records import TaskRow
from rover_mcp.store.store import Store
from tests.support.attempts_site import STARTED, ControlHarness, Run, open_site
from tests.support.desk import open_desk
from tests.support.samples import TASK, pause, run_state, snapshot


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


def write_spec(site: ControlHarness) -> None:
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


def zeros(home: Path) -> None:
    size = (home / "rover.db").stat().st_size
    (home / "rover.db").write_bytes(bytes(size))


def zeros_behind_the_head(home: Path) -> None:
    data = (home / "rover.db").read_bytes()
    (home / "rover.db").write_bytes(data[:4096] + bytes(len(data) - 4096))


def cut(home: Path) -> None:
    data = (home / "rover.db").read_bytes()
    (home / "rover.db").write_bytes(data[: len(data) // 2])


def cut_in_its_head(home: Path) -> None:
    (home / "rover.db").write_bytes((home / "rover.db").read_bytes()[:50])


def a_folder(home: Path) -> None:
    gone(home)
    (home / "rover.db").mkdir()


def without_tables(home: Path) -> None:
    with sqlite3.connect(home / "rover.db") as database:
        for table in ("rover_tasks", "rover_attempts", "rover_holds", "rover_meta"):
            database.execute(f"DROP TABLE {table}")
    database.close()


def without_its_table(home: Path) -> None:
    """The version still says that all is there."""
    with sqlite3.connect(home / "rover.db") as database:
        database.execute("DROP TABLE rover_tasks")
    database.close()


def bad_field(home: Path) -> None:
    with sqlite3.connect(home / "rover.db") as database:
        database.execute("UPDATE rover_tasks SET inputs = '{', number = 'x', status = 'SLEEPING'")
    database.close()


def bad_version(home: Path) -> None:
    with sqlite3.connect(home / "rover.db") as database:
        database.execute("UPDATE rover_meta SET value = 'one'")
        database.execute("UPDATE rover_tasks SET title = x'ff'")
    database.close()


UNREADABLE = (malformed, zeros, zeros_behind_the_head, cut, cut_in_its_head, a_folder)
HARM = (
    gone, empty, without_rows, *UNREADABLE, without_tables, without_its_table, bad_field, bad_version
)  # fmt: skip


def read(home: Path) -> TaskRow:
    engine = open_database(f"sqlite:///{home / 'rover.db'}")
    task = Store(engine).tasks.get(TASK)
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
    assert (harm in UNREADABLE) == bool(list(home.glob("rover.db.damaged-*")))


def test_a_rebased_task_keeps_its_new_base(tmp_path: Path) -> None:
    """U7, N2. The note beside the journal says what the journal cannot."""
    before, home = ran(tmp_path, Run.COMPLETE), tmp_path / "home"
    note = RebaseNote(snapshot=snapshot(9), old="1" * 40, onto="2" * 40, base_branch="main")
    write_note(TaskFolders(home, TASK, 1), note)
    gone(home)
    repair(home)
    task = read(home)
    assert (task.base_commit, task.onto, task.stands_on) == (
        before.base_commit, note.onto, note.onto,
    )  # fmt: skip
    assert task.run_state is not None
    assert task.run_state.snapshot == note.snapshot


def test_a_task_that_resolves_conflicts_keeps_what_it_resolves(tmp_path: Path) -> None:
    """U7, N2. Without the link it would be a task like any other, and its answers would count for
    nothing."""
    _, home = ran(tmp_path, None), tmp_path / "home"
    link = ResolvesFor(
        task="b" * 32, number=3, tip="1" * 40, stands_on="2" * 40, onto="3" * 40, base_branch="main"
    )
    given = IterationInput(
        snapshot=snapshot(9), rewound=True, round=ResolutionRound(stop="4" * 40, refused=1)
    )
    write_round(TaskFolders(home, TASK, 1), RoundNote(resolves=link, given=given))
    gone(home)
    repair(home)
    task = read(home)
    assert task.links == TaskLinks(resolves=link)
    assert (task.iteration_input, task.base_branch) == (given, "main")


def test_a_damaged_note_of_a_round_is_left_out(tmp_path: Path) -> None:
    """U7"""
    _, home = ran(tmp_path, None), tmp_path / "home"
    folder = TaskFolders(home, TASK, 1).rebases
    folder.mkdir(parents=True)
    (folder / "round.json").write_text("{")
    gone(home)
    repair(home)
    assert read(home).links is None


def test_a_lost_wal_loses_no_task(tmp_path: Path) -> None:
    """U7. Succeeded at 700cc57: what was written last stood in the -wal alone."""
    path = tmp_path / "home" / "rover.db"
    with open_site(tmp_path) as site:
        site.started()
        write_spec(site)
        site.record(*STARTED, Run.COMPLETE)
        (site.home / "projects" / "p1" / "hub.git").mkdir(parents=True)
        (site.home / "projects" / "p1" / "repository").write_text("/repo")
        without = path.read_bytes()
    gone(path.parent)
    path.write_bytes(without)
    repair(path.parent)
    assert read(path.parent).status is TaskStatus.COMPLETED


def content(home: Path) -> dict[str, bytes]:
    """All that lies there, without what SQLite keeps for its readers."""
    return {
        str(path.relative_to(home)): path.read_bytes()
        for path in home.rglob("*")
        if path.is_file() and path.name not in ("rover.db-shm", "rover.db-wal")
    }


@pytest.mark.parametrize("harm", [harm for harm in HARM if harm is not bad_version])
def test_doctor_says_that_records_and_files_disagree(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    """U7. Only an empty list of tasks said so; one lost record among others was not seen."""
    ran(tmp_path, Run.COMPLETE)
    home = tmp_path / "home"
    assert survey(home) == []
    harm(home)
    before = content(home)
    assert survey(home)
    assert content(home) == before
    (check,) = _records(str(home))
    assert not check.ok
    assert "rover doctor --repair" in check.todo
    repair(home)
    assert survey(home) == []


def a_journal(home: Path) -> None:
    TaskFolders(home, TASK, 1).journal.unlink()


def all_files(home: Path) -> None:
    shutil.rmtree(home / "tasks" / TASK)


def another_attempt(home: Path) -> None:
    spec = TaskFolders(home, TASK, 1).spec(2)
    spec.mkdir()
    (spec / "spec.json").write_text("{}")


def a_hub(home: Path) -> None:
    shutil.rmtree(home / "projects" / "p1" / "hub.git")


@pytest.mark.parametrize(
    ("harm", "says", "helps"),
    [
        (
            a_journal, "1 task has a record that says finished, and no journal",
            "what a finished task made is kept",
        ),
        (all_files, "1 task has a record and no files", "removed by rover delete N"),
        (another_attempt, "1 task has a record that is older than its files", "doctor --repair"),
        (a_hub, "1 project has tasks with checkpoints, and no hub", "made again when a task needs"),
    ],
)  # fmt: skip
def test_doctor_says_which_files_are_gone_and_what_helps(
    tmp_path: Path, harm: Callable[[Path], None], says: str, helps: str
) -> None:
    """U7. Nothing did; then it was `--repair` for all, which makes neither a hub nor a journal."""
    ran(tmp_path, Run.COMPLETE)
    home = tmp_path / "home"
    with sqlite3.connect(home / "rover.db") as database:
        state = run_state(RunStatus.COMPLETED, snapshot=snapshot()).model_dump_json()
        database.execute("UPDATE rover_tasks SET status = 'COMPLETED', run_state = ?", (state,))
    database.close()
    harm(home)
    assert survey(home) == [says]
    (check,) = _records(str(home))
    assert (check.detail, helps in check.todo) == (says, True)
    assert ("--repair rebuilds" in check.todo) == (harm is another_attempt)


def test_a_database_that_is_in_use_is_not_taken_for_damaged(tmp_path: Path) -> None:
    """U7. A reader that met its lock moved it aside."""
    ran(tmp_path, Run.COMPLETE)
    path = tmp_path / "home" / "rover.db"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA locking_mode=EXCLUSIVE")
        database.execute("UPDATE rover_tasks SET title = 'in use'")
        assert unreadable(path, wait=0) is None
    database.close()


def test_an_unused_data_folder_has_nothing_to_disagree(tmp_path: Path) -> None:
    """U7. Nothing is made in it."""
    assert survey(tmp_path) == []
    assert _records(str(tmp_path)) == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("harm", [malformed, zeros, cut])
def test_a_daemon_that_cannot_read_its_database_names_the_repair(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    """U7. It asked whether the disk is full."""
    ran(tmp_path, Run.COMPLETE)
    harm(tmp_path / "home")
    with pytest.raises(EnvironmentFault) as refused:
        open_database(f"sqlite:///{tmp_path / 'home' / 'rover.db'}")
    assert "rover doctor --repair" in str(refused.value.hint)


@pytest.mark.parametrize("harm", [gone, zeros, cut, malformed])
@pytest.mark.parametrize(
    ("ending", "status"),
    [
        (Run.fail("no"), TaskStatus.FAILED),
        (Run.pause(pause()), TaskStatus.PAUSED),
        (None, TaskStatus.PAUSED),
    ],
)
def test_its_status_is_the_journals(
    tmp_path: Path,
    ending: tuple[object, object] | None,
    status: TaskStatus,
    harm: Callable[[Path], None],
) -> None:
    """U7. What has no end waits for a person: it may have been cancelled."""
    ran(tmp_path, ending)
    harm(tmp_path / "home")
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
