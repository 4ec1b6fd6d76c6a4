"""iterate_task in raw frames: comments in the forms that models write, and refusals that help."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.protocol.test_delete import ended
from tests.support.frames import LEGACY, MODERN, LauncherClient, ToolError
from tests.support.scripts import fix_after_credits


@pytest.mark.parametrize("era", [LEGACY, MODERN])
def test_a_task_that_ended_gets_new_instructions(shared: Path, era: str) -> None:
    """N7."""
    with LauncherClient(shared / "data", shared / "repo") as client:
        client.open(era)
        task = ended(client)
        begun = client.tool(
            "iterate_task", task=str(task["number"]), instructions="Once more",
            comments=["new.txt:1: is that all?"],
        )["task"]  # fmt: skip
        assert (begun["id"], begun["status"], begun["iteration"]) == (task["id"], "ITERATING", 2)
        done = client.wait_until(task["id"], "COMPLETED")
        assert (done["iteration"], done["branch"]) == (2, task["branch"])


def test_a_call_that_cannot_work_says_which_one_does(shared: Path) -> None:
    """H4, N7."""
    with LauncherClient(shared / "data", shared / "repo") as client:
        client.open(MODERN)
        done = ended(client)
        with pytest.raises(ToolError) as nothing:
            client.tool("iterate_task", task=done["id"])
        assert nothing.value.error["code"] == "invalid_instructions"
        paused = client.tool(
            "create_task", description="Fix add", workflow="demo", agent="scripted",
            engine="bubblewrap", script=fix_after_credits(),
        )["task"]  # fmt: skip
        client.wait_until(paused["id"], "PAUSED")
        with pytest.raises(ToolError) as refused:
            client.tool("iterate_task", task=paused["id"], instructions="Once more")
        assert refused.value.error["code"] == "not_iterable"
        assert refused.value.error["next_call"]["tool"] == "resume_task"
