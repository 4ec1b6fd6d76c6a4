"""Merging a task's branch into a branch of the user's repository: first what would happen, then,
on demand, the merge itself."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from agent_runner.crashpoints import crash_point
from rover_mcp.domain.errors import Conflict, UserFixable
from rover_mcp.domain.operation import OperationKind, OperationPoint, OperationState
from rover_mcp.domain.secret_search import SecretMatch
from rover_mcp.domain.task_status import Event, TaskStatus, sources
from rover_mcp.domain.text import visible_line
from rover_mcp.store.operations import OperationRow
from rover_mcp.store.records import TaskRow
from rover_mcp.store.store import Store
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.merge_message import CommitMessage, merge_message
from rover_mcp.tasks.merged_branch import check_can_go, delete_merged
from rover_mcp.tasks.operation_log import (
    OperationLog,
    check_hand_off,
    check_local,
    hand_off_files,
    hand_off_lines,
)
from rover_mcp.tasks.outgoing_secrets import secrets_text
from rover_mcp.tasks.quoted_text import named, printable, quoted
from rover_mcp.tasks.resolver_tasks import check_has_branch
from rover_mcp.tasks.task_branch import TaskBranches

Mode = Literal["merge", "squash", "ff"]

NAMED_FILES = 20
COMMIT_HOOKS: Mapping[str, Sequence[str]] = {
    "merge": ("pre-merge-commit", "prepare-commit-msg", "commit-msg"),
    "squash": ("pre-commit", "prepare-commit-msg", "commit-msg"),
    "ff": (),
}
"""Hooks that git itself would run before the commit, and that can forbid it."""


@dataclass(frozen=True)
class MergeRequest:
    """What is asked for. `accept` names the hand-off files that the user agrees to, and the hooks
    without which they agree to merge; `delete_branch`: the task's branch goes once it is merged."""

    into: str | None = None
    mode: Mode = "merge"
    message: str | None = None
    accept: Sequence[str] = ()
    delete_branch: bool = False


@dataclass(frozen=True)
class MergePlan:
    """What a merge would do. `source` is the commit of the task's branch, `old` that of `into`;
    `work_tree` has `into` checked out. `beyond`: commits on the task's branch that are not the
    task's."""

    repository: str
    branch: str
    into: str
    source: str
    old: str
    tree: str | None
    conflicts: Sequence[str]
    files: Sequence[str]
    """changed paths that are there afterwards"""
    changed: int
    commits: int
    beyond: int
    forward: bool
    contained: bool
    work_tree: str | None
    hooks: Sequence[str]
    secrets: Sequence[SecretMatch] | None = ()
    """what enters `into` and was found by its form or its value; None: it cannot be searched"""


class Merges(Protocol):
    """Merging in the user's repository."""

    def plan(self, task: TaskRow, into: str | None, hooks: Sequence[str]) -> MergePlan:
        """What a merge would do now; nothing is changed. `hooks`: of these the plan names those
        that the repository has.

        Raises:
            RoverError: it cannot be merged, and why.
        """
        ...

    def commit(
        self, plan: MergePlan, parents: Sequence[str], message: str, environ: Mapping[str, str]
    ) -> str:
        """Make the commit of the plan's tree in the user's name. No reference leads to it."""
        ...

    def carry_out(self, operation: str, move: Mapping[str, Any]) -> None:
        """Move the branch, and its work tree. Where it raises nothing has changed."""
        ...

    def settle(self, operation: str, move: Mapping[str, Any]) -> bool:
        """Finish or undo a move that was cut off; whether the branch has moved.

        Raises:
            NotSettled: neither can be done now.
        """
        ...


@dataclass(frozen=True)
class MergeDone:
    """`commit` is where `into` is now; None where nothing is merged yet."""

    plan: MergePlan
    commit: str | None
    text: str
    message: CommitMessage | None = None
    """of the commit that is made, without trailers"""


