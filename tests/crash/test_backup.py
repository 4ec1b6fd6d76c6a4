"""A backup holds all of a task, a restore takes nothing else, and neither overwrites anything."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent_runner.journal.journal import LOCK_NAME
from agent_runner.models import PauseReason
from rover_mcp.daemon.backup import back_up
from rover_mcp.daemon.backup_archive import MANIFEST, is_agents, leads_out
from rover_mcp.daemon.daemon_lock import hold_lock
from rover_mcp.daemon.restore import restore
from rover_mcp.domain.errors import RoverError
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.store import store_tables
from rover_mcp.store.migrations import open_database
from rover_mcp.store.store import Store
from tests.e2e.conftest import end_daemon
from tests.e2e.processes import wait_until
from tests.support.attempts_site import STARTED, ControlHarness, open_site
from tests.support.frames import LauncherClient
from tests.support.repos import make_repository
from tests.support.samples import TASK
from tests.support.scripts import fix_after_credits

Member = tuple[tarfile.TarInfo, bytes]


def lay(site: ControlHarness) -> None:
    """A task that runs, with what a task's folder may hold."""
    site.started()
    site.record(*STARTED)
    work, home = site.folders.work, site.home
    work.mkdir(parents=True, exist_ok=True)
    (work / "a.txt").write_text("work")
    (work / "python").symlink_to("/usr/bin/python3")
    (work / b"\xff".decode("utf-8", "surrogateescape")).write_text("no UTF-8")
    (work / "run.sh").write_text("#!/bin/sh\n")
    (work / "run.sh").chmod(0o755)
    (home / "trust.json").write_text('{"projects": {}}')
    (home / "projects" / "p1" / "hub.git" / "refs").mkdir(parents=True)
    (home / "cache").mkdir()
    (home / "cache" / "large").write_text("made anew")
    (home / "own-key").write_text("sk-not-to-be-copied")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder, and a backup that was made while the database is open, with what only its -wal
    holds."""
    folder = tmp_path_factory.mktemp("original")
    with open_site(folder) as site:
        lay(site)
        assert (site.home / "rover.db-wal").stat().st_size > 0
        done = back_up(site.home, folder / "b.tar")
        assert (done["tasks"], done["running"], done["skipped"]) == (1, 1, [])
        assert done["left_out"] == ["own-key"]
    return folder


@pytest.fixture
def made(original: Path, tmp_path: Path) -> Path:
    """The same in a folder of this test's own."""
    shutil.copytree(original, tmp_path, symlinks=True, dirs_exist_ok=True)
    return tmp_path / "b.tar"


def members(archive: Path) -> list[Member]:
    with tarfile.open(archive) as opened:
        found: list[Member] = []
        for info in opened:
            file = opened.extractfile(info) if info.isreg() else None
            found.append((info, file.read() if file else b""))
    return found


def written(archive: Path, all_of: list[Member]) -> Path:
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as out:
        for info, data in all_of:
            out.addfile(info, io.BytesIO(data))
    return archive


def test_what_was_made_while_a_task_ran_is_restored_with_that_task_paused(
    made: Path, tmp_path: Path
) -> None:
    """U7."""
    before, home = tmp_path / "home", tmp_path / "elsewhere"
    done = restore(home, made)
    engine = open_database(f"sqlite:///{home / 'rover.db'}")
    store = Store(engine)
    task, attempt = store.tasks.get(TASK), store.attempts.get(TASK, 1)
    engine.dispose()
    assert task is not None
    assert task.pause is not None
    assert attempt is not None
    assert (task.status, task.pause.reason) == (TaskStatus.PAUSED, PauseReason.INTERRUPTED)
    assert (task.retry_at, attempt.state) == (None, "ended")
    assert done["paused"] == [{"id": TASK, "number": task.number, "title": task.title}]
    assert done["kept"] is None
    for path in sorted(before.rglob("*")):
        name = path.relative_to(before)
        if name.parts[0] not in ("tasks", "projects", "trust.json"):
            continue
        if {"lock", "base", "gateway"} & set(name.parts):
            continue  # made anew
        there = home / name
        assert path.is_symlink() == there.is_symlink(), name
        if path.is_symlink():
            assert path.readlink() == there.readlink()
            continue
        facts, same = path.stat(), there.stat()
        # A repository's packs are known by their time.
        assert (facts.st_mode, facts.st_mtime_ns) == (same.st_mode, same.st_mtime_ns), name
        assert path.is_dir() or path.read_bytes() == there.read_bytes(), name
    assert not {"own-key", "cache"} & {path.name for path in home.iterdir()}
    assert home.stat().st_mode & 0o777 == 0o700


