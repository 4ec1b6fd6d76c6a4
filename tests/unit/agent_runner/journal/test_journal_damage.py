"""Hostile journals: whatever happened to the bytes, never a wrong state and never a trace."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_runner.journal.journal_reader import JournalDamaged, JournalError, read_journal
from agent_runner.journal.run_state import fold
from agent_runner.models import RunState
from tests.support.journals import NOW, RUN, lines_of, records_of

LINES = lines_of(RUN)
OTHER = lines_of(RUN, NOW + timedelta(hours=1))
WHOLE = b"".join(LINES)
TRUE = records_of(LINES)
STATES = [fold(TRUE[:n]) for n in range(len(TRUE) + 1)]
TAIL = len(WHOLE) - len(LINES[-1])

Draw = Callable[[Any], Any]
Mutation = Callable[[Draw], bytes]


def place(draw: Draw, most: int = len(WHOLE)) -> int:
    return draw(st.integers(0, most))


def cut(draw: Draw) -> bytes:
    begin = place(draw)
    return WHOLE[:begin] + WHOLE[draw(st.integers(begin, len(WHOLE))) :]


def flip(draw: Draw) -> bytes:
    data = bytearray(WHOLE)
    for bit in draw(st.lists(st.integers(0, len(WHOLE) * 8 - 1), min_size=1, max_size=3)):
        data[bit // 8] ^= 1 << bit % 8
    return bytes(data)


def insert(draw: Draw) -> bytes:
    at = place(draw)
    lines = [*LINES, *OTHER, b"\n", b"{}\n", b"}", b'{"at":"', b'"sum":"']
    return WHOLE[:at] + draw(st.sampled_from(lines) | st.binary(min_size=1)) + WHOLE[at:]


def duplicate(draw: Draw) -> bytes:
    n, to = draw(st.tuples(*[st.integers(0, len(LINES) - 1)] * 2))
    return b"".join([*LINES[:to], LINES[n], *LINES[to:]])


def swap(draw: Draw) -> bytes:
    a, b = draw(st.tuples(*[st.integers(0, len(LINES) - 1)] * 2))
    lines = list(LINES)
    lines[a], lines[b] = lines[b], lines[a]
    return b"".join(lines)


def drop(draw: Draw) -> bytes:
    gone = draw(st.sets(st.integers(0, len(LINES) - 1), min_size=1))
    return b"".join(line for n, line in enumerate(LINES) if n not in gone)


def splice(draw: Draw) -> bytes:
    """The rest of another run's journal, or some lines of it in the same places."""
    first, last = sorted(draw(st.tuples(*[st.integers(1, len(LINES))] * 2)))
    return b"".join([*LINES[:first], *OTHER[first:last], *LINES[last:]])


def splice_anywhere(draw: Draw) -> bytes:
    """Where none of this run's records is left, it is another journal and not damage."""
    first, other = len(LINES[0]), b"".join(OTHER)
    return WHOLE[: draw(st.integers(first, len(WHOLE)))] + other[place(draw) :]


def huge_number(draw: Draw) -> bytes:
    digits = b"9" * draw(st.sampled_from([19, 400, 5000]))
    number = draw(st.sampled_from([digits, b"-" + digits, b"1e" + digits, b"NaN", b"Infinity"]))
    key = draw(st.sampled_from([b'"seq":', b'"v":', b'"attempt":', b'"sequence":']))
    before, found, after = WHOLE.partition(key)
    return before + found + number + after[1:]


def nest(draw: Draw) -> bytes:
    depth = draw(st.sampled_from([10, 2000, 100_000]))
    at = place(draw)
    opened = draw(st.sampled_from([b"[", b'{"a":']))
    return WHOLE[:at] + opened * depth + WHOLE[at:]


def nul(draw: Draw) -> bytes:
    begin = place(draw)
    end = draw(st.integers(begin, len(WHOLE)))
    return WHOLE[:begin] + b"\0" * (end - begin) + WHOLE[end:]


DAMAGES: list[Mutation] = [
    cut, flip, insert, duplicate, swap, drop, splice, splice_anywhere, huge_number, nest, nul,
]  # fmt: skip
EXAMPLES = 10_000 // (len(DAMAGES) + 1) + 1


def many(count: int) -> Any:
    return settings(
        max_examples=count,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )


def believed(path: Path, data: bytes) -> tuple[int, int] | JournalError:
    """How many true records are read and how much is dropped, or why nothing is."""
    path.write_bytes(data)
    try:
        read = read_journal(path)
    except JournalError as error:
        return error
    count = len(read.records)
    assert list(read.records) == TRUE[:count]
    assert fold(read.records) == STATES[count]
    kept = sum(map(len, LINES[:count]))
    assert (path.read_bytes(), kept + read.torn) == (data, len(data))
    return count, read.torn


@pytest.mark.parametrize("damage", DAMAGES)
@many(EXAMPLES)
@given(data=st.data())
def test_damage_is_never_a_wrong_state_and_never_a_trace(
    tmp_path: Path, damage: Mutation, data: st.DataObject
) -> None:
    """C1, C2: what is read is the beginning of the truth, or an error that names the place."""
    harmed = damage(data.draw)
    found = believed(tmp_path / "j", harmed)
    same = next((n for n, (a, b) in enumerate(zip(harmed, WHOLE, strict=False)) if a != b), None)
    same = min(len(harmed), len(WHOLE)) if same is None else same
    if isinstance(found, JournalDamaged):
        assert str(found.line) in str(found)
        assert found.line >= WHOLE[:same].count(b"\n") + 1
    elif isinstance(found, tuple):
        # No step before the harm is lost, and what is dropped is told.
        assert found[0] >= WHOLE[:same].count(b"\n")
        assert found[1] or harmed == b"".join(LINES[: found[0]])


