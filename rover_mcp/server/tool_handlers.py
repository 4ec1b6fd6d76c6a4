"""What each tool does. There are no decisions here: every call goes to a use case in
`rover_mcp.tasks`, in a thread, because a use case may wait for a disk, a database or git."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import anyio.to_thread

from rover_mcp.server import arguments as a
from rover_mcp.server import results as r
from rover_mcp.server.pages import task_list
from rover_mcp.server.tool_call import Call
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.auto_resume import switch_auto_resume
from rover_mcp.tasks.create_request import CreateRequest
from rover_mcp.tasks.race import choosing
from rover_mcp.tasks.race_links import racing_agents

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
    tasks, caller = call.services.tasks, call.session.caller
    create = partial(tasks.create_all, caller, request, args.agents)
    return await _begun(call, create)


async def _begun(call: Call, create: Callable[[], Sequence[TaskRow]]) -> r.TaskResult:
    """The result of creating a task, or the tasks of a race."""
    tasks = call.services.tasks

    def work() -> tuple[Sequence[TaskRow], r.TaskResult]:
        rows = create()
        return rows, r.TaskResult(task=tasks.begun(rows), race=tasks.race(rows[0]))

    rows, result = await anyio.to_thread.run_sync(work)
    # The client that created a task is notified of it, in whatever project it works later.
    for row in rows:
        call.session.watch(row.id)
    return result


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
        race = tasks.race(task)
        view = tasks.inspect(task, full=full)
        view.next_actions += choosing(race, task) if race else []
        return r.InspectResult(task=view, events=events, race=race)

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

    agents = racing_agents(args.agents, args.agent, None) if args.agents else [args.agent]
    given = (args.snapshot, args.instructions)
    race = partial(tasks.fork.race, caller, task, *given, agents=agents, consent=call.consent)
    return await _begun(call, race)


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


async def list_workflows(call: Call, args: a.WorkflowsArguments) -> r.WorkflowsResult:
    views = await anyio.to_thread.run_sync(
        call.services.status.workflows, call.session.caller, args.repo_path
    )
    return r.WorkflowsResult(workflows=[r.WorkflowView.model_validate(v) for v in views])


async def get_status(call: Call, _args: a.NoArguments) -> r.StatusResult:
    report = await anyio.to_thread.run_sync(call.services.status.report, call.session.caller)
    return r.StatusResult.model_validate(report)
