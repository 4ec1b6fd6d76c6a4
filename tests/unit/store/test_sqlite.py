"""The embedded database: durable, unlocked for readers, and clear about what is wrong."""

from __future__ import annotations

import ctypes
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest
import sqlalchemy as sa

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.store import store_tables
from rover_mcp.store.migrations import open_database
from rover_mcp.store.store import Store
from tests.support.samples import new_task

T = TypeVar("T")
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2
LINUX_CAPABILITY_VERSION_3 = 0x20080522


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "rover.db"
    tmp_path.chmod(0o700)


def opened(path: Path) -> Store:
    return Store(open_database(f"sqlite:///{path}"))


def close(store: Store) -> None:
    store.database.engine.dispose()


def without_roots_rights(call: Callable[[], T]) -> T:
    """Run `call` in a thread for which file modes count, as they do for everyone but root."""

    def run() -> T:
        header = (ctypes.c_uint32 * 2)(LINUX_CAPABILITY_VERSION_3, 0)
        data = (ctypes.c_uint32 * 6)()
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.capget(header, data) == 0
        data[0] &= ~(1 << CAP_DAC_OVERRIDE | 1 << CAP_DAC_READ_SEARCH)
        assert libc.capset(header, data) == 0, os.strerror(ctypes.get_errno())
        return call()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result(300)


def fault(path: Path) -> EnvironmentFault:
    with pytest.raises(EnvironmentFault) as caught:
        open_database(f"sqlite:///{path}")
    return caught.value


def test_a_folder_that_cannot_be_written_says_so(path: Path) -> None:
    """The data folder is read-only."""
    path.parent.chmod(0o500)
    found = without_roots_rights(lambda: fault(path))
    assert found.code == "data_folder"
    assert "unable to open database file" in found.message
    assert "make the data folder writable" in str(found.hint)
    assert list(path.parent.iterdir()) == []


def test_data_that_cannot_be_written_say_so(path: Path) -> None:
    close(opened(path))
    path.chmod(0o400)
    path.parent.chmod(0o500)
    found = without_roots_rights(lambda: fault(path))
    assert found.code == "data_folder"
    assert "readonly database" in found.message or "unable to open" in found.message


@pytest.mark.parametrize(
    "content", [b"not a database, " * 100, b"SQLite format 3\x00" + b"\xff" * 4096]
)
def test_a_file_that_is_no_database_is_left_as_it_is(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert fault(path).code == "data_folder"
    assert path.read_bytes() == content


def test_a_folder_that_is_not_there_is_a_clear_error(path: Path) -> None:
    assert fault(path.parent / "gone" / "rover.db").code == "data_folder"


def test_newer_data_are_left_untouched_to_the_byte(path: Path) -> None:
    """A3."""
    close(opened(path))
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(store_tables.meta.update().values(value="999"))
    engine.dispose()
    before = hashlib.sha256(path.read_bytes()).digest()
    assert fault(path).code == "newer_data"
    assert hashlib.sha256(path.read_bytes()).digest() == before
    assert [p.name for p in path.parent.iterdir()] == ["rover.db"]


def test_a_commit_survives_a_power_cut(path: Path) -> None:
    """C1: what was said to be written is on the disk."""
    store = opened(path)
    with store.database.engine.connect() as connection:
        pragma = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragma == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 30000,
    }
    close(store)


def test_readers_do_not_wait_for_a_writer(path: Path) -> None:
    """They see what was committed before."""
    store = opened(path)
    store.projects.register("p1", "/repo")
    task, _ = store.tasks.create(new_task(), frozenset())
    held, release = threading.Event(), threading.Event()

    def write() -> None:
        with store.database.engine.begin() as connection:
            connection.execute(store_tables.tasks.update().values(title="half done"))
            held.set()
            assert release.wait(300)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        try:
            assert held.wait(300)
            assert store.tasks.get(task.id) == task
            assert store.tasks.page() == [task]
            assert len(store.events.after(0)) == 1
        finally:
            release.set()
        writing.result(300)
    found = store.tasks.get(task.id)
    assert found is not None
    assert found.title == "half done"
    close(store)


def test_two_programs_on_one_file_see_each_other(path: Path) -> None:
    first, second = opened(path), opened(path)
    first.projects.register("p1", "/repo")
    task, _ = first.tasks.create(new_task(), frozenset())
    assert second.tasks.get(task.id) == task
    assert second.transitions.resume(task.id, None) is None
    close(first)
    close(second)


def test_after_a_checkpoint_a_copy_of_the_file_is_a_backup(path: Path, tmp_path: Path) -> None:
    """U7. Succeeded at 700cc57: what was written last stood in the -wal alone."""
    store = opened(path)
    store.projects.register("p1", "/repo")
    store.tasks.create(new_task(), frozenset())
    store.checkpoint()
    copy = tmp_path / "copy.db"
    copy.write_bytes(path.read_bytes())
    close(store)
    again = opened(copy)
    assert [task.id for task in again.tasks.page()] == [new_task().id]
    close(again)
