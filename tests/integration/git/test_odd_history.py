"""History that git itself reads can be a base, whatever an old converter did; what git cannot check
out is refused when a task is created."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_runner.process.spawn import make_commands
from agent_runner.worktree.script_runner import NAMES
from agent_runner.worktree.worktree import Worktree
from rover_mcp.daemon.git_adapters import GitRepositories
from rover_mcp.domain.errors import EnvironmentFault, UserFixable
from rover_mcp.git.hub import Hub
from tests.integration.git.conftest import git
from tests.integration.git.odd_objects import (
    PEOPLE,
    READABLE,
    UNREADABLE,
    commits,
    write,
    write_commit,
    write_tree,
)
from tests.support.runs import RunFolders
from tests.support.trees import do

BRANCH = "rover/7-mend"


class Task:
    """A task on the user's main: created, and its clone made."""

    def __init__(self, user: Path, folder: Path) -> None:
        self.user, self.hub = user, Hub(folder / "hub")
        repositories = GitRepositories(folder / "home")
        found = repositories.inspect(user)
        repositories.absent(found, found.head_commit)
        assert repositories.size(found, found.head_commit)
        self.base, self.place = found.head_commit, RunFolders(folder / "task", "", attempt=1)
        self.hub.lend(user, self.base, folder / "objects")
        self.hub.name(user, self.base, "main", folder / "task/spec" / NAMES)
        spec = self.place.spec(base_commit=self.base, branch=BRANCH)
        paths = spec.paths.model_copy(update={"base_objects": folder / "objects"})
        self.spec = spec.model_copy(update={"paths": paths})
        self.worktree, self.work = Worktree(self.spec, make_commands(spec)), self.place.work
        do(self.worktree.prepare)

    def deliver(self) -> str:
        """The files of the branch that the user gets."""
        do(lambda: self.worktree.finish("done"))
        taken, lacking = do(lambda: self.worktree.snapshot(None))
        assert lacking == []
        bundle = self.place.run_folder / "bundles" / taken.bundle
        self.hub.import_bundle(self.spec.task_id, self.base, bundle, taken, BRANCH)
        self.hub.diff(self.spec.task_id, self.base, taken.commit)
        self.hub.publish(self.spec.task_id, self.user, BRANCH)
        return git(self.user, "ls-tree", "-r", BRANCH)


def _edit(folder: Path) -> None:
    (folder / "a.txt").write_text("edited\n")
    (folder / "new").mkdir()
    (folder / "new/b.txt").write_text("new\n")


def _by_hand(user: Path, folder: Path) -> str:
    """The files after the edits in a clone."""
    git(folder.parent, "clone", "-q", str(user), str(folder))
    _edit(folder)
    git(folder, "add", "-A")
    return git(folder, "ls-tree", "-r", git(folder, "write-tree"))


def _by_name(listed: str) -> dict[str, str]:
    """A folder that nobody touched stays in its order."""
    return {name: entry for entry, name in (line.split("\t") for line in listed.split("\n"))}


def _to(repo: Path, commit: bytes) -> None:
    (repo / ".git/refs/heads/main").write_bytes(commit + b"\n")


def _odd_history(repo: Path) -> list[bytes]:
    """All odd commits, each the next one's parent."""
    tree, last = git(repo, "rev-parse", "HEAD^{tree}").encode(), git(repo, "rev-parse", "HEAD")
    made = [last.encode()]
    for name in commits(b"", b""):
        made.append(write(repo, "commit", commits(tree, made[-1])[name]))
    _to(repo, made[-1])
    return made


def _odd_trees(repo: Path) -> None:
    """A commit with a folder for each."""
    ids = _ids(repo)
    made = [
        (b"40000 " + name.encode(), write_tree(repo, [(m, ids[what]) for m, what in entries]))
        for name, entries in sorted(READABLE.items())
    ]
    tree = write_tree(repo, [(b"100644 a.txt", ids["file"]), *made])
    _to(repo, write_commit(repo, tree, git(repo, "rev-parse", "HEAD").encode()))


def _ids(repo: Path) -> dict[str, bytes]:
    file, other = write(repo, "blob", b"one\n"), write(repo, "blob", b"other\n")
    return {
        "file": file, "other": other, "folder": write_tree(repo, [(b"100644 x", file)]),
        "empty": write_tree(repo, []), "null": b"0" * 40, "missing": b"1" * 40,
    }  # fmt: skip


@pytest.mark.parametrize("make", [_odd_history, _odd_trees])
def test_odd_history_is_a_base_as_it_is_for_git(repo: Path, tmp_path: Path, make) -> None:
    """V4"""
    make(repo)
    git(repo, "reset", "-q", "--hard")
    wanted = _by_hand(repo, tmp_path / "hand")
    task = Task(repo, tmp_path)
    _edit(task.work)
    # Also if a branch no longer leads to it, so that it has to come along.
    git(repo, "update-ref", "-d", "refs/heads/main")
    assert _by_name(task.deliver()) == _by_name(wanted)
    task.hub.renew()
    assert task.hub.head(task.spec.task_id) is not None


def test_odd_commits_that_are_picked_are_delivered(repo: Path, tmp_path: Path) -> None:
    """V3: git keeps their authors."""
    task = Task(repo, tmp_path)
    (task.work / "a.txt").write_text("picked\n")
    git(task.work, "add", "-A")
    tree, last = git(task.work, "write-tree").encode(), task.base.encode()
    for name in PEOPLE:
        last = write(task.work, "commit", commits(tree, last)[name])
    git(task.work, "reset", "-q", "--hard", last.decode())
    assert task.deliver() == git(task.work, "ls-tree", "-r", tree.decode())


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_tree_that_git_cannot_use_is_refused_at_creation(
    repo: Path, tmp_path: Path, name: str
) -> None:
    """V4"""
    ids = _ids(repo)
    entries = [(mode, ids[what]) for mode, what in UNREADABLE[name]]
    tree = write_tree(repo, [(b"100644 a.txt", ids["file"]), *entries])
    _to(repo, write_commit(repo, tree, git(repo, "rev-parse", "HEAD").encode()))
    with pytest.raises(UserFixable, match="git cannot create a work tree of the commit") as caught:
        Task(repo, tmp_path)
    assert caught.value.code == "unreadable_base"
    assert "base the task on" in (caught.value.hint or "")


def test_history_that_is_not_all_here_is_refused_before_a_sandbox(
    repo: Path, tmp_path: Path
) -> None:
    """V4"""
    tree = git(repo, "rev-parse", "HEAD^{tree}").encode()
    _to(repo, write_commit(repo, tree, b"1" * 40))
    with pytest.raises(EnvironmentFault, match="cannot be copied from") as caught:
        Task(repo, tmp_path)
    assert (caught.value.code, "fsck" in (caught.value.hint or "")) == ("base_lost", True)
