"""Rebasing a task's branch onto the new tip of its base, or onto another branch: first what would
happen, then, on demand, the rebase itself."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from agent_runner.crashpoints import crash_point
from rover_mcp.domain.conflicted_file import ConflictedFile, named_commits, shown_kind
from rover_mcp.domain.errors import Conflict, RoverError
from rover_mcp.domain.operation import OperationKind, OperationPoint, OperationState
from rover_mcp.domain.resolution_text import ShownResolution, resolution_text
from rover_mcp.domain.task_status import ENDED, TaskStatus
from rover_mcp.domain.text import visible_line
from rover_mcp.store.operations import OperationRow
from rover_mcp.store.rebase_notes import RebaseNote
from rover_mcp.store.records import TaskRow
from rover_mcp.store.store import Store
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.operation_log import NotSettled, OperationLog, check_local
from rover_mcp.tasks.quoted_text import named, printable
from rover_mcp.tasks.resolver_tasks import check_has_branch

REBASABLE = frozenset({TaskStatus.COMPLETED, TaskStatus.PUSHED})
"""Only there the branch is the task's result, and nothing works on it."""
NAMED_FILES = 20
OF_ROVER = "roverd"
"""The client that stands for the daemon itself."""
COMMITS_NAMED = 2
"""Of the base's, for each conflicted file."""


@dataclass(frozen=True)
class RebasePlan:
    """What a rebase would do. `onto` is the commit of `base_branch`, the branch goes from `old` to
    `new`, where it has `commits`; `dropped` of them were in the base already. `beyond`: commits on
    the branch that are not the task's. `collapsed`: it becomes one commit. `stopped`: the commit
    that alone conflicts with the base; `conflicts` is what all of them together conflict in."""

    repository: str
    branch: str
    base_branch: str
    onto: str
    stands_on: str
    old: str
    new: str
    tree: str
    commits: int
    dropped: int
    beyond: int
    collapsed: bool
    local: bool
    """whether `base_branch` is a branch of the user's own, not one of a remote"""
    contained: bool
    work_tree: str | None
    conflicts: Sequence[ConflictedFile] = ()
    stopped: str | None = None
    resolved: Sequence[ShownResolution] = ()
    """conflicts that an agent has resolved"""
    check: str | None = None
    """what the project's check found wrong with the resolved result"""


class Rebases(Protocol):
    """Rebasing in the user's repository."""

    def plan(self, task: TaskRow, onto: str | None, *, keep: bool) -> RebasePlan:
        """What a rebase would do now. No reference and no file is changed; without `keep` no object
        is left in the repository either.

        Raises:
            RoverError: it cannot be rebased, and why.
        """
        ...

    def prepare(self, task: TaskRow, plan: RebasePlan) -> RebaseNote:
        """Put at hand what the hub needs of the rebased branch; the note that will say so. Raises
        as `plan`."""
        ...

    def was_shown(self, task: TaskRow, plan: RebasePlan) -> bool:
        """Whether a person was shown the plan's resolutions."""
        ...

    def note_shown(self, task: TaskRow, plan: RebasePlan) -> None:
        """Record that they are shown now. Raises as `record`."""
        ...

    def remember(self, task: TaskRow, plan: RebasePlan) -> None:
        """Keep the plan's resolutions for other tasks of the project. Raises as `record`."""
        ...

    def resolver(self, task: TaskRow) -> str | None:
        """The id of the task that resolves this one's conflicts, or did."""
        ...

    def begin_resolving(self, task: TaskRow, resolver: str, *, forget: bool) -> None:
        """Record the task that resolves them from now on; `forget`: without the answers so far.
        Raises as `record`."""
        ...

    def keep_conflicts(self, task: TaskRow, plan: RebasePlan) -> None:
        """Keep the plan's conflicts in the task's folder. Raises as `record`."""
        ...

    def carry_out(self, operation: str, move: Mapping[str, Any]) -> None:
        """Move the branch, and its work tree. Where it raises nothing has changed."""
        ...

    def record(self, task: TaskRow, note: RebaseNote) -> None:
        """Make the rebased branch the task's result in its folder and in the hub. Repeating it is
        harmless.

        Raises:
            RoverError: it cannot be written now.
        """
        ...

    def discard(self, task: TaskRow, note: RebaseNote) -> None:
        """Remove what `prepare` put there."""
        ...

    def settle(self, operation: str, move: Mapping[str, Any]) -> bool:
        """Finish or undo a move that was cut off; whether the branch has moved.

        Raises:
            NotSettled: neither can be done now.
        """
        ...


@dataclass(frozen=True)
class RebaseDone:
    """`commit` is where the branch is now; None where nothing was done."""

    plan: RebasePlan
    commit: str | None
    text: str
    resolution: str | None = None
    """how conflicts were resolved, for people; untrusted"""


