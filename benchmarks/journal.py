"""The journal's append beside writing the same bytes to a file, with and without fsync.
DESIGN.md section 13: within 2 times of one append and flush, whatever is already in it."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from agent_runner.journal.journal import FILE_NAME, Journal
from agent_runner.journal.record_lines import Chain, RecordType, encode
from benchmarks.tables import Row, interleaved, median_ms, show

RECORDS = 200
ROUNDS = 7
LONG = 10_000
DATA = {"step": "implement", "outputs": {"summary": "what was changed, and why " * 8}}


def seconds_each(append: Callable[[], object]) -> float:
    begin = time.perf_counter()
    for _ in range(RECORDS):
        append()
    return (time.perf_counter() - begin) / RECORDS


def plain_writer(path: Path, *, sync: bool) -> Callable[[], None]:
    """Appends the bytes that one record has."""
    line, _ = encode(Chain(), datetime.now(UTC), RecordType.STEP_COMPLETE, DATA)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)

    def write() -> None:
        os.write(descriptor, line)
        if sync:
            os.fsync(descriptor)

    return write


def journal_in(folder: Path, records: int = 0) -> Journal:
    folder.mkdir()
    journal = Journal.open(folder / FILE_NAME, lambda: datetime.now(UTC))
    for _ in range(records):
        journal.append(RecordType.USAGE, DATA)
    return journal


def main() -> None:
    """Print the section of the table."""
    with tempfile.TemporaryDirectory(prefix="rover-bench-", dir=Path.cwd()) as name:
        folder = Path(name)
        fresh, long = journal_in(folder / "fresh"), journal_in(folder / "long", LONG)
        write = plain_writer(folder / "plain", sync=False)
        synced = plain_writer(folder / "synced", sync=True)

        def step(journal: Journal) -> Callable[[], bool]:
            return lambda: journal.append(RecordType.STEP_COMPLETE, DATA, flush=True)

        subjects = {
            "write": lambda: seconds_each(write),
            "append": lambda: seconds_each(lambda: fresh.append(RecordType.USAGE, DATA)),
            "synced": lambda: seconds_each(synced),
            "flushed": lambda: seconds_each(step(fresh)),
            "long": lambda: seconds_each(step(long)),
        }
        times = {k: median_ms(v) for k, v in interleaved(subjects, ROUNDS).items()}
        size = (folder / "long" / FILE_NAME).stat().st_size
        fresh.close()
        long.close()
    show(
        f"One record of the journal (median of {ROUNDS} rounds of {RECORDS})",
        [
            Row("write of the same bytes", times["write"]),
            Row("append, not flushed", times["append"], "write", times["append"] / times["write"]),
            Row("write and fsync of the same bytes", times["synced"]),
            Row(
                "append and flush, as at a step's end",
                times["flushed"],
                "write and fsync",
                times["flushed"] / times["synced"],
                "2",
            ),
            Row(
                f"the same with {LONG:,} records, {size / 1e6:.0f} MB",
                times["long"],
                "write and fsync",
                times["long"] / times["synced"],
                "2",
            ),
        ],
    )


if __name__ == "__main__":
    main()
