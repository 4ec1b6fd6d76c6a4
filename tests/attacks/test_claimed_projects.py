"""Which project a repository is: its work trees are one, a moved one is found, none claims another's."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rover_mcp.daemon.git_adapters import GitRepositories
from rover_mcp.daemon.project_registry import ProjectRegistry
from rover_mcp.domain.errors import UserFixable
from tests.support.desk import ServerHarness, open_desk
from tests.support.repos import git, make_repository
from tests.support.requests import create_request


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[ServerHarness]:
    """Use cases over real repositories, with a task of the one at tmp_path/mine."""
    with open_desk(tmp_path / "desk") as made:
        places = ProjectRegistry(made.home, made.store)
        real = GitRepositories(made.home, places.project_path)
        made.tasks.repositories = made.tasks.create_task.repositories = real
        make_repository(tmp_path / "mine")
        create(made, tmp_path / "mine")
        yield made


def create(desk: ServerHarness, folder: Path) -> str:
    caller = replace(desk.caller, cwd=folder)
    return desk.tasks.create(caller, create_request("Fix the sum")).id


def numbers(desk: ServerHarness, folder: Path) -> list[int]:
    """The tasks that are listed for a folder."""
    views, _, _ = desk.tasks.list(desk.caller, (), str(folder), None, 20)
    return sorted(view.number for view in views)


def project_of(desk: ServerHarness, task_id: str) -> tuple[str, str]:
    task = desk.store.tasks.get(task_id)
    assert task is not None
    return task.project_id, task.project_path


def test_all_work_trees_of_a_repository_are_one_project(
    desk: ServerHarness, tmp_path: Path
) -> None:
    """V4: with the configuration of the one where the call was made."""
    mine, side = tmp_path / "mine", tmp_path / "side"
    git(mine, "worktree", "add", "-q", "-b", "side", str(side))
    (side / ".rover").mkdir()
    (side / ".rover/config.yaml").write_text("model: of-the-side\n")
    assert numbers(desk, side) == [1]
    made = desk.store.tasks.get(create(desk, side))
    assert made is not None
    assert (made.number, made.project_path, made.base_branch) == (2, str(mine), "side")
    assert made.model == "of-the-side"
    git(mine, "worktree", "remove", "--force", str(side))
    assert numbers(desk, mine) == [1, 2]


def test_a_work_tree_may_come_first_and_a_repository_may_be_bare(
    desk: ServerHarness, tmp_path: Path
) -> None:
    """V4."""
    bare, side = tmp_path / "bare.git", tmp_path / "of-bare"
    git(tmp_path, "clone", "-q", "--bare", str(tmp_path / "mine"), str(bare))
    git(bare, "worktree", "add", "-q", "-b", "side", str(side))
    task = create(desk, side)
    assert numbers(desk, side) == numbers(desk, bare) == [1]
    assert project_of(desk, task)[1] == str(bare)


def test_a_repository_that_was_moved_is_found_with_its_tasks(
    desk: ServerHarness, tmp_path: Path
) -> None:
    """V4: by a call from its new place; what comes to the old one is another."""
    mine, moved = tmp_path / "mine", tmp_path / "moved"
    before = desk.tasks.finder.find(replace(desk.caller, cwd=mine), "1")
    mine.rename(moved)
    assert numbers(desk, moved) == [1]
    assert project_of(desk, before.id) == (before.project_id, str(moved))
    assert project_of(desk, create(desk, moved)) == (before.project_id, str(moved))
    make_repository(mine)
    assert numbers(desk, mine) == []
    other = create(desk, mine)
    assert project_of(desk, other)[0] != before.project_id
    assert numbers(desk, mine) == [1]
    assert numbers(desk, moved) == [1, 2]


def test_a_work_tree_of_a_moved_repository_says_how_it_is_found_again(
    desk: ServerHarness, tmp_path: Path
) -> None:
    """V4: and once git has found it, so has Rover."""
    mine, moved, side = tmp_path / "mine", tmp_path / "moved", tmp_path / "side"
    git(mine, "worktree", "add", "-q", "-b", "side", str(side))
    mine.rename(moved)
    with pytest.raises(UserFixable) as caught:
        numbers(desk, side)
    assert f"git worktree repair {side}" in str(caught.value.hint)
    git(moved, "worktree", "repair", str(side))
    assert numbers(desk, side) == [1]
    assert numbers(desk, moved) == [1]


def copied(mine: Path, claims: Path) -> None:
    """All that a repository says of itself, to the last byte and time."""
    shutil.copytree(mine, claims, symlinks=True)
    shutil.rmtree(mine)


def linked(mine: Path, claims: Path) -> None:
    mine.rename(mine.with_name("moved"))
    claims.mkdir()
    (claims / ".git").symlink_to(mine.with_name("moved") / ".git")


def named(mine: Path, claims: Path) -> None:
    mine.rename(mine.with_name("moved"))
    claims.mkdir()
    (claims / ".git").write_text(f"gitdir: {mine.with_name('moved') / '.git'}\n")


def as_its_work_tree(mine: Path, claims: Path) -> None:
    """It says that it is a work tree, of which there is another."""
    side = mine.with_name("side")
    git(mine, "worktree", "add", "-q", "-b", "side", str(side))
    claims.mkdir()
    shutil.copy(side / ".git", claims / ".git")


@pytest.mark.parametrize("claim", [copied, linked, named, as_its_work_tree])
def test_a_repository_cannot_claim_the_tasks_of_another(
    desk: ServerHarness, tmp_path: Path, claim: object
) -> None:
    """V4, U2: what it says of itself does not count, and where it points is no proof."""
    mine, claims = tmp_path / "mine", tmp_path / "claims"
    before = desk.tasks.finder.find(replace(desk.caller, cwd=mine), "1")
    assert callable(claim)
    claim(mine, claims)
    assert numbers(desk, claims) == []
    assert project_of(desk, before.id) == (before.project_id, str(mine))
    if claim in (linked, named):
        assert numbers(desk, tmp_path / "moved") == [1]
