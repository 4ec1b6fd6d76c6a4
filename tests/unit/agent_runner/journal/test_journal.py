"""The journal: what a crash, a full disk and a flipped bit leave of it."""

from __future__ import annotations

import errno
import json
import os
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_runner.journal.journal import Journal, JournalLocked, is_locked
from agent_runner.journal.journal_reader import JournalDamaged, JournalTooNew, read_journal
from agent_runner.journal.record_lines import Chain, RecordType, encode

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)


def clock() -> datetime:
    return NOW


def lines(count: int) -> list[bytes]:
    chain, found = Chain(), list[bytes]()
    for n in range(1, count + 1):
        line, chain = encode(chain, NOW, RecordType.WARNING, {"message": f"m{n} é {{}}"})
        found.append(line)
    return found


def write(path: Path, count: int) -> list[bytes]:
    records = lines(count)
    path.write_bytes(b"".join(records))
    return records


def test_a_missing_journal_is_empty(tmp_path: Path) -> None:
    """F3."""
    assert read_journal(tmp_path / "j").records == ()


def test_what_was_appended_is_read_back(tmp_path: Path) -> None:
    """A3."""
    journal = Journal.open(tmp_path / "j", clock)
    assert journal.append(RecordType.WARNING, {"message": "a\nb"})
    assert journal.append(RecordType.STEP_START, {"step": "x"}, flush=True)
    journal.close()
    read = read_journal(tmp_path / "j")
    assert [(r.seq, r.type, dict(r.data), r.at) for r in read.records] == [
        (1, "warning", {"message": "a\nb"}, NOW),
        (2, "step_start", {"step": "x"}, NOW),
    ]
    assert read.torn == 0


def test_a_write_cut_at_any_byte_leaves_every_earlier_record(tmp_path: Path) -> None:
    """C1."""
    path = tmp_path / "j"
    *kept, last = lines(3)
    for cut in range(len(last)):
        path.write_bytes(b"".join(kept) + last[:cut])
        read = read_journal(path)
        assert (len(read.records), read.torn) == (2, cut)


def test_a_torn_tail_is_moved_aside_and_reported(tmp_path: Path) -> None:
    """C1: dropped, reported, and nothing is deleted."""
    path = tmp_path / "j"
    records = write(path, 2)
    path.write_bytes(b"".join(records)[:-5])
    journal = Journal.open(path, clock)
    journal.append(RecordType.WARNING, {"message": "after"}, flush=True)
    journal.close()
    assert (tmp_path / "journal.torn-1").read_bytes() == records[1][:-5]
    read = read_journal(path).records
    assert [r.seq for r in read] == [1, 2, 3]
    assert "cut off" in read[1].data["message"]


