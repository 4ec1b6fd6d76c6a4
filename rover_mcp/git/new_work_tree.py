"""A further work tree of a user's repository, as `git worktree add` makes it.

It is built beside its place and renamed into it: whoever looks sees all of it or nothing. What git
keeps of it (`worktrees/<name>` of the repository) comes first, so that a work tree never stands
there without a repository.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from agent_runner.crashpoints import crash_point
from agent_runner.process.locks import holding, open_lock, wait_until_free
from rover_mcp.domain.errors import Conflict, EnvironmentFault
from rover_mcp.domain.operation import OperationPoint
from rover_mcp.git.locate import read_small
from rover_mcp.git.repository_view import RepositoryView
from rover_mcp.git.user_identity import reflog_person
from rover_mcp.git.work_tree import checkout_settings, work_tree_of


@dataclass(frozen=True)
class NewWorkTree:
    """The work tree `folder` with `branch`, which is at `commit`. `name` is the operation's."""

    view: RepositoryView
    name: str
    folder: Path
    branch: str
    commit: str

    @property
    def _files(self) -> Path:
        """Where the files are written, in the file system of the folder."""
        return self.folder.with_name(f".rover-{self.name}")

    @property
    def _kept(self) -> Path:
        """Where what git keeps of it is written."""
        return self.view.place.common / f"rover-{self.name}.worktree"

    def add(self) -> None:
        """Make it; where that fails, all is as it was before.

        Raises:
            Conflict: the branch is checked out by now ("branch_in_use"), or something stands in
                the folder's place ("folder_in_use").
            EnvironmentFault: it cannot be written.
        """
        try:
            self._write()
            crash_point(OperationPoint.FILES_CHANGED)
            self._check_free()
            self._place()
        except OSError as error:
            self.undo()
            raise EnvironmentFault(
                f"{self.folder} cannot be written: {error.strerror or error}",
                hint="name another folder",
                code="checkout_failed",
            ) from error
        except (Conflict, EnvironmentFault):
            self.undo()
            raise

    def settle(self) -> bool:
        """Finish or undo one that was cut off; whether it is there."""
        if self._lock.exists():
            # The git of a daemon that was killed may still be at work.
            wait_until_free(self._lock)
        if self._placed is None:
            self.undo()
            return False
        if self._files.exists():
            try:
                self._rename_files()
            except OSError:
                # Something else stands there by now.
                shutil.rmtree(self._placed)
                self.undo()
                return False
        self._lock.unlink(missing_ok=True)
        return (self.folder / ".git").is_file()

    def undo(self) -> None:
        """Remove what was written, as far as it is not in its place."""
        placed = self._placed
        if placed is not None and self._files.exists():
            shutil.rmtree(placed)
        for folder in (self._files, self._kept):
            shutil.rmtree(folder, ignore_errors=True)
        self._lock.unlink(missing_ok=True)

    @property
    def _lock(self) -> Path:
        return self.view.place.common / f"rover-{self.name}.worktree.lock"

    @property
    def _placed(self) -> Path | None:
        """What git keeps of it, once that is in its place."""
        for top in (self._files, self.folder):
            if (content := read_small(top / ".git")) is not None:
                admin = Path(os.fsdecode(content.removeprefix(b"gitdir: ").rstrip(b"\n")))
                is_mine = admin.parent == self.view.place.common / "worktrees"
                return admin if is_mine and admin.is_dir() else None
        return None

    def _check_free(self) -> None:
        if (top := work_tree_of(self.view, self.branch)) is not None:
            raise Conflict(
                f"the branch {self.branch} is checked out in {top} now", code="branch_in_use"
            )

    def _write(self) -> None:
        self._files.mkdir(parents=True)
        self._kept.mkdir()
        (self._kept / "HEAD").write_text(f"ref: refs/heads/{self.branch}\n")
        (self._kept / "commondir").write_text("../..\n")
        (self._kept / "gitdir").write_bytes(os.fsencode(f"{self.folder}/.git\n"))
        (self._kept / "logs").mkdir()
        person = reflog_person(self.view)
        line = f"{'0' * 40} {self.commit} {person}\n"
        (self._kept / "logs/HEAD").write_text(line, "utf-8", "surrogateescape")
        sparse = self.view.place.git_dir / "info/sparse-checkout"
        if sparse.is_file():
            (self._kept / "info").mkdir()
            shutil.copyfile(sparse, self._kept / "info/sparse-checkout")
        index = self._kept / "index"
        env = {"GIT_WORK_TREE": str(self._files), "GIT_INDEX_FILE": str(index)}
        handle = open_lock(self._lock)
        with holding(handle):
            done = self.view.run(
                ["read-tree", "-u", "--reset", self.commit], extra_env=env,
                settings=checkout_settings(self.view), stdin=handle,
            )  # fmt: skip
        if done.code != 0:
            raise EnvironmentFault(
                f"the files of {self.branch} cannot be written: {done.reason}",
                code="checkout_failed",
            )

    def _admin(self) -> Path:
        """A name in `worktrees` that is free: the folder's own, as git does."""
        home = self.view.place.common / "worktrees"
        number, name = 0, self.folder.name
        while (home / name).exists():
            number += 1
            name = f"{self.folder.name}{number}"
        return home / name

    def _place(self) -> None:
        admin = self._admin()
        (self._files / ".git").write_bytes(os.fsencode(f"gitdir: {admin}\n"))
        admin.parent.mkdir(exist_ok=True)
        self._kept.rename(admin)
        crash_point(OperationPoint.REFERENCE_MOVED)
        self._rename_files()
        self._lock.unlink(missing_ok=True)

    def _rename_files(self) -> None:
        # Over an empty folder this works, over anything else it does not.
        self._files.rename(self.folder)
