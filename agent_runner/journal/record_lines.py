"""Encodes a record of the journal as a line, and parses such a line. Touches no file.

    {"at":"2026-11-23T10:00:00.000+00:00","data":{...},"seq":7,"type":"step_start","v":2,"sum":"1a2b3c4d"}

`sum` is the CRC-32 of the line up to it, closed with a brace, begun with the sum of the record
before: a line of another journal, or of another place in this one, does not fit. In version 1 it
began with nothing; such journals are read, and continued in version 2. `seq` counts from 1 without
a gap. Times have a time zone.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NoReturn, TypeGuard, cast

SCHEMA_VERSION = 2

MAX_LINE = 8 * 2**20
"""Bytes of one record when it is written: readers hold one record in memory at a time."""

_UNCHAINED = 1

_LINE = re.compile(rb'(\{.*),"sum":"([0-9a-f]{8})"\}', re.DOTALL)
_START = b'{"at":"'
_END = re.compile(rb',"seq":(\d{1,18}),"type":"[a-z_]+","v":\d+,"sum":"[0-9a-f]{8}"\}')
_KEYS = {"at", "data", "seq", "type", "v", "sum"}


class RecordType(StrEnum):
    RUN_START = "run_start"
    STEP_START = "step_start"
    AGENT_SESSION = "agent_session"
    USAGE = "usage"
    STEP_COMPLETE = "step_complete"
    STEP_SKIP = "step_skip"
    STEP_FAIL = "step_fail"
    LOOP_ITERATION = "loop_iteration"
    WARNING = "warning"
    WORKFLOW_PAUSE = "workflow_pause"
    WORKFLOW_RESUME = "workflow_resume"
    WORKFLOW_COMPLETE = "workflow_complete"
    WORKFLOW_FAIL = "workflow_fail"


@dataclass(frozen=True)
class Record:
    seq: int
    at: datetime
    type: RecordType
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Chain:
    """The end of a journal, which the next line has to fit."""

    seq: int = 0
    sum: int = 0
    version: int = _UNCHAINED


class BadLine(ValueError):
    """A line that is not the next record. `torn`: it may be a write that a crash cut."""

    def __init__(self, reason: str, *, torn: bool = False) -> None:
        super().__init__(reason)
        self.torn = torn


class NewerLine(Exception):
    """A line that a newer version wrote."""

    def __init__(self, version: int) -> None:
        super().__init__(str(version))
        self.version = version


def encode(
    chain: Chain, at: datetime, kind: RecordType, data: Mapping[str, object]
) -> tuple[bytes, Chain]:
    """The line of the next record, and the end of the journal after it. Values that an agent can
    produce and JSON or UTF-8 cannot express (infinity, half a surrogate pair) are replaced."""
    seq = chain.seq + 1
    raw = {"v": SCHEMA_VERSION, "seq": seq, "at": at.isoformat(), "type": kind, "data": data}
    try:
        text = _ENCODER.encode(raw)
    except ValueError:
        text = _ENCODER.encode({**raw, "data": _finite(data)})
    body = text.encode(errors="replace")
    check = zlib.crc32(body, chain.sum)
    return b'%s,"sum":"%08x"}\n' % (body[:-1], check), Chain(seq, check, SCHEMA_VERSION)


def shortened(data: Mapping[str, object], most: int) -> dict[str, object]:
    """`data` with each text cut to its end, so that the record has at most `most` bytes.

    Raises:
        ValueError: it has too many values for that.
    """
    longest = most // 8
    while longest > 16:
        cut = {key: _cut(value, longest) for key, value in data.items()}
        # A character takes up to six bytes, and the rest of the line less than a thousand.
        if len(_ENCODER.encode(_finite(cut)).encode(errors="replace")) < most - 1000:
            return cut
        longest //= 4
    raise ValueError(f"a record of more than {most} bytes")


def _cut(value: object, longest: int) -> object:
    if isinstance(value, str):
        return value[-longest:]
    if isinstance(value, Mapping):
        return {k: _cut(v, longest) for k, v in cast("Mapping[str, object]", value).items()}
    if isinstance(value, list | tuple):
        return [_cut(v, longest) for v in cast("Sequence[object]", value)]
    return value


def parse(line: bytes, chain: Chain) -> tuple[Record, Chain]:
    """Parse a line, without its line end, as the next record.

    Raises:
        BadLine: it is not the next record.
        NewerLine: a newer version wrote it.
    """
    match, raw = _LINE.fullmatch(line), _json(line)
    version = raw.get("v") if raw is not None else None
    if match is None or raw is None or not _is_count(version) or version > SCHEMA_VERSION:
        raise _why(raw, chain)
    check = zlib.crc32(match[1] + b"}", 0 if version == _UNCHAINED else chain.sum)
    if f"{check:08x}".encode() != match[2]:
        raise _why(raw, chain)
    if version < chain.version:
        raise BadLine(f"a record of version {version} after one of version {chain.version}")
    if not _is_count(raw.get("seq")) or raw["seq"] != chain.seq + 1:
        raise BadLine(f"record {raw.get('seq')!r} where {chain.seq + 1} was expected")
    return _record(raw), Chain(raw["seq"], check, version)


def holds_record(line: bytes, chain: Chain) -> bool:
    """Whether a last line that is not the next record contains one nevertheless, or a later one.
    Then something before it was lost, and the line is damage rather than a torn tail."""
    for end in _END.finditer(line):
        if int(end[1]) != chain.seq + 1:
            return True
        start = line.rfind(_START, 0, end.start())
        if start >= 0 and _fits(line[start : end.end()], chain):
            return True
    return False


def _fits(line: bytes, chain: Chain) -> bool:
    try:
        parse(line, chain)
    except BadLine as bad:
        return not bad.torn
    return True


def _why(raw: Mapping[str, Any] | None, chain: Chain) -> BadLine | NewerLine:
    """Why a line with another check sum is not the next record. A newer version may compute the
    sum in another way, so valid JSON with a newer version is not damage. A complete line of another
    place is not a write that was cut."""
    if raw is None:
        return BadLine("the checksum does not match", torn=True)
    version, seq = raw.get("v"), raw.get("seq")
    if _is_count(version) and version > SCHEMA_VERSION:
        return NewerLine(version)
    if _is_count(seq) and seq != chain.seq + 1:
        return BadLine(f"record {seq} where {chain.seq + 1} was expected")
    return BadLine("the checksum does not match", torn=True)


def _record(raw: Mapping[str, Any]) -> Record:
    """The record of a line with a valid check sum: whatever is wrong here was written like that."""
    if set(raw) != _KEYS or not isinstance(raw["data"], dict):
        raise BadLine("a record has unexpected keys")
    try:
        kind = RecordType(raw["type"])
    except ValueError:
        raise BadLine(f"unknown record type {raw['type']!r}") from None
    try:
        at = datetime.fromisoformat(raw["at"])
    except (TypeError, ValueError):
        raise BadLine("its time cannot be read") from None
    if at.tzinfo is None:
        raise BadLine("its time has no time zone")
    return Record(raw["seq"], at, kind, cast("dict[str, Any]", raw["data"]))


def _json(line: bytes) -> dict[str, Any] | None:
    try:
        raw: object = _DECODER.decode(line.decode())
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", raw) if isinstance(raw, dict) else None


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in cast("Mapping[str, object]", value).items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in cast("Sequence[object]", value)]
    return value


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _number(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"{digits[:20]} is too large")
    return value


def _not_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)
_DECODER = json.JSONDecoder(parse_constant=_not_json, parse_float=_number)
