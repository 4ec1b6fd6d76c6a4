"""The options of a task: declared once, and few files to touch for a new one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import indent

import pytest
import yaml

from rover_mcp.config.task_options import TaskOptions
from rover_mcp.server.arguments import CreateTaskArguments

ROOT = Path(__file__).parents[3]
MOST_FILES = 10
TOY: dict[str, dict[str, str]] = yaml.safe_load(
    Path(__file__).with_name("toy_option.yaml").read_text("utf-8")
)
OTHER_ARGUMENTS = {
    "description", "repo_path", "base_branch", "after", "inputs", "request_key", "script", "context",
    "context_authors",
}  # fmt: skip
# `agents` of a call are several tasks, each with one agent.
WRITTEN_DIFFERENTLY = {"agents": {"agent", "agents"}, "budget": {"budget_usd", "budget_tokens"}}

CALL = """
import sys
from pathlib import Path
from types import SimpleNamespace

import anyio

from rover_mcp.control.checkpoint import Checkpoint
from rover_mcp.control.sandbox_spec import make_folders, sandbox_spec
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.server.arguments import CreateTaskArguments
from rover_mcp.server.tool_call import Call
from rover_mcp.server.tool_handlers import create_task
from tests.support.desk import open_desk

given = {"description": "Fix it", **dict(pair.split("=") for pair in sys.argv[2:])}
with open_desk(Path(sys.argv[1])) as desk:
    call = Call(desk.session(), SimpleNamespace(tasks=desk.tasks), None)
    result = anyio.run(create_task, call, CreateTaskArguments.model_validate(given))
    task = desk.store.tasks.get(result.task.id)
    make_folders(TaskFolders(desk.home, task.id, 1), 1)
    print(sandbox_spec(desk.tasks.settings, task, 1, Checkpoint()).run.toy)
"""

FLAG = """
from rover_mcp.cli.parser import build_parser
args = build_parser().parse_args(["create", "Fix it", "--toy", "by-flag"])
print({name: getattr(args, name) for name in args.options}["toy"])
"""


def run_in(sources: Path, code: str, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": f"{sources}:{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=sources, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of both packages with the toy option added."""
    folder = tmp_path_factory.mktemp("toy")
    for package in ("rover_mcp", "agent_runner"):
        shutil.copytree(ROOT / package, folder / package)
    for name, change in TOY.items():
        file = folder / name
        lines = file.read_text("utf-8").split("\n")
        assert lines.count(change["before"]) == 1, f"{name}: {change['before']}"
        place = lines.index(change["before"])
        lines[place:place] = indent(change["insert"].rstrip("\n"), "    ").split("\n")
        file.write_text("\n".join(lines), "utf-8")
    return folder


def test_a_toy_option_touches_few_files_and_reaches_the_runner(
    sources: Path, tmp_path: Path
) -> None:
    """From the tool's argument, the flag, the project's file and the user's settings."""
    assert len(TOY) <= MOST_FILES
    assert run_in(sources, CALL, str(tmp_path / "call"), "toy=by-call") == "by-call"
    assert run_in(sources, FLAG) == "by-flag"


def test_a_toy_option_of_the_project_reaches_the_runner(sources: Path, tmp_path: Path) -> None:
    config = tmp_path / "repo" / ".rover" / "config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text("toy: by-project\n")
    assert run_in(sources, CALL, str(tmp_path)) == "by-project"


def test_every_option_is_an_argument_of_create_task() -> None:
    expected = OTHER_ARGUMENTS.union(
        *(WRITTEN_DIFFERENTLY.get(name, {name}) for name in TaskOptions.model_fields)
    )
    assert set(CreateTaskArguments.model_fields) == expected


def test_agents_and_a_budget_are_read_from_flat_arguments() -> None:
    arguments = CreateTaskArguments.model_validate(
        {"description": "x", "agent": "claude, codex", "budget_usd": 2, "network": "open"}
    )
    options = arguments.options
    assert options.agents == ("claude", "codex")
    assert options.budget is not None
    assert (options.budget.usd, options.network, options.model) == (2, "open", None)
