"""Changing the files of a work tree of the user's from one commit to another, as git would.

The user's index is replaced last, by a rename, while git's own lock on it is held. So a change that
is interrupted at any moment can be repaired: until the branch has moved, each file with the new
content is restored; afterwards only the index is left to be replaced.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent_runner.process.locks import holding, open_lock, wait_until_free
from rover_mcp.domain.errors import Conflict, EnvironmentFault
from rover_mcp.git.attribute_files import attribute_files
from rover_mcp.git.branch_blocked import work_trees
from rover_mcp.git.branch_merge import ChangedPath, changed_paths
from rover_mcp.git.git_process import GitResult
from rover_mcp.git.locate import read_small
from rover_mcp.git.repository_view import RepositoryView
from rover_mcp.git.tracked_files import TrackedFiles
from rover_mcp.git.user_config import own_entries

_NAMED = 5
_IN_PROGRESS = {
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
}
_HEAD_NAMES = ("rebase-merge/head-name", "rebase-apply/head-name")
_OWN_SETTINGS = r"^core\.(autocrlf|eol)$"
_UNFILTERED = (b"unspecified", b"unset")


def work_tree_of(view: RepositoryView, branch: str) -> Path | None:
    """The work tree that has a branch checked out, or None.

    Raises:
        Conflict: several work trees have it, or one is rebasing it ("branch_in_use").
    """
    ref = f"refs/heads/{branch}".encode()
    holders: list[Path] = []
    for where, git_dir in work_trees(view.place):
        for name in _HEAD_NAMES:
            if (read_small(git_dir / name) or b"").strip() == ref:
                raise Conflict(
                    f"the branch {branch} is being rebased in {where}",
                    hint="finish that first (git rebase --continue, or --abort)",
                    code="branch_in_use",
                )
        bare = git_dir == view.place.common and view.bare
        if not bare and (read_small(git_dir / "HEAD") or b"").strip() == b"ref: " + ref:
            holders.append(where)
    if len(holders) > 1:
        raise Conflict(
            f"the branch {branch} is checked out in {holders[0]} and in {holders[1]}",
            hint="switch one of them to another branch",
            code="branch_in_use",
        )
    return holders[0] if holders else None


def check_clean(view: RepositoryView, top: Path, index: Path | None = None) -> None:
    """Check that no merge or rebase is in progress in a work tree, and that no tracked file is
    changed or staged. Untracked files do not count. `index` is a copy of the user's index, in which
    git notes what it found out about the files; the user's own index is only read.

    Raises:
        Conflict: a merge or rebase is in progress ("work_tree_busy"), or a file is changed
            ("dirty_work_tree").
    """
    for name, what in _IN_PROGRESS.items():
        if (view.place.git_dir / name).exists():
            raise Conflict(
                f"{what} is in progress in {top}",
                hint=f"finish or abort it (git -C {top} status), then call again",
                code="work_tree_busy",
            )
    argv = ["status", "--porcelain", "-z", "--no-renames", "--untracked-files=no"]
    env = {"GIT_WORK_TREE": str(top), "GIT_INDEX_FILE": str(view.place.git_dir / "index")}
    if index is not None:
        env |= {"GIT_INDEX_FILE": str(index), "GIT_OPTIONAL_LOCKS": "1"}
    status = view.run(
        [*argv, "--ignore-submodules=all"], extra_env=env, settings=checkout_settings(view)
    )
    if status.code != 0:
        raise EnvironmentFault(f"{top} cannot be inspected: {status.reason}", code="merge_failed")
    entries = status.stdout.decode("utf-8", "backslashreplace").split("\0")[:-1]
    if entries:
        names = ", ".join(entry[3:] for entry in entries[:_NAMED])
        more = f" and {len(entries) - _NAMED} more" if len(entries) > _NAMED else ""
        raise Conflict(
            f"{top} has changes that are not committed: {names}{more}",
            hint="commit or stash them (git stash), then call again",
            code="dirty_work_tree",
        )


def check_can_write(
    view: RepositoryView, top: Path, changed: Sequence[ChangedPath], new: str
) -> None:
    """Check that the files of `new` can be written to a work tree without losing anything there,
    and without running a program.

    Raises:
        Conflict: a file that git does not track is in the way ("untracked_in_the_way"), a changed
            file passes through a filter such as git-lfs ("filtered_files"), or the work tree is
            not where git looks for it ("odd_work_tree").
    """
    if view.last("core.worktree"):
        raise Conflict(
            f"{view.place.common} has its work tree elsewhere (core.worktree)",
            hint="do it with git itself",
            code="odd_work_tree",
        )
    gone = {one.path for one in changed if one.deleted}
    for one in changed:
        if one.added and (blocker := _in_the_way(top, one.path, gone)):
            raise Conflict(
                f"{blocker} in {top} is not tracked by git, and would be overwritten",
                hint="move it away, or commit it, then call again",
                code="untracked_in_the_way",
            )
    if filtered := filtered_paths(view, changed, new):
        raise Conflict(
            f"{filtered[0]} passes through a filter such as git-lfs, which Rover does not run",
            hint="do it with git itself",
            code="filtered_files",
        )


def _in_the_way(top: Path, path: str, gone: set[str]) -> str | None:
    parts = path.split("/")
    for end in range(1, len(parts)):
        parent = "/".join(parts[:end])
        place = top / parent
        if os.path.lexists(place) and (place.is_symlink() or not place.is_dir()):
            return None if parent in gone else parent
    place = top / path
    if not os.path.lexists(place):
        return None
    inside = (
        place.is_dir() and not place.is_symlink() and any(g.startswith(f"{path}/") for g in gone)
    )
    return None if inside else path


def filtered_paths(
    view: RepositoryView, changed: Sequence[ChangedPath], new: str, only: str | None = None
) -> list[str]:
    """The changed paths that pass through a filter in the commit `new`: through any filter, or
    through the one that `only` names."""
    paths = [one.path for one in changed if not one.deleted]
    if not paths:
        return []
    index = {"GIT_INDEX_FILE": str(view.folder / "rover-attributes")}
    entries = attribute_files(view, paths, new)
    _checked(view.run(["update-index", "-z", "--index-info"], extra_env=index, stdin=entries))
    fed = "".join(f"{path}\0" for path in paths).encode("utf-8", "surrogateescape")
    attributes = _checked(
        view.run(
            ["check-attr", "--cached", "--stdin", "-z", "filter"],
            extra_env={**index, "GIT_WORK_TREE": str(view.folder)},
            stdin=fed,
        )
    )
    fields = attributes.stdout.split(b"\0")[:-1]
    return [
        name.decode("utf-8", "backslashreplace")
        for name, value in zip(fields[::3], fields[2::3], strict=True)
        if (value == only.encode() if only else value not in _UNFILTERED)
    ]


def checkout_settings(view: RepositoryView) -> list[str]:
    """The settings for line ends that only the user's own configuration has."""
    # A split index would be a second file, which the rename of the index does not replace.
    own = [(k, v) for k, v in own_entries(_OWN_SETTINGS, view.conditions) if not view.last(k)]
    return ["core.splitIndex=false", *(f"{key}={value}" for key, value in own)]


