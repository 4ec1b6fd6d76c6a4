"""Rebases of tasks' branches in users' repositories."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_runner.models import Snapshot
from rover_mcp.control.checkpoint import named_snapshots
from rover_mcp.daemon.git_adapters import GitRepositories
from rover_mcp.daemon.host_merges import BRANCHES_NAMED, branch_move, delivered_head, delivered_tip
from rover_mcp.domain.errors import Conflict, NotFound, RoverError, UserFixable
from rover_mcp.domain.paths import TaskFolders, project_resolutions
from rover_mcp.domain.resolution import best_parts
from rover_mcp.domain.resolution_text import ShownResolution
from rover_mcp.domain.side_choice import Side
from rover_mcp.git.branch_merge import contains, count_beyond
from rover_mcp.git.conflicts import conflict_pieces, conflicted_files
from rover_mcp.git.move_branch import move_branch, settle
from rover_mcp.git.rebase_branch import bundle_rebased, named_commit, writing
from rover_mcp.git.replay import Git, Replay, Replayed, ReplayStop, own_commits
from rover_mcp.git.repository import is_branch_name, list_branches
from rover_mcp.git.repository_view import RepositoryView, opened
from rover_mcp.git.resolved_stops import ResolvedFile, ResolvedStops, conflict_key
from rover_mcp.git.work_tree import work_tree_of
from rover_mcp.store.rebase_notes import (
    RebaseConflicts,
    RebaseNote,
    write_conflicts,
    write_note,
)
from rover_mcp.store.records import TaskRow
from rover_mcp.store.resolutions import Resolutions
from rover_mcp.tasks.operation_log import settled
from rover_mcp.tasks.rebase import RebasePlan


class HostRebases:
    """Reads and changes the user's repository through views of it alone. `import_snapshots` brings
    to the hub what a task's folder names and the hub lacks."""

    def __init__(
        self,
        home: Path,
        repositories: GitRepositories,
        import_snapshots: Callable[[TaskRow], object],
    ) -> None:
        self._home = home
        self._repositories = repositories
        self._import_snapshots = import_snapshots

    def plan(self, task: TaskRow, onto: str | None, *, keep: bool) -> RebasePlan:
        with opened(Path(task.project_path)) as view:
            head = delivered_head(self._repositories, task)
            tip = delivered_tip(self._repositories, view, task, head)
            base_branch, base, local = _base(view, task, onto)
            with writing(view, keep=keep) as git:
                if contains(view, tip, base):
                    nothing = BranchReplay(Replayed(tip, "", 0, 0, collapsed=False, stop=None))
                    return self._planned(view, task, (base_branch, base, local), tip, nothing)
                answers = self._answers(task)
                branch = replay_branch(git, tip, base, task.stands_on, answers)
                if branch is None:
                    raise Conflict(
                        f"{base_branch} has all of {task.branch} already",
                        code="nothing_to_rebase",
                        hint="merge_task records that it is merged",
                    )
                stop = branch.conflict
                files = conflicted_files(git, stop, base, tip) if stop else ()
                resolved = [*shown_resolutions(git, branch.used, answers)]
            plan = self._planned(view, task, (base_branch, base, local), tip, branch)
            check = answers.check_of(plan.new) if resolved else None
            return dataclasses.replace(
                plan, conflicts=files, resolved=resolved, check=check.problem if check else None
            )

    def _answers(self, task: TaskRow) -> Resolutions:
        return resolutions_of(self._home, task)

    def remember(self, task: TaskRow, plan: RebasePlan) -> None:
        self._answers(task).remember(file.key for file in plan.resolved)

    def was_shown(self, task: TaskRow, plan: RebasePlan) -> bool:
        return self._answers(task).shown == plan.new

    def note_shown(self, task: TaskRow, plan: RebasePlan) -> None:
        self._answers(task).note_shown(plan.new)

    def resolver(self, task: TaskRow) -> str | None:
        return self._answers(task).resolver

    def begin_resolving(self, task: TaskRow, resolver: str, *, forget: bool) -> None:
        answers = self._answers(task)
        if forget:
            answers.forget()
        answers.begin(resolver)

    def _planned(
        self,
        view: RepositoryView,
        task: TaskRow,
        base: tuple[str, str, bool],
        tip: str,
        branch: BranchReplay,
    ) -> RebasePlan:
        top, replayed = work_tree_of(view, task.branch), branch.replayed
        return RebasePlan(
            repository=task.project_path,
            branch=task.branch,
            base_branch=base[0],
            onto=base[1],
            stands_on=task.stands_on,
            old=tip,
            new=replayed.tip,
            tree=replayed.tree,
            commits=replayed.commits,
            dropped=replayed.dropped,
            beyond=count_beyond(view, tip, delivered_head(self._repositories, task)),
            collapsed=replayed.collapsed,
            local=base[2],
            contained=not replayed.tree,
            work_tree=str(top) if top else None,
            stopped=branch.stopped,
        )

    def prepare(self, task: TaskRow, plan: RebasePlan) -> RebaseNote:
        folders = TaskFolders(self._home, task.id, task.iteration)
        # Also repairs a hub that is damaged, before anything depends on it.
        self._import_snapshots(task)
        here = self._repositories.hub(task.project_id).snapshots(task.id)
        known = [0, *here, *(snapshot.sequence for snapshot in named_snapshots(folders))]
        sequence = max(known) + 1
        snapshot = Snapshot(
            sequence=sequence,
            commit=plan.new,
            tree=plan.tree,
            bundle=f"{sequence:06}.bundle",
            head=plan.new,
        )
        with opened(Path(plan.repository)) as view:
            target = folders.rebases / snapshot.bundle
            bundle_rebased(view, task.base_commit, task.branch, snapshot, plan.old, target)
        # The hub is stricter about objects than the user's own git may have been: what it refuses
        # has to be known before the branch has moved.
        hub = self._repositories.hub(task.project_id)
        try:
            hub.check_bundle(task.id, task.base_commit, target, snapshot, task.branch)
        except RoverError:
            target.unlink(missing_ok=True)
            raise
        base_branch = plan.base_branch if plan.local else task.base_branch or plan.base_branch
        return RebaseNote(snapshot=snapshot, old=plan.old, onto=plan.onto, base_branch=base_branch)

    def keep_conflicts(self, task: TaskRow, plan: RebasePlan) -> None:
        conflicts = RebaseConflicts(
            branch=plan.branch,
            tip=plan.old,
            base_branch=plan.base_branch,
            onto=plan.onto,
            files=tuple(plan.conflicts),
        )
        write_conflicts(TaskFolders(self._home, task.id, task.iteration), conflicts)

    def carry_out(self, operation: str, move: Mapping[str, Any]) -> None:
        move_branch(branch_move(operation, move))

    def record(self, task: TaskRow, note: RebaseNote) -> None:
        write_note(TaskFolders(self._home, task.id, task.iteration), note)
        self._import_snapshots(task)
        hub = self._repositories.hub(task.project_id)
        hub.keep(task.id, f"before-rebase-{note.snapshot.sequence}", note.old)

    def discard(self, task: TaskRow, note: RebaseNote) -> None:
        folders = TaskFolders(self._home, task.id, task.iteration)
        (folders.rebases / note.snapshot.bundle).unlink(missing_ok=True)

    def settle(self, operation: str, move: Mapping[str, Any]) -> bool:
        done, _ = settled(lambda: settle(branch_move(operation, move)))
        return done


