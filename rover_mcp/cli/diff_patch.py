"""`rover diff --patch`: prints the complete patch, as `git apply` reads it, and readable at a
terminal."""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from base64 import b64decode
from pathlib import Path
from typing import IO

from agent_runner.json_object import Json
from rover_mcp.cli.client import ClientError
from rover_mcp.cli.render_diff import patch_lines
from rover_mcp.cli.terminal_text import Paint
from rover_mcp.cli.tool_commands import connect, of_task

COPY_BYTES = 1 << 20


def patch(args: argparse.Namespace) -> int:
    """Write the patch to standard output once it is complete: `git apply` rejects a part of one.

    Raises:
        ClientError: it is not available, arrived incomplete, or JSON was asked for.
    """
    if args.json:
        raise ClientError(
            "a patch is bytes and not JSON", code="usage", hint="leave --json or --patch out"
        )
    with tempfile.TemporaryFile() as file:
        fetch_patch(args, file)
        file.seek(0)
        if sys.stdout.isatty():
            text = file.read().decode("utf-8", "backslashreplace")
            print("\n".join(patch_lines(text, Paint(sys.stdout))))
            return 0
        sys.stdout.flush()
        while data := file.read(COPY_BYTES):
            sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    return 0


def fetch_patch(args: argparse.Namespace, file: IO[bytes]) -> None:
    """Write a task's complete patch to a file.

    Raises:
        ClientError: it is not available, or arrived incomplete.
    """
    digest = hashlib.sha256()

    def take(message: Json) -> None:
        if message.get("method") == "notifications/progress":
            piece = b64decode(str(message["params"]["message"]), validate=True)
            digest.update(piece)
            file.write(piece)

    place = of_task(args)
    client = connect(args)
    client.on_notification = take
    try:
        result = client.request_for_long(
            "rover/patch",
            {
                "task": place["task"],
                "repoPath": place["repo_path"] and str(Path(place["repo_path"]).absolute()),
                "paths": args.paths,
            },
        )
    finally:
        client.close()
    if result["sha256"] != digest.hexdigest():
        raise ClientError(
            f"the patch of {result['bytes']} bytes arrived incomplete",
            code="protocol",
            hint="run the command again",
        )
