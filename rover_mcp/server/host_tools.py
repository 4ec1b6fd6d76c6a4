"""The tools that change the user's own repository: first what would happen, then, with `confirm`,
the change itself."""

from __future__ import annotations

import anyio.to_thread

from rover_mcp.server import arguments as a
from rover_mcp.server import results as r
from rover_mcp.server.tool_call import Call
from rover_mcp.tasks.merge import MergeRequest
from rover_mcp.tasks.operation_log import hand_off_files
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


async def merge_asked(call: Call, args: a.MergeArguments) -> str:
    """The question for a person before a merge."""
    task = await call.find(args, changes=True)
    merge, caller = call.services.merge, call.session.caller
    return await anyio.to_thread.run_sync(merge.question, caller, task, _request(args))


def _request(args: a.MergeArguments) -> MergeRequest:
    return MergeRequest(args.into, args.mode, args.message, args.accept)
