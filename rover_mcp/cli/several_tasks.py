"""Commands for several tasks at once: each in turn, and one that fails does not stop the others."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from agent_runner.json_object import Json
from rover_mcp.cli import render
from rover_mcp.cli.client import ClientError
from rover_mcp.cli.terminal_text import Paint, json_text
from rover_mcp.cli.tool_commands import call, follow, of_task, show, with_hint

Arguments = argparse.Namespace
Render = Callable[[Json, Paint], list[str]]


def resume(args: Arguments) -> int:
    """Resume each task; with --watch, follow the only one until it stops.

    Raises:
        ClientError: --watch with several tasks.
    """
    if args.watch and len(args.tasks) > 1:
        raise ClientError(
            "--watch follows one task",
            code="invalid_arguments",
            hint="resume them without --watch, then: rover wait TASK TASK",
        )
    more = {
        "when": "at_reset" if args.at_reset else None,
        "accept": args.accept or None,
        "agent": args.agent,
        "model": args.model,
        "budget_usd": args.budget_usd,
        "budget_tokens": args.budget_tokens,
    }
    if not args.watch:
        return each(args, "resume_task", render.task, **more)
    task = call(args, "resume_task", **of_task(_of(args, args.tasks[0])), **more)["task"]
    args.task, args.repo = task["id"], None
    return follow(args, task)


def pause(args: Arguments) -> int:
    return each(args, "pause_task", render.task)


def restart(args: Arguments) -> int:
    return each(args, "restart_task", render.task)


def cancel(args: Arguments) -> int:
    return each(args, "cancel_task", render.task)


def delete(args: Arguments) -> int:
    return each(
        args, "delete_task", render.deleted,
        confirm=True if args.yes else None, branch=args.branch or None,
    )  # fmt: skip


def undelete(args: Arguments) -> int:
    return each(args, "delete_task", render.restored, restore=True)


def each(args: Arguments, tool: str, render_it: Render, **more: object) -> int:
    """Call a tool for each of the tasks; returns 1 if it refused one of them. With --json it prints
    one result, or a list of them where several tasks are named.

    Raises:
        ClientError: a single task was named, and it was refused.
    """
    if len(args.tasks) == 1:
        show(args, call(args, tool, **of_task(_of(args, args.tasks[0])), **more), render_it)
        return 0
    results: list[Json] = []
    for task in args.tasks:
        try:
            result = call(args, tool, **of_task(_of(args, task)), **more)
        except ClientError as error:
            results.append({"task": task, **error.as_json()})
            lines = with_hint(error, Paint(sys.stderr))
            print("\n".join([f"rover: {task}", *lines]), file=sys.stderr)
            continue
        results.append(result)
        if not args.json:
            show(args, result, render_it)
            print()
    if args.json:
        print(json_text(results))
    return 1 if any("error" in result for result in results) else 0


def _of(args: Arguments, task: str) -> Arguments:
    return argparse.Namespace(**{**vars(args), "task": task})


def prune(args: Arguments) -> int:
    """Delete tasks that have ended, here or everywhere; without --yes only list them."""
    ended = _over(args)
    if args.yes and ended:
        ids: Sequence[str] = [task["id"] for task in ended]
        args.tasks, args.repo = ids, None
        return each(args, "delete_task", render.deleted, confirm=True, branch=args.branch or None)
    show(args, {"tasks": ended, "deleted": False, "branches": args.branch}, _would_go)
    return 0


def _over(args: Arguments) -> list[Json]:
    """Every task with one of these statuses, over all pages."""
    from rover_mcp.cli.tool_commands import repository_here

    where = None if args.all else args.repo or repository_here()
    tasks: list[Json] = []
    cursor: str | None = None
    while True:
        page = call(
            args, "list_tasks", status=[word.upper() for word in args.status] or list(OVER),
            repo_path=where, all_projects=args.all or None, cursor=cursor,
        )  # fmt: skip
        tasks += page["tasks"]
        cursor = page.get("next_cursor")
        if cursor is None:
            return tasks


OVER = ("COMPLETED", "MERGED", "PUSHED")
"""Tasks whose work is on a branch of the user's repository, which stays."""


def _would_go(result: Json, paint: Paint) -> list[str]:
    tasks: list[Json] = result["tasks"]
    if not tasks:
        return ["Nothing to prune."]
    branches = (
        "Their branches are deleted, too, except those that hold more than the task's work."
        if result["branches"]
        else "Their branches stay in the repositories; --branch deletes them, too."
    )
    return [
        *render.rows(tasks, paint),
        "",
        f"{len(tasks)} would be deleted, with their records and logs. {branches} "
        "Nothing is deleted yet: add --yes.",
    ]