# The confirmation is of a plan. If anything has changed since it was shown, the merge is refused
# and not done differently.
@dataclass
class MergeTask:
    """The use case of merging. `preview` says what would happen; calling it merges."""

    store: Store
    merges: Merges
    log: OperationLog
    branches: TaskBranches

    def __post_init__(self) -> None:
        self.log.settlers[OperationKind.MERGE] = self._settle

    def preview(self, caller: Caller, task: TaskRow, request: MergeRequest) -> MergeDone:
        """What would happen.

        Raises:
            RoverError: the task cannot be merged; the error says why.
        """
        plan = self._plan(caller, task, request)
        message = None if is_contained(plan, request) else message_of(task, plan, request)
        return MergeDone(plan, None, " ".join(preview_lines(task, plan, request)), message)

    def question(self, caller: Caller, task: TaskRow, request: MergeRequest) -> str:
        """What a person is asked before the merge, which names all that is to be agreed to.

        Raises:
            RoverError: it cannot be merged, and why.
        """
        plan = self._plan(caller, task, request)
        if not is_contained(plan, request):
            self._check(plan, request, agreed=True)
        return " ".join(["Merge?", *preview_lines(task, plan, request)])

    def __call__(
        self, caller: Caller, task: TaskRow, request: MergeRequest, *, agreed: bool = False
    ) -> MergeDone:
        """Merge. `agreed`: a person was shown the hand-off files and said yes.

        Raises:
            Conflict: there are conflicts, or the branch, its work tree or the task has changed.
            UserFixable: hand-off files or hooks have to be accepted by name.
            EnvironmentFault: git failed; nothing was changed.
        """
        plan = self._plan(caller, task, request)
        if is_contained(plan, request):
            self._record(task.id, plan.into, plan.old, request.mode)
            text = [f"{plan.into} has all of {plan.branch} already."]
            text += self._delete_branch(task, plan, request)
            return MergeDone(plan, plan.old, " ".join(text))
        self._check(plan, request, agreed=agreed)
        new = self._commit(caller, task, plan, request)
        move = {
            "repository": plan.repository, "branch": plan.into, "old": plan.old, "new": new,
            "work_tree": plan.work_tree, "mode": request.mode,
            "reason": f"merge {plan.branch}: {request.mode} by rover",
            "delete": plan.source if request.delete_branch else None,
        }  # fmt: skip

        def work(row: OperationRow) -> list[str]:
            self.merges.carry_out(row.id, move)
            crash_point(OperationPoint.CARRIED_OUT)
            self._record(task.id, plan.into, new, request.mode)
            crash_point(OperationPoint.STATUS_CHANGED)
            return self._delete_branch(task, plan, request)

        deleted = self.log.run(task.id, OperationKind.MERGE, move, work)
        return MergeDone(plan, new, done_text(plan, new, request, deleted))

    def _delete_branch(self, task: TaskRow, plan: MergePlan, request: MergeRequest) -> list[str]:
        """Delete the merged branch where that is asked for; a sentence about it."""
        if not request.delete_branch:
            return []
        return [delete_merged(self.branches, task, plan.source)]

    def _plan(self, caller: Caller, task: TaskRow, request: MergeRequest) -> MergePlan:
        check_local(caller, "merge it")
        check_has_branch(task)
        self.log.settle(task.id)
        task = self.store.tasks.get(task.id) or task
        merged_already = task.status is TaskStatus.MERGED
        if task.status not in sources(Event.MERGE) and not merged_already:
            raise Conflict(
                f"task {task.number} is {task.status}; only one that is COMPLETED can be merged",
                code="not_mergeable",
                hint="its branch holds its work so far; git can merge it like any other branch",
                next_call={"tool": "inspect", "arguments": {"task": task.id}},
            )
        if request.delete_branch:
            check_can_go(self.branches, task)
        return self.merges.plan(task, request.into or task.base_branch, COMMIT_HOOKS[request.mode])

    def _check(self, plan: MergePlan, request: MergeRequest, *, agreed: bool) -> None:
        if plan.conflicts:
            raise conflict(plan)
        if request.mode == "ff" and not plan.forward:
            raise Conflict(
                f"{plan.into} has commits that {plan.branch} lacks, so it cannot be fast-forwarded",
                code="not_fast_forward",
                hint="mode merge or squash makes a commit",
            )
        handed = hand_off_files(plan.files)
        if not agreed or len(handed) > NAMED_FILES:
            check_hand_off(handed, request.accept, "accept")
        if not agreed and not set(plan.hooks) <= set(request.accept):
            raise UserFixable(
                f"the repository has hooks that git runs before such a commit: "
                f"{', '.join(plan.hooks)}; Rover runs no program of a repository",
                code="hooks",
                hint=f"merge with git, which runs them: git -C {_quote(plan.repository)} switch "
                f"{_quote(plan.into)}, then git merge {_quote(plan.branch)}, then merge_task "
                "records it; or, once the user agrees to merge without them, name them in accept",
            )

    def _commit(self, caller: Caller, task: TaskRow, plan: MergePlan, request: MergeRequest) -> str:
        if request.mode == "ff":
            return plan.source
        parents = [plan.old, *([plan.source] if request.mode == "merge" else [])]
        text = commit_message(task, plan, request)
        return self.merges.commit(plan, parents, text, caller.env)

    def _record(self, task_id: str, into: str, commit: str, mode: str) -> None:
        data = {"into": into, "commit": commit, "mode": mode}
        self.store.transitions.apply(task_id, Event.MERGE, data=data)

    def _settle(self, row: OperationRow) -> OperationState:
        if not self.merges.settle(row.id, row.plan):
            return OperationState.UNDONE
        plan = row.plan
        self._record(row.task_id, str(plan["branch"]), str(plan["new"]), str(plan["mode"]))
        task = self.store.tasks.get(row.task_id)
        if plan.get("delete") and task is not None:
            delete_merged(self.branches, task, str(plan["delete"]))
        return OperationState.DONE


