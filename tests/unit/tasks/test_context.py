"""What a task is given to read: kept with the task, or nothing is created."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent_runner.spec import ContextFile, Paths
from rover_mcp.control.checkpoint import Checkpoint
from rover_mcp.control.sandbox_spec import make_folders, sandbox_spec
from rover_mcp.domain.errors import EnvironmentFault, UserFixable
from rover_mcp.domain.paths import TaskFolders
from tests.support.desk import ServerHarness
from tests.support.requests import create_request


def test_a_file_is_kept_with_its_origin_size_and_hash(desk: ServerHarness) -> None:
    """O2: and the runner is given it."""
    (desk.repo / "plan.md").write_text("first, second")
    view = desk.tasks.create(desk.caller, create_request("Fix the sum", context=["plan.md"]))
    task = desk.store.tasks.get(view.id)
    assert task is not None
    assert task.config is not None
    (entry,) = task.config.context
    kept = desk.home / "tasks" / task.id / "input" / "context" / entry.name
    assert kept.read_text().endswith("first, second\n")
    assert entry.bytes == kept.stat().st_size
    assert entry.origin == str(desk.repo / "plan.md")

    folders = TaskFolders(desk.home, task.id, 1)
    make_folders(folders, 1)
    assert (folders.spec(1) / "context" / entry.name).read_bytes() == kept.read_bytes()
    spec = sandbox_spec(desk.tasks.settings, task, 1, Checkpoint())
    assert spec.run.context == (
        ContextFile(name=entry.name, origin=entry.origin, title=entry.title),
    )
    shown = desk.tasks.inspect(task, full=True)
    assert shown.context is not None
    assert shown.context[0].sha256 == entry.sha256
    assert Paths.model_fields["context"].default == Path("/rover/spec/context")


def test_context_that_cannot_be_fetched_creates_nothing(desk: ServerHarness) -> None:
    """O5."""
    files = desk.files()
    with pytest.raises(EnvironmentFault, match="Name or service not known") as failed:
        desk.tasks.create(
            desk.caller, create_request("Fix the sum", context=["https://example.org/a"])
        )
    assert failed.value.code == "context_not_fetched"
    assert desk.store.tasks.page() == []
    assert desk.files() == files


def test_a_caller_over_http_gets_no_file_of_this_machine(desk: ServerHarness) -> None:
    """O6: nor the sign-in of this machine's user at a forge."""
    (desk.repo / "plan.md").write_text("x")
    caller = replace(desk.caller, user="ann", projects=(desk.repo,))
    with pytest.raises(UserFixable, match="only a caller on this machine"):
        desk.tasks.create(caller, create_request("Fix the sum", context=["plan.md"]))
