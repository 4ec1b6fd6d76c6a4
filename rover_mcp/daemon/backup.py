"""`rover backup`: writes all that a data folder keeps of its tasks into one file, while a daemon
may be at work.

The order makes it consistent. The database is copied first, as of one moment; then each task's
journal, and what the journal refers to; the hubs last. So whatever a record names is in the backup,
and what the copied database does not know yet looks as after a crash, from which every task
resumes.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Collection, Generator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent_runner.process.locks import take_lock
from rover_mcp import __version__
from rover_mcp.config.load_settings import load_settings
from rover_mcp.daemon.backup_archive import (
    DATABASE,
    FORMAT,
    TOP,
    ArchiveWriter,
    BackupManifest,
    is_agents,
    leads_out,
)
from rover_mcp.daemon.offline_program import print_outcome
from rover_mcp.domain.errors import Conflict, EnvironmentFault, UserFixable
from rover_mcp.domain.paths import warm_sandbox_markers
from rover_mcp.domain.task_status import RUNNING
from rover_mcp.packages.package_store import FOLDER as PACKAGES
from rover_mcp.store import store_tables

PREFIX = "rover-backup-"
_OF_THE_USER = ("config.yaml", "trust.json", "http-tokens.json", "workflows")
_SHORT_LIVED = frozenset(("base", "gateway", PACKAGES))
"""Folders of a task that each attempt makes again: the project's objects and packages lent to it,
and its socket."""
_LOCK = "lock"
_OF_A_PROJECT = frozenset((_LOCK, PACKAGES))
_LOCK_TRIES = 90_000
_FIRST, _LAST = {"journal.jsonl": 0, "iterations": 0}, {"packed-refs": 2, "objects": 3}
"""A journal before what it refers to; references before the objects, which are only added; loose
references before packed ones, into which they are moved."""
_REBUILT = frozenset(
    ("cache", "sandboxes", "spares", "creating", "trash", "daemon.lock", "daemon.start.lock",
     "executor.lock", "executor-id", "roverd.sock", "podman.sock", "podman.log",
     "http-tokens.json.lock", "reserve", "config.last.yaml", "logins.json", "logins.json.lock",
     "keys", "service-offered", "daemon.log", "daemon.log.1", "rover.db-wal", "rover.db-shm")
)  # fmt: skip


@dataclass
class _Copying:
    """A backup that is being made. `skipped` names what could not be copied, with the reason."""

    home: Path
    writer: ArchiveWriter
    skipped: list[str] = field(default_factory=list[str])

    def top(self, name: str) -> None:
        """Copy a file or folder of the user's own, where a link stands for what it leads to."""
        if (self.home / name).is_dir():
            self._folder(name, follow=True)
        else:
            self._file(name, follow=True)

    def tree(self, path: str, without: Collection[str] = ()) -> None:
        """Copy a folder of Rover's with its content."""
        self._folder(path, without=without)

    def _folder(self, path: str, *, follow: bool = False, without: Collection[str] = ()) -> None:
        try:
            facts = (self.home / path).stat()
            names = sorted((inner.name for inner in (self.home / path).iterdir()), key=_order)
        except (FileNotFoundError, NotADirectoryError):
            return  # it was deleted meanwhile
        except OSError as error:
            self.skipped.append(f"{path}: {error.strerror}")
            return
        self.writer.folder(path, facts)
        for name in names:
            if name not in without:
                self._any(f"{path}/{name}", follow=follow)

    def _any(self, path: str, *, follow: bool) -> None:
        try:
            facts = (self.home / path).lstat()
        except FileNotFoundError:
            return
        if stat.S_ISDIR(facts.st_mode):
            self._folder(path, follow=follow)
        elif stat.S_ISREG(facts.st_mode) or (follow and stat.S_ISLNK(facts.st_mode)):
            self._file(path, follow=follow)
        elif stat.S_ISLNK(facts.st_mode):
            self._link(path, facts)
        # Sockets and pipes are worth nothing without the process at their other end.

    def _file(self, path: str, *, follow: bool = False) -> None:
        # O_NONBLOCK, because a FIFO that took the file's place would let open wait for a writer.
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
        try:
            file = os.open(self.home / path, flags)
        except FileNotFoundError:
            return
        except OSError as error:
            self.skipped.append(f"{path}: {error.strerror}")
            return
        try:
            if stat.S_ISREG(os.fstat(file).st_mode):
                self.writer.file(path, file)
            else:
                self.skipped.append(f"{path}: not a file")
        finally:
            os.close(file)

    def _link(self, path: str, facts: os.stat_result) -> None:
        with suppress(FileNotFoundError):
            target = str((self.home / path).readlink())
            if is_agents(path) or not leads_out(path, target):
                self.writer.link(path, target, facts)
            else:
                self.skipped.append(f"{path}: a link that leads out of the data folder")


def _order(name: str) -> tuple[int, str]:
    return _FIRST.get(name, _LAST.get(name, 1)), name


def back_up(home: Path, target: Path, now: Callable[[], float] = time.time) -> dict[str, Any]:
    """Make a backup, and return a description. `target` is a new file, or a folder for one.

    Raises:
        RoverError: there is nothing to back up, the file exists, or reading or writing failed.
    """
    home = home.resolve()
    settings = load_settings(home)
    if not settings.database and not (home / DATABASE).exists():
        raise UserFixable(
            f"{home} has no records of tasks, so there is nothing to back up",
            hint="see --home and ROVER_HOME; if its database was lost: rover doctor --repair",
            code="nothing_to_back_up",
        )
    target = _name(home, target, now())
    try:
        with _made(target) as (folder, part):
            done = _write(home, folder, part, now(), shared=settings.database is not None)
    except OSError as error:
        raise _cannot_write(target, error) from error
    return {"file": str(target), "bytes": target.stat().st_size, **done}