def is_contained(plan: MergePlan, request: MergeRequest) -> bool:
    """Whether there is nothing left to merge. Of a squash only the content tells."""
    squashed = request.mode == "squash" and not plan.changed and not plan.conflicts
    return plan.contained or squashed


def conflict(plan: MergePlan) -> Conflict:
    """The error for two sides that changed the same places."""
    count = len(plan.conflicts)
    more = f" and {count - NAMED_FILES} more" if count > NAMED_FILES else ""
    files = ", ".join(named(visible_line(p), 120) for p in plan.conflicts[:NAMED_FILES])
    return Conflict(
        f"{plan.branch} and {plan.into} changed the same places in {files}{more}; nothing was "
        "changed",
        code="merge_conflicts",
        hint="rebase_task with resolve has an agent resolve them in a sandbox; then call "
        f"merge_task again. Or resolve them with git: git -C {_quote(plan.repository)} switch "
        f"{_quote(plan.branch)}, then git merge {_quote(plan.into)}, correct the files and "
        "commit",
    )


def message_of(task: TaskRow, plan: MergePlan, request: MergeRequest) -> CommitMessage | None:
    """The message of the commit that a merge makes, without trailers; None where it makes none."""
    if request.mode == "ff":
        return None
    merge = (plan.branch, plan.into) if request.mode == "merge" else None
    return merge_message(task, request.message, merge)


def commit_message(task: TaskRow, plan: MergePlan, request: MergeRequest) -> str:
    """The same with trailers that name the task."""
    message = message_of(task, plan, request)
    text = message.text if message else ""
    return f"{text}\n\nRover-Task: {task.id}\nRover-Number: {task.number}\n"


