"""Of a repository's objects, a sandbox sees those that its task's base reaches, and no others."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.conftest import ENGINES
from tests.attacks.stage import AttackedHost
from tests.support.repos import git, make_repository
from tests.support.scripts import script

LOOK = r"""
git fsck --lost-found --no-reflogs 2>&1
git cat-file --batch-all-objects --batch
python3 - <<'LOOKED'
import os, pathlib, zlib
for root in ("/rover/base", ".git", os.path.expanduser("~")):
    for path in pathlib.Path(root).rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        for at in [i for i, byte in enumerate(data) if byte == 0x78]:
            try:
                print(path, zlib.decompressobj().decompress(data[at:])[:300])
            except zlib.error:
                pass
LOOKED
"""
STEPS = [{"id": "look", "type": "agent", "prompt": "look"}]


@dataclass(frozen=True)
class RepositoryWithHistory:
    """A repository in which lies what no task was asked to work on, by the place."""

    root: Path
    stage: AttackedHost

    def secret(self, place: str) -> str:
        return self.stage.canaries.secrets[f"unreached-{place}"]

    def hide(self) -> None:
        """In each way in which a repository keeps what is on no branch, or on another."""
        root, new = self.root, self.stage.canaries.new
        (root / ".env").write_text(new("unreached-staged"))
        git(root, "add", ".env")
        git(root, "rm", "-q", "--cached", ".env")
        (root / ".env").unlink()
        (root / "calc.py").write_text(new("unreached-stash"))
        git(root, "stash")
        git(root, "stash", "drop")
        self._branch("deleted")
        git(root, "branch", "-qD", "deleted")
        (root / "amended.txt").write_text(new("unreached-amended"))
        git(root, "add", "-A")
        git(root, "commit", "-qm", "amended")
        git(root, "reset", "-q", "--hard", "HEAD~1")
        self._branch("side")
        git(root, "tag", "side-tag", "side")
        git(root, "repack", "-qad")

    def _branch(self, name: str) -> None:
        git(self.root, "switch", "-qc", name)
        (self.root / f"{name}.txt").write_text(self.stage.canaries.new(f"unreached-{name}"))
        git(self.root, "add", "-A")
        git(self.root, "commit", "-qm", name)
        git(self.root, "switch", "-q", "main")


@pytest.fixture
def untold(stage: AttackedHost, tmp_path: Path) -> RepositoryWithHistory:
    made = RepositoryWithHistory(make_repository(stage.root / tmp_path.name / "repo"), stage)
    made.hide()
    return made


def seen(stage: AttackedHost, untold: RepositoryWithHistory, engine: str, **asked: Any) -> str:
    """All that an agent finds of objects."""
    stage.workflow("look", STEPS)
    with contextlib.closing(stage.connect(untold.root)) as client:
        task = client.tool(
            "create_task", description="Look", workflow="look", agent="scripted", engine=engine,
            script=script(look=[{"run": LOOK}]), auto_resume=False, network="allowlist", **asked,
        )["task"]  # fmt: skip
        assert client.wait_until(task["id"], "COMPLETED")
    return stage.log(task, "look")


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_is_inside_that_the_base_does_not_reach(
    stage: AttackedHost, untold: RepositoryWithHistory, engine: str
) -> None:
    """U4. Succeeded at 700cc57: the repository's objects were hard-linked whole, so that a file
    that was staged and taken back, a dropped stash and a deleted branch could be read inside."""
    first = seen(stage, untold, engine, base_branch="side")
    assert untold.secret("side") in first, "what is asked for is seen, so the attack looks well"
    assert "return a - b" in first
    # After a task of the other branch, in the same project: nor is that one's base inside.
    found = seen(stage, untold, engine)
    assert "return a - b" in found
    places = ("staged", "stash", "deleted", "amended", "side")
    assert [place for place in places if untold.secret(place) in found] == []
    assert [p for p in places if untold.secret(p) in first] == ["side"]
