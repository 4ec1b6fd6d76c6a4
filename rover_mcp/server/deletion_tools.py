"""Deleting a task, giving it back, and choosing one of a race: first what would be lost, and with
`confirm` it is done."""

from __future__ import annotations

from functools import partial

import anyio.to_thread

from rover_mcp.domain.errors import UserFixable
from rover_mcp.domain.utc_time import utc_minute
from rover_mcp.server import arguments as a
from rover_mcp.server import results as r
from rover_mcp.server.elicitation import CHOICE_OF_RACE, DELETION, Confirmation
from rover_mcp.server.tool_call import Call
from rover_mcp.store.damaged_records import DamagedRecord
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.delete import Item
from rover_mcp.tasks.quoted_text import quoted
from rover_mcp.tasks.view_models import NextAction


def shown_time(moment: float) -> str:
    """A time for people, to the minute."""
    return utc_minute(moment)


async def delete_task(call: Call, args: a.DeleteArguments) -> r.DeleteResult:
    if args.restore:
        return await _restore(call, args)
    if args.others:
        return await _choose(call, args)
    task = await call.find_or_damage(args)
    trash = call.services.trash
    until = trash.until(task)
    use_case = partial(trash if args.confirm else trash.plan, branch=args.branch)
    items = await anyio.to_thread.run_sync(use_case, task)
    named = {"task": args.task, "repo_path": args.repo_path}
    if isinstance(task, TaskRow):
        # By its id, because the call may be repeated from another folder, where the number means
        # another task.
        named = {"task": task.id}
    kept = {k: v for k, v in named.items() if v is not None}
    again = NextAction(
        tool="delete_task",
        arguments=kept | {"confirm": True} | ({"branch": True} if args.branch else {}),
        why="delete it; only if the user agrees to what is lost",
    )
    back = NextAction(tool="delete_task", arguments=kept | {"restore": True}, why="restore it")
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


async def _choose(call: Call, args: a.DeleteArguments) -> r.DeleteResult:
    """Delete the others of a task's race."""
    if args.branch:
        raise UserFixable(
            "others keeps every branch",
            code="invalid_arguments",
            hint="choose first; then delete the branch of each of the others",
            instead={"branch": None},
        )
    task = await call.find(args, changes=True)
    choose, trash = call.services.choose, call.services.trash
    items = await anyio.to_thread.run_sync(choose if args.confirm else choose.plan, task)
    until = trash.until(task)
    again = NextAction(
        tool="delete_task",
        arguments={"task": task.id, "others": True, "confirm": True},
        why="choose it; only if the user agrees that the others are deleted",
    )
    merge = NextAction(
        tool="merge_task", arguments={"task": task.id}, why="see what a merge would do"
    )
    return r.DeleteResult(
        task=task.id,
        deleted=False,
        chosen=args.confirm,
        items=[_item(item) for item in items],
        until=shown_time(until) if until is not None else None,
        next_actions=[merge] if args.confirm else [again],
    )


def _item(item: Item) -> r.DeleteItem:
    return r.DeleteItem(what=item.what, kept=item.kept, detail=item.detail)


async def deletion_asked(call: Call, args: a.DeleteArguments) -> tuple[str, Confirmation]:
    """The question for a person before a task is deleted: what is lost and when, what stays; and
    its form."""
    if args.others:
        return await _choice_asked(call, args), CHOICE_OF_RACE
    return await _deletion_asked(call, args), DELETION


async def _choice_asked(call: Call, args: a.DeleteArguments) -> str:
    task = await call.find(args, changes=True)
    items = await anyio.to_thread.run_sync(call.services.choose.plan, task)
    until = call.services.trash.until(task)
    when = f"they can be restored until {shown_time(until)}" if until else "they are lost"
    lost = "; ".join(f"{item.what}: {item.detail}" for item in items if not item.kept)
    chosen = f"Choose task {task.number} ({task.agent})?"
    return f"{chosen} The others are deleted, and {when}: {lost or 'none'}."


async def _deletion_asked(call: Call, args: a.DeleteArguments) -> str:
    task = await call.find_or_damage(args)
    trash = call.services.trash
    items = await anyio.to_thread.run_sync(partial(trash.plan, branch=args.branch), task)
    lost = "; ".join(f"{item.what}: {item.detail}" for item in items if not item.kept)
    kept = "; ".join(f"{item.what}: {item.detail}" for item in items if item.kept)
    if isinstance(task, DamagedRecord):
        return f"Delete task {args.task}, whose record is damaged? Lost: {lost}. Kept: {kept}."
    until = trash.until(task)
    when = f" (it can be restored until {shown_time(until)})" if until is not None else ""
    name = f"task {task.number} {quoted(task.title, 80)}"
    return f"Delete {name}? Lost{when}: {lost}. Kept: {kept}."
