"""A branch that carries files for programs on the host: delivery runs none, and each is shown first
with what would run it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.attack import fill
from tests.attacks.conftest import ENGINES
from tests.attacks.stage import AttackedHost, repository_state
from tests.support.repos import git, make_repository
from tests.support.scripts import script

SHELL = "#!/bin/sh\ntouch @TROPHIES@/{name}\n"
PYTHON = "open('@TROPHIES@/{name}', 'w').close()\n"
AS_JSON = '{{"hooks": "touch @TROPHIES@/{name}", "scripts": {{"preinstall": "touch @TROPHIES@/{name}"}}}}\n'
YAML = "tasks:\n  - init: touch @TROPHIES@/{name}\n"

FILES = {
    ".claude/settings.json": AS_JSON,
    ".claude/settings.local.json": AS_JSON,
    ".mcp.json": AS_JSON,
    ".cursor/mcp.json": AS_JSON,
    ".cursor/hooks.json": AS_JSON,
    ".codex/config.toml": YAML,
    ".gemini/settings.json": AS_JSON,
    ".vscode/tasks.json": AS_JSON,
    ".vscode/settings.json": AS_JSON,
    "evil.code-workspace": AS_JSON,
    ".idea/workspace.xml": YAML,
    ".devcontainer/devcontainer.json": AS_JSON,
    ".envrc": SHELL,
    # The stage's user ignores .env itself.
    ".env.local": "PATH=@TROPHIES@\n",
    "mise.toml": YAML,
    ".husky/pre-commit": SHELL,
    ".githooks/post-checkout": SHELL,
    ".pre-commit-config.yaml": YAML,
    "lefthook.yml": YAML,
    "Makefile": "all:\n\ttouch @TROPHIES@/{name}\n",
    "justfile": "all:\n\ttouch @TROPHIES@/{name}\n",
    "package.json": AS_JSON,
    ".npmrc": "script-shell=/bin/sh\n",
    "conftest.py": PYTHON,
    "sitecustomize.py": PYTHON,
    "setup.py": PYTHON,
    "pyvenv.cfg": "home = @TROPHIES@\n",
    "vite.config.js": PYTHON,
    ".github/workflows/evil.yml": YAML,
    ".gitlab-ci.yml": YAML,
    ".rover/config.yaml": YAML,
    ".rover/setup.sh": SHELL,
    ".gitattributes": "*.txt filter=evil\n",
}


@dataclass(frozen=True)
class Carried:
    task: dict[str, Any]
    before: object


@pytest.fixture(scope="module", params=ENGINES)
def carried(request: pytest.FixtureRequest, stage: AttackedHost) -> Carried:
    """A task whose agent writes them all, among many ordinary ones that sort before them."""
    edits = [
        {"path": path, "content": fill(text.format(name=path.replace("/", "-")), places)}
        for places in [{"TROPHIES": str(stage.trophies)}]
        for path, text in FILES.items()
    ]
    edits += [{"path": f"!a/{n:02}.txt", "content": "x\n"} for n in range(60)]
    run = "chmod +x .envrc .husky/* .githooks/*; git config core.hooksPath .githooks; ln -s x .zed"
    turns = script(carry=[{"edits": edits, "run": run}])
    stage.workflow("carry", [{"id": "carry", "type": "agent", "prompt": "x"}])
    stage.forget_hits()
    before = repository_state(stage.repository)
    task = stage.ended(stage.create("carry", request.param, turns))
    assert task["status"] == "COMPLETED", task
    return Carried(task, before)


@pytest.mark.known_escape(1)
def test_delivery_and_looking_run_nothing(carried: Carried, stage: AttackedHost) -> None:
    for command in (["inspect"], ["diff"], ["diff", "--stat"], ["logs"], ["list", "--all"]):
        words = command if command[0] == "list" else [*command, carried.task["id"]]
        assert stage.rover(*words).returncode == 0
    assert git(stage.repository, "show", f"{carried.task['branch']}:Makefile").startswith("all:")
    assert repository_state(stage.repository) == carried.before
    assert stage.hits() == []


@pytest.mark.known_escape(1)
def test_they_are_shown_first_with_what_runs_them(carried: Carried, stage: AttackedHost) -> None:
    """Succeeded at 700cc57: they stood among the others, by name, the last of them left out."""
    result = stage.client.tool("get_diff", task=carried.task["id"])
    inspected = stage.client.tool("inspect", task=carried.task["id"])["task"]
    for changes in (result["changes"], inspected["changes"]):
        first = changes["paths"][: len(FILES) + 1]
        assert {f["path"] for f in first} == {*FILES, ".zed"}
        assert all(f["run_by"] for f in first)
        assert not any(f.get("run_by") for f in changes["paths"][len(first) :])
        assert sum(changes["run_by"].values()) == len(first)
    assert result["patch"].index(".vscode/tasks.json") < result["patch"].index("!a/00.txt")


@pytest.mark.known_escape(1)
def test_a_person_sees_them_first(carried: Carried, stage: AttackedHost) -> None:
    for command in ("diff", "inspect"):
        said = stage.rover(command, carried.task["id"]).stdout.decode()
        assert f"{len(FILES) + 1} files are run or obeyed by programs on this machine" in said
        shown = said[: said.index("!a/00.txt")]
        assert [path for path in FILES if f"{path}  run by" not in shown] == []


@pytest.mark.parametrize(
    "started", [["make", "-s"], [".githooks/post-checkout"], ["python3", "-c", "import conftest"]]
)
def test_the_same_files_run_where_a_user_works_with_them(
    stage: AttackedHost, tmp_path: Path, started: list[str]
) -> None:
    """So that none of them is harmless for a reason of its own."""
    stage.forget_hits()
    own = make_repository(tmp_path / "own")
    for path, text in FILES.items():
        (own / path).parent.mkdir(parents=True, exist_ok=True)
        name = path.replace("/", "-")
        (own / path).write_text(fill(text.format(name=name), {"TROPHIES": str(stage.trophies)}))
        (own / path).chmod(0o755)
    env = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run(started, cwd=own, env=env, check=True, timeout=300)
    assert stage.hits()
    stage.forget_hits()
