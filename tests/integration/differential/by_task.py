"""The same edits through the parts of a task: base, clone, snapshots, import, delivery. No sandbox
is started and no daemon; the functions are those that both use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import anyio

from agent_runner.models import Snapshot
from agent_runner.process.spawn import make_commands
from agent_runner.spec import GatewaySpec, Paths, RunSpec, WrapCommand
from agent_runner.worktree.script_runner import NAMES
from agent_runner.worktree.worktree import IGNORED, Worktree
from rover_mcp.git.hub import Hub
from rover_mcp.git.repository import ignored_patterns, inspect_repository
from rover_mcp.git.submodules import SUBMODULES
from tests.integration.differential.by_hand import Contents, contents
from tests.integration.differential.repository import Batch, Entries, entries, run
from tests.support.runs import own_task_id

BRANCH = "rover/1-work"
T = TypeVar("T")


@dataclass(frozen=True)
class DeliveredWork:
    """`tree` is the branch's, in the user's repository; `fresh` what files the clone had before
    the edits, `left` after them."""

    tree: Entries
    fresh: Contents
    left: Contents


def by_task(user: Path, folder: Path, batch: Batch) -> DeliveredWork:
    """What is delivered."""
    commit = inspect_repository(user).head_commit
    for name in ("spec", "run", "work", "home"):
        (folder / name).mkdir(parents=True)
    hub, task = Hub(folder / "hub"), own_task_id(folder)
    hub.lend(user, commit, folder / "base/objects")
    names, objects = folder / "spec" / NAMES, folder / "base/objects"
    hub.name(user, commit, "main", names)
    hub.lend_submodules(user, commit, objects, names / SUBMODULES)
    hub.lend_lfs(user, commit, objects)
    (folder / "spec" / IGNORED).write_bytes(ignored_patterns(user))
    spec = _spec(folder, commit)
    worktree, work = Worktree(spec, make_commands(spec)), folder / "work"
    _do(worktree.prepare)
    fresh = contents(work)
    batch.do(work, "early")
    if batch.setting.agent_commits:
        run(work, "add", "-A", "--ignore-errors", ".", check=False)
        run(work, "commit", "-q", "--allow-empty", "-m", "early")
    first = _snapshot(worktree, None)
    batch.do(work, "late")
    left = contents(work)
    _do(lambda: worktree.finish("done", first))
    last = _snapshot(worktree, first)
    for snapshot in (first, last):
        bundle = folder / "run/bundles" / snapshot.bundle
        hub.import_bundle(task, commit, bundle, snapshot, BRANCH)
    hub.publish(task, user, BRANCH)
    return DeliveredWork(entries(user, f"refs/heads/{BRANCH}"), fresh, left)


def _spec(folder: Path, commit: str) -> RunSpec:
    paths = Paths(
        spec=folder / "spec",
        run=folder / "run",
        workspace=folder / "work",
        home=folder / "home",
        base_objects=folder / "base/objects",
        restore=folder / "spec/restore.bundle",
    )
    prefix = ["env", "-C", str(folder / "work"), "GIT_CONFIG_NOSYSTEM=1"]
    return RunSpec(
        task_id=own_task_id(folder), number=1, iteration=1, attempt=1, title="Work", description="Work.",
        branch=BRANCH, base_commit=commit, agent="scripted", paths=paths,
        gateway=GatewaySpec(socket=folder / "gateway.sock", token="t"),
        isolation=WrapCommand(prefix=prefix, forwarder=[]),
    )  # fmt: skip


def _snapshot(worktree: Worktree, previous: Snapshot | None) -> Snapshot:
    taken, _ = _do(lambda: worktree.snapshot(previous))
    return taken


def _do(call: Callable[[], Awaitable[T]]) -> T:
    async def wait() -> T:
        return await call()

    return anyio.run(wait)
