"""Whether the obstacle of a paused task is gone. This is checked regularly, so it starts no git."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from agent_runner.worktree.disk_watch import FULL, free_space
from rover_mcp.config.settings import Settings
from rover_mcp.domain.errors import EnvironmentFault, RoverError
from rover_mcp.domain.obstacles import Obstacle, obstacle_of
from rover_mcp.git.branch_blocked import blocked
from rover_mcp.sandbox.protocol import Engine, OwnDisk
from rover_mcp.store.records import TaskRow

TWICE: Final = 2
"""A disk has space again when it has this many times what a run needs. With just enough a task
would resume and pause again at once."""


def is_gone(settings: Settings, task: TaskRow, engine: Engine | None = None) -> bool:
    """Whether a task's obstacle is gone; `engine` is the one that runs the task."""
    match obstacle_of(task.pause):
        case Obstacle.DISK:
            return _has_space(settings, Path(task.project_path), engine)
        case Obstacle.BRANCH:
            return _is_free(Path(task.project_path), task.branch)
        case None:
            return False


def _has_space(settings: Settings, repository: Path, engine: Engine | None) -> bool:
    places = [place for place in (settings.home, repository) if place.exists()]
    try:
        # Docker's data is often on a disk of its own. If only that is full, a check of the others
        # would find space, and the task would use up its resumes on the same error.
        places += engine.disk_folders() if isinstance(engine, OwnDisk) else ()
        free = free_space(places)
    except (OSError, EnvironmentFault):
        return False
    enough = free.lowest >= TWICE * max(settings.min_free_bytes, FULL)
    return enough and free.lowest_files >= TWICE * settings.min_free_files


def _is_free(repository: Path, branch: str) -> bool:
    try:
        return blocked(repository, branch) is None
    except (RoverError, OSError):
        return False
