"""Takes the snapshots and makes the commits of one attempt, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio

from agent_runner.crashpoints import CrashPoint, crash_point
from agent_runner.models import Snapshot
from agent_runner.worktree.script_runner import WorktreeError, WorktreeInterrupted
from agent_runner.worktree.worktree import Worktree

INCOMPLETE = (
    "the snapshot lacks files that git cannot add: unreadable ones, those with a name that is .git "
    "to some system, those that are not in the encoding that an attribute names, or those in the "
    "folder of a submodule, of which git records a commit only; they are not in the branch as they "
    "are now ({names})"
)

WITHHELD = (
    "{names}: copied from your checkout, and added to git in the sandbox. They were taken out of "
    "what leaves it: of the snapshots and of the branch's commits"
)

NOTES = {
    "left-out": "{names}: a virtual environment, installed packages or a cache that no ignore file "
    "of the repository names. It stays in the work tree and is not in the branch; name it in "
    ".gitignore",
    "stray": "{names}: a virtual environment, installed packages or a cache. It is in the branch "
    "because it was added to git in the sandbox",
    "unpublished": "{names}: this submodule points to a commit that was made in the sandbox and is "
    "not in the branch; no other clone can check it out",
    "filtered": "{names}: your own git keeps these files through a filter, as secrets are, that is "
    "not run for a task. What was written there would leave as it is, so it stays in the work tree "
    "and is not in the branch: make this change in your checkout",
    "raw-lfs": "{names}: the whole content is in the branch, where git-lfs keeps a pointer. Run "
    "'git lfs migrate import --no-rewrite' on it before you push",
}

NOT_ELSEWHERE = (INCOMPLETE.partition(":")[0], NOTES["unpublished"].partition(": ")[2])
"""Parts of the warnings that mean that the work tree holds work which no snapshot has."""

PUT_BACK = (
    "step {step} is read-only, so its changes were undone: {names}. They are kept as "
    "refs/rover/kept/{kept}"
)

NOT_ONE_LINE = "the branch has merges since its base, so its checkpoint commits were left in it"


class Checkpoints:
    """The interpreter's view of the work tree. Steps that run at the same time share one work tree,
    so its operations wait for each other. `last` is the newest snapshot."""

    def __init__(
        self, worktree: Worktree, last: Snapshot | None, first: int, warn: Callable[[str], None]
    ) -> None:
        self.last = last
        self._worktree = worktree
        self._first = first
        self._warn = warn
        # Steps of a parallel step end at the same time, and git refuses a second writer of its
        # index.
        self._turn = anyio.Lock()

    async def snapshot(self) -> Snapshot | None:
        """Record the tree as it is now; None, with a warning, if that fails."""
        try:
            async with self._turn:
                self.last, lacking = await self._worktree.snapshot(self.last, self._first)
                snapshot = self.last
                crash_point(CrashPoint.SNAPSHOT_TAKEN)
        except (WorktreeError, OSError) as error:
            self._warn(f"no snapshot of the work tree: {error}")
            return None
        self._tell(lacking)
        return snapshot

    def _tell(self, lacking: Sequence[str]) -> None:
        if lacking:
            self._warn(INCOMPLETE.format(names=", ".join(lacking)))
        for what, text in NOTES.items():
            if names := self._worktree.noted(what):
                self._warn(text.format(names=", ".join(names)))
        if names := self._worktree.withheld():
            self._warn(WITHHELD.format(names=", ".join(names)))

    async def commit(self, message: str) -> None:
        """Make a checkpoint commit of what is not committed. A failure is only a warning, because
        the files are in the next snapshot in any case."""
        try:
            async with self._turn:
                await self._worktree.commit(message, self.last)
        except WorktreeError as error:
            self._warn(f"no checkpoint commit: {error}")

    async def before_read_only(self) -> None:
        """Note HEAD and the index, which no snapshot holds."""
        try:
            async with self._turn:
                await self._worktree.remember()
        except WorktreeInterrupted:
            raise
        except WorktreeError as error:
            self._warn(f"HEAD and the index cannot be put back: {error}")

    async def put_back(self, before: Snapshot | None, step: str) -> None:
        """Undo what a step that only reads changed since the snapshot, with a warning.

        Raises:
            WorktreeInterrupted: git was killed, or stood still.
        """
        if before is None:
            self._warn(f"step {step} is read-only, which cannot be checked without a snapshot")
            return
        try:
            async with self._turn:
                undone = await self._worktree.put_back(before, step)
        except WorktreeInterrupted:
            raise
        except WorktreeError as error:
            self._warn(f"step {step} is read-only, but its changes could not be undone: {error}")
            return
        if undone is not None:
            names, kept = ", ".join(undone.names) or "commits", undone.kept
            self._warn(PUT_BACK.format(step=step, names=names, kept=kept))

    async def finish(self, message: str, *, always: bool = False) -> Snapshot:
        """Commit the result on the task's branch. `always`: the branch's last commit gets this
        message, even if everything was committed already.

        Raises:
            WorktreeError: it could not be committed, or not be saved.
        """
        try:
            async with self._turn:
                if not await self._worktree.finish(message, self.last, always=always):
                    self._warn(NOT_ONE_LINE)
                crash_point(CrashPoint.WORK_COMMITTED)
                self.last, lacking = await self._worktree.snapshot(self.last, self._first)
                self._tell(lacking)
                return self.last
        except OSError as error:
            raise WorktreeError(f"the result could not be saved: {error}") from error
