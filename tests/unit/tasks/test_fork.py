"""A new task from a snapshot of another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_runner.models import AgentSession, Budget
from rover_mcp.domain.errors import Conflict, EnvironmentFault, NeedsConsent, NotFound, UserFixable
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.domain.task_links import ForkedFrom
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.forked_sessions import copy_sessions
from tests.support.desk import ServerHarness, with_settings
from tests.unit.tasks.test_history import with_journals
from tests.unit.tasks.test_iterate import ended

ID = "00000000-0000-4000-8000-000000000001"


def other(desk: ServerHarness) -> TaskRow:
    return with_journals(desk.home, ended(desk))


def fork(
    desk: ServerHarness, task: TaskRow, snapshot: str | None = None, text: str = ""
) -> TaskRow:
    return desk.tasks.fork(desk.caller, task, snapshot, text)


def test_it_is_a_task_of_its_own_with_the_same_settings(desk: ServerHarness) -> None:
    """N14."""
    task = other(desk)
    new = fork(desk, task, "s1")
    assert (new.number, new.status, new.iteration) == (task.number + 1, "NEW", 1)
    for name in ("title", "description", "base_commit", "workflow", "agent", "engine", "config"):
        assert getattr(new, name) == getattr(task, name), name
    assert new.branch != task.branch
    assert new.gateway_token != task.gateway_token
    assert new.links is not None
    assert new.links.forked_from == ForkedFrom(task=task.id, number=task.number, snapshot="s1")
    assert [attempt.task_id for attempt in desk.control.enqueued] == [new.id]
    view = desk.tasks.view(new)
    assert view.origin == f"forked from task {task.number} at s1"


def test_it_starts_from_the_snapshot_with_what_was_finished_there(desk: ServerHarness) -> None:
    """N14."""
    new = fork(desk, other(desk), "s1")
    given = new.iteration_input
    assert given is not None
    assert given.begin is not None
    assert (given.begin.sequence, given.begin.commit) == (1, f"{1:040}")
    assert [step.id for step in given.carried if step.finished] == ["plan"]
    assert (given.instructions, given.usage.tokens) == (None, 0)
    folders = TaskFolders(desk.home, new.id, 1)
    assert (folders.run / "bundles" / given.begin.bundle).read_text() == f"{1:040}"
    assert (folders.input / "workflow.yaml").is_file()


def test_with_instructions_it_runs_the_workflow_for_these(desk: ServerHarness) -> None:
    new = fork(desk, other(desk), "s2", "Use a queue\nand no lock")
    given = new.iteration_input
    assert given is not None
    assert given.instructions is not None
    assert (given.instructions.text, given.carried) == ("Use a queue\nand no lock", ())
    assert new.title == "Use a queue"


def test_another_agent_may_do_it(desk: ServerHarness) -> None:
    new = desk.tasks.fork(desk.caller, other(desk), "s1", agent="scripted, claude")
    assert (new.agent, new.agents, new.model) == ("scripted", ["scripted", "claude"], None)
    with pytest.raises(UserFixable):
        desk.tasks.fork(desk.caller, other(desk), "s1", agent="nobody")


def test_what_cannot_be_forked_leaves_nothing(desk: ServerHarness) -> None:
    task, bare = other(desk), ended(desk)
    before = desk.files()
    with pytest.raises(NotFound):
        fork(desk, task, "s9")
    with pytest.raises(Conflict, match="no snapshot yet"):
        fork(desk, bare)
    desk.work.fault = EnvironmentFault("the hub is gone")
    with pytest.raises(EnvironmentFault):
        fork(desk, task)
    assert desk.files() == before
    assert desk.control.enqueued == []


def test_a_budget_that_was_allowed_for_one_task_is_not_allowed_for_two(desk: ServerHarness) -> None:
    task = other(desk)
    desk.store.tasks.update(task.id, budget=Budget(usd=50))
    with_settings(desk, budget=Budget(usd=5))
    wide = desk.store.tasks.get(task.id)
    assert wide is not None
    with pytest.raises((NeedsConsent, UserFixable)):
        fork(desk, wide)


def sessions_of(folder: Path, *, link: bool = False, name: str = ID) -> dict[str, AgentSession]:
    place = folder / "tasks" / "a" / "home" / ".claude" / "projects" / "-workspace"
    place.mkdir(parents=True)
    (folder / "secret").write_text("secret")
    if link:
        (place / f"{ID}.jsonl").symlink_to(folder / "secret")
    else:
        (place / f"{ID}.jsonl").write_text("talk")
    return copy_sessions(
        TaskFolders(folder, "a", 1),
        TaskFolders(folder, "b", 1),
        {"plan": AgentSession(agent="claude", session_id=name)},
        "bubblewrap",
    )


def test_a_conversation_goes_with_it_as_a_copy(tmp_path: Path) -> None:
    """N14."""
    copied = sessions_of(tmp_path)
    assert copied == {"plan": AgentSession(agent="claude", session_id=ID, fork=True)}
    [file] = (tmp_path / "tasks" / "b" / "home").rglob("*.jsonl")
    assert file.read_text() == "talk"
    assert file.parent.name == "-workspace"


@pytest.mark.parametrize(("link", "name"), [(True, ID), (False, "../../../../secret")])
def test_nothing_else_is_read_through_a_home_that_an_agent_wrote(
    tmp_path: Path, *, link: bool, name: str
) -> None:
    assert sessions_of(tmp_path, link=link, name=name) == {}
    assert list((tmp_path / "tasks").glob("b/home/**/*.jsonl")) == []
