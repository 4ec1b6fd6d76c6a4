"""What deleted tasks leave is out of the way at once, and gone later, whatever happens meanwhile."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import cast

import pytest

from rover_mcp.daemon.git_adapters import GitRepositories
from rover_mcp.daemon.project_folders import ProjectFolders
from rover_mcp.daemon.task_leftovers import TaskLeftovers
from rover_mcp.daemon.trash import FOLDER, Trash
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.sandbox.attempt_folder import remove_tree
from rover_mcp.sandbox.protocol import Engine, SandboxInfo
from tests.support.hangs import HANG_SECONDS
from tests.support.samples import task_row

LONG = HANG_SECONDS
TASK = "a" * 32


class KeepingEngine:
    """An engine that keeps something of tasks until it is told to remove it."""

    def __init__(self) -> None:
        self.removed: list[str] = []
        self.works = threading.Event()
        self.works.set()

    def list(self) -> list[SandboxInfo]:
        return []

    def remove_task(self, task_id: str) -> None:
        if not self.works.is_set():
            raise EnvironmentFault("the engine does not answer")
        self.removed.append(task_id)


def tree(home: Path) -> Path:
    root = home / "tasks" / TASK
    (root / "work").mkdir(parents=True)
    (root / "work" / "file").write_text("x")
    return root


def test_a_folder_is_gone_before_it_is_removed(tmp_path: Path) -> None:
    """A client waits for no work tree."""
    go = threading.Event()

    def slow(path: Path) -> None:
        assert go.wait(LONG)
        remove_tree(path)

    keeper = KeepingEngine()
    trash = Trash(tmp_path, {"docker": cast("Engine", keeper)}, slow)
    root = tree(tmp_path)
    entry = trash.put(root, TASK, "docker")
    assert (root.exists(), trash.busy, trash.wait(entry, 0)) == (False, True, False)
    assert (tmp_path / FOLDER / entry / "work/file").exists()
    go.set()
    assert trash.wait(entry, LONG)
    assert (list((tmp_path / FOLDER).iterdir()), keeper.removed) == ([], [TASK])


def test_what_one_daemon_left_is_removed_by_the_next(tmp_path: Path) -> None:
    def killed(_: Path) -> None:
        raise OSError("killed")

    keeper = KeepingEngine()
    engines = {"docker": cast("Engine", keeper)}
    entry = Trash(tmp_path, engines, killed).put(tree(tmp_path), TASK, "docker")
    following = Trash(tmp_path, engines)
    following.sweep()
    assert following.wait(entry, LONG)
    assert not (tmp_path / FOLDER / entry).exists()
    assert set(keeper.removed) == {TASK}


def test_what_an_engine_keeps_is_removed_once_it_answers(tmp_path: Path) -> None:
    """Also of a task that has no files any more."""
    keeper = KeepingEngine()
    keeper.works.clear()
    trash = Trash(tmp_path, {"docker": cast("Engine", keeper)})
    entry = trash.put(tmp_path / "tasks" / TASK, TASK, "docker")
    assert trash.wait(entry, LONG)
    assert (tmp_path / FOLDER / entry).exists()
    keeper.works.set()
    while (tmp_path / FOLDER / entry).exists():
        trash.sweep()
    assert keeper.removed[0] == TASK


def test_a_folder_that_comes_again_has_an_entry_of_its_own(tmp_path: Path) -> None:
    stays = threading.Event()

    def kept(path: Path) -> None:
        if not stays.is_set():
            raise OSError("not yet")
        remove_tree(path)

    trash = Trash(tmp_path, {}, kept)
    first, second = trash.put(tree(tmp_path), TASK), trash.put(tree(tmp_path), TASK)
    assert first != second
    assert trash.put(tmp_path / "tasks" / TASK, TASK) == first
    stays.set()
    while list((tmp_path / FOLDER).iterdir()):
        trash.sweep()


@pytest.mark.parametrize("broken", [False, True])
def test_what_cannot_be_moved_is_removed_where_it_is(tmp_path: Path, broken: bool) -> None:
    """A full disk, or a data folder on two file systems."""

    def fails(path: Path) -> None:
        if broken:
            raise OSError(5, "Input/output error")
        remove_tree(path)

    (tmp_path / FOLDER).write_text("not a folder")
    root = tree(tmp_path)
    trash = Trash(tmp_path, {}, fails)
    if broken:
        with pytest.raises(OSError, match="Input/output"):
            trash.put(root, TASK)
    else:
        assert trash.wait(trash.put(root, TASK), LONG)
    assert root.exists() is broken


def test_a_forgotten_project_is_gone_before_it_is_removed(tmp_path: Path) -> None:
    """Nobody waits for the removal of a large hub: as of a task's work tree."""
    go = threading.Event()

    def slow(path: Path) -> None:
        assert go.wait(LONG)
        remove_tree(path)

    trash = Trash(tmp_path, {}, slow)
    projects = ProjectFolders(tmp_path, GitRepositories(tmp_path), lambda _: None, trash)
    folder = tmp_path / "projects" / "p1"
    (folder / "hub").mkdir(parents=True)
    (folder / "hub" / "pack").write_text("x")
    projects.remove("p1")
    assert (folder.exists(), projects.exists("p1"), trash.busy) == (False, False, True)
    projects.remove("p1")
    [entry] = (tmp_path / FOLDER).iterdir()
    go.set()
    assert trash.wait(entry.name, LONG)
    assert list((tmp_path / FOLDER).iterdir()) == []


def test_a_forgotten_task_is_waited_for_only_by_its_images(tmp_path: Path) -> None:
    """What its engine keeps is gone when `remove` returns, its files may not be."""
    go = threading.Event()

    def slow(path: Path) -> None:
        assert go.wait(LONG)
        remove_tree(path)

    keeper = KeepingEngine()
    engines = {"docker": cast("Engine", keeper)}
    trash = Trash(tmp_path, engines, slow)
    repositories = GitRepositories(tmp_path)
    leftovers = TaskLeftovers(tmp_path, repositories, engines, trash, hub_goes=True)
    root = tree(tmp_path)
    leftovers.remove(task_row(id=TASK, engine="docker"))
    assert (root.exists(), keeper.removed[:1], trash.busy) == (False, [TASK], True)
    go.set()
    assert trash.wait(f"{TASK}.docker.0", LONG)
