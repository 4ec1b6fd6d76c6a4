"""`rover logs`: shows what a step printed; with --follow, until the task stops."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from rover_mcp.cli import render
from rover_mcp.cli.client import McpClient
from rover_mcp.cli.terminal_text import Paint, clean
from rover_mcp.cli.tool_commands import call, connect, of_task, show

LIVE = ("NEW", "IN_PROGRESS", "ITERATING")
LINES = 1000
"""How many lines are read at a time. A step that prints more between two reads loses some."""
LOOK_SECONDS = 1.0


def logs(args: argparse.Namespace) -> int:
    if args.follow and not args.json:
        return _follow(args)
    show(args, call(args, "get_logs", **of_task(args), step=args.step, tail=args.tail), render.logs)
    return 0


def _follow(args: argparse.Namespace, sleep: Callable[[float], None] = time.sleep) -> int:
    client, paint = connect(args), Paint(sys.stdout)
    seen: tuple[str | None, str] = (None, "")
    try:
        while True:
            alive = _status(client, args) in LIVE
            tail = args.tail if seen[0] is None else LINES
            log = client.call("get_logs", **of_task(args), step=args.step, tail=tail)
            step, text = log.get("step"), clean(log["text"], one_line=False)
            if step is not None and step != seen[0]:
                print(paint(f"step {clean(step)} (what an agent or a command wrote)", "dim"))
                seen = (step, "")
            print(grown(seen[1], text), end="", flush=True)
            seen = (seen[0], text)
            if not alive:
                if text and not text.endswith("\n"):
                    print()
                return 0
            sleep(LOOK_SECONDS)
    except KeyboardInterrupt:
        return 130
    finally:
        client.close()


def _status(client: McpClient, args: argparse.Namespace) -> str:
    return str(client.call("inspect", **of_task(args))["task"]["status"])


def grown(before: str, now: str) -> str:
    """The new part of a text whose beginning may have been cut off in the meantime."""
    if now.startswith(before):
        return now[len(before) :]
    end = before[-200:]
    at = now.rfind(end)
    return now[at + len(end) :] if at >= 0 else now
