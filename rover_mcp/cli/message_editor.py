"""`rover merge --edit`: the commit's message in the user's editor, as git commit has it."""

from __future__ import annotations

import argparse
from pathlib import Path

from rover_mcp.cli.client import ClientError
from rover_mcp.cli.text_editor import edited, new_text_file
from rover_mcp.cli.tool_commands import home_of
from rover_mcp.domain.text import visible

FOLDER = "reviews"
HELP = """
# The message of the merge's commit. Lines that begin with "#" are left out, and
# an empty message stops the merge. Rover adds the trailers that name the task.
"""


def edit_message(args: argparse.Namespace, task_id: str, offered: str) -> str:
    """The message as the user leaves it.

    Raises:
        ClientError: the editor failed, or the message is empty.
    """
    text = f"{visible(offered)}\n{HELP}"
    path = new_text_file(Path(home_of(args), FOLDER), task_id, text)
    message = without_comments(edited(path, text))
    path.unlink(missing_ok=True)
    if not message:
        raise ClientError("the message is empty, so nothing is merged", code="empty_message")
    return message


def without_comments(text: str) -> str:
    """A message without the lines that git, too, would leave out."""
    lines = (line.rstrip() for line in text.splitlines() if not line.startswith("#"))
    return "\n".join(lines).strip()
