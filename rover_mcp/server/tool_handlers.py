"""What each tool does. There are no decisions here: every call goes to a use case in
`rover_mcp.tasks`, in a thread, because a use case may wait for a disk, a database or git."""

from __future__ import annotations

from functools import partial

import anyio.to_thread

from rover_mcp.domain.usage_window import time_of
from rover_mcp.server import arguments as a
from rover_mcp.server import results as r
from rover_mcp.server.pages import task_list
from rover_mcp.server.tool_call import Call
from rover_mcp.store.damaged_records import DamagedRecord
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.auto_resume import switch_auto_resume
from rover_mcp.tasks.create_request import CreateRequest
from rover_mcp.tasks.delete import Item
from rover_mcp.tasks.quoted_text import quoted
from rover_mcp.tasks.view_models import NextAction, TaskView

PATCH_BYTES = 24_000
EVENTS_SHOWN = 20


async def create_task(call: Call, args: a.CreateTaskArguments) -> r.TaskResult:
    request = CreateRequest(
        description=args.description,
        repo_path=args.repo_path,
        options=args.options,
        base_branch=args.base_branch,
        after=args.after,
        inputs=args.inputs,
        request_key=args.request_key,
        script=args.script,
        context=args.context,
        context_authors=args.context_authors,
        consent=call.consent,
        unasked=call.unasked,
    )
    view = await anyio.to_thread.run_sync(call.services.tasks.create, call.session.caller, request)
    # The client that created a task is notified of it, in whatever project it works later.
    call.session.watch(view.id)
    return r.TaskResult(task=view)


async def list_tasks(call: Call, args: a.ListTasksArguments) -> r.TaskListResult:
    page = partial(
        call.services.tasks.list,
        call.session.caller,
        args.status,
        args.repo_path,
        args.cursor,
        args.limit,
        here=not args.all_projects,
    )
    views, cursor, damaged = await anyio.to_thread.run_sync(page)
    return task_list(views, cursor, damaged)


async def inspect(call: Call, args: a.InspectArguments) -> r.InspectResult:
    task = await call.find(args)
    full = args.detail == "full"

    def read() -> r.InspectResult:
        tasks = call.services.tasks
        events = tasks.events(task, EVENTS_SHOWN) if full else None
        return r.InspectResult(task=tasks.inspect(task, full=full), events=events)

    return await anyio.to_thread.run_sync(read)


async def get_logs(call: Call, args: a.LogsArguments) -> r.LogsResult:
    task = await call.find(args)
    log = await anyio.to_thread.run_sync(call.services.tasks.logs, task, args.step, args.tail)
    return r.LogsResult(task=task.id, step=log.step, text=log.text, truncated=log.truncated)


async def get_diff(call: Call, args: a.DiffArguments) -> r.DiffToolResult:
    task = await call.find(args)
    diff = await anyio.to_thread.run_sync(
        lambda: call.services.tasks.diff(
            task, args.paths, stat_only=args.stat_only, offset=args.offset
        )
    )
    # About 6,000 tokens: clients warn of a result that is larger than 10,000, or cut it off.
    patch = None if args.stat_only else diff.patch[:PATCH_BYTES]
    cut = (diff.truncated or len(diff.patch) > PATCH_BYTES) and not args.stat_only
    result = r.DiffToolResult(task=task.id, changes=diff.changes, patch=patch, truncated=cut)
    result.elsewhere = diff.elsewhere
    return result


async def resume_task(call: Call, args: a.ResumeArguments) -> r.ResumeTaskResult:
    task = await call.find(args, changes=True)
    done = await anyio.to_thread.run_sync(
        lambda: call.services.tasks.resume(
            call.session.caller,
            task,
            args.when,
            budget=args.budget,
            agent=args.agent,
            model=args.model,
            consent=call.consent,
            accept=args.accept,
        )
    )
    return r.ResumeTaskResult(
        task=done.task,
        result=done.result,  # pyright: ignore[reportArgumentType]  # the use case returns one of these
        has_checkpoint=done.has_checkpoint,
        message=done.message,
    )


async def set_auto_resume(call: Call, args: a.AutoResumeArguments) -> r.AutoResumeResult:
    tasks, caller = call.services.tasks, call.session.caller
    done = await anyio.to_thread.run_sync(
        switch_auto_resume, tasks, caller, args.enabled, args.scope, args.task, args.repo_path
    )
    return r.AutoResumeResult(**vars(done))


async def iterate_task(call: Call, args: a.IterateArguments) -> r.TaskResult:
    task = await call.find(args, changes=True)
    iterate, caller = call.services.tasks.iterate, call.session.caller
    given = (args.instructions, args.comments, args.from_snapshot)
    return r.TaskResult(task=await anyio.to_thread.run_sync(iterate, caller, task, *given))


