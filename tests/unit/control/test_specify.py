"""What a task's sandbox is told of the user's own agents."""

from __future__ import annotations

from pathlib import Path

from agent_runner.acp_programs import AcpProgram
from rover_mcp.config.settings import Settings
from rover_mcp.control.checkpoint import Checkpoint
from rover_mcp.control.sandbox_spec import make_folders, sandbox_spec
from rover_mcp.domain.paths import TaskFolders
from tests.support.samples import task_row

WORKFLOW = """\
version: "1.0"
name: two
description: Two agents.
steps:
  - {id: a, type: agent, name: A, prompt: do it}
  - {id: b, type: agent, name: B, prompt: do it, tool: second}
"""


def test_a_task_is_told_of_the_agents_that_it_uses_and_no_other(tmp_path: Path) -> None:
    """M2: an entry of agent_programs may hold a login; it is inside where it is needed alone."""
    names = ("first", "second", "third")
    programs = {n: AcpProgram(acp=(n,), environment={"KEY": f"of-{n}"}) for n in names}
    settings = Settings(home=tmp_path, agent_programs=programs)
    task = task_row(agent="first")
    folders = TaskFolders(tmp_path, task.id, task.iteration)
    folders.input.mkdir(parents=True)
    (folders.input / "workflow.yaml").write_text(WORKFLOW)
    make_folders(folders, 1)
    spec = sandbox_spec(settings, task, 1, Checkpoint())
    assert set(spec.run.agents) == {"first", "second"}
    assert "of-third" not in spec.run.model_dump_json()