def test_the_folder_that_was_there_is_kept(made: Path, tmp_path: Path) -> None:
    """U7. A second restore keeps the first one, too."""
    kept: set[str] = set()
    for _ in range(2):
        done = restore(tmp_path / "home", made)
        kept.add(done["kept"])
    assert len(kept) == 2
    assert any(Path(name, "own-key").exists() for name in kept)
    assert not list(tmp_path.glob(".home.restoring-*"))


@pytest.mark.parametrize(
    ("target", "code"),
    [("b.tar", "exists"), ("home/b.tar", "backup_inside"), ("no/b.tar", "no_folder")],
)
def test_a_backup_overwrites_nothing(made: Path, tmp_path: Path, target: str, code: str) -> None:
    """U7."""
    content = made.read_bytes()
    with pytest.raises(RoverError) as refused:
        back_up(tmp_path / "home", tmp_path / target)
    assert refused.value.code == code
    assert made.read_bytes() == content
    assert not list(tmp_path.glob(".rover-backup-*"))


def test_a_folder_gets_a_file_and_gives_the_newest(made: Path, tmp_path: Path) -> None:
    """U7."""
    folder = tmp_path / "backups"
    folder.mkdir()
    first, second = (back_up(tmp_path / "home", folder, lambda t=t: t) for t in (0.0, 86400.0))
    assert Path(first["file"]).name == "rover-backup-19700101-000000.tar"
    done = restore(tmp_path / "elsewhere", folder)
    assert done["file"] == second["file"]


def test_nothing_is_restored_under_a_daemon_or_a_sandbox(made: Path, tmp_path: Path) -> None:
    """U7."""
    home = tmp_path / "home"
    run = home / "tasks" / TASK / "iterations" / "1" / "run"
    with (run / LOCK_NAME).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(RoverError) as refused:
            restore(home, made)
        assert refused.value.code == "sandbox_runs"
    assert hold_lock(home)
    with pytest.raises(RoverError) as refused:
        restore(home, made)
    assert refused.value.code == "daemon_runs"
    assert (home / "own-key").exists()


def info(name: str, kind: bytes = tarfile.REGTYPE, to: str = "") -> Member:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, to
    return found, b""


HOSTILE = (
    info("/etc/rover"),
    info("../outside"),
    info("tasks/../../outside"),
    info("tasks//x"),
    info("tasks/./x"),
    info("own-key"),
    info("daemon.lock"),
    info("tasks/x", tarfile.SYMTYPE, "/etc"),
    info("projects/x", tarfile.SYMTYPE, "../../outside"),
    info("tasks/x", tarfile.LNKTYPE, "rover.db"),
    info("tasks/x", tarfile.FIFOTYPE),
    info("tasks/x", tarfile.CHRTYPE),
    info("tasks/x", tarfile.BLKTYPE),
    info("tasks/x", tarfile.CONTTYPE),
    info(f"tasks/{TASK}/work/python/x"),
    info(f"tasks/{TASK}/work/a.txt"),
    info(f"tasks/{TASK}/work", tarfile.SYMTYPE, "/tmp"),
    info("tasks/nowhere/x"),
    info("tasks/unlisted"),
)


