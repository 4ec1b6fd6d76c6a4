"""Repositories that are hostile at random: nothing that they name runs, and nothing breaks."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from agent_runner.models import Snapshot
from rover_mcp.domain.errors import RoverError
from rover_mcp.git.hub import Hub
from rover_mcp.git.repository import (
    inspect_repository,
    list_branches,
    remote_hosts,
    resolve_branch,
)
from tests.attacks.hostile import (
    MarkerPrograms,
    config_keys,
    every_shape,
    numbered,
    plant_files,
    set_all,
)
from tests.integration.git.conftest import BRANCH, TASK, SandboxClone
from tests.support.repos import git, make_repository

EXAMPLES = int(os.environ.get("ROVER_HOSTILE_EXAMPLES", "15"))
KEYS = config_keys()
GARBAGE = st.sampled_from(
    [b"", b"\0\0\0", b"\xff" * 50, b"gitdir: /\n", b"ref: refs/heads/../../x\n", b"/etc\n",
     b"gitdir: /\0\n", b"ref: refs/heads/\0\n", b"/" + b"x" * 5000 + b"\n", b"itself\n",
     b"ref: refs/heads/-x\n", b"../../..\n", b"0" * 40 + b"\n", b"# pack-refs with: peeled\n-x\n",
     b"[core\n", b"[include]\n\tpath = /dev/zero\n", b"x" * 5_000_000]
)  # fmt: skip
FILES = (
    "HEAD", "config", "config.worktree", "commondir", "shallow",
    "index", "packed-refs", "gitdir", "objects/info/alternates", "objects/info/http-alternates",
    "objects/info/commit-graph", "info/grafts", "info/exclude", "info/attributes",
    "info/sparse-checkout", "refs/heads/x", "refs/heads/-x", "refs/heads/rover/y",
    "refs/replace/x", "worktrees/w/gitdir", "worktrees/w/HEAD", "sharedindex.x", "FETCH_HEAD",
    "remotes/origin", "branches/origin", "logs/HEAD",
)  # fmt: skip
KINDS = ("file", "folder", "link-away", "link-to-itself", "gone", "pipe", "link-to-zero")
BROKEN = st.tuples(st.sampled_from(FILES), st.sampled_from(KINDS), GARBAGE)


@dataclass(frozen=True)
class Template:
    """A harmless repository, bare of files or with all that can be planted in it, which is copied
    for every example; and a task's work, which comes from a sandbox that nobody attacks."""

    folder: Path
    arsenal: MarkerPrograms
    numbers: dict[str, str] = field(repr=False)
    base: str
    bundle: Path
    snapshot: Snapshot

    @classmethod
    def at(cls, folder: Path) -> Template:
        root = make_repository(folder / "plain" / "repo")
        clone = folder / "clone"
        git(folder, "clone", "-q", str(root), str(clone))
        git(clone, "switch", "-qc", BRANCH)
        git(clone, "commit", "-q", "--allow-empty", "-m", "work")
        base = git(clone, "rev-parse", "HEAD~1")
        sandbox = SandboxClone(clone, base, base)
        snapshot = sandbox.snapshot(1)
        shutil.rmtree(root / ".git/hooks")
        shutil.copytree(folder / "plain", folder / "planted", symlinks=True)
        arsenal = MarkerPrograms.at(folder / "arsenal")
        _plant(folder / "planted" / "repo", arsenal)
        numbers = numbered(KEYS, arsenal)
        return cls(folder, arsenal, numbers, base, sandbox.bundle(snapshot), snapshot)

    def copy(self, *, planted: bool) -> Path:
        target = self.folder / "example"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.folder / ("planted" if planted else "plain"), target, symlinks=True)
        return target / "repo"


def _plant(root: Path, arsenal: MarkerPrograms) -> None:
    """Plant it once: hundreds of hooks are no part of what is copied, only a link to them is."""
    plant_files(root / ".git", root, arsenal)
    hooks = arsenal.programs.with_name("hooks")
    (root / ".git/hooks").rename(hooks)
    (root / ".git/hooks").symlink_to(hooks)


@pytest.fixture(scope="module")
def template() -> Iterator[Template]:
    folder = Path(tempfile.mkdtemp(prefix="rover-hostile-", dir="/dev/shm"))
    yield Template.at(folder)
    shutil.rmtree(folder, ignore_errors=True)


def put(path: Path, kind: str, content: bytes) -> None:
    """Put something of that kind into the place of a file."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    for parent in reversed(path.parents):
        if parent.is_symlink() or (parent.exists() and not parent.is_dir()):
            return
    path.parent.mkdir(parents=True, exist_ok=True)
    match kind:
        case "file":
            path.write_bytes(content)
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "link-to-zero":
            path.symlink_to("/dev/zero")
        case "link-to-itself":
            path.symlink_to(path.name)
        case "link-away":
            path.symlink_to("/etc/passwd")
        case _:
            pass


def tried(work: Callable[[], object]) -> None:
    """It may be refused, in words; nothing else may come of it."""
    with suppress(RoverError):
        work()


def every_call(template: Template, root: Path) -> None:
    folder = root.parent / "data"
    hub = Hub(folder / "hub")
    tried(lambda: inspect_repository(root))
    tried(lambda: list_branches(root))
    tried(lambda: remote_hosts(root))
    tried(lambda: resolve_branch(root, "main"))
    tried(lambda: hub.lend(root, template.base, folder / "lent"))

    def deliver() -> None:
        hub.import_bundle(TASK, template.base, template.bundle, template.snapshot, BRANCH)
        hub.publish(TASK, root, BRANCH)

    tried(deliver)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    keys=st.lists(st.sampled_from(KEYS), max_size=60),
    shape=st.integers(0, 4),
    broken=st.lists(BROKEN, max_size=3),
    files=st.booleans(),
)
def test_nothing_runs_and_nothing_breaks_whatever_a_repository_holds(
    template: Template, keys: list[str], shape: int, broken: list[tuple[str, str, bytes]],
    files: bool,
) -> None:  # fmt: skip
    """U3, rows 14 and 15 of the anchors: keys in random shapes, hooks, attributes, and files of
    the repository that are garbage, pipes, folders, links, or gone."""
    root = template.copy(planted=files)
    chosen = {
        key: [every_shape(key, template.numbers[key], template.arsenal)[shape]] for key in keys
    }
    with (root / ".git/config").open("a") as file:
        file.write(set_all(chosen))
    for name, kind, content in broken:
        put(root / ".git" / name, kind, content)
    every_call(template, root)
    assert template.arsenal.hits() == []


def test_what_is_planted_runs_for_a_git_that_is_started_for_it(template: Template) -> None:
    """U3: the other test could not fail where hooks and programs were planted wrongly."""
    root = template.copy(planted=True)
    with (root / ".git/config").open("a") as file:
        number = template.numbers["core.fsmonitor"]
        file.write(set_all({"core.fsmonitor": [str(template.arsenal.program(number))]}))
    path = f"{template.arsenal.programs}:{os.environ['PATH']}"
    for command in (["status"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *command],
            cwd=root, env={**os.environ, "PATH": path}, capture_output=True, check=True,
        )  # fmt: skip
    assert {"pre-commit", number} <= set(template.arsenal.hits())
    template.arsenal.forget()
