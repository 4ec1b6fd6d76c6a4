"""The data folder's repositories are lost or damaged while a task is paused: it goes on."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.conftest import end_daemon
from tests.support.frames import Frame, LauncherClient
from tests.support.repos import FIXED, git, make_repository
from tests.support.scripts import fix_after_credits


@dataclass(frozen=True)
class PausedTask:
    """A task in the middle of its work, and where its things are."""

    task: Frame
    repository: Path
    project: Path
    folder: Path

    @property
    def hub(self) -> Path:
        return self.project / "hub.git"

    @property
    def base(self) -> Path:
        return self.project / "base.git"

    @property
    def bundles(self) -> Path:
        return self.folder / "iterations/1/run/bundles"


@pytest.fixture(scope="module")
def client() -> Iterator[LauncherClient]:
    folder = Path(tempfile.mkdtemp(prefix="rover-lost-"))
    with LauncherClient(folder / "data", make_repository(folder / "first")) as opened:
        opened.open()
        yield opened
    end_daemon(folder / "data")
    shutil.rmtree(folder, ignore_errors=True)


def paused(client: LauncherClient, name: str) -> PausedTask:
    """A task of a project of its own, paused after its second snapshot."""
    repository = make_repository(client.home.parent / name)
    known = set((client.home / "projects").glob("*"))
    task = client.tool(
        "create_task", description="Fix add", workflow="demo", agent="scripted",
        engine="bubblewrap", script=fix_after_credits(), auto_resume=False,
        repo_path=str(repository),
    )["task"]  # fmt: skip
    client.wait_until(task["id"], "PAUSED")
    (project,) = set((client.home / "projects").glob("*")) - known
    return PausedTask(task, repository, project, client.home / "tasks" / task["id"])


def gone(*names: str) -> Callable[[PausedTask], None]:
    def harm(task: PausedTask) -> None:
        for name in names:
            shutil.rmtree(getattr(task, name))

    return harm


def overwritten(name: str, pattern: str) -> Callable[[PausedTask], None]:
    """Every such file holds something else, of the same size."""

    def harm(task: PausedTask) -> None:
        files = [path for path in getattr(task, name).glob(pattern) if path.is_file()]
        assert files, pattern
        for path in files:
            path.chmod(0o644)
            path.write_bytes(os.urandom(path.stat().st_size))

    return harm


def emptied(name: str, pattern: str) -> Callable[[PausedTask], None]:
    def harm(task: PausedTask) -> None:
        for path in getattr(task, name).glob(pattern):
            if path.is_file():
                path.chmod(0o644)
                path.write_bytes(b"")

    return harm


def no_repository(task: PausedTask) -> None:
    """What the base was made of is gone as well: it was lent to the task."""
    shutil.rmtree(task.base)
    git(task.repository, "switch", "-q", "--orphan", "other")
    git(task.repository, "commit", "-q", "--allow-empty", "-m", "other")
    git(task.repository, "branch", "-qD", "main")
    git(task.repository, "reflog", "expire", "--expire=now", "--all")
    git(task.repository, "gc", "-q", "--prune=now")


HARMS: dict[str, Callable[[PausedTask], None]] = {
    "hub-gone": gone("hub"),
    "base-gone": gone("base"),
    "project-gone": gone("project"),
    "hub-is-a-file": lambda task: (shutil.rmtree(task.hub), task.hub.write_text("x"))[0],
    "hub-objects": overwritten("hub", "objects/**/*.pack"),
    "hub-index": overwritten("hub", "objects/**/*.idx"),
    "hub-objects-empty": emptied("hub", "objects/**/*"),
    "hub-references": overwritten("hub", "refs/**/*"),
    "hub-references-gone": lambda task: shutil.rmtree(task.hub / "refs/rover"),
    "hub-head-of-the-task": emptied("hub", "refs/rover/*/head"),
    "hub-head-and-config": overwritten("hub", "[Hc]*"),
    "base-objects": overwritten("base", "objects/pack/*.pack"),
    "base-records": overwritten("base", "bases/*"),
    "hub-and-bundles": gone("hub", "bundles"),
    "base-and-its-source": no_repository,
}


def test_a_task_completes_whatever_was_lost_while_it_was_paused(client: LauncherClient) -> None:
    """C.15. At 700cc57 the task failed with "is not a folder" or "builds on ..., which is not
    here", and stayed so."""
    wrong: dict[str, str] = {}
    for name, harm in HARMS.items():
        task = paused(client, name)
        harm(task)
        client.tool("resume_task", task=task.task["id"])
        try:
            done = client.wait_until(task.task["id"], "COMPLETED")
            assert git(task.repository, "show", f"{done['branch']}:calc.py") == FIXED.strip()
            assert git(task.repository, "show", f"{done['branch']}:notes.txt") == "half"
            diff = client.tool("get_diff", task=task.task["id"])
            assert diff["changes"]["files"] == 3, diff
        except AssertionError as error:
            view = client.tool("inspect", task=task.task["id"])["task"]
            wrong[name] = f"{view['status']} {view.get('error')} {view.get('pause')} {error}"[:1500]
    assert wrong == {}


def test_what_cannot_be_had_again_is_named_with_what_would_be_lost(client: LauncherClient) -> None:
    """C.15: hub, bundles and work tree are gone."""
    task = paused(client, "all")
    for part in (task.hub, task.bundles, task.folder / "work"):
        shutil.rmtree(part)
    client.tool("resume_task", task=task.task["id"])
    client.wait_until(task.task["id"], "PAUSED")

    def told() -> str:
        return str(client.tool("inspect", task=task.task["id"], detail="full"))

    client.until(lambda: "the work tree is gone" in told(), "what is lost is named")
    assert "the hub holds none" in told()


def test_a_finished_tasks_diff_is_had_again(client: LauncherClient) -> None:
    """C.15: what a task did can be shown after the hub was lost."""
    task = paused(client, "finished")
    client.tool("resume_task", task=task.task["id"])
    client.wait_until(task.task["id"], "COMPLETED")
    before = client.tool("get_diff", task=task.task["id"])
    shutil.rmtree(task.hub)
    shutil.rmtree(task.base)
    assert client.tool("get_diff", task=task.task["id"])["changes"] == before["changes"]
