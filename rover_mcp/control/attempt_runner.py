"""One attempt, from its claim to what follows from its end.

Every method of the parts is idempotent: the DBOS workflow that calls them repeats the one that was
in flight when a daemon died.
"""

from __future__ import annotations

from rover_mcp.control.attempt_context import AttemptContext
from rover_mcp.control.attempt_finish import AttemptFinish
from rover_mcp.control.attempt_launch import AttemptLaunch
from rover_mcp.control.attempt_wait import AttemptWait
from rover_mcp.control.waiting_attempts import WaitingAttempts


class Attempts:
    """The parts that carry out attempts and release those that wait."""

    def __init__(self, context: AttemptContext) -> None:
        self.context = context
        self.launch = AttemptLaunch(context)
        self.wait = AttemptWait(context)
        self.finish = AttemptFinish(context)
        self.waiting = WaitingAttempts(context, self.launch)
