"""Submodules that the user has checked out are in a task's clone, out of the user's own objects."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agent_runner.models import Snapshot
from agent_runner.process.spawn import make_commands
from agent_runner.worktree.script_runner import NAMES
from agent_runner.worktree.worktree import Worktree
from rover_mcp.git.hub import Hub
from rover_mcp.git.submodules import SUBMODULES, find_submodules
from tests.integration.git.conftest import git
from tests.support.runs import RunFolders
from tests.support.trees import do

ALLOWED = ("-c", "protocol.file.allow=always")


def _library(folder: Path) -> Path:
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    (folder / f"{folder.name}.c").write_text(folder.name)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", folder.name)
    return folder


def _add(repo: Path, url: str, path: str) -> None:
    git(repo, *ALLOWED, "submodule", "-q", "add", url, path)
    git(repo, "commit", "-qm", f"submodule {path}")


@pytest.fixture
def app(repo: Path, tmp_path: Path) -> Path:
    """With a submodule by a relative URL, one inside it, and one with a repository of its own."""
    inner, outer = _library(tmp_path / "inner"), _library(tmp_path / "outer")
    _add(outer, str(inner), "third party/inner")
    git(repo, "config", "remote.origin.url", str(repo))
    _add(repo, "../outer", "lib/outer")
    git(repo, *ALLOWED, "submodule", "-q", "update", "--init", "--recursive")
    _library(repo / "own")
    with (repo / ".gitmodules").open("a") as file:
        file.write('[submodule "own"]\n\tpath = own\n\turl = ./own\n')
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "one with a .git of its own")
    return repo


class Task:
    """A task's clone of a repository that is gone: nothing can be fetched from it."""

    def __init__(self, app: Path, folder: Path) -> None:
        self.base = git(app, "rev-parse", "HEAD")
        self.place, hub = RunFolders(folder, "", attempt=1), Hub(folder / "hub")
        names, objects = folder / "spec" / NAMES, folder / "objects"
        hub.lend(app, self.base, objects)
        hub.name(app, self.base, "main", names)
        self.told = hub.lend_submodules(app, self.base, objects, names / SUBMODULES)
        spec = self.place.spec(base_commit=self.base)
        paths = spec.paths.model_copy(update={"base_objects": objects})
        self.worktree = Worktree(
            spec.model_copy(update={"paths": paths}), make_commands(spec)
        )  # fmt: skip
        do(self.worktree.prepare)
        self.work = self.place.work

    def snapshot(self) -> tuple[Snapshot, list[str]]:
        taken, lacking = do(lambda: self.worktree.snapshot(None))
        return taken, list(lacking)


def test_submodules_are_there_without_a_network(app: Path, tmp_path: Path) -> None:
    """V2: nested ones and relative addresses included; the agent's git sees nothing changed."""
    task = Task(app, tmp_path / "task")
    for other in ("inner", "outer"):
        shutil.rmtree(tmp_path / other)
    assert task.told == []
    files = ("lib/outer/outer.c", "lib/outer/third party/inner/inner.c", "own/own.c")
    assert [(task.work / name).read_text() for name in files] == ["outer", "inner", "own"]
    assert git(task.work, "status", "--porcelain") == ""
    status = git(task.work, "submodule", "status", "--recursive").splitlines()
    assert [line.split()[1] for line in status] == ["lib/outer", "lib/outer/third", "own"]
    assert not any(line.startswith(("-", "+")) for line in status)
    git(task.work, "submodule", "-q", "update", "--init", "--recursive", "--no-fetch")
    taken, lacking = task.snapshot()
    assert (lacking, taken.tree) == ([], git(app, "rev-parse", "HEAD^{tree}"))


def test_only_what_the_commit_reaches_comes_along(app: Path, tmp_path: Path) -> None:
    """U4: a dropped stash and another branch of the submodule stay out."""
    (app / "own/secret").write_text("s3cret")
    secret = git(app / "own", "hash-object", "-w", "secret")
    (app / "own/secret").unlink()
    git(app / "own", "commit", "-q", "--allow-empty", "-m", "later")
    later = git(app / "own", "rev-parse", "HEAD")
    task = Task(app, tmp_path / "task")
    for name in (secret, later):
        assert git(task.work / "own", "cat-file", "-t", name, ok=False) == ""


