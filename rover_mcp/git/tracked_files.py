"""Restoring files of a work tree after a change from one commit to another was interrupted."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.git.branch_merge import ChangedPath
from rover_mcp.git.git_process import GitResult
from rover_mcp.git.repository_view import RepositoryView

_LIST_LIMIT = 64 * 1024**2


@dataclass(frozen=True)
class TrackedFiles:
    """The files below `top` that differ between the commits `old` and `new`."""

    view: RepositoryView
    top: Path
    old: str
    new: str
    changed: Sequence[ChangedPath]
    settings: Sequence[str]

    def set_back(self) -> tuple[str, ...]:
        """Restore each file that has the new content, is missing, or was being written when git was
        killed. Return the others, which somebody has changed; they are left alone."""
        before = self._index("old", self.old)
        after = self._index("new", self.new)
        not_old, not_new = self._differing(before), self._differing(after)
        restore: list[str] = []
        left: list[str] = []
        for one in self.changed:
            place = self.top / one.path
            is_old = not _is_file(place) if one.added else one.path not in not_old
            is_new = not _is_file(place) if one.deleted else one.path not in not_new
            if is_old:
                continue
            if not (is_new or not _is_file(place) or self._is_partial(one)):
                left.append(one.path)
            elif one.added:
                self._remove(place)
            else:
                restore.append(one.path)
        self._check_out(before, restore)
        return tuple(left)

    def _index(self, name: str, commit: str) -> Mapping[str, str]:
        """Write an index with only the changed paths of a commit; the environment that selects
        it."""
        env = {"GIT_WORK_TREE": str(self.top),
               "GIT_INDEX_FILE": str(self.view.folder / f"rover-{name}")}  # fmt: skip
        listed = self._run(["ls-tree", "-r", "-z", "--full-tree", commit], env)
        wanted = {os.fsencode(one.path) for one in self.changed}
        entries = [e for e in listed.stdout.split(b"\0")[:-1] if e.partition(b"\t")[2] in wanted]
        fed = b"".join(entry + b"\0" for entry in entries)
        self._run(["update-index", "-z", "--index-info"], env, stdin=fed)
        return env

    def _differing(self, env: Mapping[str, str]) -> set[str]:
        """The files of an index that differ from those in the work tree, or are missing there."""
        # `diff-files` compares times and sizes, so they are refreshed first. That ends with a
        # status other than 0 if any file differs, which is no failure here.
        self.view.run(["update-index", "-q", "--refresh"], extra_env=env, settings=self.settings)
        argv = ["diff-files", "-z", "--name-only", "--ignore-submodules=all"]
        return set(os.fsdecode(self._run(argv, env).stdout).split("\0")[:-1])

    def _is_partial(self, one: ChangedPath) -> bool:
        """Whether a file holds the beginning of the new content: git was killed while writing
        it."""
        place = self.top / one.path
        if one.deleted or place.is_symlink() or not place.is_file():
            return False
        blob = self.view.run(
            ["cat-file", "--filters", f"{self.new}:{one.path}"],
            extra_env={"GIT_WORK_TREE": str(self.top)},
            settings=self.settings,
            output_limit=_LIST_LIMIT,
        )
        try:
            return blob.code == 0 and blob.stdout.startswith(place.read_bytes())
        except OSError:
            return False

    def _remove(self, place: Path) -> None:
        place.unlink(missing_ok=True)
        for folder in place.parents:
            if folder == self.top:
                return
            with suppress(OSError):
                folder.rmdir()

    def _check_out(self, env: Mapping[str, str], paths: Sequence[str]) -> None:
        fed = b"".join(os.fsencode(path) + b"\0" for path in paths)
        self._run(["checkout-index", "-f", "-q", "-z", "--stdin"], env, stdin=fed)

    def _run(
        self, argv: Sequence[str], env: Mapping[str, str], stdin: bytes | None = None
    ) -> GitResult:
        done = self.view.run(
            argv, extra_env=env, settings=self.settings, stdin=stdin, output_limit=_LIST_LIMIT
        )
        if done.code != 0:
            raise EnvironmentFault(
                f"the files of {self.top} cannot be set back: {done.reason}",
                hint="see git status there",
                code="merge_failed",
            )
        return done


def _is_file(place: Path) -> bool:
    """Whether there is something that git would track: a file or a link, but not a folder."""
    return place.is_symlink() or (os.path.lexists(place) and not place.is_dir())
