"""The hub: a project's code and checkpoints in the data folder.

<folder>/base.git  bare: what the commits reach that tasks are based on (base_packs.py). Each task
                   is lent its own base's part of it, read-only in its sandbox.
<folder>/submodules/  the same of submodules, as long as it is of use (submodule_bases.py).
<folder>/lfs/      objects of git-lfs that tasks were lent, likewise (lfs.py).
<folder>/hub.git   bare, borrows base.git's objects: what came out of sandboxes. It is mounted
                   nowhere, so no task ever sees another one's objects.

The references of the hub are in task_refs.py.

Both are made again when lost: from the user's repository or what was lent, and from bundles.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import IO

from agent_runner.models import Snapshot
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.git.base_lending import BaseLending
from rover_mcp.git.base_packs import BasePacks
from rover_mcp.git.bundle import bad_bundle, open_bundle
from rover_mcp.git.changes import ChangedFile, changes, file_bytes, files
from rover_mcp.git.clone_refs import write_names
from rover_mcp.git.collect import (
    clear,
    forget_garbage,
    garbage_since,
    note_garbage,
    objects_lock,
)
from rover_mcp.git.commit_diff import (
    PATCH_LIMIT,
    Diff,
    FileDiff,
    Totals,
    diff_commits,
    totals_of,
    write_patch,
)
from rover_mcp.git.commit_tree import CommitTree
from rover_mcp.git.hub_damage import is_whole
from rover_mcp.git.hub_storage import HubStorage
from rover_mcp.git.incoming import Incoming, check_references
from rover_mcp.git.lfs import LFS
from rover_mcp.git.locked import locked
from rover_mcp.git.own_objects import OwnObjects
from rover_mcp.git.publish import PublishResult, publish
from rover_mcp.git.restore_bundle import write_first_bundle, write_restore_bundle
from rover_mcp.git.submodules import SUBMODULES
from rover_mcp.git.task_refs import TaskRefs, check_commit
from rover_mcp.git.unfinished_commit import UnfinishedWork

BUNDLE_LIMIT = 2_000_000_000


class Hub:
    """One project's hub. Safe for several threads and processes at once."""

    def __init__(self, folder: Path, *, bundle_limit: int = BUNDLE_LIMIT) -> None:
        self.folder = folder
        self.base = folder / "base.git"
        self.hub = folder / "hub.git"
        self._bundle_limit = bundle_limit
        self._bases = BasePacks(self.base)
        self._own = OwnObjects(self.hub, self._bases)
        self._refs = TaskRefs(self.hub)
        self._storage = HubStorage(folder, self.base, self.hub)
        # BaseLending documents these calls. They are offered here because the control plane knows
        # one object for each project.
        lending = BaseLending(self._storage, self._bases)
        self.update, self.lend, self.secure = lending.update, lending.lend, lending.secure
        self.lend_submodules, self.lend_lfs = lending.lend_submodules, lending.lend_lfs

    def tree(self, commit: str) -> CommitTree:
        """The files of a commit that `update` has brought here."""
        return CommitTree(self.base, commit)

    def ensure(self) -> None:
        """Make the two repositories where they are missing or incomplete. Repeating it is harmless.

        Raises:
            EnvironmentFault: the data folder cannot be written ("data_folder").
        """
        self._storage.ensure()

    def name(self, user_repo: Path, commit: str, branch: str | None, folder: Path) -> None:
        """Write what the user's repository calls these commits: see clone_refs.write_names."""
        write_names(user_repo, commit, branch, folder)

    def is_whole(self, task_id: str, base_commit: str) -> bool:
        """Whether every object that the hub has of a task can be read to its last byte."""
        return is_whole(self.hub, self._refs.prefix(task_id), base_commit)

    def holds_result(self, task_id: str, base_commit: str, snapshot: Snapshot) -> bool:
        """Whether the work tree that a task ended with is here: as its last snapshot and as what
        its branch points at, with the same files, all of which can be read."""
        known = self._refs.snapshot(task_id, snapshot.sequence)
        if known != snapshot.commit or self.head(task_id) != snapshot.head:
            return False
        trees = {self._refs.resolve(f"{commit}^{{tree}}") for commit in (known, snapshot.head)}
        return trees == {snapshot.tree} and self.is_whole(task_id, base_commit)

    def renew(self) -> None:
        """Set a damaged hub aside and make another, with all that can be read of it.

        Raises:
            EnvironmentFault: the data folder cannot be written.
        """
        with objects_lock(self.folder, alone=True):
            self._storage.renew()

    def import_bundle(
        self, task_id: str, base_commit: str, bundle_path: Path, snapshot: Snapshot, branch: str
    ) -> None:
        """Import a snapshot from a bundle that a runner wrote. Does nothing if it is here already.

        The bundle may hold `refs/rover/snapshots/<n>` and `refs/heads/<branch>` and nothing
        else, each with the id that the journal names. Its objects are checked strictly in a
        quarantine, in which git finds only what the base reaches and what came out of this task
        before: everything else has to be in the bundle. A refused bundle leaves nothing behind.

        Raises:
            EnvironmentFault: "bundle_refused", or "bundle_incomplete" where an earlier bundle
                has to be imported first.
        """
        known = self._refs.snapshot(task_id, snapshot.sequence)
        if known == snapshot.commit and self.head(task_id) is not None:
            return
        if known not in (None, snapshot.commit):
            raise bad_bundle(bundle_path, f"the hub has another snapshot {snapshot.sequence}")
        self.check_bundle(task_id, base_commit, bundle_path, snapshot, branch, record=True)

    def check_bundle(
        self,
        task_id: str,
        base_commit: str,
        bundle_path: Path,
        snapshot: Snapshot,
        branch: str,
        *,
        record: bool = False,
    ) -> None:
        """Check a bundle as `import_bundle` does, and take its objects; without `record` nothing
        leads to them yet. Raises alike."""
        expected = {
            f"refs/rover/snapshots/{snapshot.sequence}": snapshot.commit,
            f"refs/heads/{branch}": snapshot.head,
        }
        # Imports share the lock with each other. A `collect` has to wait: until `record` names the
        # new objects they look like garbage.
        with (
            objects_lock(self.folder, alone=False),
            open_bundle(bundle_path, self._bundle_limit) as (header, pack),
        ):
            check_references(bundle_path, header, expected)
            incoming = Incoming(self.hub, self._own, task_id, base_commit)
            incoming.check_prerequisites(bundle_path, header)
            incoming.take(bundle_path, pack, snapshot, self._bundle_limit)
            if record:
                self._refs.record(task_id, snapshot)

    def export_restore(
        self, task_id: str, snapshot: Snapshot, base_commit: str, dest: Path
    ) -> None:
        """Write the bundle from which a new sandbox rebuilds the task's work tree: see
        restore_bundle.py.

        Raises:
            EnvironmentFault: the hub does not hold the snapshot ("snapshot_missing"), or the
                bundle cannot be written.
        """
        own = self._reading(task_id, snapshot, base_commit)
        write_restore_bundle(self.hub, own, snapshot, base_commit, dest)

    def export_first(self, task_id: str, snapshot: Snapshot, base_commit: str, dest: Path) -> None:
        """Write the bundle with which another task starts from this snapshot: see
        restore_bundle.py. Raises as export_restore."""
        own = self._reading(task_id, snapshot, base_commit)
        write_first_bundle(self.hub, own, snapshot, base_commit, dest)

    def _reading(self, task_id: str, snapshot: Snapshot, base_commit: str) -> Mapping[str, str]:
        if self._refs.snapshot(task_id, snapshot.sequence) != snapshot.commit:
            raise EnvironmentFault(
                f"the hub does not hold snapshot {snapshot.sequence}", code="snapshot_missing"
            )
        return self._own.reading(task_id, base_commit)

    def publish(
        self, task_id: str, user_repo: Path, branch: str, unfinished: UnfinishedWork | None = None
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
        old: str | None = None,
        patch_limit: int = PATCH_LIMIT,
        first: Callable[[FileDiff], object] | None = None,
    ) -> Diff:
        """See commit_diff.diff_commits. A snapshot holds the untracked files too, so they are in
        the diff. `old`: another commit of the task that it is compared with, in place of the
        base."""
        for commit in (base_commit, snapshot_commit, *([old] if old else [])):
            check_commit(commit)
        self._refs.prefix(task_id)
        return diff_commits(
            self.hub, old or base_commit, snapshot_commit, paths,
            patch_limit=patch_limit, first=first, env=self._own.reading(task_id, base_commit),
        )  # fmt: skip

    def totals(
        self, task_id: str, base_commit: str, pairs: Sequence[tuple[str, str]]
    ) -> list[Totals | None]:
        """See commit_diff.totals_of."""
        for commit in (base_commit, *(commit for pair in pairs for commit in pair)):
            check_commit(commit)
        self._refs.prefix(task_id)
        return totals_of(self.hub, pairs, self._own.reading(task_id, base_commit))

    def write_patch(
        self,
        task_id: str,
        base_commit: str,
        snapshot_commit: str,
        out: IO[bytes],
        paths: Sequence[str] | None = None,
        old: str | None = None,
    ) -> None:
        """See commit_diff.write_patch; `old` as in `diff`."""
        check_commit(base_commit)
        check_commit(snapshot_commit)
        own = self._own.reading(task_id, base_commit)
        write_patch(self.hub, old or base_commit, snapshot_commit, out, paths, env=own)

    def changes(self, task_id: str, base_commit: str, old: str, new: str) -> list[ChangedFile]:
        """See changes.changes."""
        for commit in (base_commit, old, new):
            check_commit(commit)
        return changes(self.hub, old, new, self._own.reading(task_id, base_commit))

    def files(self, task_id: str, base_commit: str, commit: str) -> Sequence[str]:
        """See changes.files."""
        check_commit(base_commit)
        check_commit(commit)
        return files(self.hub, commit, self._own.reading(task_id, base_commit))

    def file_bytes(
        self, task_id: str, base_commit: str, commit: str, path: str, limit: int
    ) -> bytes | None:
        """See changes.file_bytes."""
        check_commit(base_commit)
        check_commit(commit)
        return file_bytes(self.hub, commit, path, limit, self._own.reading(task_id, base_commit))

    def snapshots(self, task_id: str) -> dict[int, str]:
        """The commit of every snapshot that is here, by number."""
        return self._refs.snapshots(task_id)

    def keep(self, task_id: str, name: str, commit: str) -> str:
        """Keep a commit under a ref of its own, see TaskRefs.keep."""
        check_commit(commit)
        return self._refs.keep(task_id, name, commit)

    def head(self, task_id: str) -> str | None:
        """What the task's branch points at, by the last snapshot imported; None before one."""
        return self._refs.head(task_id)

    def drop_task(self, task_id: str) -> bool:
        """Delete the references of a task; whether there were any. What only they led to, and a
        base that only the task needed, are removed by `collect`. Repeating it is harmless."""
        if not self.hub.is_dir():
            return False
        note_garbage(self.folder)
        self._own.drop(task_id)
        dropped = self._refs.delete(task_id)
        if dropped:
            # A `collect` that runs now may have read the references before they were deleted.
            note_garbage(self.folder)
        return dropped

    def garbage_since(self) -> int | None:
        """When `collect` last got something to do, as a time in ns; None: it has nothing to do."""
        return garbage_since(self.folder)

    def collect(
        self, living: Callable[[], Collection[str] | None], *, timeout: float | None = None
    ) -> bool:
        """Remove what no reference leads to, and the bases of deleted tasks. `living` returns the
        base commits of the present tasks, or None where they are not known: then every base stays.
        False where the hub is being written to, or another collection runs.

        Raises:
            EnvironmentFault: it failed, or took longer than `timeout` seconds; nothing that is
                needed is lost.
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
                # Read again under the lock that `lend` takes: a task may have been created while
                # the hub was packed, which takes minutes for a large one.
                needed = living()
                if needed is not None:
                    self._bases.keep_only({*needed, *kept})
                # These are caches. Tasks hold hard links to what they were lent, so that removing
                # a name here takes nothing from them.
                for lent in (SUBMODULES, LFS):
                    shutil.rmtree(self.folder / lent, ignore_errors=True)
            forget_garbage(self.folder, since)
        return True