@dataclass
class RebaseTask:
    """The use case. `preview` says what would happen, calling it does it."""

    store: Store
    rebases: Rebases
    log: OperationLog

    def __post_init__(self) -> None:
        self.log.settlers[OperationKind.REBASE] = self._settle

    def preview(self, caller: Caller, task: TaskRow, onto: str | None) -> RebaseDone:
        """
        Raises:
            RoverError: the task cannot be rebased, and why.
        """
        task = self.checked(caller, task)
        return self._shown(task, self.rebases.plan(task, onto, keep=False))

    def resolver_of(self, task: TaskRow) -> TaskRow | None:
        """The task that resolves the conflicts of this one's rebase, or did so last."""
        known = self.rebases.resolver(task)
        return self.store.tasks.get(known) if known else None

    def _shown(self, task: TaskRow, plan: RebasePlan) -> RebaseDone:
        if plan.resolved and not plan.conflicts:
            self.rebases.note_shown(task, plan)
        lines = preview_lines(plan, self.resolver_of(task))
        return RebaseDone(plan, None, " ".join(lines), self._resolution(plan))

    def _resolution(self, plan: RebasePlan) -> str | None:
        if not plan.resolved:
            return None
        return resolution_text(plan.resolved, plan.base_branch, plan.branch)

    def __call__(self, caller: Caller, task: TaskRow, onto: str | None) -> RebaseDone:
        """Rebase.

        Raises:
            Conflict: there are conflicts, or the branch, its work tree or the task has changed;
                nothing was changed.
            EnvironmentFault: git failed; nothing was changed.
            NotSettled: the branch is rebased, and what is to be recorded of it is not written yet.
        """
        task = self.checked(caller, task)
        plan = self.rebases.plan(task, onto, keep=True)
        if plan.contained:
            return RebaseDone(plan, None, contained_text(plan))
        if plan.conflicts:
            self.rebases.keep_conflicts(task, plan)
            raise conflict(plan, self.resolver_of(task))
        if plan.resolved and not self.rebases.was_shown(task, plan):
            # What an agent made of a conflict counts only once somebody has seen it.
            return self._shown(task, plan)
        note = self.rebases.prepare(task, plan)
        move = _move(task, plan, note)

        def work(row: OperationRow) -> None:
            try:
                self._check_unchanged(task)
                self.rebases.carry_out(row.id, move)
            except (RoverError, OSError):
                self.rebases.discard(task, note)
                raise
            crash_point(OperationPoint.CARRIED_OUT)
            self._record(task, note, plan.commits)
            crash_point(OperationPoint.STATUS_CHANGED)

        self.log.run(task.id, OperationKind.REBASE, move, work)
        if plan.resolved:
            with suppress(RoverError, OSError):
                self.rebases.remember(task, plan)  # a convenience for other tasks
        return RebaseDone(plan, plan.new, done_text(plan))

    def unseen(self, task: TaskRow, onto: str) -> str | None:
        """Rebase with resolutions that were not shown, because the user said so before. Why that is
        not done, if it is not: what an agent left out has to be looked at, and a check that fails.
        """
        try:
            plan = self.rebases.plan(task, onto, keep=False)
            if plan.check or any(file.given_up for file in plan.resolved):
                return f"task {task.number} is not rebased: look at the resolution first"
            if not plan.contained:
                self.rebases.note_shown(task, plan)
                self(Caller(OF_ROVER, Path(task.project_path)), task, onto)
        except (RoverError, OSError) as error:
            return f"task {task.number} is not rebased: {error}"
        return None

    def checked(self, caller: Caller, task: TaskRow) -> TaskRow:
        """The task as it is now, if it can be rebased. Raises as the call does."""
        check_local(caller, "rebase it")
        self.log.settle(task.id)
        task = self.store.tasks.get(task.id) or task
        check_has_branch(task)
        if task.status not in REBASABLE:
            raise Conflict(
                f"task {task.number} is {task.status}; only one that is COMPLETED can be rebased",
                code="not_rebasable",
                next_call={"tool": "inspect", "arguments": {"task": task.id}},
            )
        return task

    def _check_unchanged(self, task: TaskRow) -> None:
        """An iteration that began before the operation's row was written works on the old branch;
        one that begins afterwards is refused because of the row."""
        now = self.store.tasks.get(task.id)
        if now is None or now.status not in REBASABLE or now.attempt != task.attempt:
            raise Conflict(
                f"task {task.number} is running again; nothing was changed",
                code="not_rebasable",
                hint="call again once it has ended",
            )

    def _record(self, task: TaskRow, note: RebaseNote, commits: int) -> None:
        data = {"onto": note.onto, "base": note.base_branch, "old": note.old}
        data |= {"commit": note.snapshot.head, "commits": commits}
        try:
            self.rebases.record(task, note)
            self.store.transitions.rebased(
                task.id, note.snapshot, note.onto, note.base_branch, data
            )
        except (RoverError, OSError) as error:
            raise NotSettled(
                f"the branch {task.branch} is rebased, and Rover's own record of it is not written "
                f"yet: {error}",
                hint="call again: the record is completed first",
                code="not_recorded",
            ) from error

    def _settle(self, row: OperationRow) -> OperationState:
        note = RebaseNote.model_validate(row.plan["note"])
        task = self.store.tasks.get(row.task_id)
        if task is None:
            return OperationState.DONE
        if not self.rebases.settle(row.id, row.plan):
            self.rebases.discard(task, note)
            return OperationState.UNDONE
        self._record(task, note, int(row.plan["commits"]))
        return OperationState.DONE


