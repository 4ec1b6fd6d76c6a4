"""The snapshots of one attempt: one at a time, each on top of the one before."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from agent_runner.crashpoints import CrashPoint, crash_point
from agent_runner.models import Snapshot
from agent_runner.worktree import Worktree, WorktreeError

INCOMPLETE = (
    "the snapshot lacks files that git cannot add: unreadable ones, those with a name that is .git "
    "to some system, or those of a repository "
    "inside the work tree; have its .git folder removed to keep them ({names})"
)

WITHHELD = (
    "{names}: copied from your checkout, and added to git in the sandbox. They were taken out of "
    "what leaves it: of the snapshots and of the branch's commits"
)

NOT_ONE_LINE = "the branch is not one line since its base: its checkpoint commits were left in it"


class Checkpoints:
    """The work tree as the interpreter sees it. Steps that run at the same time share it, so
    what touches it takes its turn. `last` is the newest snapshot."""

    def __init__(
        self, worktree: Worktree, last: Snapshot | None, first: int, warn: Callable[[str], None]
    ) -> None:
        self.last = last
        self._worktree = worktree
        self._first = first
        self._warn = warn
        self._turn = anyio.Lock()

    async def snapshot(self) -> Snapshot | None:
        """The tree as it is now; None, with a warning, where that cannot be recorded."""
        try:
            async with self._turn:
                self.last, lacking = await self._worktree.snapshot(self.last, self._first)
                found = self.last
                crash_point(CrashPoint.SNAPSHOT_TAKEN)
        except (WorktreeError, OSError) as error:
            self._warn(f"no snapshot of the work tree: {error}")
            return None
        if lacking:
            self._warn(INCOMPLETE.format(names=", ".join(lacking)))
        self._tell_withheld()
        return found

    def _tell_withheld(self) -> None:
        if names := self._worktree.withheld():
            self._warn(WITHHELD.format(names=", ".join(names)))

    async def commit(self, message: str) -> None:
        """A checkpoint commit of what is not committed; a failure is a warning: the files are in
        the next snapshot all the same."""
        try:
            async with self._turn:
                await self._worktree.commit(message)
        except WorktreeError as error:
            self._warn(f"no checkpoint commit: {error}")

    async def finish(self, message: str) -> Snapshot:
        """The result on the task's branch.

        Raises:
            WorktreeError: it could not be committed, or not be saved.
        """
        try:
            async with self._turn:
                if not await self._worktree.finish(message):
                    self._warn(NOT_ONE_LINE)
                crash_point(CrashPoint.WORK_COMMITTED)
                self.last, _ = await self._worktree.snapshot(self.last, self._first)
                self._tell_withheld()
                return self.last
        except OSError as error:
            raise WorktreeError(f"the result could not be saved: {error}") from error
