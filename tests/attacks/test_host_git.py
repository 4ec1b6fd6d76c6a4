"""U3: no program runs on the host that a repository's configuration, attributes, hooks or the
environment name, whatever git reads in whatever place."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from rover_mcp.domain.errors import RoverError
from rover_mcp.git.hub import Hub
from rover_mcp.git.repository import (
    inspect_repository,
    list_branches,
    remote_hosts,
    resolve_branch,
    tracked_paths,
)
from tests.attacks.hostile import (
    MarkerPrograms,
    config_keys,
    environment,
    every_shape,
    hook_names,
    numbered,
    plant_files,
    set_all,
)
from tests.integration.git.conftest import BRANCH, TASK, SandboxClone
from tests.support.repos import git, make_repository

REFUSED = ("extensions.", "core.repositoryFormatVersion")
"""Keys by which git says that it cannot read a repository: those are tried apart."""
TRIGGERS = (
    "status", "diff HEAD~1", "diff --no-ext-diff HEAD~1", "commit -a", "commit -S -am x",
    "fetch ssh://h.invalid/x", "fetch git://h.invalid/x", "merge side", "difftool -y HEAD~1",
    "tag -s -m x t1", "instaweb", "interpret-trailers --trailer planted=x", "planted",
    "credential fill", "grep -O x", "clone -q . ../cloned", "archive --format=tar.gz -o x.tgz HEAD",
)  # fmt: skip


@dataclass(frozen=True)
class HostileRepository:
    """A user's repository, and what a sandbox made of it while it was harmless."""

    root: Path
    arsenal: MarkerPrograms
    clone: SandboxClone

    @property
    def git_dir(self) -> Path:
        return self.root / ".git"


@pytest.fixture
def hostile(tmp_path: Path) -> HostileRepository:
    root = make_repository(tmp_path / "repo")
    git(root, "branch", "side")
    (root / "calc.py").write_text("changed\n")
    git(root, "commit", "-qam", "second")
    git(root, "remote", "add", "origin", str(tmp_path / "elsewhere"))
    path = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(root), str(path))
    git(path, "switch", "-qc", BRANCH)
    base = git(path, "rev-parse", "HEAD")
    git(path, "commit", "-q", "--allow-empty", "-m", "work")
    return HostileRepository(
        root, MarkerPrograms.at(tmp_path / "arsenal"), SandboxClone(path, base, base)
    )


def values(arsenal: MarkerPrograms, *, refused: bool) -> str:
    """A configuration in which every key names a program, in every shape."""
    numbers = numbered(config_keys(), arsenal)
    chosen = {k: n for k, n in numbers.items() if refused or not k.startswith(REFUSED)}
    planted = {k: every_shape(k, n, arsenal) for k, n in chosen.items()}
    planted["protocol.ext.allow"] = ["always"]
    planted["url.ext::" + str(arsenal.program("instead-of")) + " .insteadOf"] = ["/", "h", "r", "."]
    return set_all(planted)


def everything_of_the_host(hostile: HostileRepository, where: Path, folder: Path) -> str:
    """All that rover does with a user's repository; where the branch is afterwards."""
    info = inspect_repository(where)
    assert resolve_branch(where, "main") == info.head_commit == hostile.clone.base
    assert "side" in list_branches(where)
    remote_hosts(where)
    assert tracked_paths(where, info.head_commit, ["calc.py"]) == {"calc.py"}
    hub = Hub(folder / "hub")
    hub.lend(where, info.head_commit, folder / "lent")
    assert hub.tree(info.head_commit).read("calc.py", 100) == b"changed\n"
    snapshot = hostile.clone.snapshot(1)
    hub.import_bundle(TASK, hostile.clone.base, hostile.clone.bundle(snapshot), snapshot, BRANCH)
    hub.diff(TASK, info.head_commit, snapshot.commit)
    hub.export_restore(TASK, snapshot, info.head_commit, folder / "restore")
    return hub.publish(TASK, where, BRANCH).commit


def in_config(hostile: HostileRepository, text: str) -> Path:
    with (hostile.git_dir / "config").open("a") as file:
        file.write(text)
    return hostile.root


def in_worktree_config(hostile: HostileRepository, text: str) -> Path:
    git(hostile.root, "config", "extensions.worktreeConfig", "true")
    (hostile.git_dir / "config.worktree").write_text(text)
    return hostile.root


def in_an_include(hostile: HostileRepository, text: str) -> Path:
    (hostile.root / "more").write_text(text)
    keys = ("include.path", "includeIf.gitdir:/.path", "includeIf.onbranch:main.path")
    return in_config(hostile, set_all({key: [str(hostile.root / "more")] for key in keys}))


