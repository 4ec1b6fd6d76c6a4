"""What a terminal shows of a pause, and commands that can be copied."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent_runner.worktree.worktree_scripts import BASE_LOST, UNUSABLE
from rover_mcp.cli import command_line, render
from rover_mcp.cli.cli_wording import for_terminal
from rover_mcp.cli.copyable_command import command_for, name_of, next_step
from rover_mcp.cli.listing import task_rows
from rover_mcp.cli.pauses import pause_lines
from rover_mcp.cli.terminal_text import Paint, clean, width_of
from rover_mcp.control.plane import WORK_IS_KEPT
from rover_mcp.server.tools import TOOLS
from tests.support.repos import git, make_repository
from tests.unit.cli.conftest import NOW, task_json

Json = dict[str, Any]
ID = "a" * 32


def paint(width: int | None = None) -> Paint:
    made = Paint(io.StringIO(), lambda: NOW)
    made.width = width
    return made


def paused(**changes: Any) -> Json:
    pause = {
        **task_json()["pause"],
        "since": (NOW - timedelta(minutes=3)).isoformat(),
        "retry_at": (NOW + timedelta(minutes=12)).isoformat(),
        "account": "anthropic-1a2b3c4d",
        "where": "step 2 of 3: fix, iteration 2 of 5: test",
        "retries": 1,
        **changes,
    }
    actions = [
        {"tool": "resume_task", "arguments": {"task": ID}, "why": "add credits"},
        {"tool": "resume_task", "arguments": {"task": ID, "agent": "codex"}, "why": "let codex"},
        {
            "tool": "set_auto_resume",
            "arguments": {"enabled": False, "task": ID},
            "why": "do not resume it automatically",
        },
    ]
    return task_json(pause=pause, next_actions=actions)


def clock(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone().strftime("%H:%M %Z")


@pytest.mark.parametrize("width", [None, 100, 60, 40])
def test_a_pause_shows_since_when_why_whose_account_and_until_when(width: int | None) -> None:
    """D10, H6, K7: and how to switch the resumption off, for one task, a project and all."""
    task = paused()
    lines = pause_lines(task, paint(width))
    text = " ".join(" ".join(lines).split())
    past = "" if width == 40 else " (3 min ago)"
    assert text.startswith(f"Paused since {clock(task['pause']['since'])}{past}: credits")
    assert "balance too low" in text
    assert "account anthropic-1a2b3c4d" in text
    assert "in step 2 of 3: fix, iteration 2 of 5: test" in text
    until = clock(task["pause"]["retry_at"])
    assert f"automatically at {until} (in 12 min), automatic resume 2." in text
    assert "off: rover auto-resume off" in text
    assert "--project, --all" in text
    assert all(width is None or width_of(line) <= width for line in lines)


@pytest.mark.parametrize("message", [UNUSABLE, BASE_LOST, f"the run ended; {WORK_IS_KEPT}"])
def test_a_pauses_own_text_names_commands_and_no_tools(message: str) -> None:
    """What the runner and the daemon write there names what an assistant would call."""
    task = paused(message=message)
    step = {"id": "s", "name": "S", "type": "agent", "status": "failed", "error": message}
    result = {"result": "resumed", "message": message, "task": {**task, "steps": [step]}}
    text = " ".join("\n".join([*pause_lines(task, paint()), *render.task(result, paint())]).split())
    assert "resume_task" in message
    assert "resume_task" not in text
    assert text.count(" ".join(message.replace("resume_task", "rover resume").split())) >= 2


@pytest.mark.parametrize(
    "why",
    [
        "automatic resume is switched off for all tasks",
        "it resumed automatically 5 times; resume_task is needed",
        "the budget has to be raised first",
    ],
)
def test_a_pause_that_waits_for_a_person_says_why(why: str) -> None:
    """K3, K7."""
    told = pause_lines(paused(auto_resume=False, waits_because=why, retry_at=None), paint())
    assert told[-1] == f"  It waits for you: {for_terminal(why)}."
    later = pause_lines(paused(auto_resume=False, waits_because=why), paint())[-1]
    assert "Worth a try from " in later


def test_what_a_person_can_do_stands_there_as_commands() -> None:
    """D10: all of it for a paused task."""
    assert next_step(paused(), paint()) == [
        "What you can do:",
        f"  rover resume {ID}                add credits",
        f"  rover resume {ID} --agent codex  let codex",
    ]
    assert next_step(paused(), paint(40)) == [
        "What you can do:",
        f"  rover resume {ID}",
        "      add credits",
        f"  rover resume {ID} --agent codex",
        "      let codex",
    ]


@pytest.mark.parametrize(
    ("tool", "arguments", "command"),
    [
        ("resume_task", {"task": "3"}, "rover resume 3"),
        ("resume_task", {"task": "3", "budget_usd": 10.5}, "rover resume 3 --budget-usd 10.5"),
        ("resume_task", {"task": "3", "budget_tokens": 9}, "rover resume 3 --budget-tokens 9"),
        ("set_auto_resume", {"enabled": True, "task": "3"}, "rover auto-resume on 3"),
        ("set_auto_resume", {"enabled": False, "scope": "all"}, "rover auto-resume off --all"),
        (
            "set_auto_resume",
            {"enabled": True, "scope": "project", "repo_path": "/a b"},
            "rover auto-resume on --project --repo '/a b'",
        ),
        ("inspect", {"task": "3; rm -rf /"}, "rover inspect '3; rm -rf /'"),
        ("resume_task", {"task": "3", "agent": "$(x)\x1b[31m"}, "rover resume 3 --agent '$(x)'"),
        ("inspect", {}, "rover inspect TASK"),
        ("create_task", {}, "rover create DESCRIPTION"),
        ("list_tasks", {"repo_path": "/r"}, "rover list"),
        ("no such tool", {}, "rover --help"),
    ],
)
def test_a_call_is_told_as_a_command_that_can_be_pasted(
    tool: str, arguments: Json, command: str
) -> None:
    assert command_for(tool, arguments) == command


@pytest.mark.parametrize("tool", sorted(TOOLS))
def test_every_tool_has_a_command_that_the_parser_takes(tool: str) -> None:
    """What an assistant can do, a person can do too."""
    words = command_for(tool, {"task": "3", "enabled": False}).split()
    assert words[0] == "rover"
    assert command_line.build_parser().parse_args(words[1:]).run is not None


def test_a_project_is_named_only_where_it_is_another(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    here = {"enabled": False, "scope": "project", "repo_path": os.path.realpath(tmp_path)}
    assert command_for("set_auto_resume", here) == "rover auto-resume off --project"


# The listing


@pytest.mark.parametrize("width", [None, 200, 100, 60, 40])
@pytest.mark.parametrize("title", ["Make it so", "x" * 5000, "表" * 300, "e\u0301" * 300])
def test_a_listing_fits_and_shows_the_provider_and_the_next_retry(
    width: int | None, title: str
) -> None:
    """H6: whatever the titles are, at every width."""
    tasks = [{**paused(account=None), "title": title}, task_json(number=123, title="second")]
    lines = task_rows(tasks, paint(width))
    assert len(lines) == (5 if width in (100, 60, 40) else 3)
    assert all(width is None or width_of(line) <= width for line in lines)
    told = next(line for line in lines if "credits, anthropic" in line)
    if width != 40:
        assert f"resumes at {clock(tasks[0]['pause']['retry_at'])} (in 12 min)" in told
    marked = [line for line in lines if "PAUSED" in line]
    assert len({width_of(line[: line.index("PAUSED")]) for line in marked}) == 1


def test_a_listing_shows_agent_cost_and_project() -> None:
    """C.10: the cost where one is known, the project where there are several."""
    free, paid = task_json(agent="codex"), task_json(cost_usd=0.1364, repo_path="/work/shop")
    assert "cost" not in task_rows([free], paint())[0].split()
    header, first, second = task_rows([free, paid], paint())
    assert header.split() == [
        "#",
        "status",
        "changed",
        "project",
        "agent",
        "cost",
        "phase",
        "title",
    ]
    cells = [
        [cell.strip() for cell in line.split("  ") if cell.strip()] for line in (first, second)
    ]
    assert [row[4:6] for row in cells] == [["repo", "codex"], ["shop", "scripted"]]
    assert "$0.14" in cells[1]
    assert "<$0.01" in task_rows([task_json(cost_usd=0.0004)], paint())[1]


def test_a_listing_says_of_a_task_that_waits_for_a_person_that_it_does() -> None:
    """H6, K7."""
    [_, line] = task_rows([paused(auto_resume=False)], paint())
    assert "credits, anthropic-1a2b3c4d, waits for you" in line


def test_colour_changes_no_column(monkeypatch: pytest.MonkeyPatch) -> None:
    made: Callable[[], Paint] = lambda: paint(100)  # noqa: E731
    plain, painted = made(), made()
    painted.on = True
    tasks = [paused(), task_json(status="FAILED", number=12, pause=None)]
    for one, two in zip(task_rows(tasks, plain), task_rows(tasks, painted), strict=True):
        assert one == clean(two, one_line=False)


@pytest.mark.parametrize(
    ("result", "says"),
    [
        ({"enabled": False, "scope": "task"}, "wait for `rover resume` from now on: 2."),
        ({"enabled": True, "scope": "project"}, "resume automatically again: 2."),
        (
            {"enabled": True, "scope": "task", "still_off": "for all tasks"},
            "No effect yet: it is off for all tasks.",
        ),
    ],
)
def test_a_switch_says_what_it_changed(result: Json, says: str) -> None:
    """K7."""
    told = render.switched({**result, "changed": 2, "attention": []}, paint())
    assert told[0].startswith(
        f"Automatic resume is {'on' if result['enabled'] else 'off'} for this"
    )
    assert says in told[1]


@pytest.mark.parametrize("width", [None, 60])
def test_a_task_is_shown_with_its_budget_its_agents_and_what_is_wrong(width: int | None) -> None:
    """D10: and every line fits."""
    task = {
        **paused(), "agents": ["scripted", "codex"], "model": "large", "warnings": ["w " * 100],
        "budget": {"usd": 5, "spent_usd": 5.2, "tokens": 1000, "spent_tokens": 20},
    }  # fmt: skip
    failed = {**task_json(status="FAILED", pause=None), "error": "tests fail " * 20}
    lines = render.task({"task": task}, paint(width)) + render.task({"task": failed}, paint(width))
    text = "\n".join(lines)
    words = " ".join(text.split())
    assert "$5.2000 of $5.00, 20 of 1,000 tokens" in words
    assert "agent scripted (large), else codex in docker" in words
    assert "Warning: w w" in text
    assert "Error: tests fail" in text
    # Commands stay whole, to be copied.
    told = [line for line in text.splitlines() if not line.startswith("  rover ")]
    assert [x for x in told if width is not None and width_of(x) > width] == []


def test_news_of_other_tasks_are_wrapped_and_counted() -> None:
    event = {"task": "b" * 32, "summary": "task 9 is paused " * 8}
    lines = render.attention({"attention": [event], "attention_more": 3}, paint(60))
    assert lines[1].startswith("! task 9")
    assert lines[-1] == "  and 3 more: rover list --all"
    assert all(width_of(line) <= 60 for line in lines)


def test_news_name_the_project_where_it_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C.10."""
    monkeypatch.chdir(tmp_path)
    event = {"task": "b" * 32, "number": 9, "summary": "task 9 is COMPLETED"}
    here = os.path.realpath(tmp_path)
    for path, told in (("/work/shop", "task 9 of shop"), (here, "task 9"), (None, "task 9")):
        [_, line] = render.attention({"attention": [{**event, "repo_path": path}]}, paint())
        assert line == f"! {told} is COMPLETED"


@pytest.mark.parametrize("bare", [False, True], ids=["main work tree", "bare"])
def test_in_a_linked_work_tree_a_task_is_named_by_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bare: bool
) -> None:
    """Its project is the repository that all work trees share."""
    project = tmp_path / "project"
    make_repository(project)
    if bare:
        git(tmp_path, "clone", "-q", "--bare", str(project), "bare.git")
        project = tmp_path / "bare.git"
    git(project, "worktree", "add", "-q", "--detach", str(tmp_path / "linked"))
    monkeypatch.chdir(tmp_path / "linked")
    assert name_of({"number": 3, "id": ID, "repo_path": str(project)}) == "3"
    assert name_of({"number": 3, "id": ID, "repo_path": str(tmp_path / "other")}) == ID
