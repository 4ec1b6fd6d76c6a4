"""Where a step stands in a workflow: the loops around it, with their iterations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent_runner.journal.journal import Recorder
from agent_runner.journal.record_lines import RecordType
from agent_runner.workflow.models import LoopStep


@dataclass(frozen=True)
class StepPlace:
    """Where a step stands: in which iteration of which loops. `tolerant`: its failure does not end
    the run."""

    loops: tuple[Mapping[str, Any], ...] = ()
    tolerant: bool = False

    def inside(self, loop: LoopStep, iteration: int, index: int) -> StepPlace:
        """The place of a sub-step of a loop."""
        position = {"step": loop.id, "iteration": iteration, "index": index}
        return StepPlace((*self.loops, position), tolerant=True)


@dataclass
class PlacedRecorder:
    """A recorder that adds to each record the loops around its step."""

    recorder: Recorder
    place: StepPlace

    def append(self, kind: RecordType, data: Mapping[str, object], *, flush: bool = False) -> bool:
        if self.place.loops:
            data = {**data, "loop": self.place.loops}
        return self.recorder.append(kind, data, flush=flush)
