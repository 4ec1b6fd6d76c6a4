"""The states of an attempt, which is one sandbox for one iteration of a task, as one table of data.

`docs/states.md` is generated from it and from the table of a task's statuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class AttemptState(StrEnum):
    """What an attempt is doing, as its record says. No other value is read or written."""

    QUEUED = "queued"
    """Waits in the queue for a free place; somebody asked for it."""
    SCHEDULED = "scheduled"
    """Waits for the time at which its paused task resumes automatically."""
    HELD = "held"
    """Waits until its account, or a model of it, is open again."""
    AWAITING = "awaiting"
    """Waits until there is a credential for it, or until what is in its way is gone."""
    RELEASED = "released"
    """No longer held or awaiting, and waits in the queue for a free place."""
    STACKED = "stacked"
    """Waits until the tasks that its own comes after are completed."""
    STARTING = "starting"
    """Claimed: its sandbox is being prepared and started."""
    RUNNING = "running"
    """Its sandbox runs."""
    ENDED = "ended"
    """Its sandbox has ended, or could not be started."""
    SUPERSEDED = "superseded"
    """Never began, and never will: its task went another way."""


_S = AttemptState
IN_QUEUE: Final = (_S.QUEUED, _S.SCHEDULED, _S.RELEASED)
"""Its turn has not come, and a workflow waits for it."""

HELD_BACK: Final = (_S.HELD, _S.AWAITING)
"""It waits until its account opens or its credential is there, without a workflow of its own."""

STARTED: Final = (_S.STARTING, _S.RUNNING)
"""Something has to follow it."""

OVER: Final = (_S.ENDED, _S.SUPERSEDED)
"""Nothing more will happen to it."""

BY_ITSELF: Final = (_S.SCHEDULED, _S.HELD, _S.AWAITING, _S.RELEASED)
"""In these a paused task resumes automatically."""

WAITING: Final = (_S.QUEUED, *BY_ITSELF, _S.STACKED)
"""It has not begun."""

OPEN: Final = (*IN_QUEUE, *STARTED)
"""A workflow has to complete it."""

UNDER_WAY: Final = (_S.RELEASED, _S.QUEUED, *STARTED)
"""It is in the queue without a time to wait for, or has started."""

FIRST: Final = (_S.QUEUED, _S.SCHEDULED, _S.HELD, _S.AWAITING, _S.STACKED)
"""The states in which an attempt can be created."""

MOVES: Final[Mapping[AttemptState, tuple[AttemptState, ...]]] = {
    _S.QUEUED: (_S.STARTING, _S.HELD, _S.AWAITING, _S.ENDED, _S.SUPERSEDED),
    _S.SCHEDULED: (_S.QUEUED, _S.STARTING, _S.HELD, _S.AWAITING, _S.ENDED, _S.SUPERSEDED),
    _S.HELD: (_S.QUEUED, _S.RELEASED, _S.SUPERSEDED),
    _S.AWAITING: (_S.QUEUED, _S.RELEASED, _S.SUPERSEDED),
    _S.STACKED: (_S.QUEUED, _S.SUPERSEDED),
    _S.RELEASED: (_S.QUEUED, _S.STARTING, _S.HELD, _S.AWAITING, _S.ENDED, _S.SUPERSEDED),
    # A start that was interrupted is begun again, and so is the following of one that runs.
    _S.STARTING: (_S.STARTING, _S.RUNNING, _S.ENDED),
    _S.RUNNING: (_S.STARTING, _S.ENDED),
    _S.ENDED: (),
    _S.SUPERSEDED: (),
}
"""From each state to those that can follow. A test of random lives allows no other move."""


def as_markdown() -> str:
    """The table as part of a page of documentation."""
    rows = [f"| {state} | {', '.join(after) or '-'} |" for state, after in MOVES.items()]
    head = [
        "## Attempt states",
        "",
        "An attempt is one sandbox for one iteration of a task. Generated from",
        "`rover_mcp/domain/attempt_state.py`; a test fails when it differs.",
        "",
        f"A new attempt is {', '.join(FIRST[:-1])} or {FIRST[-1]}.",
        "",
        "| state | can become |",
        "|---|---|",
    ]
    return "\n".join([*head, *rows, ""])
