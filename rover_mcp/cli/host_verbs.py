"""The commands that change the user's own repository: they show what would happen, and with --yes
do it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from agent_runner.json_object import Json
from rover_mcp.cli.cli_wording import for_terminal
from rover_mcp.cli.copyable_command import command_for
from rover_mcp.cli.terminal_text import Paint, clean, wrap
from rover_mcp.cli.tool_commands import call, call_for_long, of_task, show

Arguments = argparse.Namespace


def merge(args: Arguments) -> int:
    """Merge a task's branch; returns 1 where it cannot be merged."""
    asked_for = {
        **of_task(args), "into": args.into, "accept": args.accept or None,
        "mode": "squash" if args.squash else "ff" if args.ff else None, "message": args.message,
        "delete_branch": args.delete_branch or None,
    }  # fmt: skip
    if args.edit:
        preview = call(args, "merge_task", **asked_for)
        # None is made by a fast-forward, or where it cannot be merged: the call below says so.
        if offered := preview.get("commit_message"):
            from rover_mcp.cli.message_editor import edit_message

            asked_for["message"] = edit_message(args, preview["task"], offered)
    result = call(args, "merge_task", **asked_for, confirm=args.yes or None)
    show(args, result, lambda shown, paint: _merged(_as_named(args, shown), paint))
    return 1 if result.get("conflicts") else 0


def push(args: Arguments) -> int:
    """Push a task's branch; 1 where it only said that this cannot be done."""
    result = call_for_long(
        args, "push_task", **of_task(args), remote=args.remote, branch=args.branch,
        accept=args.accept or None, confirm=args.yes or None,
    )  # fmt: skip
    show(args, result, lambda shown, paint: _pushed(_as_named(args, shown), paint))
    return 0 if result["pushed"] or result.get("next_actions") else 1


def _pushed(result: Json, paint: Paint) -> list[str]:
    lines = wrap(clean(for_terminal(result["message"])), paint.width, "")
    if server := result.get("server"):
        quoted = [f"  {clean(line)}" for line in str(server).split("\n")]
        lines += ["", paint("The server says (untrusted):", "bold"), *quoted]
    if result["pushed"] or not result.get("next_actions"):
        return lines
    return [*lines, "", *_files(result, paint), _to_do_it(result, "push")]


def _merged(result: Json, paint: Paint) -> list[str]:
    lines = wrap(clean(for_terminal(result["message"])), paint.width, "")
    if result["merged"] or result.get("conflicts"):
        return lines
    if message := result.get("commit_message"):
        quoted = [f"  {clean(line)}" for line in str(message).split("\n")]
        lines += ["", paint("The commit's message (--edit changes it):", "bold"), *quoted]
    return [*lines, "", *_files(result, paint), _to_do_it(result, "merge")]


def rebase(args: Arguments) -> int:
    """Rebase a task's branch; 1 where it only said that this cannot be done."""
    given = of_task(args)
    result = call(
        args, "rebase_task", **given, onto=args.onto, resolve=args.resolve or None,
        confirm=args.yes or None,
    )  # fmt: skip
    show(args, result, lambda shown, paint: _rebased(_as_named(args, shown), paint))
    return 1 if result.get("conflicts") else 0


def _rebased(result: Json, paint: Paint) -> list[str]:
    lines = wrap(clean(for_terminal(result["message"])), paint.width, "")
    if resolution := result.get("resolution"):
        quoted = [f"  {clean(line)}" for line in str(resolution).split("\n")]
        lines += ["", paint("How an agent resolved it (untrusted):", "bold"), *quoted]
    if not result["next_actions"]:
        return lines
    (again,) = result["next_actions"]
    waits = again["tool"] == "wait_for_task"
    verb = "follow" if waits else "resolve" if again["arguments"].get("resolve") else "rebase"
    return [*lines, "", _to_do_it(result, verb)]


def _files(result: Json, paint: Paint) -> list[str]:
    handed: Sequence[str] = result.get("hand_off") or ()
    lines = [f"  {clean(path)}" for path in handed]
    return [paint("Run by programs on this machine:", "bold"), *lines, ""] if lines else []


def _to_do_it(result: Json, verb: str) -> str:
    (again,) = result["next_actions"]
    return f"To {verb} it: {command_for(again['tool'], again['arguments'])}"


def _as_named(args: Arguments, result: Json) -> Json:
    """The result, in which the next command names the task as the caller did."""
    actions = [
        {**action, "arguments": {**action["arguments"], "task": args.task}}
        if str(result.get("task")).startswith(str(action["arguments"].get("task")))
        else action
        for action in result.get("next_actions") or ()
    ]
    return {**result, "next_actions": actions}
