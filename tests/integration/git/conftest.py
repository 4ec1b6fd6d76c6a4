"""Small real repositories, and a runner's bundles made from them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent_runner.models import Snapshot

TASK = "0123456789abcdef0123456789abcdef"
OTHER_TASK = "f" * 32
BRANCH = "rover/1-fix"
_ENV = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org",
    "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",
    "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
}


def git(repo: Path, *argv: str, stdin: bytes | None = None, ok: bool = True) -> str:
    """Run git as a person would and return what it printed."""
    done = subprocess.run(
        ["git", *argv], cwd=repo, env=_ENV, input=stdin, capture_output=True, check=False
    )
    if ok and done.returncode != 0:
        raise AssertionError(done.stderr.decode())
    return done.stdout.decode("utf-8", "backslashreplace").strip()


def tree_state(repo: Path) -> dict[str, bytes]:
    """Everything of a repository that publishing must leave as it was: bytes by path."""
    skipped = ("objects", "logs", "refs")
    return {
        str(path.relative_to(repo)): path.read_bytes()
        for path in sorted(repo.rglob("*"))
        if path.is_file() and not {*path.relative_to(repo).parts[:2]} & {*skipped}
    }


@dataclass
class SandboxClone:
    """What a runner has: a clone with the task's branch, from which it writes bundles."""

    path: Path
    base: str
    last: str

    def snapshot(self, sequence: int, *extra_refs: str, branch: str = BRANCH) -> Snapshot:
        """Commit the tree as a snapshot and bundle what is new."""
        git(self.path, "add", "-A")
        tree = git(self.path, "write-tree")
        return self.snapshot_of(tree, sequence, *extra_refs, branch=branch)

    def snapshot_of(
        self, tree: str, sequence: int, *extra_refs: str, branch: str = BRANCH
    ) -> Snapshot:
        commit = git(self.path, "commit-tree", tree, "-p", self.last, "-m", f"snapshot {sequence}")
        git(self.path, "update-ref", f"refs/rover/snapshots/{sequence}", commit)
        name = f"{sequence:06}.bundle"
        refs = [f"refs/rover/snapshots/{sequence}", f"refs/heads/{branch}", *extra_refs]
        git(self.path, "bundle", "create", "-q", name, *refs, f"^{self.last}")
        self.last = commit
        head = git(self.path, "rev-parse", f"refs/heads/{branch}")
        return Snapshot(sequence=sequence, commit=commit, tree=tree, bundle=name, head=head)

    def bundle(self, snapshot: Snapshot) -> Path:
        return self.path / snapshot.bundle


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with one commit on `main`."""
    path = tmp_path / "repo"
    path.mkdir()
    git(path, "init", "-q", "-b", "main")
    (path / "a.txt").write_text("one\n")
    git(path, "add", "-A")
    git(path, "commit", "-qm", "first")
    return path


@pytest.fixture
def sandbox(repo: Path, tmp_path: Path) -> Callable[[], SandboxClone]:
    def make() -> SandboxClone:
        path = tmp_path / "sandbox"
        git(tmp_path, "clone", "-q", str(repo), str(path))
        git(path, "switch", "-qc", BRANCH)
        (path / ".git/info/exclude").write_text("*.bundle\n")
        base = git(path, "rev-parse", "HEAD")
        return SandboxClone(path, base, base)

    return make
