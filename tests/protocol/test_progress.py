"""What a client that waits is told meanwhile."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.frames import LEGACY, MODERN, LauncherClient
from tests.support.scripts import script


@pytest.mark.parametrize("era", [LEGACY, MODERN])
def test_progress_rises_at_every_notification(shared: Path, era: str) -> None:
    """14-9: a task's own progress stands still while its phases change."""
    with LauncherClient(shared / "data", shared / "repo") as client:
        client.open(era)
        made = client.tool(
            "create_task", description="Nothing", agent="scripted", engine="bubblewrap",
            workflow="quick", script=script(implement=[{"say": "done"}]),
        )["task"]  # fmt: skip
        call = {"name": "wait_for_task", "arguments": {"task": made["id"], "timeout_s": 170}}
        waited = client.request("tools/call", {**call, "_meta": {"progressToken": "p"}})
        assert waited["result"]["structuredContent"]["returned"] == "ended"
        told = [f["params"] for f in client.frames if f.get("method") == "notifications/progress"]
    assert len(told) > 1
    assert all(one["progressToken"] == "p" for one in told)
    assert all(a["progress"] < b["progress"] for a, b in pairwise(told)), told