@many(500)
@given(tail=st.binary(max_size=2 * len(LINES[-1])))
def test_whatever_a_crash_leaves_of_a_record_no_earlier_step_is_lost(
    tmp_path: Path, tail: bytes
) -> None:
    """C1: a torn tail, or damage where it holds a line break; the earlier records stand."""
    found = believed(tmp_path / "j", WHOLE[:TAIL] + tail)
    if isinstance(found, JournalError):
        assert b"\n" in tail[:-1]
        assert isinstance(found, JournalDamaged)
        assert found.line == len(LINES)
    else:
        assert found == (len(LINES) - 1, len(tail))


def test_the_last_record_cut_at_every_byte_leaves_each_earlier_step(tmp_path: Path) -> None:
    """C1."""
    for size in range(len(LINES[-1])):
        assert believed(tmp_path / "j", WHOLE[: TAIL + size]) == (len(LINES) - 1, size)


@pytest.mark.parametrize("number", range(len(LINES)))
def test_a_flipped_bit_in_any_record_is_reported_with_its_place(
    tmp_path: Path, number: int
) -> None:
    """C2: every byte of each record; only the last may be taken for a torn tail."""
    begin = sum(map(len, LINES[:number]))
    for place in range(len(LINES[number])):
        data = bytearray(WHOLE)
        data[begin + place] ^= 1 << place % 8
        found = believed(tmp_path / "j", bytes(data))
        if isinstance(found, JournalDamaged):
            # A line break that became something else joins a record to the next.
            assert (found.line, found.offset) == (number + 1, begin)
        elif isinstance(found, tuple):
            assert number == len(LINES) - 1
            assert found == (number, len(LINES[number]))
        else:
            assert b'"v":' in LINES[number][place - 5 : place + 1]


def sealed(lines: list[bytes]) -> bytes:
    """Lines with sums that fit, whatever they hold."""
    chain, found = 0, b""
    for line in lines:
        chain = zlib.crc32(line, chain)
        found += b'%s,"sum":"%08x"}\n' % (line[:-1], chain)
    return found


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from([10**400, -1, "", "plan", "1", "x" * 300, "2026-11-23", "\ud800"])
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


def paths(value: Any, *before: Any) -> list[tuple[Any, ...]]:
    """Every place in a record."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = [before] if before else []
    for key, inner in items:
        found += paths(inner, *before, key) if isinstance(inner, dict | list) else [(*before, key)]
    return found


@many(EXAMPLES)
@given(data=st.data())
def test_a_sound_record_with_wrong_content_is_an_error_without_a_trace(
    tmp_path: Path, data: st.DataObject
) -> None:
    """C2, A1, A5: the sum fits and what it holds is nonsense, or sense by chance."""
    raws = [json.loads(line) for line in LINES]
    for raw in raws:
        del raw["sum"]
    number = data.draw(st.integers(0, len(raws) - 1))
    *way, last = data.draw(st.sampled_from(paths(raws[number])))
    target = raws[number]
    for key in way:
        target = target[key]
    if data.draw(st.booleans()):
        target[last] = data.draw(JSON)
    else:
        del target[last]
    bodies = [json.dumps(r, sort_keys=True, separators=(",", ":")).encode() for r in raws]
    path = tmp_path / "j"
    path.write_bytes(sealed(bodies))
    try:
        records = read_journal(path).records
        state = fold(records)
    except (JournalError, ValueError):
        return
    assert 0 <= state.progress <= 100
    assert RunState.model_validate(state.model_dump(mode="json")) == state


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b'"seq":1', b'"seq":true', "record True where 1"),
        (b'"seq":1', b'"seq":1.0', "record 1.0 where 1"),
        (b'"data":{', b'"data":[],"more":{', "unexpected keys"),
        (b'"type":"run_start"', b'"type":"dance"', "'dance'"),
        (b'"type":"run_start"', b'"type":["a"]', "unknown record type"),
        (b'"at":"2026', b'"at":"soon', "its time cannot be read"),
        (b'"at":"2026-11-23T10:00:00+00:00"', b'"at":"2026-11-23T10:00:00"', "no time zone"),
        (b'"at":"2026-11-23T10:00:00+00:00"', b'"at":null', "its time cannot be read"),
        (b'"v":2', b'"v":true', "checksum does not match"),
        (b'"attempt":1', b'"attempt":NaN', "checksum does not match"),
        (
            b'"attempt":1',
            b'"attempt":' + b"[" * 100_000 + b"]" * 100_000,
            "checksum does not match",
        ),
    ],
)
def test_a_record_with_the_right_sum_is_still_looked_at(
    tmp_path: Path, old: bytes, new: bytes, said: str
) -> None:
    """C2."""
    body = LINES[0][: LINES[0].index(b',"sum"')] + b"}"
    assert old in body
    path = tmp_path / "j"
    path.write_bytes(sealed([body.replace(old, new), b"{}"]))
    with pytest.raises(JournalDamaged, match="line 1") as caught:
        read_journal(path)
    assert said in str(caught.value)


def test_a_line_of_another_run_in_the_same_place_is_damage(tmp_path: Path) -> None:
    """C2: whole in itself, and not of this journal."""
    path = tmp_path / "j"
    path.write_bytes(b"".join([*LINES[:3], OTHER[3], *LINES[4:]]))
    with pytest.raises(JournalDamaged, match="line 4"):
        read_journal(path)
