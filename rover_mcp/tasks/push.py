"""Pushing a task's branch to a remote of the user's repository: first what would happen, then, on
demand, the push itself."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from agent_runner.crashpoints import crash_point
from rover_mcp.config.allowed_secrets import AllowedSecret
from rover_mcp.domain.errors import Conflict, RoverError, UserFixable
from rover_mcp.domain.operation import OperationKind, OperationPoint, OperationState
from rover_mcp.domain.secret_search import SecretMatch
from rover_mcp.domain.task_status import Event, sources
from rover_mcp.domain.text import visible_line
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
from rover_mcp.tasks.outgoing_secrets import check_secrets
from rover_mcp.tasks.quoted_text import named, printable, quoted
from rover_mcp.tasks.resolver_tasks import check_has_branch

NAMED = 20
LFS = "git-lfs"
"""The name in `accept` for a push without the objects that git-lfs keeps."""
CI = "CI"
"""The program of HAND_OFF whose files the server runs as soon as they are pushed."""


class PushKind(StrEnum):
    """What a push is for the branch of the remote."""

    CREATE = "create"
    FORWARD = "forward"
    REPLACE = "replace"
    """it holds what Rover pushed before, and loses that"""
    NOTHING = "nothing"
    """it is there already"""
    REFUSED = "refused"
    """it has commits that are not the task's"""


@dataclass(frozen=True)
class PushRequest:
    """What is asked for. `accept` names what the user agrees to although it may do harm."""

    remote: str | None = None
    branch: str | None = None
    accept: Sequence[str] = ()


@dataclass(frozen=True)
class ForeignCommit:
    """A commit on the remote's branch that the task's branch lacks. Untrusted text."""

    commit: str
    author: str
    subject: str


@dataclass(frozen=True)
class PushPlan:
    """What a push would do. `branch` is the task's and at `new`; `onto` is the remote's, and at
    `there`. `folder`: the remote is that repository of this machine. `lfs` and `submodules` are
    paths of which a push would leave a part behind."""

    repository: str
    branch: str
    remote: str
    address: str
    onto: str
    new: str
    there: str | None
    way: PushKind
    commits: int
    beyond: int
    foreign_count: int = 0
    foreign: Sequence[ForeignCommit] = ()
    files: Sequence[str] = ()
    hooks: Sequence[str] = ()
    lfs: Sequence[str] = ()
    submodules: Sequence[str] = ()
    folder: str | None = None
    secrets: Sequence[SecretMatch] = ()


class Pushes(Protocol):
    """Pushing from the user's repository."""

    def plan(
        self,
        task: TaskRow,
        request: PushRequest,
        recorded: Mapping[tuple[str, str], str],
        environ: Mapping[str, str],
    ) -> PushPlan:
        """What a push would do now; nothing is changed. `recorded`: the commit that Rover last
        knew to be the task's at an address and a branch there.

        Raises:
            RoverError: it cannot be pushed, and why.
        """
        ...

    def carry_out(self, operation: str, move: Mapping[str, Any], environ: Mapping[str, str]) -> str:
        """Push; what the server printed. Where it raises the remote is as it was before."""
        ...

    def settle(self, operation: str, move: Mapping[str, Any], environ: Mapping[str, str]) -> bool:
        """Whether a push that was cut off has arrived.

        Raises:
            NotSettled: the remote cannot be asked now.
        """
        ...


@dataclass(frozen=True)
class PushDone:
    """`commit` is what the remote's branch has now; None where nothing is pushed. `server` is what
    the server printed: untrusted."""

    plan: PushPlan
    commit: str | None
    text: str
    server: str = ""


