"""What tasks need to know of a commit's files is looked up once."""

from __future__ import annotations

from pathlib import Path

import pytest

from rover_mcp.daemon.git_adapters import GitRepositories
from rover_mcp.domain.errors import UserFixable
from rover_mcp.git import contents
from rover_mcp.git.contents import contents_of
from rover_mcp.git.repository_view import RepositoryView, opened
from rover_mcp.git.submodules import SUBMODULES
from tests.integration.git.conftest import git


def _lists(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commits whose files git lists from now on."""
    listed: list[str] = []
    run = RepositoryView.run

    def heard(view: RepositoryView, argv: tuple[str, ...], **options: object) -> object:
        if "-r" in argv and "ls-tree" in argv:
            listed.append(argv[-1])
        return run(view, argv, **options)

    monkeypatch.setattr(RepositoryView, "run", heard)
    return listed


def _lend(repositories: GitRepositories, repo: Path, folder: Path) -> None:
    """All that is done with the files of a task's base before its sandbox."""
    found = repositories.inspect(repo)
    assert repositories.absent(found, found.head_commit) == []
    assert repositories.size(found, found.head_commit) is not None
    project = repositories.project_id(found.project)
    repositories.open_hub(project, found.project)
    hub, objects = repositories.hub(project), folder / "objects"
    hub.lend(repo, found.head_commit, objects)
    assert hub.lend_lfs(repo, found.head_commit, objects) == []
    assert hub.lend_submodules(repo, found.head_commit, objects, folder / SUBMODULES) == []


def test_a_base_is_listed_once(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """V4: also for the tasks that follow, and anew for another commit."""
    repositories = GitRepositories(tmp_path / "home")
    listed = _lists(monkeypatch)
    for number in range(2):
        _lend(repositories, repo, tmp_path / f"task{number}")
    first = git(repo, "rev-parse", "HEAD")
    assert listed == [first]
    git(repo, "commit", "-q", "--allow-empty", "-m", "another")
    _lend(repositories, repo, tmp_path / "task2")
    assert listed == [first, git(repo, "rev-parse", "HEAD")]


def test_a_base_that_only_the_repository_holds_is_checked_each_time(
    repo: Path, tmp_path: Path
) -> None:
    """V4: what is missing by now is found before the task is made."""
    repositories = GitRepositories(tmp_path / "home")
    found = repositories.inspect(repo)
    assert repositories.absent(found, found.head_commit) == []
    name = git(repo, "ls-tree", "HEAD").split()[2]
    (repo / ".git/objects" / name[:2] / name[2:]).unlink()
    with pytest.raises(UserFixable) as error:
        repositories.absent(found, found.head_commit)
    assert error.value.code == "unreadable_base"


def test_only_so_many_commits_are_kept(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "MOST_KNOWN", 1)
    commits = [git(repo, "rev-parse", "HEAD")]
    git(repo, "commit", "-q", "--allow-empty", "-m", "another")
    commits.append(git(repo, "rev-parse", "HEAD"))
    listed = _lists(monkeypatch)
    with opened(repo) as view:
        for commit in (*commits, commits[0], commits[0]):
            contents_of(view, commit)
    assert listed == [*commits, commits[0]]