async def fork_task(call: Call, args: a.ForkArguments) -> r.TaskResult:
    task = await call.find(args)
    tasks, caller = call.services.tasks, call.session.caller

    def fork() -> TaskView:
        given = (args.snapshot, args.instructions)
        row = tasks.fork(caller, task, *given, agent=args.agent, consent=call.consent)
        return tasks.with_cautions(row)

    view = await anyio.to_thread.run_sync(fork)
    call.session.watch(view.id)
    return r.TaskResult(task=view)


async def get_history(call: Call, args: a.HistoryArguments) -> r.HistoryResult:
    task = await call.find(args)
    history = await anyio.to_thread.run_sync(call.services.tasks.history, task, args.snapshot)
    result = r.HistoryResult(task=task.id, snapshots=list(history.snapshots))
    result.more = history.more or None
    if diff := history.diff:
        cut = diff.truncated or len(diff.patch) > PATCH_BYTES
        patch = diff.patch[:PATCH_BYTES]
        result.diff = r.SnapshotDiff(changes=diff.changes, patch=patch, truncated=cut)
    return result


async def restart_task(call: Call, args: a.TaskArguments) -> r.TaskResult:
    task = await call.find(args, changes=True)
    view = await anyio.to_thread.run_sync(call.services.tasks.restart, call.session.caller, task)
    return r.TaskResult(task=view)


async def pause_task(call: Call, args: a.TaskArguments) -> r.TaskResult:
    task = await call.find(args, changes=True)
    return r.TaskResult(task=await anyio.to_thread.run_sync(call.services.tasks.pause, task))


async def cancel_task(call: Call, args: a.TaskArguments) -> r.TaskResult:
    task = await call.find(args, changes=True)
    return r.TaskResult(task=await anyio.to_thread.run_sync(call.services.tasks.cancel, task))


def shown_time(moment: float) -> str:
    """A time for people, to the minute."""
    return f"{time_of(moment):%Y-%m-%d %H:%M}Z"


async def delete_task(call: Call, args: a.DeleteArguments) -> r.DeleteResult:
    if args.restore:
        return await _restore(call, args)
    task = await call.find_or_damage(args)
    trash = call.services.trash
    until = trash.until(task)
    items = await anyio.to_thread.run_sync(trash if args.confirm else trash.plan, task)
    named = {"task": args.task, "repo_path": args.repo_path}
    if isinstance(task, TaskRow):
        # By its id, because the call may be repeated from another folder, where the number means
        # another task.
        named = {"task": task.id}
    kept = {k: v for k, v in named.items() if v is not None}
    again = NextAction(
        tool="delete_task",
        arguments=kept | {"confirm": True},
        why="delete it; only if the user agrees to what is lost",
    )
    back = NextAction(tool="delete_task", arguments=kept | {"restore": True}, why="give it back")
    return r.DeleteResult(
        task=task.id if isinstance(task, TaskRow) else args.task,
        deleted=args.confirm,
        items=[_item(item) for item in items],
        until=shown_time(until) if until is not None else None,
        next_actions=([back] if until is not None else []) if args.confirm else [again],
    )


async def _restore(call: Call, args: a.DeleteArguments) -> r.DeleteResult:
    task = await call.find(args, changes=True, deleted=True)
    task = await anyio.to_thread.run_sync(call.services.trash.restore, task)
    look = NextAction(tool="inspect", arguments={"task": task.id}, why="look at it")
    back = r.DeleteItem(what="task", kept=True, detail=f"{task.status}, out of the trash")
    return r.DeleteResult(task=task.id, deleted=False, items=[back], next_actions=[look])


def _item(item: Item) -> r.DeleteItem:
    return r.DeleteItem(what=item.what, kept=item.kept, detail=item.detail)


async def deletion_asked(call: Call, args: a.DeleteArguments) -> str:
    """The question for a person before a task is deleted: what is lost and when, what stays."""
    task = await call.find_or_damage(args)
    trash = call.services.trash
    items = await anyio.to_thread.run_sync(trash.plan, task)
    lost = "; ".join(f"{item.what}: {item.detail}" for item in items if not item.kept)
    kept = "; ".join(f"{item.what}: {item.detail}" for item in items if item.kept)
    if isinstance(task, DamagedRecord):
        return f"Delete task {args.task}, whose record is damaged? Lost: {lost}. Kept: {kept}."
    until = trash.until(task)
    when = f" (it can be given back until {shown_time(until)})" if until is not None else ""
    name = f"task {task.number} {quoted(task.title, 80)}"
    return f"Delete {name}? Lost{when}: {lost}. Kept: {kept}."


async def list_workflows(call: Call, args: a.WorkflowsArguments) -> r.WorkflowsResult:
    views = await anyio.to_thread.run_sync(
        call.services.status.workflows, call.session.caller, args.repo_path
    )
    return r.WorkflowsResult(workflows=[r.WorkflowView.model_validate(v) for v in views])


async def get_status(call: Call, _args: a.NoArguments) -> r.StatusResult:
    report = await anyio.to_thread.run_sync(call.services.status.report, call.session.caller)
    return r.StatusResult.model_validate(report)
