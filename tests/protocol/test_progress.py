"""What a client that waits is told meanwhile."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.frames import LEGACY, MODERN, Frame, LauncherClient
from tests.support.gates import GATE, SECOND_GATE, open_gate
from tests.support.scripts import script


def is_progress(frame: Frame) -> bool:
    return frame.get("method") == "notifications/progress"


@pytest.mark.parametrize("era", [LEGACY, MODERN])
def test_progress_rises_at_every_notification(shared: Path, era: str) -> None:
    """14-9: a task's own progress stands still while its phases change."""
    with LauncherClient(shared / "data", shared / "repo") as client:
        client.open(era)
        plan = {"outputs": {"plan": "p"}, "run": GATE}
        made = client.tool(
            "create_task", description="Nothing", agent="scripted", engine="bubblewrap",
            workflow="demo", inputs={"test_command": "true"},
            script=script(plan=[plan], implement=[{"say": "done", "run": SECOND_GATE}]),
        )["task"]  # fmt: skip
        call = {"name": "wait_for_task", "arguments": {"task": made["id"], "timeout_s": 600}}
        number = client.start_request("tools/call", {**call, "_meta": {"progressToken": "p"}})
        client.wait_for(is_progress)
        before = len(client.frames)
        open_gate(client.home, made["id"])
        # It goes from one step to the next, and no further.
        client.wait_for(lambda f: is_progress(f) and f not in client.frames[:before])
        open_gate(client.home, made["id"], SECOND_GATE)
        waited = client.answer(number)
        assert waited["result"]["structuredContent"]["returned"] == "ended"
        told = [f["params"] for f in client.frames if is_progress(f)]
    assert len(told) > 1
    assert all(one["progressToken"] == "p" for one in told)
    assert all(a["progress"] < b["progress"] for a, b in pairwise(told)), told
