"""What a command prints of a result."""

from __future__ import annotations

import io

from rover_mcp.cli import render
from rover_mcp.cli.text import Paint

ID = "d" * 32


def test_what_is_not_deleted_yet_is_told_with_the_command_that_deletes_it() -> None:
    item = {"what": "work", "kept": False, "detail": "1 snapshot"}
    result = {"task_id": ID, "deleted": False, "items": [item]}
    assert render.deleted(result, Paint(io.StringIO()))[-1].endswith(f"rover delete {ID} --yes")
    assert render.deleted({**result, "deleted": True}, Paint(io.StringIO()))[-1] == "Deleted."
