"""A task's clone on its own: the work tree of worktree.py, with real git and no sandbox."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import anyio

from agent_runner.models import Snapshot
from agent_runner.process.spawn import make_commands
from agent_runner.spec import RunLimits
from agent_runner.worktree.worktree import Worktree
from tests.support.runs import RunFolders

T = TypeVar("T")

BRANCH = "refs/heads/rover/7-mend"


def make(tmp_path: Path, limits: RunLimits | None = None) -> tuple[RunFolders, Worktree]:
    """The folders of a task, and its work tree, not prepared yet."""
    place = RunFolders(tmp_path / "task", "", limits=limits or RunLimits(), attempt=1)
    spec = place.spec()
    return place, Worktree(spec, make_commands(spec))


def do(call: Callable[[], Awaitable[T]]) -> T:
    """Run one call to its end."""

    async def run() -> T:
        return await call()

    return anyio.run(run)


def snap(worktree: Worktree, previous: Snapshot | None = None) -> Snapshot:
    """A snapshot on top of another."""
    taken, _ = do(lambda: worktree.snapshot(previous))
    return taken
