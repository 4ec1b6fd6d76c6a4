"""What a deleted task leaves: nothing, and all of the others."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import pytest

from rover_mcp.git import collect
from rover_mcp.git.hub import Hub
from tests.integration.git.conftest import BRANCH, OTHER_TASK, TASK, SandboxClone, git

BIG = 1_000_000


def size(folder: Path) -> int:
    """A file with several names counts once."""
    files = [f.stat() for f in folder.rglob("*") if f.is_file()]
    return sum({facts.st_ino: facts.st_size for facts in files}.values())


def clone_of(repo: Path, path: Path) -> SandboxClone:
    git(repo, "clone", "-q", str(repo), str(path))
    git(path, "switch", "-qc", BRANCH)
    (path / ".git/info/exclude").write_text("*.bundle\n")
    base = git(path, "rev-parse", "HEAD")
    return SandboxClone(path, base, base)


def work(hub: Hub, clone: SandboxClone, task: str, number: int, data: bytes) -> str:
    (clone.path / "big").write_bytes(data)
    snapshot = clone.snapshot(number)
    hub.import_bundle(task, clone.base, clone.bundle(snapshot), snapshot, BRANCH)
    return snapshot.commit


@pytest.fixture
def two(repo: Path, tmp_path: Path) -> tuple[Hub, dict[str, SandboxClone], dict[str, str]]:
    """Two tasks on bases of their own, each with something large in base and work."""
    hub = Hub(tmp_path / "p")
    clones: dict[str, SandboxClone] = {}
    made: dict[str, str] = {}
    for task in (OTHER_TASK, TASK):
        (repo / f"base-{task[:1]}").write_bytes(os.urandom(BIG))
        git(repo, "add", "-A")
        git(repo, "commit", "-qm", task)
        clones[task] = clone_of(repo, tmp_path / f"clone-{task[:1]}")
        hub.update(repo, clones[task].base)
        made[task] = work(hub, clones[task], task, 1, os.urandom(BIG))
    return hub, clones, made


def assert_whole(hub: Hub, commit: str) -> None:
    git(hub.hub, "fsck", "--strict", "--no-dangling")
    assert git(hub.hub, "cat-file", "-s", f"{commit}:big") == str(BIG)


def test_what_only_a_deleted_task_had_leaves_hub_and_base(
    two: tuple[Hub, dict[str, SandboxClone], dict[str, str]],
) -> None:
    """U8: its snapshots and its base stayed for ever; what others have stays."""
    hub, clones, made = two
    assert size(hub.folder) > 4 * BIG
    hub.drop_task(TASK)
    kept = {clones[OTHER_TASK].base}
    assert hub.collect(lambda: kept)
    assert hub.garbage_since() is None
    assert size(hub.folder) < 2.2 * BIG
    assert git(hub.hub, "cat-file", "-t", made[TASK], ok=False) == ""
    assert_whole(hub, made[OTHER_TASK])
    work(hub, clones[OTHER_TASK], OTHER_TASK, 2, os.urandom(BIG))
    hub.drop_task(OTHER_TASK)
    assert hub.collect(set)
    assert size(hub.folder) < 100_000


def test_what_a_base_held_for_others_stays_when_it_goes(
    two: tuple[Hub, dict[str, SandboxClone], dict[str, str]], repo: Path
) -> None:
    """U7: the older task's work was merged, so that the hub had it from the newer task's base."""
    hub, clones, made = two
    git(repo, "fetch", "-q", str(hub.hub), f"{made[OTHER_TASK]}:refs/heads/merged")
    git(repo, "merge", "-q", "-m", "merged", "merged")
    newer = git(repo, "rev-parse", "HEAD")
    hub.update(repo, newer)
    # A hub of an earlier version does not know what is whose.
    shutil.rmtree(hub.hub / "own")
    bases = {clone.base for clone in clones.values()}
    hub.drop_task(TASK)
    assert hub.collect(lambda: {*bases, newer})
    assert_whole(hub, made[OTHER_TASK])
    collect.note_garbage(hub.folder)
    assert hub.collect(lambda: {clones[OTHER_TASK].base})
    assert_whole(hub, made[OTHER_TASK])


def test_without_knowing_the_tasks_no_base_goes(
    two: tuple[Hub, dict[str, SandboxClone], dict[str, str]],
) -> None:
    """U7: a damaged record does not say what its task is based on."""
    hub, clones, made = two
    hub.drop_task(TASK)
    assert hub.collect(lambda: None)
    assert all(hub._bases.has(clone.base) for clone in clones.values())  # pyright: ignore[reportPrivateUsage]
    assert_whole(hub, made[OTHER_TASK])


def test_nothing_is_removed_while_a_bundle_comes_in(
    two: tuple[Hub, dict[str, SandboxClone], dict[str, str]],
) -> None:
    """U7: its objects have no reference yet."""
    hub, clones, made = two
    hub.drop_task(TASK)
    with collect.objects_lock(hub.folder, alone=False):
        assert not hub.collect(lambda: {clones[OTHER_TASK].base})
    assert git(hub.hub, "cat-file", "-t", made[TASK]) == "commit"
    assert hub.garbage_since() is not None


def test_a_task_made_meanwhile_keeps_its_base(
    two: tuple[Hub, dict[str, SandboxClone], dict[str, str]],
) -> None:
    """U7."""
    hub, clones, _made = two
    hub.drop_task(TASK)
    answers: list[Collection[str]] = [
        {clones[OTHER_TASK].base},
        {clone.base for clone in clones.values()},
    ]
    assert hub.collect(lambda: answers.pop(0))
    assert hub._bases.has(clones[TASK].base)  # pyright: ignore[reportPrivateUsage]


KILLED = """
import os, sys
from pathlib import Path
from rover_mcp.git.hub import Hub
left = int(sys.argv[2])
def count(event, args):
    global left
    # Each change of a name is a point at which it may be cut.
    if event in ("os.remove", "os.rename", "shutil.rmtree", "os.mkdir"):
        left -= 1
        if left == 0:
            os._exit(9)
sys.addaudithook(count)
Hub(Path(sys.argv[1])).collect(lambda: {sys.argv[3]})
"""


def test_wherever_it_is_killed_the_hub_is_whole(
    two: tuple[Hub, dict[str, SandboxClone], dict[str, str]],
) -> None:
    """U7: and the next one removes the rest."""
    hub, clones, made = two
    base = clones[OTHER_TASK].base
    hub.drop_task(TASK)
    for point in range(1, 40):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(hub.folder), str(point), base], check=False
        )
        assert_whole(hub, made[OTHER_TASK])
        if done.returncode == 0:
            break
        assert done.returncode == 9
    assert hub.garbage_since() is None
    assert size(hub.folder) < 2.2 * BIG
