"""The journal of a small run, as its records and as its bytes, and others to mix it with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from agent_runner.journal.record_lines import Chain, Record, RecordType, encode, parse

T = RecordType
NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
STEPS = [
    {"id": "plan", "name": "Plan", "type": "agent", "digest": "d1"},
    {"id": "loop", "name": "Loop", "type": "loop", "digest": "d2", "limit": 3},
    {"id": "do", "name": "Do", "type": "agent", "digest": "d3", "parent": "loop"},
    {"id": "test", "name": "Test", "type": "command", "digest": "d4", "parent": "loop"},
]


def snapshot(number: int) -> dict[str, Any]:
    """A snapshot as a record holds it."""
    return {
        "sequence": number,
        "commit": f"{number:040}",
        "tree": f"{number:040}",
        "bundle": f"{number:06}.bundle",
        "head": f"{number:040}",
    }


def done(
    step: str, number: int, *loop: Mapping[str, Any], **outputs: str
) -> tuple[RecordType, dict[str, Any]]:
    """A step's end."""
    data = {"step": step, "outputs": outputs, "snapshot": snapshot(number), "detail": "did it"}
    return T.STEP_COMPLETE, {**data, **({"loop": loop} if loop else {})}


def at(iteration: int, index: int) -> dict[str, Any]:
    """A place in the loop."""
    return {"step": "loop", "iteration": iteration, "index": index}


RUN: Sequence[tuple[RecordType, Mapping[str, Any]]] = [
    (T.RUN_START, {"attempt": 1, "workflow": "w", "steps": STEPS}),
    (T.STEP_START, {"step": "plan"}),
    (T.AGENT_SESSION, {"step": "plan", "session": {"agent": "claude", "session_id": "s-1"}}),
    (T.USAGE, {"step": "plan", "usage": {"input_tokens": 12, "cost_usd": 0.5}}),
    done("plan", 1, plan='é {"at":"x"} \n "sum":"00000000"}'),
    (T.STEP_START, {"step": "loop"}),
    (T.LOOP_ITERATION, {"step": "loop", "iteration": 1}),
    (T.STEP_START, {"step": "do", "loop": [at(1, 0)]}),
    (T.WARNING, {"message": "slow"}),
    done("do", 2, at(1, 0), note="$(id)"),
    (T.STEP_START, {"step": "test", "loop": [at(1, 1)]}),
]


def lines_of(
    run: Sequence[tuple[RecordType, Mapping[str, Any]]], began: datetime = NOW
) -> list[bytes]:
    """Each record's line, its end included."""
    chain, found = Chain(), list[bytes]()
    for number, (kind, data) in enumerate(run):
        line, chain = encode(chain, began + timedelta(seconds=number), kind, data)
        found.append(line)
    return found


def records_of(lines: Sequence[bytes]) -> list[Record]:
    """The records of whole lines."""
    chain, found = Chain(), list[Record]()
    for line in lines:
        record, chain = parse(line.rstrip(b"\n"), chain)
        found.append(record)
    return found
