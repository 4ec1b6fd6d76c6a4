"""Repositories that are hostile at random: nothing that they name runs, and nothing breaks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from rover_mcp.errors import RoverError
from rover_mcp.git.hub import Hub
from rover_mcp.git.repository import (
    inspect_repository,
    list_branches,
    remote_hosts,
    resolve_branch,
)
from tests.attacks.hostile import (
    Arsenal,
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
     b"ref: refs/heads/-x\n", b"../../..\n", b"0" * 40 + b"\n", b"# pack-refs with: peeled\n-x\n",
     b"[core\n", b"[include]\n\tpath = /dev/zero\n", b"x" * 5_000_000]
)  # fmt: skip
OURS = ("HEAD", "config", "config.worktree", "commondir", "shallow")
"""Files that rover reads itself: a pipe or a device in their place is not waited for."""
FILES = (
    "index", "packed-refs", "gitdir", "objects/info/alternates", "objects/info/http-alternates",
    "objects/info/commit-graph", "info/grafts", "info/exclude", "info/attributes",
    "info/sparse-checkout", "refs/heads/x", "refs/heads/-x", "refs/heads/rover/y",
    "refs/replace/x", "worktrees/w/gitdir", "worktrees/w/HEAD", "sharedindex.x", "FETCH_HEAD",
    "remotes/origin", "branches/origin", "logs/HEAD",
)  # fmt: skip
TAME = ("file", "folder", "link-away", "gone")
BROKEN = st.one_of(
    st.tuples(st.sampled_from(OURS), st.sampled_from((*TAME, "pipe", "link-to-zero")), GARBAGE),
    st.tuples(st.sampled_from(FILES), st.sampled_from(TAME), GARBAGE),
)


@dataclass(frozen=True)
class Template:
    """A harmless repository with a task's work, copied for every example."""

    folder: Path
    arsenal: Arsenal
    base: str

    def copy(self) -> Path:
        target = self.folder / "example"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.folder / "template", target, symlinks=True)
        return target / "repo"

    @property
    def clone(self) -> SandboxClone:
        return SandboxClone(self.folder / "example/clone", self.base, self.base)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    folder = tmp_path_factory.mktemp("hostile")
    root = make_repository(folder / "template" / "repo")
    clone = folder / "template" / "clone"
    git(root.parent, "clone", "-q", str(root), str(clone))
    git(clone, "switch", "-qc", BRANCH)
    git(clone, "commit", "-q", "--allow-empty", "-m", "work")
    yield Template(folder, Arsenal.at(folder / "arsenal"), git(clone, "rev-parse", "HEAD~1"))
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
    hub, clone = Hub(folder / "hub"), template.clone
    tried(lambda: inspect_repository(root))
    tried(lambda: list_branches(root))
    tried(lambda: remote_hosts(root))
    tried(lambda: resolve_branch(root, "main"))
    tried(lambda: hub.lend(root, template.base, folder / "lent"))

    def deliver() -> None:
        snapshot = clone.snapshot(1)
        hub.import_bundle(TASK, clone.bundle(snapshot), snapshot, BRANCH)
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
    root = template.copy()
    numbers = numbered(KEYS, template.arsenal)
    chosen = {key: [every_shape(key, numbers[key], template.arsenal)[shape]] for key in keys}
    if files:
        plant_files(root / ".git", root, template.arsenal)
    with (root / ".git/config").open("a") as file:
        file.write(set_all(chosen))
    for name, kind, content in broken:
        put(root / ".git" / name, kind, content)
    every_call(template, root)
    assert template.arsenal.hits() == []
