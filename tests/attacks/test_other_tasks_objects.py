"""An agent that knows the ids of another task's objects, or of another branch's, has the host's git
look them up: in what it delivers, in what it says of it, and in what it is given back.

Each of these succeeded at e1ce75d: the hub has the objects of all tasks, so that a bundle which only
named one was complete.
"""

from __future__ import annotations

import subprocess
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path

import pytest

from agent_runner.models import Snapshot
from rover_mcp.domain.errors import RoverError
from rover_mcp.git.hub import Hub
from tests.integration.git.conftest import BRANCH, OTHER_TASK, TASK, SandboxClone, git
from tests.support.repos import make_repository

SECRET = "a secret of another task's\n" * 20


@dataclass(frozen=True)
class TwoTasks:
    """The attacker's clone knows every object of the victim: it can name what it likes."""

    hub: Hub
    clone: SandboxClone
    foreign: str
    """the victim's commit, whose tree has secret.txt"""

    def id(self, what: str) -> str:
        return git(self.clone.path, "rev-parse", what)

    def tree(self, *entries: str) -> str:
        lines = "\n".join([git(self.clone.path, "ls-tree", self.clone.base), *entries]) + "\n"
        return git(self.clone.path, "mktree", "--missing", stdin=lines.encode())

    def commit(self, tree: str, parent: str = "") -> str:
        return git(self.clone.path, "commit-tree", tree, "-p", parent or self.clone.base, "-m", "x")

    def claim(
        self, commit: str, ids: str = "", *, head: str = "", needs: str = "", pack: bytes = b""
    ) -> Snapshot:
        """A snapshot whose bundle holds these objects and no others."""
        wanted = "\n".join(dict.fromkeys(ids.split())) + "\n"
        packed = pack or subprocess.run(
            ["git", "pack-objects", "-q", "--stdout"], cwd=self.clone.path,
            input=wanted.encode() if ids else b"", capture_output=True, check=True,
        ).stdout  # fmt: skip
        refs = f"{commit} refs/rover/snapshots/1\n{head or self.clone.base} refs/heads/{BRANCH}\n"
        header = f"# v2 git bundle\n-{needs or self.clone.base}\n{refs}\n"
        (self.clone.path / "000001.bundle").write_bytes(header.encode() + packed)
        return Snapshot(
            sequence=1, commit=commit, tree=self.id(f"{commit}^{{tree}}"), bundle="000001.bundle",
            head=head or self.clone.base,
        )  # fmt: skip

    def delivers(self, snapshot: Snapshot) -> None:
        bundle = self.clone.bundle(snapshot)
        self.hub.import_bundle(TASK, self.clone.base, bundle, snapshot, BRANCH)


def another_task(hub: Hub, repo: Path, base: str) -> str:
    path = repo.parent / "victim"
    git(repo.parent, "clone", "-q", str(repo), str(path))
    git(path, "switch", "-qc", BRANCH)
    victim = SandboxClone(path, base, base)
    (path / "secret.txt").write_text(SECRET)
    snapshot = victim.snapshot(1)
    hub.import_bundle(OTHER_TASK, base, victim.bundle(snapshot), snapshot, BRANCH)
    return snapshot.commit


def another_base(hub: Hub, repo: Path, base: str) -> str:
    git(repo, "switch", "-qc", "private")
    (repo / "secret.txt").write_text(SECRET)
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "private")
    foreign = git(repo, "rev-parse", "HEAD")
    hub.update(repo, foreign)
    git(repo, "switch", "-q", "main")
    git(repo, "branch", "-qD", "private")
    return foreign


@pytest.fixture(params=[another_task, another_base])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> TwoTasks:
    repo, hub = make_repository(tmp_path / "repo"), Hub(tmp_path / "hub")
    base = git(repo, "rev-parse", "HEAD")
    hub.update(repo, base)
    foreign = request.param(hub, repo, base)
    path = tmp_path / "attacker"
    git(tmp_path, "clone", "-q", str(repo), str(path))
    git(path, "switch", "-qc", BRANCH)
    (path / ".git/objects/info/alternates").write_text(f"{hub.hub}/objects\n{hub.base}/objects\n")
    return TwoTasks(hub, SandboxClone(path, base, base), foreign)


def foreign_blob(site: TwoTasks) -> Snapshot:
    tree = site.tree(f"100644 blob {site.id(f'{site.foreign}:secret.txt')}\tmine.txt")
    commit = site.commit(tree)
    return site.claim(commit, f"{commit} {tree}")


def foreign_tree(site: TwoTasks) -> Snapshot:
    tree = site.tree(f"040000 tree {site.id(f'{site.foreign}^{{tree}}')}\tmine")
    commit = site.commit(tree)
    return site.claim(commit, f"{commit} {tree}")


def foreign_root(site: TwoTasks) -> Snapshot:
    commit = site.commit(site.id(f"{site.foreign}^{{tree}}"))
    return site.claim(commit, commit)


def foreign_parent(site: TwoTasks) -> Snapshot:
    commit = site.commit(site.id(f"{site.clone.base}^{{tree}}"), site.foreign)
    return site.claim(commit, commit)


def foreign_commit(site: TwoTasks) -> Snapshot:
    return site.claim(site.foreign)


