"""What a user gives a task to read is there for the agent, on each engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.frames import LauncherClient, ToolError
from tests.support.repos import FIXED
from tests.support.scripts import script

ENGINES = ["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_agent_reads_the_files_that_it_was_given(
    client: LauncherClient, repository: Path, engine: str
) -> None:
    """O2."""
    (repository / "plan.md").write_text("the answer is 42")
    # Only what the agent finds in the sandbox can make this step succeed.
    reads = "grep -q 'the answer is 42' /rover/spec/context/01-file.txt && ! touch /rover/spec/x"
    played = script(
        plan=[{"say": "planned", "outputs": {"plan": "p"}}],
        implement=[
            {
                "say": "done",
                "outputs": {"summary": "s"},
                "edits": [{"path": "calc.py", "content": FIXED}],
                "run": reads,
            }
        ],
    )
    made = client.tool(
        "create_task", description="Fix add", workflow="demo", agent="scripted", engine=engine,
        script=played, context=["plan.md"],
    )["task"]  # fmt: skip
    done = client.wait_until(made["id"], "COMPLETED")
    full = client.tool("inspect", task=done["id"], detail="full")["task"]
    assert full["context"][0]["origin"] == str(repository / "plan.md")


def test_context_that_cannot_be_had_creates_no_task(
    client: LauncherClient, repository: Path
) -> None:
    """O5: a page on this machine is not fetched either."""
    for name in ("nothing.md", "https://127.0.0.1:1/a", "github:issue/1"):
        with pytest.raises(ToolError, match="context"):
            client.tool(
                "create_task", description="Fix add", agent="scripted", script=script(),
                workflow="demo", context=[name],
            )  # fmt: skip
    assert client.tool("list_tasks")["tasks"] == []
