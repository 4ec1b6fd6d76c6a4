"""Journals that are larger than what a reader may keep in memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent_runner.journal.journal import Journal
from agent_runner.journal.journal_reader import (
    LONGEST_TAIL,
    JournalDamaged,
    JournalTail,
    read_journal,
)
from agent_runner.journal.record_lines import MAX_LINE, RecordType
from rover_mcp.control.checkpoint import has_checkpoint, journal_snapshots
from rover_mcp.control.journal_watch import JournalWatch, read_state
from tests.support.attempts_site import ControlHarness
from tests.support.samples import TASK

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
STEPS = [
    {"id": "loop", "name": "loop", "type": "loop", "limit": 10**6},
    {"id": "step", "name": "step", "type": "command", "parent": "loop"},
]
OUTPUT = "x" * 400_000
ROUNDS = 80
MOST = 8 * 2**20
"""Bytes that a reader may keep at a time; the journal below has 32 MB."""


def clock() -> datetime:
    return NOW


def fill(path: Path, rounds: int = ROUNDS) -> None:
    """A loop whose step puts as much into its records as it likes."""
    journal = Journal.open(path, clock)
    start = {"attempt": 1, "workflow": "w", "steps": STEPS}
    journal.append(RecordType.RUN_START, start)
    journal.append(RecordType.STEP_START, {"step": "loop"})
    for n in range(1, rounds + 1):
        place = {"step": "step", "loop": [{"step": "loop", "iteration": n, "index": 0}]}
        journal.append(RecordType.LOOP_ITERATION, {"step": "loop", "iteration": n})
        journal.append(RecordType.STEP_START, place)
        ended = {**place, "outputs": {"stdout": OUTPUT}, "detail": None, "snapshot": None}
        journal.append(RecordType.STEP_COMPLETE, ended)
    journal.close()


def peak(work: Callable[[], object]) -> int:
    """The most memory that was in use at a time."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_no_reader_of_a_journal_keeps_all_of_it(site: ControlHarness) -> None:
    """U8: the runner's and the daemon's readers held all records, and the file beside them."""
    site.started()
    path = site.folders.journal
    path.parent.mkdir(parents=True, exist_ok=True)
    fill(path)
    assert path.stat().st_size > 3 * MOST

    def recover() -> None:
        journal = Journal.open(path, clock)
        assert journal.recovered.fold().step("loop").iteration == ROUNDS
        journal.close()

    def follow() -> None:
        assert JournalWatch(site.folders.home, site.store).refresh(TASK) is not None

    for reader in (
        recover,
        follow,
        lambda: read_state(path),
        lambda: has_checkpoint(path),
        lambda: journal_snapshots(path),
    ):
        assert peak(reader) < MOST


def test_a_line_without_an_end_is_damage_and_is_not_kept(tmp_path: Path) -> None:
    """U8: hundreds of MB without an end of line."""
    path = tmp_path / "j"
    fill(path, 1)
    before = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(before + 30 * LONGEST_TAIL)

    def read() -> None:
        with pytest.raises(JournalDamaged, match="longer than") as caught:
            read_journal(path)
        assert caught.value.offset == before

    assert peak(read) < 3 * LONGEST_TAIL


def test_a_record_that_is_too_large_keeps_the_ends_of_its_texts(tmp_path: Path) -> None:
    """U8: and the record before it says so."""
    path = tmp_path / "j"
    journal = Journal.open(path, clock)
    journal.append(RecordType.RUN_START, {"attempt": 1, "workflow": "w", "steps": STEPS[1:]})
    outputs = {f"o{n}": "\x01" * 10**6 + f"end {n}" for n in range(12)}
    journal.append(RecordType.WARNING, {"message": "m", "outputs": outputs})
    journal.close()
    start, told, cut = JournalTail(path).read().records
    assert start.type is RecordType.RUN_START
    assert "was larger than" in told.data["message"]
    kept = {name: text[-6:].lstrip("\x01") for name, text in cut.data["outputs"].items()}
    assert kept == {f"o{n}": f"end {n}" for n in range(12)}
    assert path.stat().st_size < MAX_LINE


def test_a_journal_with_records_from_before_the_limit_is_read(tmp_path: Path) -> None:
    """C2: a record may have twice the size that is written today."""
    path = tmp_path / "j"
    journal = Journal.open(path, clock)
    journal.append(RecordType.WARNING, {"message": "m" * (MAX_LINE - 1000)})
    journal.close()
    (record,) = read_journal(path).records
    assert len(record.data["message"]) == MAX_LINE - 1000
