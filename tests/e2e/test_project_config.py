"""A repository's `.rover/config.yaml`, over the launcher and in real sandboxes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.frames import LauncherClient
from tests.support.repos import FIXED, git
from tests.support.scripts import script
from tests.support.trusting import trust

ENGINES = ["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)]
SECRET = "hunter2-hunter2"
CONFIG = """\
agent: scripted
workflow: demo
engine: {engine}
limits: {{memory: 1GiB, pids: 200, agent_timeout: 2h, cpus: 64}}
environment:
  GREETING: hello there
  PORT: 8080
copy: [.env, config/local.json]
hooks:
  before_agent: ["echo before >> hooks.txt"]
  after_task: ['echo "after $GREETING" >> hooks.txt']
network:
  allow: [internal.example.org]
budget: {{usd: 3}}
"""
AGENT = f"""
test "$GREETING" = "hello there" && test "$PORT" = 8080 && grep -q {SECRET} .env &&
  grep -q {SECRET} config/local.json && echo seen > seen.txt
rm -f .git/info/exclude
git add -f -A && git commit -q -m leak
echo more >> seen.txt
git add -f -A && git commit -q -m more
"""


@pytest.mark.parametrize("engine", ENGINES)
def test_a_project_decides_how_its_tasks_run_and_keeps_its_secrets(
    client: LauncherClient, repository: Path, engine: str
) -> None:
    (repository / ".rover").mkdir()
    (repository / ".rover" / "config.yaml").write_text(CONFIG.format(engine=engine))
    (repository / ".env").write_text(f"KEY={SECRET}\n")
    (repository / "config").mkdir()
    (repository / "config" / "local.json").write_text(f'{{"key": "{SECRET}"}}')
    trust(client.home, repository)
    played = script(
        plan=[{"say": "planned", "outputs": {"plan": "p"}}],
        implement=[
            {
                "say": "done",
                "outputs": {"summary": "s"},
                "edits": [{"path": "calc.py", "content": FIXED}],
                "run": AGENT,
            }
        ],
    )
    made = client.tool("create_task", description="Fix add", script=played)["task"]
    done = client.wait_until(made["id"], "COMPLETED")
    assert (done["agent"], done["workflow"], done["engine"]) == ("scripted", "demo", engine)
    assert done["budget"]["usd"] == 3

    branch = done["branch"]
    assert git(repository, "show", f"{branch}:seen.txt") == "seen\nmore"
    hooks = git(repository, "show", f"{branch}:hooks.txt").splitlines()
    assert hooks == ["before", "before", "after hello there"]
    assert git(repository, "show", f"{branch}:calc.py") == FIXED.strip()

    names = git(repository, "rev-list", "--objects", branch)
    assert ".env" not in names
    assert "local.json" not in names
    [hub] = (client.home / "projects").glob("*/hub.git")
    everything = git(hub, "rev-list", "--objects", "--all")
    assert ".env" not in everything
    assert "local.json" not in everything
    root = client.home / "tasks" / made["id"]
    # Not rglob: what waits for a next task may go meanwhile.
    files = [Path(folder, name) for folder, _, names in os.walk(client.home) for name in names]
    holding = {
        path.name
        for path in files
        if path.is_file() and root / "work" not in path.parents and SECRET in _text(path)
    }
    # Of the script, which names it; not of the journal, a log, the database.
    assert holding <= {"script.yaml"}

    full = client.tool("inspect", task=made["id"], detail="full")["task"]
    assert full["config"]["limits.memory"] == "1 GiB (.rover/config.yaml)"
    assert full["config"]["environment.PORT"] == "8080 (.rover/config.yaml)"
    told = "\n".join(full["warnings"])
    assert "the agent can read .env, config/local.json, copied from your checkout" in told
    assert "limits.cpus 64 is cut to 2, your own maximum" in told
    assert ".env, config/local.json: copied from your checkout, and added to git" in told
    assert "internal.example.org" in told


def _text(path: Path) -> str:
    return path.read_bytes().decode(errors="replace")
