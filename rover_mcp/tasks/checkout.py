"""Checking out a task's branch for a person: into a work tree of its own, or in the user's."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from agent_runner.crashpoints import crash_point
from rover_mcp.domain.errors import Conflict
from rover_mcp.domain.operation import OperationKind, OperationPoint, OperationState
from rover_mcp.domain.task_status import ENDED
from rover_mcp.store.operations import OperationRow
from rover_mcp.store.records import TaskRow
from rover_mcp.store.store import Store
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.operation_log import (
    OperationLog,
    check_hand_off,
    check_local,
    hand_off_files,
    hand_off_lines,
)
from rover_mcp.tasks.quoted_text import printable
from rover_mcp.tasks.resolver_tasks import check_has_branch

NAMED = 20


@dataclass(frozen=True)
class CheckoutRequest:
    """What is asked for. `into`: a folder for a work tree of its own; `here`: the work tree that
    the caller works in is switched. Neither: the one that has the branch already, or else a folder
    beside the repository. `accept` names the hand-off files that the user agrees to."""

    into: Path | None = None
    here: bool = False
    accept: Sequence[str] = ()


@dataclass(frozen=True)
class CheckoutPlan:
    """What a checkout would do. `folder` is where the branch is checked out then; `old` and `head`
    are what that work tree has now, where it is switched. `already`: it is there."""

    repository: str
    branch: str
    commit: str
    folder: str
    old: str | None = None
    head: str | None = None
    already: bool = False
    files: Sequence[str] = ()
    hooks: Sequence[str] = ()


class Checkouts(Protocol):
    """Work trees of the user's repository."""

    def plan(self, task: TaskRow, request: CheckoutRequest, cwd: Path) -> CheckoutPlan:
        """What a checkout would do now; nothing is changed.

        Raises:
            RoverError: it cannot be done, and why.
        """
        ...

    def carry_out(self, operation: str, move: Mapping[str, Any]) -> None:
        """Check it out. Where it raises nothing has changed."""
        ...

    def settle(self, operation: str, move: Mapping[str, Any]) -> bool:
        """Finish or undo a checkout that was cut off; whether it is there.

        Raises:
            NotSettled: neither can be done now.
        """
        ...


@dataclass(frozen=True)
class CheckoutDone:
    """`done` is whether the branch is checked out in the plan's folder."""

    plan: CheckoutPlan
    done: bool
    text: str


@dataclass
class CheckoutTask:
    """The use case. `preview` says what would happen, calling it does it."""

    store: Store
    checkouts: Checkouts
    log: OperationLog

    def __post_init__(self) -> None:
        self.log.settlers[OperationKind.CHECKOUT] = self._settle

    def preview(self, caller: Caller, task: TaskRow, request: CheckoutRequest) -> CheckoutDone:
        """
        Raises:
            RoverError: it cannot be checked out, and why.
        """
        plan = self._plan(caller, task, request)
        return CheckoutDone(plan, plan.already, " ".join(preview_lines(plan)))

    def __call__(self, caller: Caller, task: TaskRow, request: CheckoutRequest) -> CheckoutDone:
        """Check it out. Hand-off files have to be accepted also where it is checked out already:
        what follows opens it.

        Raises:
            Conflict: the branch is checked out elsewhere, or the work tree is not clean.
            UserFixable: hand-off files have to be accepted by name.
            EnvironmentFault: git failed; nothing was changed.
        """
        plan = self._plan(caller, task, request)
        check_hand_off(hand_off_files(plan.files), request.accept, "accept")
        if plan.already:
            return CheckoutDone(plan, True, f"{plan.branch} is checked out in {plan.folder}.")
        move = {
            "repository": plan.repository, "branch": plan.branch, "commit": plan.commit,
            "folder": plan.folder, "old": plan.old, "head": plan.head,
        }  # fmt: skip

        def work(row: OperationRow) -> None:
            self.checkouts.carry_out(row.id, move)
            crash_point(OperationPoint.CARRIED_OUT)

        self.log.run(task.id, OperationKind.CHECKOUT, move, work)
        return CheckoutDone(plan, True, done_text(plan))

    def _plan(self, caller: Caller, task: TaskRow, request: CheckoutRequest) -> CheckoutPlan:
        check_local(caller, "check it out")
        check_has_branch(task)
        self.log.settle(task.id)
        task = self.store.tasks.get(task.id) or task
        if task.status not in ENDED:
            raise Conflict(
                f"task {task.number} is {task.status}; one that may still change its branch cannot "
                "be checked out",
                code="not_checkable",
                hint="wait until it has ended; get_diff shows its work so far",
                next_call={"tool": "inspect", "arguments": {"task": task.id}},
            )
        return self.checkouts.plan(task, request, caller.cwd)

    def _settle(self, row: OperationRow) -> OperationState:
        done = self.checkouts.settle(row.id, row.plan)
        return OperationState.DONE if done else OperationState.UNDONE


def preview_lines(plan: CheckoutPlan) -> list[str]:
    """What would happen, in sentences."""
    if plan.already:
        lines = [f"{plan.branch} is checked out in {plan.folder} already."]
    elif plan.old is not None:
        lines = [
            "Nothing is checked out yet.",
            f"The work tree {plan.folder} would be switched from {_shown(plan)} to {plan.branch}.",
        ]
    else:
        lines = [
            "Nothing is checked out yet.",
            f"{plan.branch} would be checked out in the new work tree {plan.folder}; no other "
            "work tree changes.",
        ]
    if handed := hand_off_files(plan.files):
        more = len(handed) - NAMED
        lines.append(
            "Programs on this machine run these without asking: "
            f"{'; '.join(hand_off_lines(handed[:NAMED]))}{f'; and {more} more' if more > 0 else ''}"
            ". To go there, name them in accept."
        )
    if plan.hooks and not plan.already:
        lines.append(f"Hooks that git would run are not run: {', '.join(plan.hooks)}.")
    return lines


def done_text(plan: CheckoutPlan) -> str:
    """What has happened, and how to go back."""
    folder = _quote(plan.folder)
    if plan.old is not None:
        place = f"{plan.branch} is checked out in {plan.folder}."
        back = f"git -C {folder} switch {'-' if plan.head != plan.old else f'--detach {plan.old}'}"
    else:
        place = f"{plan.branch} is checked out in the new work tree {plan.folder}."
        back = f"git -C {_quote(plan.repository)} worktree remove {folder}"
    return (
        f"{place} Commits that you make there are merged and pushed with the task's. As long as it "
        f"is checked out, a further iteration of the task cannot be delivered. To go back: {back}"
    )


def _shown(plan: CheckoutPlan) -> str:
    head = plan.head or ""
    return head.removeprefix("ref: refs/heads/") if head != plan.old else f"commit {head[:10]}"


def _quote(word: str) -> str:
    return shlex.quote(printable(word, 1000))