def test_zeros_after_the_last_record_are_a_torn_tail(tmp_path: Path) -> None:
    """C1: what a power loss leaves where only the length reached the disk."""
    path = tmp_path / "j"
    write(path, 2)
    with path.open("ab") as file:
        file.write(b"\0" * 4096)
    assert (len(read_journal(path).records), read_journal(path).torn) == (2, 4096)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_a_flipped_bit_never_changes_a_record(tmp_path: Path, data: st.DataObject) -> None:
    """C2: it is damage, or a dropped tail; never another truth."""
    path = tmp_path / "j"
    whole = b"".join(lines(3))
    place = data.draw(st.integers(0, len(whole) * 8 - 1))
    flipped = bytearray(whole)
    flipped[place // 8] ^= 1 << place % 8
    path.write_bytes(flipped)
    try:
        read = read_journal(path)
    except (JournalDamaged, JournalTooNew):
        return
    assert [r.data["message"] for r in read.records] == ["m1 é {}", "m2 é {}"]
    assert read.torn > 0
    assert place // 8 >= len(b"".join(lines(2)))


def test_damage_before_the_tail_is_reported_with_its_place(tmp_path: Path) -> None:
    """C2."""
    path = tmp_path / "j"
    first, second, third = lines(3)
    path.write_bytes(first + second.replace(b"m2", b"XX") + third)
    before = path.read_bytes()
    with pytest.raises(JournalDamaged) as caught:
        Journal.open(path, clock)
    assert (caught.value.line, caught.value.offset) == (2, len(first))
    assert path.read_bytes() == before


def test_a_lost_line_break_is_damage_not_a_tail(tmp_path: Path) -> None:
    """C2: two whole records must not be dropped as one torn one."""
    path = tmp_path / "j"
    first, second = lines(2)
    path.write_bytes(first[:-1] + b"\x0b" + second)
    with pytest.raises(JournalDamaged):
        read_journal(path)


def test_a_missing_record_is_damage(tmp_path: Path) -> None:
    """C2."""
    path = tmp_path / "j"
    first, _, third = lines(3)
    path.write_bytes(first + third)
    with pytest.raises(JournalDamaged, match="record 3 where 2"):
        read_journal(path)


def test_an_unknown_record_type_is_an_error_that_names_it(tmp_path: Path) -> None:
    """A1."""
    path = tmp_path / "j"
    body = json.dumps(
        {"at": NOW.isoformat(), "data": {}, "seq": 1, "type": "dance", "v": 1},
        sort_keys=True,
        separators=(",", ":"),
    ).encode()
    line = body[:-1] + b',"sum":"%08x"}\n' % zlib.crc32(body)
    path.write_bytes(line + lines(2)[1])
    with pytest.raises(JournalDamaged, match="dance"):
        read_journal(path)


def test_a_newer_schema_is_refused_and_left_untouched(tmp_path: Path) -> None:
    """A3."""
    path = tmp_path / "j"
    path.write_bytes(b'{"v":3,"whatever":true}\n')
    with pytest.raises(JournalTooNew, match="newer than 2"):
        Journal.open(path, clock)
    assert path.read_bytes() == b'{"v":3,"whatever":true}\n'


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_failed_write_is_repeated_by_a_later_one_with_a_warning(
    tmp_path: Path, code: int
) -> None:
    """C3."""
    failing = [False]

    def refuse(fd: int, data: bytes, offset: int) -> int:
        if failing[0]:
            raise OSError(code, "no")
        return os.pwrite(fd, data, offset)

    path = tmp_path / "j"
    journal = Journal.open(path, clock, write=refuse)
    assert journal.append(RecordType.STEP_START, {"step": "a"})
    failing[0] = True
    assert not journal.append(RecordType.STEP_START, {"step": "b"}, flush=True)
    assert not journal.append(RecordType.STEP_START, {"step": "c"})
    assert len(read_journal(path).records) == 1
    failing[0] = False
    assert journal.append(RecordType.STEP_START, {"step": "d"}, flush=True)
    journal.close()
    records = read_journal(path).records
    assert [r.data.get("step", "warning") for r in records] == ["a", "b", "warning", "c", "d"]
    assert errno.errorcode[code] in records[2].data["message"]


def test_half_a_write_is_finished_by_the_next(tmp_path: Path) -> None:
    """C3: a full disk takes a part of a record before it refuses."""
    room = [30]

    def small(fd: int, data: bytes, offset: int) -> int:
        if room[0] == 0:
            raise OSError(errno.ENOSPC, "full")
        written = os.pwrite(fd, data[: room[0]], offset)
        room[0] -= written
        return written

    path = tmp_path / "j"
    journal = Journal.open(path, clock, write=small)
    assert not journal.append(RecordType.STEP_START, {"step": "a"})
    assert read_journal(path).torn == 30
    room[0] = 10_000
    assert journal.append(RecordType.STEP_START, {"step": "b"})
    journal.close()
    assert [r.type for r in read_journal(path).records] == ["step_start", "warning", "step_start"]


def test_a_failed_flush_is_written_again(tmp_path: Path) -> None:
    """C3: after a failed fsync the kernel may have dropped the pages."""
    path = tmp_path / "j"
    writes: list[tuple[int, int]] = []
    failing = [True]

    def pwrite(fd: int, data: bytes, offset: int) -> int:
        writes.append((offset, len(data)))
        return os.pwrite(fd, data, offset)

    def sync(fd: int) -> None:
        if failing[0]:
            raise OSError(errno.EIO, "no")

    journal = Journal.open(path, clock, write=pwrite, sync=sync)
    assert not journal.append(RecordType.STEP_START, {"step": "a"}, flush=True)
    failing[0] = False
    assert journal.append(RecordType.STEP_START, {"step": "b"}, flush=True)
    assert writes[-1][0] == 0
    assert writes[-1][1] == path.stat().st_size
    journal.close()


def test_the_cost_of_a_record_does_not_grow(tmp_path: Path) -> None:
    """C8: bytes written for a record, early and late."""
    written: list[int] = []

    def pwrite(fd: int, data: bytes, offset: int) -> int:
        written.append(len(data))
        return os.pwrite(fd, data, offset)

    journal = Journal.open(tmp_path / "j", clock, write=pwrite, sync=lambda fd: None)
    for _ in range(2000):
        journal.append(RecordType.STEP_START, {"step": "a"}, flush=True)
    journal.close()
    assert max(written) - min(written) <= 3


def test_a_second_runner_is_refused_and_the_host_sees_the_first(tmp_path: Path) -> None:
    """J2: the kernel's lock, not a process id."""
    assert not is_locked(tmp_path)
    journal = Journal.open(tmp_path / "journal.jsonl", clock)
    assert is_locked(tmp_path)
    with pytest.raises(JournalLocked):
        Journal.open(tmp_path / "journal.jsonl", clock)
    journal.close()
    journal.close()
    assert not is_locked(tmp_path)


def test_the_bell_rings_after_each_record(tmp_path: Path) -> None:
    rung: list[int] = []
    path = tmp_path / "j"
    journal = Journal.open(path, clock, bell=lambda: rung.append(len(read_journal(path).records)))
    journal.append(RecordType.WARNING, {"message": "a"})
    journal.append(RecordType.WARNING, {"message": "b"})
    journal.close()
    assert rung == [1, 2]
