"""What is held back of a disk, so that an end and a pause are still recorded when it is full."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from agent_runner.journal.journal import Journal
from agent_runner.journal.journal_reader import read_journal
from agent_runner.journal.record_lines import RecordType
from rover_mcp.control.disk_full_wait import DiskFullWait
from rover_mcp.domain.disk_full_error import disk_full
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.sandbox.supervise import hold_room, write_held
from rover_mcp.store.migrations import open_database
from rover_mcp.store.reserve import FILE, Reserve
from tests.support.desk import open_desk
from tests.support.requests import create_request


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> None:
    for size in (2**20, 4096, 1):
        with (disk / "filler").open("ab", buffering=0) as file, suppress(OSError):
            while file.write(b"x" * size) == size:
                pass


def record_many(record: Callable[[str], None]) -> None:
    for number in range(20):
        record(f"before {number}")


def test_a_full_disk_takes_the_records_of_an_end(disk: Path) -> None:
    """C3, E2: a journal, and how its runner exited."""
    journal = Journal.open(disk / "journal", lambda: datetime.now(UTC))
    hold_room(disk / "exit.json")
    fill(disk)
    with pytest.raises(OSError, match="No space"):
        (disk / "another").write_bytes(b"x")
    assert journal.append(RecordType.WARNING, {"message": "m" * 100_000}, flush=True)
    write_held(disk / "exit.json", {"code": 2})
    journal.close()
    assert len(read_journal(disk / "journal").records) == 1
    assert json.loads((disk / "exit.json").read_text()) == {"code": 2}
    assert (disk / "journal").stat().st_blocks * 512 < 110_000


def test_a_database_takes_what_must_be_recorded_on_a_full_disk(disk: Path) -> None:
    """L7: it gets room a slice at a time, and none of another's."""
    url, reserve = f"sqlite:///{disk / 'rover.db'}", Reserve(disk)
    engine = open_database(url)
    reserve.fill()
    held = (disk / FILE).stat().st_size
    fill(disk)
    write = sa.text("insert into rover_meta values (:key, :value)")

    def record(key: str) -> None:
        with engine.begin() as connection:
            connection.execute(write, {"key": key, "value": "v" * 100_000})

    with pytest.raises(EnvironmentFault, match=f"the disk that holds {disk}") as caught:
        record_many(record)
    assert caught.value.code == "disk_full"
    reserve.serve(str(disk / "rover.db"))
    record("after")
    engine.dispose()
    assert 0 < (disk / FILE).stat().st_size < held
    (disk / "filler").unlink()
    (disk / FILE).unlink()
    reserve.fill()
    assert (disk / FILE).exists()


def test_a_pause_that_could_not_be_recorded_is_shown_all_the_same(tmp_path: Path) -> None:
    """L7: while nothing at all can be written, and not longer."""
    shown: list[tuple[TaskStatus, str]] = []
    with open_desk(tmp_path) as desk:
        created = desk.tasks.create(desk.caller, create_request("Fix the sum"))
        task = desk.store.tasks.get(created.id)
        assert task is not None
        fault = disk_full("it cannot be written", tmp_path)

        def look(_seconds: float) -> None:
            view = desk.tasks.view(task)
            assert view.pause is not None
            shown.append((view.status, view.pause.message))

        patience = DiskFullWait(sleep=look)
        desk.tasks.stalled = patience.pause
        tries = iter([fault, fault])

        def work() -> str:
            if (error := next(tries, None)) is not None:
                raise error
            return "done"

        assert patience(task.id, work) == "done"
        assert desk.tasks.view(task).status is TaskStatus.NEW
    assert [status for status, _ in shown] == [TaskStatus.PAUSED] * 2
    assert f"the disk that holds {tmp_path} is full" in shown[0][1]
    assert "then resume" in shown[0][1]
