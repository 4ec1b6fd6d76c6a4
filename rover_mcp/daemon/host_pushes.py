"""Pushes of tasks' branches from users' repositories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent_runner.crashpoints import crash_point
from agent_runner.process.locks import holding, open_lock, wait_until_free
from rover_mcp.context.tokens import git_sign_in
from rover_mcp.daemon.git_adapters import GitRepositories
from rover_mcp.daemon.host_merges import Search, delivered_head, delivered_tip
from rover_mcp.daemon.remembered import Remembered
from rover_mcp.domain.errors import RoverError, UserFixable
from rover_mcp.domain.operation import OperationPoint
from rover_mcp.domain.secret_search import SecretMatch
from rover_mcp.git.branch_merge import ChangedPath, contains, count_beyond, has_object
from rover_mcp.git.push_checks import (
    changed_since,
    hooks_not_run,
    lfs_paths,
    unpushed_submodules,
)
from rover_mcp.git.push_refusals import server_text
from rover_mcp.git.remote_address import RemoteAddress, address_of, choose_remote
from rover_mcp.git.remote_git import RemoteGit, RemoteState, Token
from rover_mcp.git.repository import info_attributes, is_branch_name
from rover_mcp.git.repository_view import RepositoryView, opened
from rover_mcp.git.user_config import network_entries
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.operation_log import settled
from rover_mcp.tasks.push import ForeignCommit, PushKind, PushPlan, PushRequest

CHANGES_KEPT = 8


@dataclass(frozen=True)
class _Changes:
    """What differs between two commits; `lfs`: the paths of it that git-lfs keeps."""

    changed: Sequence[ChangedPath]
    lfs: Sequence[str]


@dataclass(frozen=True)
class _Leaving:
    """What can be said of a push without the remote. `known`: what it had when it was fetched
    last. `commits`: how many it lacks, if it has what Rover knows of it."""

    changes: _Changes
    hooks: Sequence[str]
    submodules: Sequence[str]
    known: Sequence[str]
    commits: int


@dataclass(frozen=True)
class HostPushes:
    """Reads the user's repository through a view of it, and talks with its remotes. `home` is the
    data folder, where a push that runs holds a lock; `search` finds secrets in what leaves."""

    repositories: GitRepositories
    home: Path
    search: Search
    changes: Remembered[tuple[Path, str, str, bytes], _Changes] = field(
        default_factory=lambda: Remembered(CHANGES_KEPT)
    )
    """by the two commits and what the repository's info/attributes says"""

    def plan(
        self,
        task: TaskRow,
        request: PushRequest,
        recorded: Mapping[tuple[str, str], str],
        environ: Mapping[str, str],
    ) -> PushPlan:
        onto = request.branch or task.branch
        if not is_branch_name(onto):
            raise UserFixable(f"{onto[:80]!r} is not a branch name", code="malformed_branch")
        with opened(Path(task.project_path)) as view:
            git = self._remote(view, task, request, environ)
            head = delivered_head(self.repositories, task)
            new = delivered_tip(self.repositories, view, task, head)
            ours = recorded.get((git.address.url, onto))
            remote, leaving = self._asked(view, task, git, (new, onto, ours))
            way = _way(view, remote.there, new, ours, is_default=onto == remote.default)
            count, foreign = _foreign(git, way, remote.there, [new, *([ours] if ours else [])])
            return PushPlan(
                repository=task.project_path,
                branch=task.branch,
                remote=git.address.name,
                address=git.address.url,
                onto=onto,
                new=new,
                there=remote.there,
                way=way,
                commits=leaving.commits
                if remote.there == ours
                else _count(view, new, remote.there or task.base_commit),
                beyond=count_beyond(view, new, head),
                foreign_count=count,
                foreign=foreign,
                files=[one.path for one in leaving.changes.changed if not one.deleted],
                hooks=leaving.hooks,
                lfs=leaving.changes.lfs,
                submodules=leaving.submodules,
                folder=str(git.address.folder) if git.address.folder else None,
                secrets=self._secrets(view, task, leaving, remote.there, new),
            )

    def _asked(
        self,
        view: RepositoryView,
        task: TaskRow,
        git: RemoteGit,
        pushed: tuple[str, str, str | None],
    ) -> tuple[RemoteState, _Leaving]:
        """What the remote says of a push, and what can be said without it."""
        new, onto, ours = pushed
        with ThreadPoolExecutor(1) as aside:
            # The remote's answer takes as long as all the rest, which does not depend on it.
            begun = aside.submit(self._leaving, view, task, git, ours, new)
            remote = git.read_state(onto)
            return remote, begun.result()

    def _leaving(
        self, view: RepositoryView, task: TaskRow, git: RemoteGit, ours: str | None, new: str
    ) -> _Leaving:
        """What can be said of a push before the remote has answered. The search for secrets, whose
        result is kept, supposes that the remote has what Rover knows of it."""
        info = info_attributes(view.place.common)
        key = (view.place.common, task.base_commit, new, info)
        changes = self.changes.get(key, lambda: _changes(view, task.base_commit, new))
        leaving = _Leaving(
            changes=changes,
            hooks=hooks_not_run(view),
            submodules=unpushed_submodules(Path(task.project_path), changes.changed, new),
            known=_fetched(view, git.address.name),
            commits=_count(view, new, ours or task.base_commit),
        )
        self._secrets(view, task, leaving, ours, new)
        return leaving

    def carry_out(self, operation: str, move: Mapping[str, Any], environ: Mapping[str, str]) -> str:
        expected = str(move["old"]) if move["way"] == PushKind.REPLACE else None
        lock = self._lock(operation)
        with opened(Path(move["repository"])) as view:
            git = _again(view, move, environ)
            handle = open_lock(lock)
            try:
                with holding(handle):
                    pushed = git.push(str(move["new"]), str(move["branch"]), expected, handle)
            finally:
                lock.unlink(missing_ok=True)
            crash_point(OperationPoint.REFERENCE_MOVED)
            return server_text(pushed)

    def settle(self, operation: str, move: Mapping[str, Any], environ: Mapping[str, str]) -> bool:
        lock = self._lock(operation)
        if lock.exists():
            # Git outlives a daemon that is killed, and may still be at work.
            wait_until_free(lock)
            lock.unlink(missing_ok=True)
        return settled(lambda: _has_arrived(move, environ))

    def _lock(self, operation: str) -> Path:
        return self.home / f"push-{operation}.lock"

    def _remote(
        self,
        view: RepositoryView,
        task: TaskRow,
        request: PushRequest,
        environ: Mapping[str, str],
    ) -> RemoteGit:
        own = network_entries(view.conditions)
        name = request.remote or choose_remote(view.config, own, (task.branch, task.base_branch))
        address = address_of(view, name, own)
        if address.folder is not None:
            self._check_folder(address, address.folder, request.accept)
        return RemoteGit(view, address, own, environ, _token(address, environ))

    def _secrets(
        self,
        view: RepositoryView,
        task: TaskRow,
        leaving: _Leaving,
        there: str | None,
        new: str,
    ) -> Sequence[SecretMatch]:
        """The secrets in what the remote does not have yet. The task's base counts as there: what
        the user wrote is theirs to publish."""
        known = [*([there] if there else []), task.base_commit, *leaving.known]
        return self.search(view, task, new, list(dict.fromkeys(known)))

    def _check_folder(self, address: RemoteAddress, folder: Path, accept: Sequence[str]) -> None:
        """That the user agrees to a remote which is a folder of this machine: git runs what its
        hooks and its configuration name, and the repository says which folder it is."""
        if folder.is_relative_to(self.home.resolve()):
            raise UserFixable(
                f"the remote {address.name} is inside Rover's own data folder", code="odd_remote"
            )
        if str(folder) not in accept:
            raise UserFixable(
                f"the remote {address.name} is a repository of this machine, {folder}: git runs "
                "that repository's hooks and obeys its configuration",
                code="local_remote",
                hint="once the user agrees, name that folder in accept; or push with git, then "
                "push_task records it",
            )


