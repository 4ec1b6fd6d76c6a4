"""The format of a record: its versions, and what an agent can put into one."""

from __future__ import annotations

import json
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent_runner.journal.journal import Journal
from agent_runner.journal.journal_reader import JournalDamaged, JournalTooNew, read_journal
from agent_runner.journal.record_lines import Chain, RecordType, encode
from agent_runner.journal.run_state import fold
from agent_runner.models import StepStatus
from tests.support.journals import RUN, T, lines_of

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)


def clock() -> datetime:
    return NOW


def version_1(count: int, first: int = 1) -> bytes:
    """Records as version 1 wrote them: each with a sum of its own."""
    found = b""
    for seq in range(first, first + count):
        kind, data = RUN[seq - 1]
        raw = {"at": NOW.isoformat(), "data": data, "seq": seq, "type": kind, "v": 1}
        body = json.dumps(raw, sort_keys=True, separators=(",", ":")).encode()
        found += b'%s,"sum":"%08x"}\n' % (body[:-1], zlib.crc32(body))
    return found


def test_a_journal_of_version_1_loads_and_is_continued_in_the_present_one(
    tmp_path: Path,
) -> None:
    """A3."""
    path = tmp_path / "j"
    path.write_bytes(version_1(5))
    journal = Journal.open(path, clock)
    assert journal.append(T.STEP_START, {"step": "loop"}, flush=True)
    journal.close()
    state = fold(read_journal(path).records)
    assert state.steps[0].status is StepStatus.COMPLETED
    assert state.steps[1].status is StepStatus.RUNNING
    assert [json.loads(line)["v"] for line in path.read_bytes().splitlines()] == [1] * 5 + [2]


def test_an_old_record_behind_a_new_one_is_damage(tmp_path: Path) -> None:
    """C2: its sum says nothing of where it belongs."""
    path = tmp_path / "j"
    path.write_bytes(b"".join(lines_of(RUN)[:4]) + version_1(1, first=5))
    with pytest.raises(JournalDamaged, match="version 1 after one of version 2"):
        read_journal(path)


def test_a_newer_record_anywhere_is_refused_by_its_version(tmp_path: Path) -> None:
    """A3: not called damage, even where it is summed in another way."""
    path = tmp_path / "j"
    path.write_bytes(b"".join(lines_of(RUN)[:4]) + b'{"v":7,"seq":5,"digest":"sha"}\n')
    with pytest.raises(JournalTooNew, match="version 7"):
        read_journal(path)


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (float("inf"), None),
        ([float("nan"), {"a": (1.5, float("-inf"))}], [None, {"a": [1.5, None]}]),
        ("half \ud83d a pair", "half ? a pair"),
        ("é \u2028 \0 \x85 \U0001f600", "é \u2028 \0 \x85 \U0001f600"),
        (10**30, 10**30),
    ],
)
def test_whatever_an_agent_says_is_a_record_that_can_be_read(
    tmp_path: Path, given: object, stored: object
) -> None:
    """C1, C2: no value makes the journal that holds it unreadable."""
    path = tmp_path / "j"
    line, _ = encode(Chain(), NOW, RecordType.WARNING, {"message": "m", "more": given})
    path.write_bytes(line)
    (record,) = read_journal(path).records
    assert record.data["more"] == stored
