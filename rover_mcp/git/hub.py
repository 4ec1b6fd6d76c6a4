"""The hub: a project's code and checkpoints in the data folder.

<folder>/base.git  bare: what the commits reach that tasks are based on (base_packs.py). Each task
                   is lent its own base's part of it, read-only in its sandbox.
<folder>/submodules/  the same of submodules, as long as it is of use (submodule_bases.py).
<folder>/lfs/      objects of git-lfs that tasks were lent, likewise (lfs.py).
<folder>/hub.git   bare, borrows base.git's objects: what came out of sandboxes. It is mounted
                   nowhere, so no task ever sees another one's objects.

    refs/rover/<task id>/snapshots/<n>     a snapshot
    refs/rover/<task id>/head              what the task's branch points at
    refs/rover/<task id>/kept/<name>       work that no journal leads to any more

Both are made again when lost: from the user's repository or what was lent, and from bundles.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from agent_runner.models import Snapshot
from rover_mcp.domain.cancellation import CancelToken, Stopped
from rover_mcp.domain.errors import EnvironmentFault, RoverError, UserFixable
from rover_mcp.git.bare_repository import furnish, is_furnished
from rover_mcp.git.base_packs import Bases
from rover_mcp.git.bundle import BundleHeader, bad_bundle, open_bundle, render_header
from rover_mcp.git.changes import ChangedFile, changes, files
from rover_mcp.git.clone_refs import write_names
from rover_mcp.git.collect import (
    clear,
    forget_garbage,
    garbage_since,
    note_garbage,
    objects_lock,
)
from rover_mcp.git.commit_diff import PATCH_LIMIT, Diff, FileDiff, diff_commits, write_patch
from rover_mcp.git.commit_tree import CommitTree
from rover_mcp.git.contents import contents_of
from rover_mcp.git.git_errors import checked, no_room
from rover_mcp.git.git_process import run_git
from rover_mcp.git.hub_damage import is_whole, salvage
from rover_mcp.git.incoming import Incoming, check_references
from rover_mcp.git.lfs import LFS, lend_objects
from rover_mcp.git.locked import locked
from rover_mcp.git.own_objects import OwnObjects
from rover_mcp.git.publish import PublishResult, publish
from rover_mcp.git.repository_view import opened
from rover_mcp.git.submodule_bases import SubmoduleBases
from rover_mcp.git.submodules import SUBMODULES, find_submodules
from rover_mcp.git.unfinished_commit import Unfinished

BUNDLE_LIMIT = 2_000_000_000
RESTORE_SNAPSHOT_REF = "refs/rover/restore/snapshot"
RESTORE_HEAD_REF = "refs/rover/restore/head"
_ALTERNATES = "../../base.git/objects\n"
_SHALLOW = "../base.git/shallow"
_LIST_LIMIT = 256 * 1024**2
_OF_THIS_MACHINE = frozenset({"data_folder", "disk_full", "git_missing", "git_timeout"})
"""Codes of failures that say nothing of the repository that a base is taken from."""
_TASK_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)


def _say_nothing(_: str) -> None: ...


class Hub:
    """One project's hub. Safe for several threads and processes at once."""

    def __init__(self, folder: Path, *, bundle_limit: int = BUNDLE_LIMIT) -> None:
        self.folder = folder
        self.base = folder / "base.git"
        self.hub = folder / "hub.git"
        self._bundle_limit = bundle_limit
        self._bases = Bases(self.base)
        self._own = OwnObjects(self.hub, self._bases)

    def tree(self, commit: str) -> CommitTree:
        """The files of a commit that `update` has brought here."""
        return CommitTree(self.base, commit)

    def ensure(self) -> None:
        """Make the two repositories where they do not exist, or lack what makes them one.
        Repeating it is harmless.

        Raises:
            EnvironmentFault: the data folder cannot be written ("data_folder").
        """
        if is_furnished(self.base) and is_furnished(self.hub, _ALTERNATES, _SHALLOW):
            return
        with locked(self.folder):
            self._furnish()

    def update(
        self,
        user_repo: Path,
        commit: str,
        tell: Callable[[str], None] = _say_nothing,
        stop: CancelToken | None = None,
    ) -> None:
        """See to it that the base holds all that `commit` reaches. For a large repository that
        takes a while: `tell` is called when it begins, `stop` ends it.

        Raises:
            EnvironmentFault: it cannot be had from the repository ("hub_failed").
            Stopped: `stop` was asked for.
        """
        _check_commit(commit)
        self.ensure()
        if self._bases.has(commit):
            return
        tell(f"packing what the commit {commit[:12]} reaches in {user_repo}")
        with locked(self.folder, stop):
            if not self._bases.has(commit):
                self._bases.bring(user_repo, commit, stop)

    def lend(
        self,
        user_repo: Path,
        commit: str,
        objects: Path,
        tell: Callable[[str], None] = _say_nothing,
        stop: CancelToken | None = None,
    ) -> None:
        """Let the folder `objects` hold what `commit` reaches, for one task's sandboxes. A base
        that was lost is had again from the repository, or from what that folder still holds. For
        `tell` and `stop` see update.

        Raises:
            EnvironmentFault: "base_lost", or the folder cannot be written.
            Stopped: `stop` was asked for.
        """
        while True:
            self.secure(user_repo, commit, objects, tell, stop)
            with locked(self.folder, stop):
                # It may have been removed just now, as no other task needed it.
                if not self._bases.has(commit):
                    continue
                try:
                    self._bases.lend(commit, objects)
                except OSError as error:
                    raise no_room(objects, error) from error
                return

    def name(self, user_repo: Path, commit: str, branch: str | None, folder: Path) -> None:
        """See names.write_names."""
        write_names(user_repo, commit, branch, folder)

    def lend_submodules(
        self, user_repo: Path, commit: str, objects: Path, folder: Path
    ) -> list[str]:
        """The same as `lend` and `name` for the submodules that the user has checked out: see
        submodules.py. Which of them could not be lent, and why.

        Raises:
            RoverError: the repository cannot be read, or the data folder not written.
        """
        with locked(self.folder):
            return SubmoduleBases(self.folder / SUBMODULES).lend(
                find_submodules(user_repo, commit), objects / SUBMODULES, folder
            )

    def lend_lfs(self, user_repo: Path, commit: str, objects: Path) -> list[str]:
        """Lend the objects of git-lfs that the user has: see lfs.py. Which files' could not be.

        Raises:
            RoverError: the repository cannot be read, or the data folder not written.
        """
        with opened(user_repo) as view, locked(self.folder):
            store, wanted = self.folder / LFS, contents_of(view, commit).pointers
            return lend_objects(view.place.common, wanted, store, objects / LFS)

    def secure(
        self,
        user_repo: Path,
        commit: str,
        objects: Path,
        tell: Callable[[str], None] = _say_nothing,
        stop: CancelToken | None = None,
    ) -> None:
        """The same, without lending it: what the hub needs to make sense of a task's bundles.

        Raises:
            EnvironmentFault: "base_lost", or the data folder cannot be written.
            Stopped: `stop` was asked for.
        """
        try:
            self.update(user_repo, commit, tell, stop)
            return
        except Stopped:
            raise
        except RoverError as error:
            lost = error
        with locked(self.folder):
            if self._bases.has(commit) or self._bases.take_back(commit, objects):
                return
            with suppress(EnvironmentFault):
                self._bases.bring_from(self.hub, commit)
                return
        if lost.code in _OF_THIS_MACHINE:
            raise lost
        raise EnvironmentFault(
            f"the base of the task cannot be had: {lost.message}",
            hint=f"see that {user_repo} is there and has all of the commit {commit} "
            f"(git -C {user_repo} fsck), then resume_task",
            code="base_lost",
        ) from lost

    def is_whole(self, task_id: str, base_commit: str) -> bool:
        """Whether all that is here of a task can be read, to the last byte."""
        return is_whole(self.hub, self._task(task_id), base_commit)

    def holds_result(self, task_id: str, base_commit: str, snapshot: Snapshot) -> bool:
        """Whether the work tree that a task ended with is here: as its last snapshot and as what
        its branch points at, with the same files, all of which can be read."""
        known = self._resolve(f"{self._task(task_id)}/snapshots/{snapshot.sequence}")
        if known != snapshot.commit or self.head(task_id) != snapshot.head:
            return False
        trees = {self._resolve(f"{commit}^{{tree}}") for commit in (known, snapshot.head)}
        return trees == {snapshot.tree} and self.is_whole(task_id, base_commit)

    def renew(self) -> None:
        """Set a damaged hub aside and make another, with all that can be read of it.

        Raises:
            EnvironmentFault: the data folder cannot be written.
        """
        aside = self.hub.with_name("hub.git.damaged")
        with objects_lock(self.folder, alone=True), locked(self.folder):
            try:
                shutil.rmtree(aside, ignore_errors=True)
                if self.hub.exists():
                    self.hub.replace(aside)
                self._furnish()
            except OSError as error:
                raise no_room(self.folder, error) from error
            if aside.exists():
                furnish(aside, _ALTERNATES, _SHALLOW)
                salvage(aside, self.hub)

    def import_bundle(
        self, task_id: str, base_commit: str, bundle_path: Path, snapshot: Snapshot, branch: str
    ) -> None:
        """Take over a snapshot from a bundle that a runner wrote. Done already: nothing.

        The bundle may hold `refs/rover/snapshots/<n>` and `refs/heads/<branch>` and nothing
        else, each with the id that the journal names. Its objects are checked strictly in a
        quarantine, in which nothing can be found but what the base reaches and what came out of
        this task before: all else has to be in the bundle. A refused bundle leaves nothing
        behind.

        Raises:
            EnvironmentFault: "bundle_refused", or "bundle_incomplete" where an earlier bundle
                has to be imported first.
        """
        target = f"{self._task(task_id)}/snapshots/{snapshot.sequence}"
        known = self._resolve(target)
        if known == snapshot.commit and self.head(task_id) is not None:
            return
        if known not in (None, snapshot.commit):
            raise bad_bundle(bundle_path, f"snapshot {snapshot.sequence} is another one already")
        expected = {
            f"refs/rover/snapshots/{snapshot.sequence}": snapshot.commit,
            f"refs/heads/{branch}": snapshot.head,
        }
        with (
            objects_lock(self.folder, alone=False),
            open_bundle(bundle_path, self._bundle_limit) as (header, pack),
        ):
            check_references(bundle_path, header, expected)
            incoming = Incoming(self.hub, self._own, task_id, base_commit)
            incoming.check_prerequisites(bundle_path, header)
            incoming.take(bundle_path, pack, snapshot, self._bundle_limit)
            self._record(task_id, snapshot)

    def export_restore(
        self, task_id: str, snapshot: Snapshot, base_commit: str, dest: Path
    ) -> None:
        """Write a bundle from which a new sandbox rebuilds the task's tree on top of
        `base_commit`: RESTORE_SNAPSHOT_REF and RESTORE_HEAD_REF.

        Raises:
            EnvironmentFault: the hub does not hold the snapshot ("snapshot_missing"), or it
                cannot be written.
        """
        if self._resolve(f"{self._task(task_id)}/snapshots/{snapshot.sequence}") != snapshot.commit:
            raise EnvironmentFault(
                f"the hub does not hold snapshot {snapshot.sequence}", code="snapshot_missing"
            )
        own = self._own.reading(task_id, base_commit)
        references = {RESTORE_SNAPSHOT_REF: snapshot.commit, RESTORE_HEAD_REF: snapshot.head}
        header = render_header(BundleHeader([base_commit], references))
        wanted = f"{snapshot.commit}\n{snapshot.head}\n^{base_commit}\n".encode()
        try:
            new = dest.with_name(f".{dest.name}.new")
            with new.open("wb") as out:
                out.write(header)
                out.flush()
                argv = ["pack-objects", "-q", "--stdout", "--revs", "--thin", "--delta-base-offset"]
                packed = run_git(argv, self.hub, extra_env=own, stdin=wanted, stdout=out.fileno())
                checked(packed, f"snapshot {snapshot.sequence} cannot be packed", dest.parent)
                os.fsync(out.fileno())
            new.replace(dest)
        except OSError as error:
            raise no_room(dest.parent, error) from error

    def publish(
        self, task_id: str, user_repo: Path, branch: str, unfinished: Unfinished | None = None
    ) -> PublishResult:
        """Put the task's branch into the user's repository; see publish.publish for errors."""
        head = self.head(task_id)
        if head is None:
            raise EnvironmentFault(
                f"task {task_id} has no snapshot in the hub yet", code="snapshot_missing"
            )
        return publish(self.hub, task_id, head, user_repo, branch, unfinished)

    def diff(
        self,
        task_id: str,
        base_commit: str,
        snapshot_commit: str,
        paths: Sequence[str] | None = None,
        *,
        patch_limit: int = PATCH_LIMIT,
        first: Callable[[FileDiff], object] | None = None,
    ) -> Diff:
        """See diff.diff_commits. A snapshot holds untracked files, so they count (N1)."""
        _check_commit(base_commit)
        _check_commit(snapshot_commit)
        self._task(task_id)
        return diff_commits(
            self.hub, base_commit, snapshot_commit, paths, patch_limit=patch_limit, first=first,
            env=self._own.reading(task_id, base_commit),
        )  # fmt: skip

    def write_patch(
        self,
        task_id: str,
        base_commit: str,
        snapshot_commit: str,
        out: IO[bytes],
        paths: Sequence[str] | None = None,
    ) -> None:
        """See diff.write_patch."""
        _check_commit(base_commit)
        _check_commit(snapshot_commit)
        own = self._own.reading(task_id, base_commit)
        write_patch(self.hub, base_commit, snapshot_commit, out, paths, env=own)

    def changes(self, task_id: str, base_commit: str, old: str, new: str) -> list[ChangedFile]:
        """See changes.changes."""
        for commit in (base_commit, old, new):
            _check_commit(commit)
        return changes(self.hub, old, new, self._own.reading(task_id, base_commit))

    def files(self, task_id: str, base_commit: str, commit: str) -> Sequence[str]:
        """See changes.files."""
        _check_commit(base_commit)
        _check_commit(commit)
        return files(self.hub, commit, self._own.reading(task_id, base_commit))

    def snapshots(self, task_id: str) -> dict[int, str]:
        """The commit of every snapshot that is here, by number; asked of git once."""
        commits: dict[int, str] = {}
        if self.hub.is_dir():
            prefix = f"{self._task(task_id)}/snapshots/"
            listed = run_git(
                ["for-each-ref", "--format=%(objectname) %(refname)", prefix],
                self.hub,
                output_limit=_LIST_LIMIT,
            )
            checked(listed, "the hub cannot be read", self.hub)
            for line in listed.text.splitlines():
                commit, _, ref = line.partition(" ")
                commits[int(ref.rsplit("/", 1)[1])] = commit
        return commits

    def keep(self, task_id: str, name: str, commit: str) -> str:
        """Keep a commit under a ref of its own, whatever becomes of the task; the ref.

        Raises:
            EnvironmentFault: it is not here, or the ref cannot be written.
        """
        _check_commit(commit)
        ref = f"{self._task(task_id)}/kept/{name}"
        kept = run_git(["update-ref", "--", ref, commit], self.hub)
        checked(kept, f"{commit} cannot be kept as {ref}", self.hub)
        return ref

    def head(self, task_id: str) -> str | None:
        """What the task's branch points at, by the last snapshot imported; None before one."""
        return self._resolve(f"{self._task(task_id)}/head")

    def drop_task(self, task_id: str) -> bool:
        """Forget a task's snapshots and branch; whether there were any. What only they led to, and
        a base that only the task needed, are removed by `collect`. Repeating it is harmless."""
        if not self.hub.is_dir():
            return False
        note_garbage(self.folder)
        self._own.drop(task_id)
        listed = run_git(
            ["for-each-ref", "--format=delete %(refname)", f"{self._task(task_id)}/"], self.hub
        )
        checked(listed, "the hub cannot be read", self.hub)
        if listed.stdout:
            dropped = run_git(["update-ref", "--stdin"], self.hub, stdin=listed.stdout)
            checked(dropped, f"the refs of task {task_id} cannot be removed", self.hub)
            # One that is collecting now may have read the references before.
            note_garbage(self.folder)
        return bool(listed.stdout)

    def garbage_since(self) -> int | None:
        """When there last came something for `collect`; None: there is nothing."""
        return garbage_since(self.folder)

    def collect(
        self, living: Callable[[], Collection[str] | None], *, timeout: float | None = None
    ) -> bool:
        """Remove for good what no reference leads to, and the bases that are not `living`: those
        of the tasks that there are; None where that is not known. False where the hub is being
        written to, or somebody else collects.

        Raises:
            EnvironmentFault: it cannot be done, or not in time; nothing that is needed is lost.
        """
        since = garbage_since(self.folder)
        if since is None or not self.hub.is_dir():
            return True
        with objects_lock(self.folder, alone=True, wait=False) as alone:
            if not alone:
                return False
            kept = [c for c in living() or () if self._bases.has(c)]
            clear(self.hub, self._own.packs, kept, timeout)
            with locked(self.folder):
                # Asked again: a task may have been made meanwhile.
                needed = living()
                if needed is not None:
                    self._bases.keep_only({*needed, *kept})
                # Tasks have links to what they were lent.
                for lent in (SUBMODULES, LFS):
                    shutil.rmtree(self.folder / lent, ignore_errors=True)
            forget_garbage(self.folder, since)
        return True

    # -- making ------------------------------------------------------------------------------

    def _furnish(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for place in (self.base, self.hub):
                if not place.is_dir():
                    place.unlink(missing_ok=True)
            for stale in (*self.folder.glob("tmp-*"), *self.base.glob("tmp-*")):
                shutil.rmtree(stale, ignore_errors=True)
            furnish(self.base)
            # Relative to hub.git/objects, so that the data folder can be moved.
            furnish(self.hub, _ALTERNATES, _SHALLOW)
        except OSError as error:
            raise no_room(self.folder, error) from error

    def _record(self, task_id: str, snapshot: Snapshot) -> None:
        prefix = self._task(task_id)
        here = self.snapshots(task_id)
        lines: list[str] = []
        if snapshot.sequence not in here:
            lines.append(f"create {prefix}/snapshots/{snapshot.sequence} {snapshot.commit}")
        if snapshot.sequence >= max(here, default=0):
            lines.append(f"update {prefix}/head {snapshot.head}")
        written = run_git(
            ["update-ref", "--stdin"], self.hub, stdin=("\n".join(lines) + "\n").encode()
        )
        known = self._resolve(f"{prefix}/snapshots/{snapshot.sequence}")
        if known != snapshot.commit:
            checked(written, f"snapshot {snapshot.sequence} cannot be recorded", self.hub)

    # -- asking ------------------------------------------------------------------------------

    def _resolve(self, ref: str) -> str | None:
        resolved = run_git(["rev-parse", "--verify", "-q", ref], self.hub)
        return resolved.text if resolved.code == 0 else None

    def _task(self, task_id: str) -> str:
        if not _TASK_ID.fullmatch(task_id):
            raise UserFixable(f"{task_id[:80]!r} is not a task id", code="malformed_id")
        return f"refs/rover/{task_id}"


def _check_commit(commit: str) -> None:
    if not _COMMIT.fullmatch(commit):
        raise UserFixable(f"{commit[:80]!r} is not a full commit id", code="malformed_commit")