def _move(task: TaskRow, plan: RebasePlan, note: RebaseNote) -> dict[str, Any]:
    """What the operation's row needs to finish or undo the rebase after a crash."""
    return {
        "repository": plan.repository, "branch": plan.branch, "old": plan.old, "new": plan.new,
        "work_tree": plan.work_tree, "reason": f"rebase onto {plan.base_branch}: by rover",
        "iteration": task.iteration, "commits": plan.commits,
        "note": note.model_dump(mode="json"),
    }  # fmt: skip


def conflict(plan: RebasePlan, resolver: TaskRow | None = None) -> Conflict:
    """The error for a branch whose changes do not go onto the base as they are."""
    count = len(plan.conflicts)
    more = f"; and {count - NAMED_FILES} more" if count > NAMED_FILES else ""
    files = "; ".join(conflict_line(file) for file in plan.conflicts[:NAMED_FILES])
    path = shlex.quote(printable(plan.repository, 1000))
    onto, branch = (shlex.quote(printable(n, 1000)) for n in (plan.base_branch, plan.branch))
    return Conflict(
        f"{plan.branch} and {plan.base_branch} changed the same places: {files}{more}; nothing "
        "was changed",
        code="rebase_conflicts",
        hint=f"{_by_an_agent(resolver)}, or resolve them with git: git -C {path} switch {branch}, "
        f"then git merge {onto}, correct the files and commit; then {plan.branch} has all of "
        f"{plan.base_branch}",
    )


def _by_an_agent(resolver: TaskRow | None) -> str:
    if resolver is not None and resolver.status not in ENDED:
        return f"wait for task {resolver.number}, which resolves them ({resolver.status})"
    return "let an agent resolve them in a sandbox (rebase_task with resolve)"


def conflict_line(file: ConflictedFile) -> str:
    """A conflicted file, what is the matter with it, and what to do, for a reader."""
    advice = f": {file.advice}" if file.advice else ""
    line = f"{named(visible_line(file.path), 120)} ({shown_kind(file)}{advice})"
    onto = printable(named_commits(file.onto_commits[:COMMITS_NAMED]), 300)
    return f"{line}, changed by {onto}" if onto else line


def contained_text(plan: RebasePlan) -> str:
    """For a branch that has all of its base."""
    return f"{plan.branch} has all of {plan.base_branch} already; there is nothing to rebase."


def preview_lines(plan: RebasePlan, resolver: TaskRow | None = None) -> list[str]:
    """What would happen, in sentences."""
    if plan.contained:
        return [contained_text(plan)]
    # A replay that stops has no commits to count.
    count = "commits" if plan.conflicts else _commits(plan.commits + plan.dropped)
    lines = [
        f"Nothing is rebased yet. {plan.branch} stands on {plan.stands_on[:10]}; its "
        f"{count} would be replayed on {plan.base_branch} at {plan.onto[:10]}."
    ]
    if plan.conflicts:
        error = conflict(plan, resolver)
        return [*lines, f"But that stops: {error.message}. To continue, {error.hint}."]
    lines += _resolved_lines(plan)
    if plan.collapsed:
        why = "its commits conflict one by one" if plan.stopped else "it has merges"
        lines.append(f"It would become one commit, as {why}.")
    if plan.dropped:
        lines.append(f"{plan.dropped} of them would be left out: {plan.base_branch} has them.")
    if plan.beyond:
        lines.append(f"{plan.beyond} of these commits are not the task's: somebody added them.")
    lines.append(
        f"The files in {plan.work_tree} are updated, as {plan.branch} is checked out there."
        if plan.work_tree
        else f"No work tree has {plan.branch} checked out, so no file changes."
    )
    return lines


def _resolved_lines(plan: RebasePlan) -> list[str]:
    if not plan.resolved:
        return []
    count = len({file.path for file in plan.resolved})
    files = "1 file" if count == 1 else f"{count} files"
    lines = [
        f"An agent resolved conflicts in {files}. The user has to see the resolution below, "
        "which counts only once it is confirmed."
    ]
    if given_up := sum(len(file.given_up) for file in plan.resolved):
        lines.append(f"It left out {given_up} changes of a side, each with its reason.")
    return [*lines, f"But {plan.check}."] if plan.check else lines


def done_text(plan: RebasePlan) -> str:
    """What has happened, and where what was there before is kept."""
    where = f"the files in {plan.work_tree} are updated" if plan.work_tree else "no file changed"
    return (
        f"{plan.branch} stands on {plan.base_branch} at {plan.onto[:10]} now, with "
        f"{_commits(plan.commits)}, and is at {plan.new[:10]}; {where}. Before it was at "
        f"{plan.old[:10]}, which is kept as a snapshot of the task."
    )


def _commits(count: int) -> str:
    return "1 commit" if count == 1 else f"{count} commits"
