"""What a run came to, by its journal: to be compared with that of a run that nobody disturbed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_runner.journal.journal_reader import read_journal
from agent_runner.journal.record_lines import Record, RecordType

ENDS = (RecordType.STEP_COMPLETE, RecordType.STEP_FAIL, RecordType.STEP_SKIP)
Place = tuple[str, tuple[tuple[str, int, int], ...]]


def place(data: Mapping[str, Any]) -> Place:
    """A step and where it stands in the loops around it."""
    loops = tuple((p["step"], p["iteration"], p["index"]) for p in data.get("loop", ()))
    return data["step"], loops


@dataclass(frozen=True)
class Outcome:
    """`outputs` of each step at each place, `finished` how often each ended there, `in_flight`
    which agent and command steps each attempt left unfinished, `beside` what each of these may
    run at the same time with: its parallel step."""

    outputs: Mapping[Place, Any]
    finished: Counter[Place]
    in_flight: Sequence[Sequence[str]]
    beside: Mapping[str, str]
    torn: int

    @property
    def steps(self) -> int:
        """Runs of agent and command steps: each place once, however often it was tried."""
        return sum(step in self.beside for step, _ in self.outputs)

    @property
    def repeats(self) -> int:
        """Runs of steps that came to no end."""
        return sum(map(len, self.in_flight))

    def check_equals(self, calm: Outcome) -> None:
        """It ended as `calm` did, and no attempt lost more than what was in flight."""
        assert self.finished == calm.finished
        assert set(self.finished.values()) == {1}
        assert self.outputs == calm.outputs
        assert self.torn == 0
        for lost in self.in_flight:
            assert len({self.beside[step] for step in lost}) <= 1, self.in_flight


def outcome(journal: Path) -> Outcome:
    """Read a journal whose run is over."""
    read = read_journal(journal)
    beside: dict[str, str] = {}
    outputs: dict[Place, Any] = {}
    finished: Counter[Place] = Counter()
    attempts: list[list[str]] = []
    for record in read.records:
        if record.type is RecordType.RUN_START:
            beside |= _beside(record.data["steps"])
            attempts.append([])
        elif record.type is RecordType.STEP_START and record.data["step"] in beside:
            attempts[-1].append(record.data["step"])
        elif record.type in ENDS:
            outputs[place(record.data)] = _result(record)
            finished[place(record.data)] += 1
            if record.data["step"] in attempts[-1]:
                attempts[-1].remove(record.data["step"])
    return Outcome(outputs, finished, attempts, beside, read.torn)


def _beside(steps: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    parallel = {s["id"] for s in steps if s["type"] == "parallel"}
    leaves = [s for s in steps if s["type"] not in ("loop", "parallel")]
    return {s["id"]: s["parent"] if s.get("parent") in parallel else s["id"] for s in leaves}


def _result(record: Record) -> tuple[str, Mapping[str, str]]:
    return record.type, record.data.get("outputs", {})
