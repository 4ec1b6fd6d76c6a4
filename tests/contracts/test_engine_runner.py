"""The real runner in real sandboxes, its commits in the hub and back (C10, F7, I6)."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest

from agent_runner.journal.journal import FILE_NAME
from agent_runner.journal.journal_reader import read_journal
from agent_runner.models import Snapshot
from agent_runner.spec import Restore
from rover_mcp.git.hub import Hub
from rover_mcp.git.repository import inspect_repository
from rover_mcp.sandbox.bubblewrap import BubblewrapEngine
from rover_mcp.sandbox.docker import DockerEngine
from rover_mcp.sandbox.podman import PodmanEngine
from rover_mcp.sandbox.process_engine import ProcessEngine
from rover_mcp.sandbox.protocol import Engine, SandboxSpec
from tests.contracts.engine_rigs import make_spec, new_task
from tests.integration.git.conftest import git
from tests.support.real_claude import claude_binary

WORKFLOW = """\
version: "1.0"
name: two
description: two steps
steps:
  - {id: one, type: command, name: One, command: "id -u; echo one >> made.txt; cat /etc/hostname || :"}
  - {id: two, type: command, name: Two, command: "test -f go && echo two >> made.txt"}
"""


ENGINES = [
    "bubblewrap",
    "process",
    pytest.param("docker", marks=pytest.mark.docker),
    pytest.param("podman", marks=pytest.mark.podman),
]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    match request.param:
        case "bubblewrap":
            return BubblewrapEngine(tmp_path)
        case "process":
            return ProcessEngine(tmp_path)
        case "docker":
            return DockerEngine(tmp_path, address=request.getfixturevalue("docker_host"))
        case _:
            return PodmanEngine(tmp_path, address=request.getfixturevalue("podman_host"))


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    path = tmp_path / "repo"
    path.mkdir()
    git(path, "init", "-q", "-b", "main")
    (path / "a.txt").write_text("one\n")
    git(path, "add", "-A")
    git(path, "commit", "-qm", "first")
    return path


def _spec(root: Path, hub: Hub, task_id: str, base: str, attempt: int, restore: Restore | None):
    made = make_spec(root, task_id, attempt)
    (made.folders.spec / "workflow.yaml").write_text(WORKFLOW)
    run = made.run.model_copy(update={"base_commit": base, "restore": restore})
    hub.lend(root / "repo", base, root / "lent")
    folders = dataclasses.replace(made.folders, base_objects=root / "lent")
    limits = dataclasses.replace(made.limits, pids=256, tmp_bytes=2**26)
    return dataclasses.replace(made, run=run, folders=folders, limits=limits)


def _run(engine: Engine, spec: SandboxSpec) -> int | None:
    engine.prepare(spec, lambda _: None)
    engine.ensure(spec)
    code = engine.follow(spec.name).code
    print(engine.logs(spec.name, 50))
    engine.remove(spec.name)
    return code


def _take_over(hub: Hub, spec: SandboxSpec) -> Snapshot:
    """Import every snapshot that the journal names; the last one."""
    found: dict[int, Snapshot] = {}
    for record in read_journal(spec.folders.run / FILE_NAME).records:
        if named := record.data.get("snapshot"):
            snapshot = Snapshot.model_validate(named)
            found[snapshot.sequence] = snapshot
    for number in sorted(found):
        bundle = spec.folders.run / "bundles" / found[number].bundle
        hub.import_bundle(
            spec.task_id, spec.run.base_commit, bundle, found[number], spec.run.branch
        )
    return found[max(found)]


def test_a_lost_work_tree_is_rebuilt_from_the_hub_and_delivered(
    engine: Engine, repo: Path, tmp_path: Path
) -> None:
    base = inspect_repository(repo).head_commit
    hub = Hub(tmp_path / "project")
    hub.update(repo, base)
    task = new_task()
    first = _spec(tmp_path, hub, task, base, 1, None)
    assert _run(engine, first) == 1
    last = _take_over(hub, first)
    assert {f.path for f in hub.diff(task, base, last.commit).files} == {"made.txt"}

    engine.remove_task(task)
    second = _spec(tmp_path, hub, task, base, 2, Restore(commit=last.commit, head=last.head))
    hub.export_restore(task, last, base, second.folders.spec / "restore.bundle")
    workflow = second.folders.spec / "workflow.yaml"
    workflow.write_text(WORKFLOW.replace("test -f go && ", ""))
    assert _run(engine, second) == 0
    _take_over(hub, second)
    result = hub.publish(task, repo, second.run.branch)
    assert result.changed
    assert git(repo, "show", f"{second.run.branch}:made.txt") == "one\ntwo"
    assert git(repo, "status", "--porcelain") == ""
    engine.remove_task(task)


@pytest.mark.real_agent
def test_the_users_own_claude_and_a_fetched_agent_start_inside(
    engine: Engine, repo: Path, tmp_path: Path
) -> None:
    base = inspect_repository(repo).head_commit
    hub = Hub(tmp_path / "project")
    made = _spec(tmp_path, hub, new_task(), base, 1, None)
    (made.folders.spec / "workflow.yaml").write_text(
        'version: "1.0"\nname: v\ndescription: v\nsteps:\n'
        '  - {id: v, type: command, name: V, command: "claude --version >v; qwen --version >>v"}\n'
    )
    binary = claude_binary()
    run = made.run.model_copy(update={"agent": "claude"})
    spec = dataclasses.replace(made, run=run, agent="claude", agent_binary=binary, tools=("qwen",))
    engine.check_agent("claude", binary, None)
    assert _run(engine, spec) == 0
    last = _take_over(hub, spec)
    told = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    assert git(hub.hub, "show", f"{last.commit}:v").split("\n") == [told.strip(), "0.24.4"]
    engine.remove_task(spec.task_id)
