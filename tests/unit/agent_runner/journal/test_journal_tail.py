"""A journal read while it grows."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent_runner.journal.journal import Journal
from agent_runner.journal.journal_reader import JournalDamaged, JournalTail, read_journal
from agent_runner.journal.record_lines import RecordType
from agent_runner.journal.run_state import RunStateFold, fold

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)


def grow(path: Path, *messages: str) -> None:
    journal = Journal.open(path, lambda: NOW)
    for message in messages:
        journal.append(RecordType.WARNING, {"message": message})
    journal.close()


def messages(tail: JournalTail) -> list[str]:
    return [r.data["message"] for r in tail.read().records]


def test_each_record_is_read_once(tmp_path: Path) -> None:
    """C8: what was read before is not read again, and nothing is left out."""
    path = tmp_path / "j"
    tail = JournalTail(path)
    assert messages(tail) == []
    grow(path, "a", "b")
    assert messages(tail) == ["a", "b"]
    assert messages(tail) == []
    grow(path, "c")
    assert messages(tail) == ["c"]


def test_a_record_that_is_being_written_is_read_once_it_is_complete(tmp_path: Path) -> None:
    """C1: cut at any byte, it is a torn tail until then."""
    path = tmp_path / "j"
    grow(path, "a", "b")
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(first, len(whole)):
        path.write_bytes(whole[:cut])
        tail = JournalTail(path)
        assert messages(tail) == ["a"]
        read = tail.read()
        assert (read.records, read.torn) == ((), cut - first)
        path.write_bytes(whole)
        assert messages(tail) == ["b"]


def test_damage_in_added_records_is_reported_with_its_place_in_the_file(tmp_path: Path) -> None:
    """C2: again and again, and nothing of it counts as read."""
    path = tmp_path / "j"
    tail = JournalTail(path)
    grow(path, "a")
    assert messages(tail) == ["a"]
    before = path.stat().st_size
    grow(path, "b", "c", "d")
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"c"', b'"x"'))
    second = whole.index(b"\n", before) + 1
    for _ in range(2):
        with pytest.raises(JournalDamaged) as caught:
            tail.read()
        assert (caught.value.line, caught.value.offset) == (3, second)
    path.write_bytes(whole)
    assert messages(tail) == ["b", "c", "d"]


@pytest.mark.parametrize("left", [None, b"", b"{"])
def test_a_journal_that_lost_what_was_read_is_damaged(tmp_path: Path, left: bytes | None) -> None:
    """C2."""
    path = tmp_path / "j"
    tail = JournalTail(path)
    grow(path, "a", "b")
    tail.read()
    if left is None:
        path.unlink()
    else:
        path.write_bytes(left)
    with pytest.raises(JournalDamaged, match="are gone"):
        tail.read()


def test_another_journal_in_its_place_is_damage(tmp_path: Path) -> None:
    """C2, I7: its records do not follow those that were read."""
    path = tmp_path / "j"
    tail = JournalTail(path)
    grow(path, "a", "b")
    tail.read()
    path.unlink()
    grow(path, "a", "x", "y", "z")
    with pytest.raises(JournalDamaged):
        tail.read()


def test_the_state_from_a_tail_is_that_of_the_complete_journal(tmp_path: Path) -> None:
    """C8."""
    path = tmp_path / "j"
    tail, folding = JournalTail(path), RunStateFold()
    for number in range(5):
        grow(path, str(number))
        for record in tail.read().records:
            folding.add(record)
        assert folding.state == fold(read_journal(path).records)
