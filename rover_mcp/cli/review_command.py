"""`rover review`: the diff of a task in the user's editor, where comments are written between its
lines. They become the instructions of the next iteration."""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from pathlib import Path

from agent_runner.json_object import Json
from rover_mcp.cli import render
from rover_mcp.cli.client import ClientError
from rover_mcp.cli.diff_patch import fetch_patch
from rover_mcp.cli.review_file import (
    DamagedReview,
    DiffLine,
    Review,
    diff_lines_of,
    parse_review,
    review_text,
)
from rover_mcp.cli.terminal_text import clean
from rover_mcp.cli.text_editor import edited, new_text_file, read_text
from rover_mcp.cli.tool_commands import call, follow, home_of, of_task, show

MAX_PATCH = 10_000_000
FOLDER = "reviews"


def review(args: argparse.Namespace) -> int:
    """Open the diff in an editor and send what was written there; 1 where nothing was written.

    Raises:
        ClientError: there is no diff, or what came out of the editor cannot be used. The message
            names the file that still has the text.
    """
    task = call(args, "inspect", **of_task(args))["task"]
    if not args.print and not args.file:
        _check_can_iterate(task)
    diff = _diff(args)
    name = f"Review of task {task['number']}: {clean(task['title'])}"
    offered = review_text(name, diff)
    if args.print:
        sys.stdout.write(offered)
        return 0
    if args.file:
        written, path = read_text(args.file), None
    else:
        path = new_text_file(Path(home_of(args), FOLDER), task["id"], offered)
        written = edited(path, offered)
    parsed = _parsed(args, diff, written, path)
    if not parsed.comments and not parsed.instructions:
        if path:
            path.unlink()
        print("Nothing was written, so nothing was sent.", file=sys.stderr)
        return 1
    return _send(args, parsed, path)


def _diff(args: argparse.Namespace) -> list[DiffLine]:
    with tempfile.TemporaryFile() as file:
        fetch_patch(args, file)
        if file.tell() > MAX_PATCH:
            raise ClientError(
                f"the diff has {file.tell():,} bytes, too many for an editor",
                code="too_large",
                hint="review a part of it: rover review TASK PATH...",
            )
        file.seek(0)
        diff = diff_lines_of(file.read().decode("utf-8", "backslashreplace"))
    if not diff:
        raise ClientError("the task has changed nothing, so there is no diff", code="no_diff")
    return diff


# Said before the editor opens: nobody wants to hear it after the writing.
def _check_can_iterate(task: Json) -> None:
    from rover_mcp.domain.task_status import Event, sources

    if task["status"] not in sources(Event.ITERATE):
        raise ClientError(
            f"task {task['number']} is {task['status']}; it can be reviewed once it has ended",
            code="not_iterable",
            hint="rover diff shows its work so far",
        )


def _parsed(args: argparse.Namespace, diff: list[DiffLine], text: str, path: Path | None) -> Review:
    try:
        return parse_review(diff, text)
    except DamagedReview as error:
        raise ClientError(
            f"the review cannot be read: {error}{_kept(path)}",
            code="damaged_review",
            hint=f"repair it, then: {_again(args, path)}",
        ) from error


def _send(args: argparse.Namespace, parsed: Review, path: Path | None) -> int:
    """Send the review; `path` is removed once it has arrived."""
    comments = [vars(comment) for comment in parsed.comments]
    try:
        result = call(
            args,
            "iterate_task",
            **of_task(args),
            instructions=parsed.instructions or None,
            comments=comments or None,
        )
    except ClientError as error:
        if path:
            error.message += _kept(path)
            error.hint = f"{error.hint or 'once that is settled'}; then: {_again(args, path)}"
        raise
    if path:
        path.unlink(missing_ok=True)
    if not args.watch:
        show(args, result, render.task)
        return 0
    args.task, args.repo = result["task"]["id"], None
    return follow(args, result["task"])


def _kept(path: Path | None) -> str:
    return f"; your text is in {path}" if path else ""


def _again(args: argparse.Namespace, path: Path | None) -> str:
    place = shlex.quote(str(path or args.file))
    paths = "".join(f" {shlex.quote(one)}" for one in args.paths)
    return f"rover review {clean(args.task)}{paths} --file {place}"
