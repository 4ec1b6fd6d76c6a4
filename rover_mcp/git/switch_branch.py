"""Switching a work tree of the user's to another branch, as `git switch` does."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent_runner.crashpoints import crash_point
from rover_mcp.domain.errors import Conflict, RoverError
from rover_mcp.domain.operation import OperationPoint
from rover_mcp.git.branch_merge import changed_paths
from rover_mcp.git.locate import read_head, read_small
from rover_mcp.git.repository_view import RepositoryView
from rover_mcp.git.user_identity import reflog_person
from rover_mcp.git.work_tree import (
    WorkTreeChange,
    check_can_write,
    work_tree_of,
)

_REFLOG = 64 * 1024


@dataclass(frozen=True)
class BranchSwitch:
    """The work tree `top`, which `view` is opened at, goes from what HEAD says in `head` and is the
    commit `old`, to `branch` at `new`. `name` is the operation's."""

    view: RepositoryView
    name: str
    top: Path
    head: str
    old: str
    branch: str
    new: str

    def switch(self) -> None:
        """Write the files and set HEAD. Where that fails, all is as it was before.

        Raises:
            Conflict: the work tree is not clean, something is in the way, or it has changed since
                it was looked at; nothing was done.
            EnvironmentFault: git failed; nothing was done.
        """
        change = self._change()
        change.lock()
        crash_point(OperationPoint.LOCK_TAKEN)
        try:
            self._check(change)
            change.write_files()
            crash_point(OperationPoint.FILES_CHANGED)
            self._set_head()
        except (RoverError, OSError):
            change.undo()
            raise
        crash_point(OperationPoint.REFERENCE_MOVED)
        self._finish(change)

    def settle(self) -> tuple[bool, Sequence[str]]:
        """Finish or undo a switch that was cut off. Whether the branch is checked out, and which
        files were left as they are because somebody has changed them meanwhile."""
        change = self._change()
        if self._head() == self._wanted:
            if change.is_begun:
                self._finish(change)
            return True, ()
        self._fresh_head.unlink(missing_ok=True)
        return False, change.undo()

    def _change(self) -> WorkTreeChange:
        return WorkTreeChange(self.view, self.top, self.name, self.old, self.new)

    @property
    def _wanted(self) -> str:
        return f"ref: refs/heads/{self.branch}"

    def _head(self) -> str:
        return os.fsdecode(read_head(self.view.place.git_dir) or b"").strip()

    def _check(self, change: WorkTreeChange) -> None:
        if self._head() != self.head:
            raise Conflict(
                f"{self.top} has another branch checked out than before",
                hint="nothing was done; call again",
                code="branch_moved",
            )
        if (top := work_tree_of(self.view, self.branch)) is not None:
            raise Conflict(f"{self.branch} is checked out in {top} now", code="branch_in_use")
        change.check_clean()
        changed = changed_paths(self.view, self.old, self.new)
        check_can_write(self.view, self.top, changed, self.new)

    @property
    def _fresh_head(self) -> Path:
        return self.view.place.git_dir / f"rover-{self.name}.head"

    def _set_head(self) -> None:
        # By git's own lock, so that no git changes HEAD at the same time.
        git_dir = self.view.place.git_dir
        self._fresh_head.write_bytes(os.fsencode(f"{self._wanted}\n"))
        lock = git_dir / "HEAD.lock"
        try:
            os.link(self._fresh_head, lock)
        except FileExistsError as error:
            raise Conflict(
                f"another git process is running in {self.top}: {lock} exists",
                hint="wait until it has ended, then call again; remove the file if there is none",
                code="index_locked",
            ) from error
        finally:
            self._fresh_head.unlink()
        lock.replace(git_dir / "HEAD")

    def _finish(self, change: WorkTreeChange) -> None:
        self._note()
        change.replace_index()

    def _note(self) -> None:
        """Keep in HEAD's reflog where it was, once, so that `git switch -` leads back."""
        log = self.view.place.git_dir / "logs/HEAD"
        before = self.head.removeprefix("ref: refs/heads/")
        line = f"{self.old} {self.new} {reflog_person(self.view)}\t"
        line += f"checkout: moving from {before} to {self.branch}\n"
        content = (read_small(log, _REFLOG * 1024) or b"")[-_REFLOG:]
        ending = os.fsencode(line.partition("\t")[2])
        last = content.rpartition(b"\n")[0].rpartition(b"\n")[2] + b"\n"
        moved = os.fsencode(f"{self.old} {self.new} ")
        if last.startswith(moved) and last.endswith(ending):
            return
        with suppress(FileNotFoundError), log.open("ab") as file:
            file.write(os.fsencode(line))


def unsaved_commits(view: RepositoryView, commit: str) -> bool:
    """Whether no branch, tag or remote has a commit, so that nothing would lead to it any more."""
    listed = view.run(["for-each-ref", "--count=1", f"--contains={commit}"])
    return listed.code == 0 and not listed.text
