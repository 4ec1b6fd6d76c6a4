"""`rover diff --patch`: prints the complete patch, as `git apply` reads it, and readable at a
terminal."""

from __future__ import annotations

import argparse
import sys
import tempfile
from typing import IO

from rover_mcp.cli.client import ClientError
from rover_mcp.cli.fetched_pieces import fetch_pieces
from rover_mcp.cli.render_diff import patch_lines
from rover_mcp.cli.terminal_text import Paint

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
    """Write a task's complete patch to a file. Raises as `fetch_pieces` does."""
    fetch_pieces(args, "rover/patch", "patch", file, paths=args.paths)