def test_what_the_agent_does_inside_is_named(app: Path, tmp_path: Path) -> None:
    """V3: files that it did not commit, and commits that nobody else has."""
    task = Task(app, tmp_path / "task")
    (task.work / "own/new.c").write_text("new")
    assert task.snapshot()[1] == ["own"]
    git(task.work / "own", "add", "-A")
    git(task.work / "own", "commit", "-qm", "in the sandbox")
    assert task.snapshot()[1] == []
    assert task.worktree.noted("unpublished") == ["own"]


def test_lines_end_as_each_submodules_own_settings_say(app: Path, tmp_path: Path) -> None:
    """V2: not as those of the repository that it is in."""
    for name in ("one.txt", "two.txt"):
        (app / "own" / name).write_bytes(b"one\n")
    git(app / "own", "add", "-A")
    git(app / "own", "commit", "-qm", "lines")
    git(app, "commit", "-qam", "lines")
    git(app, "config", "core.autocrlf", "true")
    (app / "own/.git/info").mkdir(exist_ok=True)
    (app / "own/.git/info/attributes").write_text("one.txt text eol=crlf\n")
    git(app / "own", "rm", "-q", "--cached", "-r", ".")
    git(app / "own", "reset", "-q", "--hard")
    task = Task(app, tmp_path / "task")
    for name, line in (("one.txt", b"one\r\n"), ("two.txt", b"one\n")):
        assert (app / "own" / name).read_bytes() == line
        assert (task.work / "own" / name).read_bytes() == line
    assert git(task.work / "own", "status", "--porcelain") == ""


def _missing(app: Path) -> dict[str, str]:
    return dict(find_submodules(app, git(app, "rev-parse", "HEAD")).missing)


def test_a_repository_elsewhere_is_not_taken_for_a_submodule(app: Path, tmp_path: Path) -> None:
    """U4: neither by a .git file that leads away, nor by a link on the way."""
    private = _library(tmp_path / "private")
    shutil.rmtree(app / "own/.git")
    (app / "own/.git").write_text(f"gitdir: {private}/.git\n")
    shutil.move(app / "lib", tmp_path / "elsewhere")
    (app / "lib").symlink_to(tmp_path / "elsewhere")
    assert _missing(app) == {
        "own": "its repository is elsewhere",
        "lib/outer": "it is not checked out",
    }


def test_what_is_not_checked_out_or_not_here_is_named(app: Path, tmp_path: Path) -> None:
    """V3"""
    git(app, "submodule", "-q", "deinit", "--force", "lib/outer")
    git(app, "update-index", "--cacheinfo", f"160000,{'1' * 40},own")
    git(app, "commit", "-qm", "ahead")
    assert _missing(app) == {
        "lib/outer": "it is not checked out",
        "own": "its commit 111111111111 is not here",
    }
    task = Task(app, tmp_path / "task")
    assert sorted((task.work / "own").iterdir()) == []


@pytest.mark.parametrize("name", ["../../evil", "-u", "a\nb"])
def test_names_and_addresses_are_only_words(app: Path, tmp_path: Path, name: str) -> None:
    """U3: CVE-2018-11235, CVE-2018-17456."""
    quoted = name.replace("\n", "\\n")
    (app / ".gitmodules").write_text(
        f'[submodule "{quoted}"]\n\tpath = own\n\turl = --upload-pack=touch x\n\tupdate = !touch x\n'
    )
    git(app, "commit", "-qam", "names")
    git(app / "own", "config", "remote.origin.url", "--upload-pack=touch x")
    git(app / "own", "config", "core.fsmonitor", "touch x")
    task = Task(app, tmp_path / "task")
    assert (task.work / "own/own.c").exists()
    assert not list(tmp_path.rglob("x"))
    assert not (tmp_path / "task/evil").exists()