@pytest.mark.parametrize("member", HOSTILE, ids=lambda m: f"{m[0].name}-{m[0].type.decode()}")
def test_a_member_that_leads_out_or_is_no_file_is_refused(
    made: Path, tmp_path: Path, member: Member
) -> None:
    """U7. What tarfile takes by itself differs by its version."""
    *others, manifest = members(made)
    refuses(tmp_path, written(tmp_path / "bad.tar", [*others, member, manifest]))


def refuses(tmp_path: Path, archive: Path) -> None:
    before = {path.name for path in (tmp_path / "home").iterdir()}
    outside = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(RoverError) as refused:
        restore(tmp_path / "home", archive)
    assert refused.value.code == "bad_backup", refused.value.message
    assert "nothing was changed" in str(refused.value.hint)
    assert {path.name for path in (tmp_path / "home").iterdir()} - {"daemon.lock"} <= before
    assert {path.name for path in tmp_path.iterdir()} == outside


def changed_byte(all_of: list[Member]) -> list[Member]:
    return [(i, b"other" if i.name.endswith("a.txt") else d) for i, d in all_of if not _resized(i)]


def _resized(member: tarfile.TarInfo) -> bool:
    if member.name.endswith("a.txt"):
        member.size = 5
    return False


def edited(**fields: Any) -> Callable[[list[Member]], list[Member]]:
    def edit(all_of: list[Member]) -> list[Member]:
        *others, (manifest, data) = all_of
        raw = json.dumps(json.loads(data) | fields).encode()
        manifest.size = len(raw)
        return [*others, (manifest, raw)]

    return edit


HARM: dict[str, Callable[[list[Member]], list[Member]]] = {
    "a file's content": changed_byte,
    "a file is missing": lambda a: [m for m in a if not m[0].name.endswith("a.txt")],
    "a link is missing": lambda a: [m for m in a if not m[0].name.endswith("python")],
    "the manifest is missing": lambda a: a[:-1],
    "the manifest is not the last": lambda a: [a[-1], *a[:-1]],
    "nothing at all": lambda _: [],
    "another form": edited(format=2),
    "a newer version": edited(schema_version=10**6),
    "a version before the first release": edited(schema_version=store_tables.BASE_VERSION - 1),
    "no entries": edited(entries=None),
    "entries of another kind": edited(entries=[["rover.db", "file"]]),
    "another database": edited(database="mysql"),
}


@pytest.mark.parametrize("harm", HARM)
def test_a_backup_that_was_changed_is_refused(made: Path, tmp_path: Path, harm: str) -> None:
    """U7."""
    refuses(tmp_path, written(tmp_path / "bad.tar", HARM[harm](members(made))))


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
def test_a_backup_that_was_cut_is_refused(made: Path, tmp_path: Path, part: float) -> None:
    """U7."""
    content, archive = made.read_bytes(), tmp_path / "bad.tar"
    archive.write_bytes(content[: int(len(content) * part)])
    refuses(tmp_path, archive)


def test_a_database_that_is_damaged_is_not_backed_up_or_restored(
    made: Path, tmp_path: Path
) -> None:
    """U7."""
    home, garbage = tmp_path / "home", b"no database at all" * 1000
    (home / "rover.db").write_bytes(garbage)
    with pytest.raises(RoverError) as refused:
        back_up(home, tmp_path / "c.tar")
    assert "rover doctor --repair" in str(refused.value.hint)
    assert not (tmp_path / "c.tar").exists()

    *others, (manifest, data) = members(made)
    listed = json.loads(data)
    for row in listed["entries"]:
        if row[0] == "rover.db":
            row[2:4] = len(garbage), hashlib.sha256(garbage).hexdigest()
    harmed: list[Member] = []
    for member, content in others:
        if member.name == "rover.db":
            member.size = len(garbage)
        harmed.append((member, garbage if member.name == "rover.db" else content))
    raw = json.dumps(listed).encode()
    manifest.size = len(raw)
    refuses(tmp_path, written(tmp_path / "bad.tar", [*harmed, (manifest, raw)]))


