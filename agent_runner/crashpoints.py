"""Places at which a test has this process die as by a power cut, to see that nothing is lost.

    ROVER_CRASH_POINT=step-started      the first time that it comes there
    ROVER_CRASH_POINT=step-started:3    the third time

Each package has an enum of its places; each of them is tested. Without the variable a place costs
one comparison. The variable is taken out of the environment as this is imported: nothing that
this process starts has it.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from enum import StrEnum

VARIABLE = "ROVER_CRASH_POINT"


class CrashPoint(StrEnum):
    """The runner's."""

    JOURNAL_OPENED = "journal-opened"
    TAIL_KEPT = "tail-kept"
    """a torn tail has been copied and still stands in the journal"""
    RECORD_WRITTEN = "record-written"
    """written, and its flush not begun"""
    RUN_BEGUN = "run-begun"
    TREE_READY = "tree-ready"
    STEP_STARTED = "step-started"
    SESSION_WRITTEN = "session-written"
    LEAF_RAN = "leaf-ran"
    STEP_COMMITTED = "step-committed"
    SNAPSHOT_TAKEN = "snapshot-taken"
    """in the clone and as a bundle, and in no record"""
    STEP_ENDED = "step-ended"
    STEP_FAILED = "step-failed"
    ITERATION_BEGUN = "iteration-begun"
    LOOP_LEFT = "loop-left"
    """the last iteration is over, the loop's own end is not written"""
    PARALLEL_CHILD_DONE = "parallel-child-done"
    PARALLEL_LEFT = "parallel-left"
    PAUSING = "pausing"
    STEPS_DONE = "steps-done"
    WORK_COMMITTED = "work-committed"
    """the branch holds the result, no record says so"""
    RUN_ENDED = "run-ended"
    """the last record is on disk, the process still lives"""


@dataclass
class _Armed:
    name: str
    left: int


def _arm(value: str | None) -> _Armed | None:
    if not value:
        return None
    name, _, count = value.partition(":")
    return _Armed(name, int(count or 1))


_armed = _arm(os.environ.pop(VARIABLE, None))


def crash_point(point: StrEnum) -> None:
    """Die here, if this is the place and the passage that was asked for."""
    if _armed is not None and _armed.name == point:
        _armed.left -= 1
        if _armed.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
