"""A disk that refuses, at each write and each flush of a whole run."""

from __future__ import annotations

import errno
import os
from datetime import datetime
from pathlib import Path

import pytest

from agent_runner.journal.journal import Journal
from agent_runner.journal.journal_reader import read_journal
from agent_runner.journal.record_lines import Record, RecordType
from agent_runner.journal.run_state import fold
from tests.support.disk import FaultyDisk
from tests.support.journals import NOW, RUN, T, lines_of, records_of

CODES = [errno.ENOSPC, errno.EIO, errno.EROFS]
PAUSE = {"reason": "credits", "message": "no", "since": NOW.isoformat(), "step": "test"}
WHOLE_RUN = [*RUN, (T.WORKFLOW_PAUSE, {"pause": PAUSE, "snapshot": None})]
TRUE = records_of(lines_of(WHOLE_RUN))
FLUSHED = (T.AGENT_SESSION, T.STEP_COMPLETE, T.LOOP_ITERATION, T.WORKFLOW_PAUSE)


def clock() -> datetime:
    return NOW


def write_run(path: Path, disk: FaultyDisk) -> bool:
    """Every record as the runner would append it; whether the last is on disk."""
    journal = Journal.open(path, clock, write=disk.write, sync=disk.sync)
    done = False
    for kind, data in WHOLE_RUN:
        done = journal.append(kind, data, flush=kind in FLUSHED)
        beginning(path)
    journal.close()
    return done


def beginning(path: Path) -> list[Record]:
    """What can be read is a beginning of the run, whatever else is told between."""
    records = list(read_journal(path).records)
    told = [r for r in records if r.type is not T.WARNING or r.data["message"] == "slow"]
    assert [(r.type, r.data) for r in told] == [(r.type, r.data) for r in TRUE[: len(told)]]
    return records


def warnings(records: list[Record]) -> list[str]:
    told = [r.data["message"] for r in records if r.type is RecordType.WARNING]
    return [message for message in told if message != "slow"]


def operations(tmp_path: Path) -> int:
    disk = FaultyDisk()
    assert write_run(tmp_path / "calm", disk)
    return disk.count


@pytest.mark.parametrize(
    ("lasting", "half"), [(1, False), (2, False), (2, True), (5, False), (5, True)]
)
@pytest.mark.parametrize("code", CODES)
def test_a_disk_that_recovers_has_every_record_of_the_run(
    tmp_path: Path, code: int, lasting: int, half: bool
) -> None:
    """C3: at every write and flush; all is there, once, and the failure is told."""
    for number in range(operations(tmp_path) - lasting - 1):
        path = tmp_path / f"j{number}"
        disk = FaultyDisk(code, range(number, number + lasting), half=half)
        write_run(path, disk)
        if disk.count < number + lasting + 2:
            break  # it did not recover before the end
        records = beginning(path)
        assert len(records) >= len(TRUE)
        assert warnings(records), number
        assert all(errno.errorcode[code] in told for told in warnings(records))


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("code", CODES)
def test_a_disk_that_stays_broken_is_reported_and_written_records_stay(
    tmp_path: Path, code: int, half: bool
) -> None:
    """E2, C1: the last record is not called written, and each flushed record can be read."""
    for number in range(operations(tmp_path)):
        path = tmp_path / f"j{number}"
        disk = FaultyDisk(code, range(number, 10_000), half=half)
        assert not write_run(path, disk), number
        assert len(beginning(path)) >= disk.flushed
        fold(read_journal(path).records)


def test_a_disk_that_takes_nothing_is_not_asked_for_ever(tmp_path: Path) -> None:
    """C3: a write of no bytes is a failure like another."""
    room = [0]

    def write(fd: int, data: bytes, offset: int) -> int:
        return os.pwrite(fd, data, offset) if room[0] else 0

    journal = Journal.open(tmp_path / "j", clock, write=write)
    assert not journal.append(T.WARNING, {"message": "a"}, flush=True)
    room[0] = 1
    assert journal.append(T.WARNING, {"message": "b"}, flush=True)
    journal.close()
    told = [r.data["message"] for r in read_journal(tmp_path / "j").records]
    assert (told[0], told[2]) == ("a", "b")
    assert "ENOSPC" in told[1]
