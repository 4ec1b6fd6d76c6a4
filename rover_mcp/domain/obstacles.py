"""What keeps a paused task from continuing until someone clears it, and can be seen to be gone.
Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from agent_runner.no_space import FREE_FIRST

if TYPE_CHECKING:
    # The command line words pauses too, and starts in half the time without pydantic.
    from agent_runner.models import Pause

DELIVERY_LEFT: Final = "only the delivery is left to do"
"""Ends the message of a pause between the end of the work and its delivery."""


class Obstacle(StrEnum):
    """A closed set."""

    DISK = "disk"
    """a disk is full"""
    BRANCH = "branch"
    """the task's branch cannot be set: it is checked out, locked, or not writable"""


CLEARED_FIRST: Final = {
    Obstacle.DISK: "there has to be space on that disk first; it then resumes automatically",
    Obstacle.BRANCH: "the branch has to be free first; it then resumes automatically",
}

IN_SHORT: Final = {
    Obstacle.DISK: "waits for space on the disk",
    Obstacle.BRANCH: "waits for its branch to be free",
}


def obstacle_of(pause: Pause | None) -> Obstacle | None:
    """What a pause waits for; None where it waits for something else."""
    return obstacle_in(pause.message) if pause is not None else None


def obstacle_in(message: str) -> Obstacle | None:
    """The same, by the pause's message."""
    if FREE_FIRST in message:
        return Obstacle.DISK
    return Obstacle.BRANCH if DELIVERY_LEFT in message else None


def obstacle_in_short(message: str) -> str | None:
    """What a pause with this message waits for, for a line of a list."""
    obstacle = obstacle_in(message)
    return IN_SHORT[obstacle] if obstacle else None


def is_watched(pause: Pause | None, retries: int, most: int) -> bool:
    """Whether a task that has resumed automatically `retries` times does so again once its obstacle
    is gone. A task that fills the disk itself would otherwise do so for ever."""
    return obstacle_of(pause) is not None and retries < most