def _again(view: RepositoryView, move: Mapping[str, Any], environ: Mapping[str, str]) -> RemoteGit:
    """The remote of a plan, if it still is where it was."""
    own = network_entries(view.conditions)
    address = address_of(view, str(move["remote"]), own)
    if address.url != move["address"]:
        raise UserFixable(
            f"the remote {address.name} has another address than before",
            hint="call again to see what a push would do now",
            code="remote_moved",
        )
    return RemoteGit(view, address, own, environ, _token(address, environ))


def _changes(view: RepositoryView, base: str, new: str) -> _Changes:
    changed = changed_since(view, base, new)
    return _Changes(changed, lfs_paths(view, changed, new))


def _fetched(view: RepositoryView, remote: str) -> Sequence[str]:
    argv = ["for-each-ref", "--format=%(objectname)", f"refs/remotes/{remote}/"]
    return view.run(argv).text.split()


def _way(
    view: RepositoryView, there: str | None, new: str, recorded: str | None, *, is_default: bool
) -> PushKind:
    if there is None:
        return PushKind.CREATE
    if there == new:
        return PushKind.NOTHING
    if has_object(view, there) and contains(view, new, there):
        return PushKind.FORWARD
    if there == recorded and not is_default:
        return PushKind.REPLACE
    return PushKind.REFUSED


def _foreign(
    git: RemoteGit, way: PushKind, there: str | None, ours: Sequence[str]
) -> tuple[int, Sequence[ForeignCommit]]:
    """The commits that a push would lose; none if they cannot be obtained: that they are there is
    known all the same."""
    if there is None or way is not PushKind.REFUSED:
        return 0, ()
    try:
        count, commits = git.beyond(there, ours)
    except RoverError:
        return 0, ()
    return count, [ForeignCommit(one.name, one.author, one.subject) for one in commits]


def _has_arrived(move: Mapping[str, Any], environ: Mapping[str, str]) -> bool:
    with opened(Path(move["repository"])) as view:
        git = _again(view, move, environ)
        there = git.read_state(str(move["branch"])).there
        if there is None or there == move["old"]:
            return False
        return there == move["new"] or git.has(there, str(move["new"]))


def _token(address: RemoteAddress, environ: Mapping[str, str]) -> Token | None:
    """The token in the client's environment that is for the remote's host, if one is."""
    if address.scheme != "https":
        return None
    token = git_sign_in(address.authority, environ)
    return Token(*token) if token else None


def _count(view: RepositoryView, new: str, old: str) -> int:
    counted = view.run(["rev-list", "--count", new, f"^{old}"]).text
    return int(counted) if counted.isdecimal() else 0
