"""`rover iterate`: new instructions and review comments for a task that has ended."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from agent_runner.json_object import Json
from rover_mcp.cli import render
from rover_mcp.cli.client import ClientError
from rover_mcp.cli.tool_commands import call, follow, of_task, show
from rover_mcp.config.safe_read import FileRefused, read_regular

MAX_INSTRUCTIONS = 50_000
_COMMENT = re.compile(r"(?P<file>[^:]+):(?P<line>[1-9][0-9]{0,8}):\s*(?P<text>.+)", re.DOTALL)


def iterate(args: argparse.Namespace) -> int:
    """Begin the next iteration; with --watch, follow it until it stops.

    Raises:
        ClientError: the instructions are given twice or cannot be read, or a comment names no line.
    """
    result = call(
        args,
        "iterate_task",
        **of_task(args),
        instructions=_instructions(args) or None,
        comments=[_comment(text) for text in args.comment] or None,
        from_snapshot=getattr(args, "snapshot", None),
    )
    if not args.watch:
        show(args, result, render.task)
        return 0
    args.task, args.repo = result["task"]["id"], None
    return follow(args, result["task"])


def _instructions(args: argparse.Namespace) -> str:
    if not args.file:
        return sys.stdin.read() if args.instructions == "-" else args.instructions
    if args.instructions:
        raise ClientError(
            "give the instructions either as an argument or with --file", code="invalid_arguments"
        )
    try:
        return read_regular(Path(args.file), MAX_INSTRUCTIONS).decode()
    except (FileRefused, UnicodeDecodeError) as error:
        raise ClientError(f"--file {args.file}: {error}", code="invalid_arguments") from error


def _comment(text: str) -> Json:
    parts = _COMMENT.fullmatch(text)
    if parts is None:
        raise ClientError(
            f"--comment {text[:80]}: expected PATH:LINE:TEXT",
            code="invalid_arguments",
            hint="for example --comment 'src/sum.py:12: name this total'",
        )
    return {"file": parts["file"], "line": int(parts["line"]), "text": parts["text"]}
