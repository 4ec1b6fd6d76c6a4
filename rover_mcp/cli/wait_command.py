"""`rover wait`: waits until one of several tasks pauses or ends. Prints one line; the exit status
says how it ended."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from agent_runner.json_object import Json
from rover_mcp.cli.client import ClientError, ConnectionLost, McpClient
from rover_mcp.cli.terminal_text import dated
from rover_mcp.cli.tool_commands import connect, repository_here, show
from rover_mcp.cli.watch_command import MAX_RECONNECTS, WAIT_SECONDS, exit_code
from rover_mcp.domain.pause_words import resumption

NOTHING_RUNS = 3
LIVE = ["NEW", "IN_PROGRESS", "ITERATING"]


def wait(args: argparse.Namespace) -> int:
    """Wait. The exit status is 0: completed, 1: failed or cancelled, 2: paused, 3: no task is
    running that --any could wait for.

    Raises:
        ClientError: neither a task nor --any is given, or both; or there is no such task.
    """
    if bool(args.tasks) == args.any:
        raise ClientError(
            "name the tasks to wait for, or use --any", code="invalid_arguments",
            hint="for example: rover wait 1 2; rover wait --any",
        )  # fmt: skip
    arguments: Json = {
        "task": ", ".join(args.tasks) or None, "repo_path": args.repo or repository_here(),
    }  # fmt: skip
    if args.any and not _any_runs(args, arguments["repo_path"]):
        print("rover: no task is running")
        return NOTHING_RUNS
    result = stopped(lambda: connect(args), arguments)
    show(args, result, lambda shown, _: [line(shown["task"])])
    return exit_code(result["task"])


def stopped(dial: Callable[[], McpClient], arguments: Json) -> Json:
    """The result of the wait_for_task call that returned because a task stopped, reconnecting to as
    many daemons as it takes.

    Raises:
        ConnectionLost: one daemon after another went away.
    """
    for attempt in range(MAX_RECONNECTS + 1):
        client = dial()
        try:
            while True:
                result = client.call("wait_for_task", **arguments, timeout_s=WAIT_SECONDS)
                if result["returned"] in ("paused", "ended"):
                    return result
        except ConnectionLost:
            if attempt == MAX_RECONNECTS:
                raise
        finally:
            client.close()
    raise AssertionError("the loop returns or raises")


def _any_runs(args: argparse.Namespace, where: str | None) -> bool:
    client = connect(args)
    try:
        return bool(client.call("list_tasks", status=LIVE, repo_path=where, limit=1)["tasks"])
    finally:
        client.close()


def line(task: Json) -> str:
    """How a task stopped, in one line and without a word that an agent or a provider wrote."""
    # An assistant may run this in the background. Claude Code wakes its model when such a command
    # ends, and the model reads the line as part of a prompt: so it has no text of an agent's or a
    # provider's.
    text = f"rover: task {task['number']} is {task['status']}"
    pause = task.get("pause")
    if not pause:
        return f"{text}; branch {task['branch']}" if task["branch"] else text
    if pause.get("auto_resume") and pause.get("retry_at"):
        after = resumption(automatic=True, at=dated(pause["retry_at"]), because=None)
        return f"{text} ({pause['reason']}); {after}"
    return f"{text} ({pause['reason']}); see rover inspect {task['number']}"
