"""Places where a test can kill this process, as a power cut would, to check that nothing is lost.

    ROVER_CRASH_POINT=step-started      the first time that the process gets there
    ROVER_CRASH_POINT=step-started:3    the third time

Each package has an enum of its places, and each place is tested. Without the variable a place costs
one comparison. The variable is removed from the environment when this module is imported, so that
no child process inherits it.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from enum import StrEnum

VARIABLE = "ROVER_CRASH_POINT"


class CrashPoint(StrEnum):
    """The places in the runner."""

    JOURNAL_OPENED = "journal-opened"
    TAIL_KEPT = "tail-kept"
    """a torn tail has been copied and is still in the journal"""
    RECORD_WRITTEN = "record-written"
    """written and not yet flushed"""
    RUN_BEGUN = "run-begun"
    TREE_READY = "tree-ready"
    STEP_STARTED = "step-started"
    SESSION_WRITTEN = "session-written"
    LEAF_RAN = "leaf-ran"
    STEP_COMMITTED = "step-committed"
    SNAPSHOT_TAKEN = "snapshot-taken"
    """in the clone and as a bundle, but not in a record"""
    STEP_ENDED = "step-ended"
    STEP_FAILED = "step-failed"
    ITERATION_BEGUN = "iteration-begun"
    LOOP_LEFT = "loop-left"
    """the last iteration has ended; the loop's own end is not recorded"""
    PARALLEL_CHILD_DONE = "parallel-child-done"
    PARALLEL_LEFT = "parallel-left"
    PAUSING = "pausing"
    STEPS_DONE = "steps-done"
    WORK_COMMITTED = "work-committed"
    """the branch has the result; no record says so"""
    RUN_ENDED = "run-ended"
    """the last record is on disk; the process still runs"""


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
    """Kill this process, if this is the place and the passage that the variable names."""
    if _armed is not None and _armed.name == point:
        _armed.left -= 1
        if _armed.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
