"""`rover history`, `rewind` and `fork`: a task's snapshots, and starting again from one."""

from __future__ import annotations

import argparse
import os
import sys

from agent_runner.json_object import Json
from rover_mcp.cli.attention import attention
from rover_mcp.cli.copyable_command import next_command
from rover_mcp.cli.iterate_command import iterate
from rover_mcp.cli.race_command import begun, check_follows_one
from rover_mcp.cli.render_diff import diff_lines
from rover_mcp.cli.terminal_text import Paint, clean
from rover_mcp.cli.tool_commands import call, follow, of_task, show


def history(args: argparse.Namespace) -> int:
    """List the snapshots, or show the diff of one."""
    result = call(args, "get_history", **of_task(args), snapshot=args.snapshot)
    if not args.snapshot:
        show(args, result, lambda shown, paint: _listed({**shown, "task": args.task}, paint))
        return 0
    if args.json or args.no_pager or not sys.stdout.isatty():
        show(args, result, _shown_one)
        return 0
    from rover_mcp.cli.pager import page

    return page(_shown_one(result, Paint(sys.stdout)), os.environ)


def rewind(args: argparse.Namespace) -> int:
    """Begin an iteration from a snapshot. Raises as `iterate` does."""
    return iterate(args)


def fork(args: argparse.Namespace) -> int:
    """Create a task from a snapshot, or several that race; --watch follows it until it stops."""
    check_follows_one(args)
    text = sys.stdin.read() if args.instructions == "-" else args.instructions
    given = {"snapshot": args.snapshot, "instructions": text or None}
    who = {"agent": args.agent, "agents": args.agents}
    result = call(args, "fork_task", **of_task(args), **given, **who)
    if not args.watch:
        show(args, result, begun)
        return 0
    args.task, args.repo = result["task"]["id"], None
    return follow(args, result["task"])


def _listed(result: Json, paint: Paint) -> list[str]:
    snapshots: list[Json] = result["snapshots"]
    if not snapshots:
        return ["no snapshots yet", *attention(result, paint)]
    lines = [f"… {result['more']} earlier ones"] if result.get("more") else []
    lines += [_line(snapshot, paint) for snapshot in snapshots]
    # The newest is the present state, from which `rover iterate` starts.
    if len(snapshots) > 1:
        rewind = f"rover rewind {clean(result['task'])} {clean(snapshots[-2]['id'])} INSTRUCTIONS"
        lines += ["", *next_command(rewind, "start a new iteration from a snapshot", paint)]
    return [*lines, *attention(result, paint)]


def _shown_one(result: Json, paint: Paint) -> list[str]:
    return [_line(result["snapshots"][0], paint), *diff_lines(result["diff"], paint)]


def _line(snapshot: Json, paint: Paint) -> str:
    at = clean(snapshot["at"])[:16].replace("T", " ")
    changed = "not readable any more"
    if (files := snapshot.get("files")) is not None:
        plural = "" if files == 1 else "s"
        changed = f"{files} file{plural}, +{snapshot['added']} -{snapshot['removed']}"
        changed = changed if files else "nothing changed"
    when = f"{clean(snapshot['when'])}, iteration {snapshot['iteration']}"
    name = paint(f"{clean(snapshot['id']):>5}", "bold")
    return f"{name}  {at}Z  {when}: {changed}"