@dataclass
class PushTask:
    """The use case. `preview` says what would happen, calling it does it."""

    store: Store
    pushes: Pushes
    log: OperationLog
    allowed: Sequence[AllowedSecret] = ()
    _environ: dict[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
    """By task: the environment of its last caller, with which a remote can be asked how a push
    ended that was cut off."""

    def __post_init__(self) -> None:
        self.log.settlers[OperationKind.PUSH] = self._settle

    def preview(self, caller: Caller, task: TaskRow, request: PushRequest) -> PushDone:
        """
        Raises:
            RoverError: the task cannot be pushed, and why.
        """
        plan = self._plan(caller, task, request)
        return PushDone(plan, None, " ".join([*preview_lines(plan, request), *self._pass(plan)]))

    def question(self, caller: Caller, task: TaskRow, request: PushRequest) -> str:
        """What a person is asked before the push, which names all that is to be agreed to.

        Raises:
            RoverError: it cannot be pushed, and why.
        """
        plan = self._plan(caller, task, request)
        check(plan, request, agreed=True)
        return " ".join(["Push?", *preview_lines(plan, request), *self._pass(plan)])

    def __call__(
        self, caller: Caller, task: TaskRow, request: PushRequest, *, agreed: bool = False
    ) -> PushDone:
        """Push. `agreed`: a person was shown what has to be accepted and said yes.

        Raises:
            Conflict: the remote's branch has commits that are not the task's, or has changed.
            UserFixable: something has to be accepted by name, or the server refused.
            EnvironmentFault: the remote cannot be reached; nothing was changed.
        """
        plan = self._plan(caller, task, request)
        check(plan, request, agreed=agreed)
        passed = self._pass(plan)
        move = {
            "repository": plan.repository, "remote": plan.remote, "address": plan.address,
            "branch": plan.onto, "new": plan.new, "old": plan.there, "way": str(plan.way),
        }  # fmt: skip
        if plan.way is PushKind.NOTHING:
            self._record(task.id, move)
            return PushDone(plan, plan.new, f"{_place(plan)} has {plan.branch} already.")

        def work(row: OperationRow) -> str:
            printed = self.pushes.carry_out(row.id, move, caller.env)
            crash_point(OperationPoint.CARRIED_OUT)
            self._record(task.id, move)
            crash_point(OperationPoint.STATUS_CHANGED)
            return printed

        printed = self.log.run(task.id, OperationKind.PUSH, move, work)
        text = " ".join([done_text(plan), *passed])
        return PushDone(plan, plan.new, text, printed)

    def _pass(self, plan: PushPlan) -> list[str]:
        """What is said of secrets that the user's settings let pass; no person can be asked to let
        others pass, who would see no more of them than their place.

        Raises:
            UserFixable: there are others ("secrets").
        """
        if plan.way in (PushKind.NOTHING, PushKind.REFUSED):
            return []
        return check_secrets(plan.secrets, self.allowed, "pushed")

    def _plan(self, caller: Caller, task: TaskRow, request: PushRequest) -> PushPlan:
        check_local(caller, "push it")
        check_has_branch(task)
        self._environ[task.id] = caller.env
        self.log.settle(task.id)
        task = self.store.tasks.get(task.id) or task
        if task.status not in sources(Event.PUSH):
            raise Conflict(
                f"task {task.number} is {task.status}; only one that is COMPLETED can be pushed",
                code="not_pushable",
                hint="its branch holds its work so far; git can push it like any other branch",
                next_call={"tool": "inspect", "arguments": {"task": task.id}},
            )
        return self.pushes.plan(task, request, self._recorded(task.id), caller.env)

    def _recorded(self, task_id: str) -> Mapping[tuple[str, str], str]:
        """What each branch at each address was last known to have of the task."""
        events = self.store.events.of_kinds(task_id, [Event.PUSH])
        places = (event.data for event in events)
        return {(str(d["address"]), str(d["branch"])): str(d["commit"]) for d in places}

    def _record(self, task_id: str, move: Mapping[str, Any]) -> None:
        data = {"remote": move["remote"], "address": move["address"], "branch": move["branch"],
                "commit": move["new"], "replaced": move["way"] == PushKind.REPLACE}  # fmt: skip
        self.store.transitions.apply(task_id, Event.PUSH, data=data)

    def _settle(self, row: OperationRow) -> OperationState:
        environ = self._environ.get(row.task_id, {})
        if not self.pushes.settle(row.id, row.plan, environ):
            return OperationState.UNDONE
        self._record(row.task_id, row.plan)
        return OperationState.DONE


def check(plan: PushPlan, request: PushRequest, *, agreed: bool) -> None:
    """That the push may be done.

    Raises:
        Conflict: commits that are not the task's would be lost ("foreign_commits").
        UserFixable: something has to be accepted by name first.
    """
    if plan.way is PushKind.REFUSED:
        raise foreign_commits(plan)
    if plan.way is PushKind.NOTHING:
        return
    handed = ci_files(plan)
    if not agreed or len(handed) > NAMED:
        check_hand_off(handed, request.accept, "accept")
    if not agreed:
        for error in _to_agree(plan, request):
            raise error


def _to_agree(plan: PushPlan, request: PushRequest) -> Sequence[RoverError]:
    accepted = set(request.accept)
    errors: list[RoverError] = []
    push = f"git -C {_quote(plan.repository)} push {_quote(plan.remote)} "
    push += _quote(f"{plan.branch}:{plan.onto}")
    with_git = f"push with git: {push}; then push_task records it"
    if not set(plan.hooks) <= accepted:
        errors.append(UserFixable(
            f"the repository has a hook that git runs before a push: {', '.join(plan.hooks)}; "
            "Rover runs no program of a repository",
            code="hooks",
            hint=f"{with_git}; or, once the user agrees to push without it, name it in accept",
        ))  # fmt: skip
    if plan.lfs and LFS not in accepted:
        errors.append(UserFixable(
            f"git-lfs keeps {_paths(plan.lfs)}: a push by Rover would leave the contents behind",
            code="lfs",
            hint=f"{with_git}; or, if the server has them already, name {LFS} in accept",
        ))  # fmt: skip
    if left := [path for path in plan.submodules if path not in accepted]:
        errors.append(UserFixable(
            f"the task moved a submodule to a commit that was pushed nowhere: {_paths(left)}",
            code="submodule_not_pushed",
            hint="push it first: git -C <path of the submodule> push; then call again; or, if the "
            "server has that commit, name the submodule in accept",
        ))  # fmt: skip
    return errors


def foreign_commits(plan: PushPlan) -> Conflict:
    """The error for a branch of the remote's that somebody else has put commits on."""
    some = "; ".join(
        f"{printable(one.commit, 40)} {quoted(one.subject, 100)} by {quoted(one.author, 60)}"
        for one in plan.foreign
    )
    count = plan.foreign_count
    what = f"{count} commits" if count > 1 else "a commit" if count else "commits"
    shown = f": {some}" if some else ""
    more = f", and {count - len(plan.foreign)} more" if some and count > len(plan.foreign) else ""
    there = "" if plan.there is None else f" at {plan.there[:10]}"
    folder = f"git -C {_quote(plan.repository)}"
    return Conflict(
        f"{_place(plan)}{there} has {what} that {plan.branch} lacks{shown}{more}; Rover never "
        "overwrites them, and nothing was pushed",
        code="foreign_commits",
        hint=f"take them in: {folder} fetch {_quote(plan.remote)} {_quote(plan.onto)}, then "
        f"{folder} switch {_quote(plan.branch)}, then git merge FETCH_HEAD, then call push_task "
        "again; or name another branch as branch",
    )


def ci_files(plan: PushPlan) -> list[tuple[str, str]]:
    """The changed files that the server's CI obeys from the push on, with its rights and its
    secrets."""
    return [(path, who) for path, who in hand_off_files(plan.files) if who == CI]


def to_accept(plan: PushPlan) -> list[str]:
    """All that has to be named for this push."""
    lfs = [LFS] if plan.lfs else []
    return [*(path for path, _ in ci_files(plan)), *plan.hooks, *lfs, *plan.submodules]


def preview_lines(plan: PushPlan, request: PushRequest) -> list[str]:
    """What would happen, in sentences."""
    if plan.way is PushKind.NOTHING:
        return [f"{_place(plan)} has {plan.branch} already; confirm only records that."]
    commits = "1 commit" if plan.commits == 1 else f"{plan.commits} commits"
    lines = [f"Nothing is pushed yet. {plan.branch} at {plan.new[:10]} would go to {_place(plan)}."]
    if plan.way is PushKind.REFUSED:
        error = foreign_commits(plan)
        return [*lines, f"But it cannot: {error.message}. {error.hint}."]
    there = (plan.there or "")[:10]
    lines.append({
        PushKind.CREATE: "The branch is made there.",
        PushKind.FORWARD: f"The branch is there at {there} and moves forward by {commits}.",
        PushKind.REPLACE: f"The branch is there at {there}, which Rover pushed before; it is "
        "replaced, provided that it is still at that commit.",
    }[plan.way])  # fmt: skip
    if plan.beyond:
        lines.append(f"{plan.beyond} of its commits are not the task's: somebody added them.")
    if plan.folder:
        lines.append(f"The remote is a repository of this machine, {plan.folder}: git runs its "
                     "hooks there.")  # fmt: skip
    if handed := ci_files(plan):
        more, shown = len(handed) - NAMED, "; ".join(hand_off_lines(handed[:NAMED]))
        lines.append(
            f"The server's CI obeys these from the push on: {shown}"
            f"{f'; and {more} more' if more > 0 else ''}. To push, name them in accept."
        )
    lines += [f"{e.message}. {e.hint}." for e in _to_agree(plan, request)]
    return lines


def done_text(plan: PushPlan) -> str:
    """What has happened, and how to go back."""
    how = {PushKind.CREATE: "made there", PushKind.FORWARD: "moved forward"}.get(
        plan.way, "replaced there"
    )
    back = f"git -C {_quote(plan.repository)} push {_quote(plan.remote)} "
    ref = _quote(f"--force-with-lease=refs/heads/{plan.onto}:{plan.new}")
    old = plan.there or ""
    back += f"{ref} {_quote(f'{old}:refs/heads/{plan.onto}')}"
    return (
        f"{plan.branch} at {plan.new[:10]} is on {_place(plan)}; the branch was {how}. Nothing in "
        f"{plan.repository} has changed. To take it back: {back}"
    )


def _place(plan: PushPlan) -> str:
    return f"the branch {plan.onto} of {plan.remote} ({visible_line(plan.address)})"


def _paths(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return ", ".join(named(visible_line(path), 120) for path in paths[:NAMED]) + more


def _quote(word: str) -> str:
    return shlex.quote(printable(word, 1000))