@dataclass(frozen=True)
class WorkTreeChange:
    """One change of the work tree `top`, at which `view` is opened, from commit `old` to `new`.
    `name` is a part of its files' names, different for every change."""

    view: RepositoryView
    top: Path
    name: str
    old: str
    new: str

    @property
    def _git_dir(self) -> Path:
        return self.view.place.git_dir

    @property
    def _lock(self) -> Path:
        return self._git_dir / "index.lock"

    @property
    def _index(self) -> Path:
        """The index that will replace the user's."""
        return self._git_dir / f"rover-{self.name}.index"

    @property
    def _signature(self) -> bytes:
        return f"rover {self.name}\n".encode()

    @property
    def is_begun(self) -> bool:
        """Whether this change holds the lock on the index."""
        return read_small(self._lock) == self._signature

    def lock(self) -> None:
        """Take git's lock on the index.

        Raises:
            Conflict: another git holds it ("index_locked").
        """
        signed = self._git_dir / f"rover-{self.name}.lock"
        signed.write_bytes(self._signature)
        # A link instead of an exclusive create: the lock then has its signature from the start, by
        # which a daemon that was restarted knows that it is its own.
        try:
            os.link(signed, self._lock)
        except FileExistsError as error:
            raise Conflict(
                f"another git process is running in {self.top}: {self._lock} exists",
                hint="wait until it has ended, then call again; remove the file if there is none",
                code="index_locked",
            ) from error
        finally:
            signed.unlink()

    def check_clean(self) -> None:
        """Check as the function of this name does, on the copy of the index that write_files then
        changes. What git has found out about thousands of files is so found out once.

        Raises:
            Conflict, EnvironmentFault: see check_clean.
        """
        # The copy keeps the time of the index: git compares a file's content only if it is not
        # older than the index, so with a later time it would overlook changes.
        shutil.copy2(self._git_dir / "index", self._index)
        check_clean(self.view, self.top, self._index)

    def write_files(self) -> None:
        """Write the new files, and an index for them beside the user's. Comes after check_clean.

        Raises:
            EnvironmentFault: git failed ("merge_failed"); `undo` restores what it changed.
        """
        env = {"GIT_WORK_TREE": str(self.top), "GIT_INDEX_FILE": str(self._index)}
        settings = checkout_settings(self.view)
        argv = ["read-tree", "-m", "-u", self.old, self.new]
        # Git outlives a daemon that is killed. It inherits this lock, by which `undo` can wait for
        # its end.
        handle = open_lock(self._lock)
        with holding(handle):
            done = self.view.run(argv, extra_env=env, settings=settings, stdin=handle)
        _checked(done)

    def replace_index(self) -> None:
        """Replace the user's index by the new one, unless that has been done, and unlock."""
        if self._index.exists():
            self._index.replace(self._git_dir / "index")
        self._unlock()

    def undo(self) -> Sequence[str]:
        """Restore every file that this change has written, and unlock. Return the files that it
        left alone because somebody else has changed them meanwhile."""
        left: Sequence[str] = ()
        if self.is_begun:
            # The git of a daemon that was killed may still be at work.
            wait_until_free(self._lock)
            changed = changed_paths(self.view, self.old, self.new)
            if changed:
                settings = checkout_settings(self.view)
                files = TrackedFiles(self.view, self.top, self.old, self.new, changed, settings)
                left = files.set_back()
        self._index.unlink(missing_ok=True)
        self._unlock()
        return left

    def _unlock(self) -> None:
        with suppress(FileNotFoundError):
            self._index.with_name(f"{self._index.name}.lock").unlink()
        if self.is_begun:
            self._lock.unlink()


def _checked(result: GitResult) -> GitResult:
    if result.code != 0:
        raise EnvironmentFault(
            f"the work tree cannot be changed: {result.reason}",
            hint="read what git status says there, then call again",
            code="merge_failed",
        )
    return result