def resolutions_of(home: Path, task: TaskRow) -> Resolutions:
    """The answers for a task's conflicts."""
    folder = TaskFolders(home, task.id, task.iteration).resolutions
    return Resolutions(folder, project_resolutions(home, task.project_id))


@dataclass(frozen=True)
class BranchReplay:
    """A branch on its new base, as far as it comes. `used` are the answers for conflicts that it
    takes. `conflict`: what all commits together, or what is left of them, conflict in. `stopped`:
    the first commit that conflicts alone, where that is not all of them."""

    replayed: Replayed
    used: Sequence[ResolvedFile] = ()
    conflict: ReplayStop | None = None
    stopped: str | None = None


def replay_branch(
    git: Git, tip: str, base: str, stands_on: str, answers: Resolutions
) -> BranchReplay | None:
    """Replay a branch with the answers that are known; None where the base has all of it. Raises
    as Replay.run."""
    commits = own_commits(git, tip, base, stands_on)
    if not commits:
        return None
    resolved = ResolvedStops(git, answers.file_answer)
    replayed = Replay(git, resolved).run(commits, base, tip)
    stop = replayed.stop
    if stop is None or replayed.collapsed:
        return BranchReplay(replayed, resolved.used, stop, stop.commit if stop else None)
    # What is in the way of one commit a later one may have taken back.
    together = Replay(git).together(commits, base, tip)
    if together.stop is None:
        return BranchReplay(together, stopped=stop.commit)
    return BranchReplay(replayed, resolved.used, together.stop, stop.commit)


def shown_resolutions(
    git: Git, used: Sequence[ResolvedFile], answers: Resolutions
) -> Iterator[ShownResolution]:
    """The answers that a replay takes, for a person."""
    for file in used:
        is_text = file.answer.side is Side.FILE
        pieces = (conflict_pieces(git, file.stop, file.path) or []) if is_text else []
        answer = answers.answer(conflict_key(file.stop, file.path))
        subject = git(["show", "-s", "--format=%s", file.stop.commit]).text
        yield ShownResolution(
            path=file.path,
            commit=file.stop.commit,
            subject=subject,
            parts=best_parts(pieces, file.answer.text) or () if is_text else (),
            given_up=answer.given_up if answer else (),
            written_by=answer.written_by if answer else "",
            key=conflict_key(file.stop, file.path),
        )


def _base(view: RepositoryView, task: TaskRow, onto: str | None) -> tuple[str, str, bool]:
    """What is rebased onto: the branch, its commit, and whether it is a local one.

    Raises:
        NotFound: there is no such branch ("unknown_branch").
        UserFixable: it is the task's own ("own_branch").
    """
    name = onto or task.base_branch
    commit = named_commit(view, name) if name is not None and is_branch_name(name) else None
    if name is None or commit is None:
        some = ", ".join(sorted(list_branches(Path(task.project_path)))[:BRANCHES_NAMED])
        what = f"there is no branch {name!r}" if name else "the task was made from no branch"
        raise NotFound(
            f"{what} in {task.project_path}",
            hint=f"name a branch as onto: {some}",
            code="unknown_branch",
        )
    if name == task.branch:
        raise UserFixable(f"{name} is the task's own branch", code="own_branch")
    return name, *commit