def test_with_postgresql_the_files_are_backed_up_and_it_is_said(tmp_path: Path) -> None:
    """U7."""
    with open_site(tmp_path) as site:
        lay(site)
    home = tmp_path / "home"
    (home / "config.yaml").write_text("database: postgresql+psycopg://rover@/rover?host=/nowhere\n")
    done = back_up(home, tmp_path / "b.tar")
    assert (done["database"], done["tasks"]) == ("postgresql", 1)
    names = {member.name for member, _ in members(tmp_path / "b.tar")}
    assert "rover.db" not in names
    assert {MANIFEST, "config.yaml", f"tasks/{TASK}/work/a.txt"} <= names
    again = restore(tmp_path / "elsewhere", tmp_path / "b.tar")
    assert (again["database"], again["tasks"], again["paused"]) == ("postgresql", 1, [])


def test_an_empty_data_folder_has_nothing_to_back_up(tmp_path: Path) -> None:
    """U7. `sqlite3` would make the database that it is asked to copy."""
    (tmp_path / "home").mkdir()
    with pytest.raises(RoverError) as refused:
        back_up(tmp_path / "home", tmp_path / "b.tar")
    assert refused.value.code == "nothing_to_back_up"
    assert not list((tmp_path / "home").iterdir())


def test_a_copy_of_the_database_is_whole_in_itself(made: Path, tmp_path: Path) -> None:
    """U7. It needs no -wal beside it."""
    (data,) = (data for member, data in members(made) if member.name == "rover.db")
    (tmp_path / "only.db").write_bytes(data)
    with sqlite3.connect(f"file:{tmp_path / 'only.db'}?immutable=1", uri=True) as database:
        assert database.execute("SELECT id FROM rover_tasks").fetchall() == [(TASK,)]
    database.close()


def copied(home: Path, to: Path) -> dict[str, str]:
    """The status of each task that is not in the trash, in a copy of the database's file alone,
    once nothing is beside it."""
    wal = home / "rover.db-wal"
    wait_until(lambda: not wal.exists() or wal.stat().st_size == 0, "it is in the one file")
    shutil.copyfile(home / "rover.db", to)
    with sqlite3.connect(f"file:{to}?immutable=1", uri=True) as database:
        trash = "SELECT task_id FROM rover_deletions"
        query = f"SELECT id, status FROM rover_tasks WHERE id NOT IN ({trash})"  # our own names
        found = dict(database.execute(query).fetchall())
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()
    return found


def test_what_an_idle_daemon_has_is_in_the_one_file(tmp_path: Path) -> None:
    """U7. What was written last stood in the -wal alone, for a sweep of 30 s or, while a task waited
    for its time, for good."""
    folder = Path(tempfile.mkdtemp(prefix="rover-copy-"))
    home, repository = folder / "data", make_repository(folder / "repo")
    home.mkdir()
    # So that no sweep does it within the test.
    (home / "config.yaml").write_text("sweep_interval: 3600\n")
    try:
        with LauncherClient(home, repository) as client:
            client.open()
            task: str = client.tool(
                "create_task", description="Fix add", workflow="demo", agent="scripted",
                engine="bubblewrap", script=fix_after_credits(),
            )["task"]["id"]  # fmt: skip
            client.wait_until(task, "PAUSED")
            assert copied(home, tmp_path / "db") == {task: "PAUSED"}
            client.tool("resume_task", task=task)
            client.wait_until(task, "COMPLETED")
            assert copied(home, tmp_path / "db") == {task: "COMPLETED"}
            client.tool("delete_task", task=task, confirm=True)
        end_daemon(home)
        assert copied(home, tmp_path / "db") == {}
    finally:
        end_daemon(home)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize(
    ("path", "target", "out"),
    [
        ("workflows/a", "b", False), ("workflows/a", "../config.yaml", False),
        ("workflows/a", "../../x", True), ("a", "..", True), ("a/b", "/etc", True),
        ("a/b/c", "../../..", True), ("a/b", "x/../../../y", True),
    ],
)  # fmt: skip
def test_a_link_is_followed_in_thought(path: str, target: str, *, out: bool) -> None:
    """U7."""
    assert leads_out(path, target) == out
    assert not is_agents(path)