def message_line(message: CommitMessage) -> str:
    """Who wrote the message, for the preview, which shows it beside this."""
    origins = {
        "user": "The commit has your message",
        "agent": "The commit's message is by the task's agent",
        "title": "The commit's message is made from the title, because the agent wrote none",
    }
    return f"{origins[message.by]}: {quoted(message.own.partition(chr(10))[0], 200)}."


def preview_lines(task: TaskRow, plan: MergePlan, request: MergeRequest) -> list[str]:
    """What would happen, in sentences."""
    if is_contained(plan, request):
        lines = [f"{plan.into} has all of {plan.branch} already; confirm only records that."]
        return [*lines, *_branch_goes(plan, request)]
    files = "1 file" if plan.changed == 1 else f"{plan.changed} files"
    commits = "1 commit" if plan.commits == 1 else f"{plan.commits} commits"
    lines = [
        f"Nothing is merged yet. {plan.branch} ({commits}) would go into {plan.into} at "
        f"{plan.old[:10]} as {_how(request.mode)}: {files} changed."
    ]
    if plan.beyond:
        lines.append(f"{plan.beyond} of these commits are not the task's: somebody added them.")
    lines.append(
        f"The files in {plan.work_tree} are updated, as {plan.into} is checked out there."
        if plan.work_tree
        else f"No work tree has {plan.into} checked out, so no file changes."
    )
    if (message := message_of(task, plan, request)) and not plan.conflicts:
        lines.append(message_line(message))
    if plan.conflicts:
        error = conflict(plan)
        lines.append(f"But it cannot: {error.message}. To continue: {error.hint}.")
    if files_run := hand_off_files(plan.files):
        shown = "; ".join(hand_off_lines(files_run[:NAMED_FILES]))
        more = len(files_run) - NAMED_FILES
        lines.append(
            f"Programs on this machine run these without asking: {shown}"
            f"{f'; and {more} more' if more > 0 else ''}. To merge, name them in accept."
        )
    lines += secrets_warning(plan)
    if plan.hooks:
        lines.append(
            f"Hooks that git would run are not run: {', '.join(plan.hooks)}. To merge without "
            "them, name them in accept."
        )
    return [*lines, *_branch_goes(plan, request)]


def _branch_goes(plan: MergePlan, request: MergeRequest) -> list[str]:
    return [f"Then the branch {plan.branch} is deleted."] if request.delete_branch else []


def secrets_warning(plan: MergePlan) -> list[str]:
    """A sentence about secrets that enter the branch. They do not leave the machine by a merge, so
    it is not refused; but whoever pushes the branch with git sends them along."""
    if plan.secrets is None:
        return ["What enters could not be searched for secrets."]
    if not plan.secrets:
        return []
    return [
        f"WARNING: secrets enter {plan.into}: {secrets_text(plan.secrets)}. They stay in its "
        "history, and a push with git sends them along: have the task remove them first."
    ]


def done_text(
    plan: MergePlan, commit: str, request: MergeRequest, deleted: Sequence[str] = ()
) -> str:
    """What has happened, to the task's branch too, and how to go back."""
    where = f"the files in {plan.work_tree} are updated" if plan.work_tree else "no file changed"
    back = f"git -C {_quote(plan.repository)} "
    back += (
        f"reset --keep {plan.old[:10]}"
        if plan.work_tree
        else f"update-ref {_quote(f'refs/heads/{plan.into}')} {plan.old[:10]} {commit[:10]}"
    )
    return " ".join(
        [
            f"{plan.branch} is in {plan.into} at {commit[:10]} as {_how(request.mode)}; {where}.",
            *deleted,
            f"To take {'the merge' if deleted else 'it'} back: {back}",
            *secrets_warning(plan),
        ]
    )


def _how(mode: Mode) -> str:
    return {"merge": "a merge commit", "squash": "one commit", "ff": "a fast-forward"}[mode]


def _quote(word: str) -> str:
    return shlex.quote(printable(word, 1000))
