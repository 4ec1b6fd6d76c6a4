"""The tools that change the user's own repository: first they say what would happen; with `confirm`
they do it."""

from __future__ import annotations

import anyio.to_thread
from typing_extensions import TypeIs

from rover_mcp.domain.task_status import ENDED
from rover_mcp.server import arguments as a
from rover_mcp.server import results as r
from rover_mcp.server.elicitation import MERGE, PUSH, Confirmation
from rover_mcp.server.tool_call import Call
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.merge import MergeRequest
from rover_mcp.tasks.operation_log import hand_off_files
from rover_mcp.tasks.push import PushKind, PushRequest, to_accept
from rover_mcp.tasks.rebase import RebaseDone
from rover_mcp.tasks.resolver_tasks import resolved_rebase
from rover_mcp.tasks.view_models import NextAction


async def merge_task(call: Call, args: a.MergeArguments) -> r.MergeResult:
    task = await call.find(args, changes=True)
    merge, request, caller = call.services.merge, _request(args), call.session.caller

    def work() -> r.MergeResult:
        if args.confirm:
            done = merge(caller, task, request, agreed=call.agreed)
        else:
            done = merge.preview(caller, task, request)
        plan = done.plan
        handed = [path for path, _ in hand_off_files(plan.files)]
        to_accept = [*handed, *plan.hooks]
        store = call.services.tasks.store
        ended = done.commit is not None or bool(plan.conflicts)
        return r.MergeResult(
            task=task.id,
            status=(store.tasks.get(task.id) or task).status,
            merged=done.commit is not None,
            into=plan.into,
            commit=done.commit,
            message=done.text,
            commit_message=done.message.text if done.message else None,
            conflicts=list(plan.conflicts) or None,
            hand_off=handed or None,
            hooks=list(plan.hooks) or None,
            next_actions=[] if ended else [_again(args, task.id, to_accept)],
        )

    return await anyio.to_thread.run_sync(work)


def _again(args: a.MergeArguments, task_id: str, to_accept: list[str]) -> NextAction:
    """The call that merges what was just shown."""
    given = args.model_dump(exclude_defaults=True, exclude={"repo_path"})
    if to_accept:
        given["accept"] = to_accept
    why = "merge it; only if the user agrees to what is shown"
    return NextAction(tool="merge_task", arguments={**given, "task": task_id, "confirm": True},
                      why=why)  # fmt: skip


async def push_task(call: Call, args: a.PushArguments) -> r.PushResult:
    task = await call.find(args, changes=True)
    push, caller = call.services.push, call.session.caller
    request = PushRequest(args.remote, args.branch, args.accept)

    def work() -> r.PushResult:
        if args.confirm:
            done = push(caller, task, request, agreed=call.agreed)
        else:
            done = push.preview(caller, task, request)
        plan = done.plan
        accept = list(dict.fromkeys([*args.accept, *to_accept(plan)]))
        ended = done.commit is not None or plan.way is PushKind.REFUSED
        return r.PushResult(
            task=task.id,
            status=(call.services.tasks.store.tasks.get(task.id) or task).status,
            pushed=done.commit is not None,
            remote=plan.remote,
            branch=plan.onto,
            commit=done.commit,
            message=done.text,
            server=done.server or None,
            hand_off=[path for path, _ in hand_off_files(plan.files)] or None,
            next_actions=[] if ended else [_push_again(args, task.id, accept)],
        )

    return await anyio.to_thread.run_sync(work)


def _push_again(args: a.PushArguments, task_id: str, accept: list[str]) -> NextAction:
    given = args.model_dump(exclude_defaults=True, exclude={"repo_path"})
    if accept:
        given["accept"] = accept
    why = "push it; only if the user agrees to what is shown"
    return NextAction(tool="push_task", arguments={**given, "task": task_id, "confirm": True},
                      why=why)  # fmt: skip


def is_delivery(arguments: a.Arguments) -> TypeIs[a.MergeArguments | a.PushArguments]:
    """Whether a call changes what is the user's, so that a person is asked first."""
    return isinstance(arguments, a.MergeArguments | a.PushArguments)


async def delivery_asked(
    call: Call, args: a.MergeArguments | a.PushArguments
) -> tuple[str, Confirmation]:
    """The question for a person before a merge or a push, and its form."""
    task = await call.find(args, changes=True)
    services, caller = call.services, call.session.caller
    run = anyio.to_thread.run_sync
    if isinstance(args, a.MergeArguments):
        return await run(services.merge.question, caller, task, _request(args)), MERGE
    request = PushRequest(args.remote, args.branch, args.accept)
    return await run(services.push.question, caller, task, request), PUSH


async def rebase_task(call: Call, args: a.RebaseArguments) -> r.RebaseResult:
    task = await call.find(args, changes=True)
    rebase, caller = call.services.rebase, call.session.caller

    def work() -> r.RebaseResult:
        if args.resolve:
            begin = call.services.resolve
            return _resolving(task, begin(caller, task, args.onto, unseen=args.confirm))
        do = rebase if args.confirm else rebase.preview
        done = do(caller, task, args.onto)
        plan, store = done.plan, call.services.tasks.store
        resolver = rebase.resolver_of(task) if plan.conflicts else None
        return r.RebaseResult(
            task=task.id,
            status=(store.tasks.get(task.id) or task).status,
            rebased=done.commit is not None,
            onto=plan.base_branch,
            base_commit=plan.onto,
            commit=done.commit,
            message=done.text,
            conflicts=[file.path for file in plan.conflicts] or None,
            resolution=done.resolution,
            next_actions=_next_of(args, task.id, done, resolver),
        )

    return await anyio.to_thread.run_sync(work)


def _resolving(task: TaskRow, resolver: TaskRow) -> r.RebaseResult:
    """The result of a call that has a task resolve conflicts."""
    rebase = resolved_rebase(resolver)
    what_follows = (
        f"Then {task.branch} is rebased, unless something has to be looked at first."
        if rebase is not None and rebase.unseen
        else "Nothing else changes; rebase_task shows the resolution when it has completed."
    )
    return r.RebaseResult(
        task=task.id,
        status=task.status,
        rebased=False,
        message=f"Task {resolver.number} resolves the conflicts of task {task.number} in a "
        f"sandbox. {what_follows}",
        next_actions=[_wait_for(resolver)],
    )


def _next_of(
    args: a.RebaseArguments, task_id: str, done: RebaseDone, resolver: TaskRow | None
) -> list[NextAction]:
    plan = done.plan
    if done.commit is not None or plan.contained:
        return []
    given = {"task": task_id, **({"onto": args.onto} if args.onto else {})}
    if resolver is not None and resolver.status not in ENDED:
        return [_wait_for(resolver)]
    if plan.conflicts:
        why = "have an agent resolve the conflicts; it costs tokens"
        return [NextAction(tool="rebase_task", arguments={**given, "resolve": True}, why=why)]
    why = "rebase it, if the user agrees"
    return [NextAction(tool="rebase_task", arguments={**given, "confirm": True}, why=why)]


def _wait_for(resolver: TaskRow) -> NextAction:
    return NextAction(
        tool="wait_for_task", arguments={"task": resolver.id}, why="learn when it pauses or ends"
    )


def _request(args: a.MergeArguments) -> MergeRequest:
    return MergeRequest(args.into, args.mode, args.message, args.accept, args.delete_branch)
