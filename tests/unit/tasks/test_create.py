"""Creating a task: everything is checked first, and bad input leaves nothing behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent_runner.models import Budget
from agent_runner.worktree.disk_watch import FreeDiskSpace
from rover_mcp.domain.errors import EnvironmentFault, NotFound, RoverError, UserFixable
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.cautions import DIRTY
from rover_mcp.tasks.disk_space import TreeSize
from rover_mcp.testing.fake_engine import FakeEngine
from tests.support.desk import ServerHarness, with_settings
from tests.support.requests import create_request
from tests.support.samples import COMMIT


def create(desk: ServerHarness, description: str = "Fix the sum\n\nin detail", **changes: Any):
    return desk.tasks.create(desk.caller, create_request(description, **changes))


def test_a_task_is_recorded_and_its_first_attempt_queued(desk: ServerHarness) -> None:
    view = create(desk)
    task = desk.store.tasks.get(view.id)
    assert task is not None
    assert (task.status, task.title, task.description) == (
        TaskStatus.NEW,
        "Fix the sum",
        "Fix the sum\n\nin detail",
    )
    assert (task.base_branch, task.base_commit, task.branch) == (
        "main",
        COMMIT,
        "rover/1-fix-the-sum",
    )
    assert (task.workflow, task.agent, task.client_id) == ("swe", "claude", desk.caller.client_id)
    assert task.inputs == {"test_command": "make test", "style": "plain"}
    assert [(a.task_id, a.attempt) for a in desk.control.enqueued] == [(task.id, 1)]
    assert desk.repositories.prepared == ["repo"]
    assert (desk.home / "tasks" / task.id / "input" / "workflow.yaml").is_file()
    assert view.phase == "queued"


def test_the_gateways_token_is_new_for_each_task_and_never_shown(desk: ServerHarness) -> None:
    views = [create(desk), create(desk)]
    tokens = {t.gateway_token for t in desk.store.tasks.page()}
    assert len(tokens) == 2
    assert not any(token in view.model_dump_json() for token in tokens for view in views)


def test_the_same_request_key_returns_the_same_task(desk: ServerHarness) -> None:
    first = create(desk, request_key="k")
    files = desk.files()
    assert create(desk, "other", request_key="k").id == first.id
    assert len(desk.control.enqueued) == len(desk.store.tasks.page()) == 1
    assert desk.files() == files


def test_uncommitted_changes_are_named(desk: ServerHarness) -> None:
    desk.repositories.dirty = True
    assert create(desk).warnings == [DIRTY]


@pytest.mark.parametrize("given", ["../repo", "{repo}", "."])
def test_a_path_is_taken_from_the_callers_folder(desk: ServerHarness, given: str) -> None:
    assert create(desk, repo_path=given.format(repo=desk.repo)).repo_path.endswith("repo")


def test_the_home_folder_of_a_user_that_does_not_exist_is_refused(desk: ServerHarness) -> None:
    with pytest.raises(UserFixable) as caught:
        desk.caller.folder("~no-such-user/project")
    assert caught.value.code == "not_a_directory"
    assert caught.value.hint


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"description": ""}, "invalid_description", "description is empty"),
        ({"description": " \n\t\n"}, "invalid_description", "description is empty"),
        ({"repo_path": "/nowhere"}, "no_repository", "not in a git repository"),
        ({"base_branch": "nope"}, "unknown_branch", "no branch nope"),
        ({"workflow": "nope"}, "unknown_workflow", "no workflow 'nope'; there are: .*swe"),
        ({"workflow": "../swe"}, "unknown_workflow", "no workflow '../swe'"),
        (
            {"workflow": "broken"},
            "invalid_workflow",
            r"broken cannot be used: .*broken\.yaml:\d+:\d+",
        ),
        ({"agent": "nope"}, "unknown_agent", "no agent 'nope'; there are: claude, scripted"),
        ({"inputs": {"color": "red"}}, "invalid_inputs", "no input color"),
        ({"workflow": "strict"}, "invalid_inputs", "needs the input style"),
        ({"script": "x: 1"}, "invalid_script", "only for the agent scripted"),
        ({"engine": "bubblewrap"}, "no_engine", "does not work here"),
    ],
)
def test_bad_input_says_what_to_do_and_leaves_nothing_behind(
    desk: ServerHarness, changes: dict[str, Any], code: str, says: str
) -> None:
    before = desk.files()
    with pytest.raises(RoverError, match=says) as caught:
        create(desk, **{"description": "Fix", **changes})
    assert caught.value.code == code
    assert (desk.files(), desk.store.tasks.page(), desk.control.enqueued) == (before, [], [])
    assert (desk.repositories.prepared, desk.store.projects.at(str(desk.repo))) == ([], None)


def test_an_agent_that_the_engine_cannot_start_is_refused(desk: ServerHarness) -> None:
    """M1."""
    desk.world.agents = frozenset({"scripted"})
    with pytest.raises(EnvironmentFault) as caught:
        create(desk)
    assert caught.value.code == "agent_missing"
    assert desk.store.tasks.page() == []


def test_a_full_disk_is_refused_before_anything_is_written(desk: ServerHarness) -> None:
    with_settings(desk, min_free_bytes=2**62)
    with pytest.raises(EnvironmentFault, match="MB left") as caught:
        create(desk)
    assert (caught.value.code, desk.repositories.prepared) == ("disk_full", [])


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        (TreeSize(3 * 1024**3, 9), "take 3072 MB"),
        (TreeSize(1, 2**50), f"has {2**50} files"),
        (TreeSize(1, 9), None),
        (None, None),
    ],
)
def test_a_base_that_the_disk_has_no_room_for_is_refused(
    desk: ServerHarness, monkeypatch: pytest.MonkeyPatch, tree: TreeSize | None, says: str | None
) -> None:
    """With numbers, before anything is written; what cannot be known is no obstacle."""
    floor = desk.tasks.settings.min_free_bytes
    free = FreeDiskSpace(floor + 2 * 1024**3, floor + 2 * 1024**3, 2**40, 2**40)
    monkeypatch.setattr("rover_mcp.tasks.disk_space.free_space", lambda folders: free)
    desk.repositories.tree = tree
    if says is None:
        create(desk)
        return
    with pytest.raises(EnvironmentFault, match=says) as caught:
        create(desk)
    assert (caught.value.code, desk.repositories.prepared) == ("disk_full", [])


def test_files_that_cannot_be_written_leave_no_task(desk: ServerHarness) -> None:
    """A full disk, in the middle."""
    (desk.home / "tasks").rmdir()
    (desk.home / "tasks").write_text("in the way")
    with pytest.raises(EnvironmentFault, match="cannot be written") as caught:
        create(desk)
    assert (caught.value.code, desk.store.tasks.page()) == ("data_folder", [])


def test_a_store_that_fails_leaves_no_files(
    desk: ServerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise RuntimeError("database is locked")

    monkeypatch.setattr(desk.store.tasks, "create_all", full)
    with pytest.raises(RuntimeError, match="locked"):
        create(desk)
    assert not list((desk.home / "tasks").iterdir())


def test_a_long_first_line_becomes_a_short_title(desk: ServerHarness) -> None:
    title = create(desk, "\n  " + "word " * 50).title
    assert len(title) <= 72
    assert title.endswith("…")


@pytest.mark.parametrize(
    ("description", "title"),
    [
        ("\x1b[31mFix\x1b[0m the \x1b]0;owned\x07sum", "Fix the sum"),
        ("\x1b[2J\n\tFix \t it\r\n", "Fix it"),
    ],
)
def test_nothing_is_left_of_escape_sequences_in_a_title(
    desk: ServerHarness, description: str, title: str
) -> None:
    view = create(desk, description)
    assert (view.title, view.branch) == (title, f"rover/1-{title.lower().replace(' ', '-')}")


def test_a_title_of_escape_sequences_alone_is_an_empty_one(desk: ServerHarness) -> None:
    with pytest.raises(UserFixable, match="description is empty"):
        create(desk, "\x1b[31m\x1b[0m\n")


def test_several_agents_and_a_budget_are_kept(desk: ServerHarness) -> None:
    budget = Budget(usd=5, tokens=1000)
    view = create(desk, agents=["scripted", "claude"], budget=budget)
    task = desk.store.tasks.get(view.id)
    assert task is not None
    assert (task.agent, task.agents, task.budget) == ("scripted", ["scripted", "claude"], budget)
    assert (view.agent, view.agents) == ("scripted", ["scripted", "claude"])
    assert view.budget is not None
    assert (view.budget.usd, view.budget.tokens, view.budget.spent_tokens) == (5, 1000, 0)
    with pytest.raises(NotFound, match="no agent 'nope'"):
        create(desk, agents=["claude", "nope"])


@pytest.mark.parametrize(
    ("model", "budget", "warned"),
    [
        ("claude-99", Budget(usd=5, tokens=9), True),
        ("claude-99", Budget(tokens=9), False),
        ("claude-99", None, False),
        ("claude-5", Budget(usd=5), False),
    ],
)
def test_a_budget_in_money_that_counts_only_in_part_is_said_to(
    desk: ServerHarness, model: str, budget: Budget | None, warned: bool
) -> None:
    """Beside one in tokens, which holds."""
    told = [w for w in create(desk, model=model, budget=budget).warnings or [] if "price" in w]
    assert ["(9) holds" in warning for warning in told] == ([True] if warned else [])


def test_a_budget_in_money_that_cannot_be_kept_is_refused_at_once(desk: ServerHarness) -> None:
    """With the line of config.yaml that gives the model a price, and with what would work."""
    before = desk.files()
    with pytest.raises(UserFixable, match="no price is known for anthropic's claude-99") as error:
        create(desk, model="claude-99", budget=Budget(usd=0.01))
    assert error.value.code == "no_price"
    line = 'prices: {anthropic: {"claude-99": {input: INPUT, output: OUTPUT}}}'
    assert line in (error.value.hint or "")
    assert desk.files() == before
    tokens = (error.value.instead or {})["budget_tokens"]
    assert isinstance(tokens, int)
    assert create(desk, model="claude-99", budget=Budget(usd=0.01, tokens=tokens))


def test_the_projects_workflow_comes_before_the_users(desk: ServerHarness) -> None:
    folder = desk.repo / ".rover" / "workflows"
    folder.mkdir(parents=True)
    source = (desk.home / "workflows" / "swe.yaml").read_text().replace("make test", "ours")
    (folder / "swe.yaml").write_text(source)
    desk.trust()
    task = desk.store.tasks.get(create(desk).id)
    assert task is not None
    assert task.inputs["test_command"] == "ours"
    sources = {w["name"]: w["source"] for w in desk.status.workflows(desk.caller, None)}
    assert (sources["swe"], sources["strict"], sources["quick"]) == ("project", "user", "built-in")


def test_given_inputs_come_before_defaults(desk: ServerHarness) -> None:
    task = desk.store.tasks.get(create(desk, inputs={"style": "terse"}).id)
    assert task is not None
    assert task.inputs == {"test_command": "make test", "style": "terse"}


def test_a_script_is_kept_for_the_scripted_agent(desk: ServerHarness) -> None:
    script = "steps: {}\n"
    view = create(desk, agent="scripted", script=script)
    assert (desk.home / "tasks" / view.id / "input" / "script.yaml").read_text() == script


def test_a_script_with_an_error_leaves_no_task(desk: ServerHarness) -> None:
    before = desk.files()
    for script in ("steps: [", "unknown: 1", "x" * 2_000_000):
        with pytest.raises(UserFixable, match=r"script\.yaml") as caught:
            create(desk, agent="scripted", script=script)
        assert caught.value.code == "invalid_script"
    assert (desk.files(), desk.store.tasks.page(), desk.control.enqueued) == (before, [], [])


def test_a_folder_outside_any_repository_says_so(desk: ServerHarness, tmp_path: Path) -> None:
    nowhere = Caller("d" * 32, tmp_path)
    with pytest.raises(UserFixable, match="not in a git repository"):
        desk.tasks.create(nowhere, create_request("Fix"))
    with pytest.raises(NotFound):
        desk.tasks.finder.find(nowhere, "1")


def test_an_engine_without_isolation_is_told_on_the_task(
    desk: ServerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeEngine, "warning", "NO ISOLATION")
    assert create(desk).warnings == ["NO ISOLATION"]


# The project's configuration


def configure(desk: ServerHarness, text: str) -> None:
    (desk.repo / ".rover").mkdir(exist_ok=True)
    (desk.repo / ".rover" / "config.yaml").write_text(text)


def trusted(desk: ServerHarness, text: str) -> None:
    configure(desk, text)
    desk.trust()


def test_the_projects_configuration_is_kept_with_the_task_and_shown(desk: ServerHarness) -> None:
    """A resume days later does the same, whatever the file says then."""
    (desk.repo / ".env").write_text("KEY=hunter2")
    trusted(
        desk,
        "agents: [scripted, claude]\nmodel: large\nlimits: {memory: 1GiB}\ncopy: [.env]\n"
        "environment: {PORT: 8080}\nhooks: {after_task: [make lint]}\nbudget: {usd: 5}\n",
    )
    view = create(desk, workflow="strict", inputs={"style": "x"})
    configure(desk, "agent: claude\n")
    task = desk.store.tasks.get(view.id)
    assert task is not None
    assert task.config is not None
    assert (task.agents, task.model, task.budget) == (
        ["scripted", "claude"],
        "large",
        Budget(usd=5),
    )
    assert (task.config.limits.memory, task.config.copies) == (2**30, (".env",))
    shown = desk.tasks.view(task, full=True).config
    assert shown is not None
    assert shown["agent"] == "scripted, claude (.rover/config.yaml)"
    assert shown["workflow"] == "strict (call)"
    assert shown["engine"] == "fake (default)"
    assert shown["limits.memory"] == "1 GiB (.rover/config.yaml)"
    assert shown["environment.PORT"] == "8080 (.rover/config.yaml)"
    assert desk.tasks.view(task).config is None
    assert view.warnings == [
        ".rover/config.yaml: the agent can read .env, copied from your checkout"
    ]
    kept = desk.home / "tasks" / task.id / "input" / "copies.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert "hunter2" not in desk.tasks.view(task, full=True).model_dump_json()


def test_a_configuration_with_an_error_makes_no_task(desk: ServerHarness) -> None:
    configure(desk, "agent: claude\nnope: 1\n")
    files = desk.files()
    with pytest.raises(UserFixable, match=r"^\.rover/config\.yaml:2:1: unknown key") as caught:
        create(desk)
    assert caught.value.code == "invalid_config"
    assert "rover config check" in str(caught.value.hint)
    assert (desk.files(), desk.store.tasks.page()) == (files, [])


def linked(desk: ServerHarness) -> None:
    (desk.repo / "secret").symlink_to("/etc/passwd")


def tracked(desk: ServerHarness) -> None:
    (desk.repo / "secret").write_text("x")
    desk.repositories.in_git.append("secret")


def large(desk: ServerHarness) -> None:
    (desk.repo / "secret").write_bytes(b"x" * (1024**2 + 1))


@pytest.mark.parametrize(
    ("make", "says"),
    [(linked, "symbolic link"), (tracked, "git tracks it"), (large, "larger than")],
)
def test_a_file_that_may_not_be_copied_makes_no_task(
    desk: ServerHarness, make: Any, says: str
) -> None:
    make(desk)
    trusted(desk, "copy: [secret]\n")
    files = desk.files()
    with pytest.raises(UserFixable, match=says):
        create(desk)
    assert (desk.files(), desk.store.tasks.page()) == (files, [])


def test_a_file_that_is_not_there_is_left_out_and_told(desk: ServerHarness) -> None:
    trusted(desk, "copy: [.env]\n")
    view = create(desk)
    assert view.warnings == [
        ".rover/config.yaml: copy: .env is not in your checkout; the task goes without it"
    ]
    task = desk.store.tasks.get(view.id)
    assert task is not None
    assert task.config is not None
    assert task.config.copies == ()


def test_programs_that_the_sandbox_lacks_are_a_warning(
    desk: ServerHarness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = b'{"engines": {"node": "99"}}'
    desk.repositories.committed |= {"go.mod": b"module x", "package.json": package}
    assert not any("lacks" in w for w in create(desk).warnings or ()), "an image is not looked into"
    node = tmp_path / "bin" / "node"
    node.parent.mkdir()
    node.write_text("#!/bin/sh\necho v20.1.0\n")
    node.chmod(0o755)
    monkeypatch.setattr(FakeEngine, "programs", str(node.parent))
    [told] = [w for w in create(desk).warnings or () if "lacks" in w]
    assert "go.mod asks for go" in told
    assert f"package.json asks for node 99, and {node} is 20.1.0" in told
    assert "toolchains" in told


def test_a_probable_mistake_in_a_workflow_is_a_warning_of_its_tasks(desk: ServerHarness) -> None:
    """D.13."""
    (desk.home / "workflows" / "mine.yaml").write_text(
        'version: "1.0"\nsteps: [{id: a, type: agent, prompt: "{{task.title}}"}]\n'
    )
    [told] = [w for w in create(desk, workflow="mine").warnings or () if "mine.yaml" in w]
    assert "mine.yaml:2:8: no step is given {{task.description}}" in told


def test_a_step_that_names_an_agent_that_there_is_not_is_refused_at_once(
    desk: ServerHarness,
) -> None:
    """B4: not in the middle of the task; the scripted agent plays every part."""
    (desk.home / "workflows" / "mine.yaml").write_text(
        'version: "1.0"\nsteps: [{id: a, type: agent, tool: claud, prompt: "{{task.description}}"}]\n'
    )
    with pytest.raises(UserFixable, match="names an agent that does not exist: 'claud'") as caught:
        create(desk, workflow="mine", agent="claude")
    assert "did you mean claude?" in (caught.value.hint or "")
    assert create(desk, workflow="mine", agent="scripted").status is TaskStatus.NEW


def test_with_a_mistake_in_config_yaml_no_new_task_is_made(desk: ServerHarness) -> None:
    """A4: what it should have said may be stricter than what counts until then."""
    made = desk.tasks.create_task
    made.settings = made.settings.model_copy(update={"wrong": "config.yaml:2: no such setting"})
    with pytest.raises(EnvironmentFault, match=r"config\.yaml:2") as caught:
        create(desk)
    assert "rover config check" in (caught.value.hint or "")