def behind_a_git_file(hostile: HostileRepository, text: str) -> Path:
    away = hostile.root.parent / "away"
    in_config(hostile, text)
    hostile.git_dir.rename(away)
    hostile.git_dir.write_text(f"gitdir: {away}\n")
    return hostile.root


def in_a_linked_work_tree(hostile: HostileRepository, text: str) -> Path:
    in_config(hostile, text)
    return hostile.root.parent / "linked"


PLACES: dict[str, Callable[[HostileRepository, str], Path]] = {
    "config": in_config,
    "config.worktree": in_worktree_config,
    "include": in_an_include,
    "git-file": behind_a_git_file,
    "linked": in_a_linked_work_tree,
}


@pytest.mark.known_escape(15)
@pytest.mark.parametrize("place", PLACES)
def test_no_program_runs_that_a_repository_or_the_environment_names(
    hostile: HostileRepository, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """U3. Succeeded at 700cc57: `protocol.ext.allow=always` of the repository's own outranked
    `protocol.allow=never`, and `url.ext::<program>.insteadOf` led the delivery's fetch to it."""
    git(hostile.root, "worktree", "add", "-q", "--detach", str(hostile.root.parent / "linked"))
    plant_files(hostile.git_dir, hostile.root, hostile.arsenal)
    where = PLACES[place](hostile, values(hostile.arsenal, refused=False))
    for folder in (where, where / "bin"):
        folder.mkdir(exist_ok=True)
        (folder / "git").symlink_to(hostile.arsenal.program("git-in-a-relative-path"))
    for name, value in environment(hostile.arsenal).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(where)
    published = everything_of_the_host(hostile, where, tmp_path / "data")
    assert hostile.arsenal.hits() == []
    monkeypatch.undo()
    common = (
        Path(hostile.git_dir.read_text().split()[1]) if place == "git-file" else hostile.git_dir
    )
    assert (common / "refs/heads" / BRANCH).read_text().strip() == published


@pytest.mark.known_escape(15)
def test_a_repository_that_names_a_format_too_is_refused_and_runs_nothing(
    hostile: HostileRepository, tmp_path: Path
) -> None:
    """U3. Every key that git documents, those too by which it cannot be read."""
    where = in_config(hostile, values(hostile.arsenal, refused=True))
    with pytest.raises(RoverError):
        everything_of_the_host(hostile, where, tmp_path / "data")
    assert hostile.arsenal.hits() == []


def plain_git(hostile: HostileRepository, command: str) -> str:
    """Git as a user starts it, with the programs on the search path; what it said."""
    env = {
        "PATH": f"{hostile.arsenal.programs}:{os.environ['PATH']}", "HOME": "/nonexistent",
        "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0",
        "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@x", "GIT_COMMITTER_NAME": "A",
        "GIT_COMMITTER_EMAIL": "a@x",
    }  # fmt: skip
    done = subprocess.run(
        ["git", *command.split()], cwd=hostile.root, env=env, input="protocol=https\nhost=h\n\n",
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    return done.stderr


def readable(hostile: HostileRepository, values: dict[str, str], own: str, command: str) -> str:
    """Have a command run with those of the keys that git does not stumble over, which it names;
    what it says in the end."""
    said = ""
    for _ in range(80):
        text = set_all({key: [value] for key, value in values.items()})
        (hostile.git_dir / "config").write_text(own + text)
        said = plain_git(hostile, command)
        wrong = {w.lower() for w in re.findall(r"[A-Za-z]+(?:\.[^\s'\"]+)+", said)}
        wrong |= set(re.findall(r"\b7[0-9]{3}\b", said))
        if not (bad := [key for key in values if {key.lower(), values[key]} & wrong]):
            break
        for key in bad:
            del values[key]
    return said


def test_the_same_programs_run_where_a_user_starts_git_there(hostile: HostileRepository) -> None:
    """So that the attack does not fail for a reason of its own: without what rover does, git runs
    the programs of a good number of keys, and hooks."""
    numbers = numbered(config_keys(), hostile.arsenal)
    skipped = (*REFUSED, "core.hooksPath", "core.worktree", "core.bare", "remote.", "include")
    values = {k: n for k, n in numbers.items() if not k.startswith(skipped)}
    plant_files(hostile.git_dir, hostile.root, hostile.arsenal)
    own = (hostile.git_dir / "config").read_text()
    for command in TRIGGERS:
        (hostile.root / "calc.py").write_text(f"{command}\n")
        readable(hostile, values, own, command)
    keys = {number: key for key, number in numbers.items()}
    hits = hostile.arsenal.hits()
    assert len([keys[hit] for hit in hits if hit in keys]) >= 8, hits
    assert len(set(hits) & set(hook_names())) >= 3, hits
