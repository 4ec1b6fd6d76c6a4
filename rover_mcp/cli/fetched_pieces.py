"""Receives what the daemon sends in pieces, as progress."""

from __future__ import annotations

import argparse
import hashlib
from base64 import b64decode
from pathlib import Path
from typing import IO

from agent_runner.json_object import Json
from rover_mcp.cli.client import ClientError
from rover_mcp.cli.tool_commands import connect, of_task


def fetch_pieces(
    args: argparse.Namespace, method: str, what: str, file: IO[bytes], **more: object
) -> None:
    """Write to a file what a method sends of the task that is named. `what` it is called in an
    error.

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
    repo = place["repo_path"] and str(Path(place["repo_path"]).absolute())
    try:
        params = {"task": place["task"], "repoPath": repo, **more}
        result = client.request_for_long(method, params)
    finally:
        client.close()
    if result["sha256"] != digest.hexdigest():
        raise ClientError(
            f"the {what} of {result['bytes']} bytes arrived incomplete",
            code="protocol",
            hint="run the command again",
        )