def foreign_head(site: TwoTasks) -> Snapshot:
    commit = site.commit(site.id(f"{site.clone.base}^{{tree}}"))
    return site.claim(commit, commit, head=site.foreign)


def foreign_prerequisite(site: TwoTasks) -> Snapshot:
    commit = site.commit(site.id(f"{site.foreign}^{{tree}}"), site.foreign)
    return site.claim(commit, commit, needs=site.foreign)


def foreign_delta_base(site: TwoTasks) -> Snapshot:
    """A blob of the attacker's own, whose content is that of another with one letter added."""
    blob = site.id(f"{site.foreign}:secret.txt")
    size, copied = len(SECRET), SECRET + "!"
    own = git(site.clone.path, "hash-object", "-w", "--stdin", stdin=copied.encode())
    tree = site.tree(f"100644 blob {own}\tmine.txt")
    commit = site.commit(tree)
    # gitformat-pack(5): sizes of both, copy all of the base, then one byte.
    delta = bytes([*varint(size), *varint(size + 1), 0x80 | 0x10 | 0x20, size & 255, size >> 8])
    delta += b"\x01!"
    entries = [
        raw(site, "commit", commit),
        raw(site, "tree", tree),
        entry(7, len(delta)) + bytes.fromhex(blob) + zlib.compress(delta),
    ]
    body = b"PACK" + (2).to_bytes(4, "big") + len(entries).to_bytes(4, "big") + b"".join(entries)
    return site.claim(commit, pack=body + sha1(body).digest())


def varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(0x80 | number & 0x7F)
        number >>= 7
    return bytes([*out, number])


def entry(kind: int, size: int) -> bytes:
    first, rest = size & 15, size >> 4
    head = (0x80 if rest else 0) | kind << 4 | first
    return bytes([head]) + (varint(rest) if rest else b"")


def raw(site: TwoTasks, kind: str, name: str) -> bytes:
    data = subprocess.run(
        ["git", "cat-file", kind, name], cwd=site.clone.path, capture_output=True, check=True
    ).stdout
    return entry({"commit": 1, "tree": 2}[kind], len(data)) + zlib.compress(data)


ATTACKS: list[Callable[[TwoTasks], Snapshot]] = [
    foreign_blob, foreign_tree, foreign_root, foreign_parent, foreign_commit, foreign_head,
    foreign_prerequisite, foreign_delta_base,
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_a_task_delivers_is_complete_by_itself(
    site: TwoTasks, attack: Callable[[TwoTasks], Snapshot]
) -> None:
    """U4."""
    snapshot = attack(site)
    with pytest.raises(RoverError) as caught:
        site.delivers(snapshot)
    assert caught.value.code in ("bundle_refused", "bundle_incomplete")
    assert site.hub.snapshots(TASK) == {}
    assert site.hub.head(TASK) is None


def test_a_snapshot_that_is_only_claimed_is_not_shown(site: TwoTasks) -> None:
    """U4: what the journal says is an agent's word."""
    with pytest.raises(RoverError, match="no commit"):
        site.hub.diff(TASK, site.clone.base, site.foreign)
    with pytest.raises(RoverError, match="no commit"):
        site.hub.diff(OTHER_TASK, site.clone.base, "1" * 40)


def test_a_head_that_is_claimed_later_is_not_given_back(site: TwoTasks, tmp_path: Path) -> None:
    """U4: the journal was rewritten after its snapshot was taken over."""
    honest = site.clone.snapshot(1)
    site.delivers(honest)
    restored = tmp_path / "restore.bundle"
    site.hub.export_restore(TASK, honest, site.clone.base, restored)
    restored.unlink()
    claimed = honest.model_copy(update={"head": site.foreign})
    site.delivers(claimed)
    assert site.hub.head(TASK) == honest.head
    with pytest.raises(RoverError):
        site.hub.export_restore(TASK, claimed, site.clone.base, restored)
    assert not restored.exists()


def test_a_link_to_another_tasks_commit_shows_its_id_and_nothing_else(site: TwoTasks) -> None:
    """U4: a submodule's commit is nothing that git looks up."""
    tree = site.tree(f"160000 commit {site.foreign}\tmodule")
    commit = site.commit(tree)
    site.delivers(site.claim(commit, f"{commit} {tree}"))
    patch = site.hub.diff(TASK, site.clone.base, commit).patch
    assert site.foreign in patch
    assert "secret" not in patch


def test_a_task_builds_on_its_own_snapshots_and_every_commit_of_its_base(site: TwoTasks) -> None:
    """What is closed to others stays open to itself, also where the hub was made again."""
    clone = site.clone
    for number in (1, 2, 3):
        (clone.path / "mine.txt").write_text("\n".join(f"line {n}" for n in range(200 + number)))
        snapshot = clone.snapshot(number)
        site.delivers(snapshot)
        if number == 2:
            site.hub.renew()
    assert sorted(site.hub.snapshots(TASK)) == [1, 2, 3]
    assert "mine.txt" in site.hub.diff(TASK, clone.base, snapshot.commit).patch
    site.hub.drop_task(TASK)
    assert not [p for p in (site.hub.hub / "own").rglob("*") if TASK in str(p)]