def _name(home: Path, target: Path, now: float) -> Path:
    if target.is_dir():
        stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%d-%H%M%S")
        target = target / f"{PREFIX}{stamp}.tar"
    if not target.parent.is_dir():
        raise UserFixable(
            f"there is no folder {target.parent}", hint="create it first", code="no_folder"
        )
    target = target.parent.resolve() / target.name
    if target.is_relative_to(home):
        raise UserFixable(
            f"{target} is inside the data folder that it would copy",
            hint="choose a place outside of it, preferably on another disk",
            code="backup_inside",
        )
    if os.path.lexists(target):
        raise _exists(target)
    return target


@contextmanager
def _made(target: Path) -> Generator[tuple[Path, Path]]:
    """A folder beside the target, and a file in it that becomes the target when it is complete."""
    with tempfile.TemporaryDirectory(prefix=".rover-backup-", dir=target.parent) as name:
        part = Path(name, "part")
        yield Path(name), part
        try:
            # Unlike a renaming, a link never takes the place of what is there.
            os.link(part, target)
        except FileExistsError:
            raise _exists(target) from None
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS):
                raise
            if os.path.lexists(target):
                raise _exists(target) from None
            part.rename(target)
        _sync(target.parent)


def _write(home: Path, folder: Path, part: Path, now: float, *, shared: bool) -> dict[str, Any]:
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
            copying = _Copying(home, ArchiveWriter(archive))
            tasks = _tasks(home)
            statuses = None if shared else _database(home, folder, copying.writer)
            _files(copying, tasks)
            at = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
            about = BackupManifest(
                format=FORMAT, version=__version__, made_at=at,
                database="postgresql" if shared else "sqlite",
                schema_version=store_tables.SCHEMA_VERSION,
            )  # fmt: skip
            copying.writer.manifest(about)
        file.flush()
        os.fsync(file.fileno())
    return {
        "made_at": at,
        "database": about.database,
        "tasks": len(tasks if statuses is None else statuses),
        "running": sum(status in RUNNING for status in statuses or ()),
        "skipped": copying.skipped,
        "left_out": sorted({path.name for path in home.iterdir()} - TOP - _REBUILT),
    }


def _tasks(home: Path) -> list[str]:
    """The tasks that have files, without sandboxes that wait for a task."""
    waiting = {path.name for path in warm_sandbox_markers(home).glob("*")}
    return sorted({path.name for path in (home / "tasks").glob("*")} - waiting)


def _files(copying: _Copying, tasks: list[str]) -> None:
    home, writer = copying.home, copying.writer
    for name in _OF_THE_USER:
        if (home / name).exists():
            copying.top(name)
    for name, parts in (("tasks", tasks), ("projects", sorted(_names(home / "projects")))):
        with suppress(FileNotFoundError):
            writer.folder(name, (home / name).stat())
            for part in parts:
                if name == "tasks":
                    copying.tree(f"{name}/{part}", without=_SHORT_LIVED)
                else:
                    with _unchanged(home / name / part):
                        copying.tree(f"{name}/{part}", without=_OF_A_PROJECT)


@contextmanager
def _unchanged(project: Path) -> Generator[None]:
    """Hold the project's lock, so that nothing is made or removed in its repositories meanwhile.
    Objects from sandboxes may still be added."""
    try:
        lock = take_lock(project / _LOCK, 0o600, _LOCK_TRIES)
    except BlockingIOError:
        raise EnvironmentFault(
            f"the project {project.name} has been busy for half an hour",
            hint="try again when its tasks have started",
            code="busy",
        ) from None
    try:
        yield
    finally:
        os.close(lock)


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("*") if path.is_dir()]


def _database(home: Path, folder: Path, writer: ArchiveWriter) -> list[str]:
    """Copy the database as of one moment, with what only its -wal holds. Returns the status of
    every task."""
    copy = folder / DATABASE
    try:
        with (
            closing(sqlite3.connect(home / DATABASE, timeout=30)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
            # One file: a copy in WAL mode could not be opened from a read-only place.
            target.execute("PRAGMA journal_mode=DELETE")
            checked = target.execute("PRAGMA quick_check").fetchone()
            statuses = [str(row[0]) for row in target.execute("SELECT status FROM rover_tasks")]
    except sqlite3.Error as error:
        raise _unreadable(str(error)) from error
    if checked != ("ok",):
        raise _unreadable(str(checked))
    copy.chmod(0o600)
    file = os.open(copy, os.O_RDONLY | os.O_CLOEXEC)
    try:
        writer.file(DATABASE, file)
    finally:
        os.close(file)
        copy.unlink()
    return statuses


def _unreadable(why: str) -> EnvironmentFault:
    return EnvironmentFault(
        f"the database cannot be copied: {why}",
        hint="run `rover doctor --repair`, then back up again",
        code="damaged_database",
    )


def _exists(target: Path) -> Conflict:
    return Conflict(
        f"{target} exists, and a backup overwrites nothing", hint="name another file", code="exists"
    )


def _cannot_write(target: Path, error: OSError) -> EnvironmentFault:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return EnvironmentFault(
        f"the backup {target} cannot be made: {error.strerror or error}",
        hint="choose a place with more space" if full else "check that the place is writable",
        code="disk_full" if full else "backup_failed",
    )


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def main() -> int:
    """`python -m rover_mcp.daemon.backup HOME TARGET`: prints what was done, or why not, as
    JSON."""
    return print_outcome(lambda: back_up(Path(sys.argv[1]), Path(sys.argv[2])))


if __name__ == "__main__":
    sys.exit(main())
