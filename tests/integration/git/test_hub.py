"""The hub: one local clone, snapshots through checked bundles, restore."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rover_mcp.daemon.git_adapters import GitRepositories
from rover_mcp.domain.cancellation import CancelToken, Stopped
from rover_mcp.domain.errors import EnvironmentFault, UserFixable
from rover_mcp.git import base_packs
from rover_mcp.git.hub import Hub
from rover_mcp.git.locked import locked
from rover_mcp.git.restore_bundle import RESTORE_HEAD_REF, RESTORE_SNAPSHOT_REF
from tests.integration.git.conftest import BRANCH, OTHER_TASK, TASK, SandboxClone, git, tree_state

MakeSandbox = Callable[[], SandboxClone]


@pytest.fixture
def hub(tmp_path: Path, repo: Path) -> Hub:
    made = Hub(tmp_path / "hub")
    made.update(repo, git(repo, "rev-parse", "HEAD"))
    return made


def _refused(hub: Hub, sandbox: SandboxClone, snapshot, why: str, code: str = "bundle_refused"):
    objects = sorted((hub.hub / "objects").rglob("*"))
    with pytest.raises(EnvironmentFault, match=why) as caught:
        hub.import_bundle(TASK, sandbox.base, sandbox.bundle(snapshot), snapshot, BRANCH)
    assert caught.value.code == code
    assert hub.head(TASK) is None
    assert sorted((hub.hub / "objects").rglob("*")) == objects


def test_making_a_base_changes_nothing_of_the_users(repo: Path, tmp_path: Path) -> None:
    before = tree_state(repo)
    hub = Hub(tmp_path / "hub")
    for _ in range(2):
        hub.update(repo, git(repo, "rev-parse", "HEAD"))
    assert tree_state(repo) == before
    blob = git(repo, "rev-parse", "HEAD:a.txt")
    assert git(hub.hub, "cat-file", "-p", blob) == "one"
    assert sorted(p.name for p in hub.folder.iterdir()) == ["base.git", "hub.git", "lock"]
    assert git(hub.base, "fsck", "--strict") == ""


def test_a_base_is_made_on_another_file_system_than_the_repository(repo: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        assert Path(name).stat().st_dev != repo.stat().st_dev
        hub = Hub(Path(name) / "hub")
        head = git(repo, "rev-parse", "HEAD")
        stale = hub.base / "objects" / "pack" / "tmp_pack_killed"
        stale.parent.mkdir(parents=True)
        stale.write_text("half")
        hub.update(repo, head)
        assert git(hub.base, "fsck", "--strict") == ""
        assert git(hub.base, "rev-parse", f"refs/rover/base/{head}") == head
        assert not stale.exists()


def test_what_an_interrupted_making_left_is_cleared(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "hub" / "tmp-dead" / "new").mkdir(parents=True)
    Hub(tmp_path / "hub").ensure()
    assert not (tmp_path / "hub" / "tmp-dead").exists()


def test_several_at_once_make_one_hub(repo: Path, tmp_path: Path) -> None:
    head = git(repo, "rev-parse", "HEAD")
    threads = [
        threading.Thread(target=Hub(tmp_path / "hub").update, args=(repo, head)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert git(tmp_path / "hub" / "hub.git", "cat-file", "-t", head) == "commit"
    assert len(packs(tmp_path / "hub" / "base.git" / "objects")) == 1


HALF_MADE: dict[str, Callable[[Hub, Path], object]] = {
    "git's own file": lambda hub, pack: pack.rename(pack.with_name("tmp_pack_x")),
    "a pack in its making": lambda hub, pack: (
        (hub.base / "tmp-killed").mkdir(),
        pack.rename(hub.base / "tmp-killed" / pack.name),
        pack.with_suffix(".idx").rename(hub.base / "tmp-killed" / pack.with_suffix(".idx").name),
    ),
    "a pack without its index": lambda hub, pack: pack.with_suffix(".idx").unlink(),
    "whole, and no record": lambda hub, pack: None,
    "half a record": lambda hub, pack: (hub.base / "bases" / ".new").write_text("[{"),
}


@pytest.mark.parametrize("how", HALF_MADE)
def test_a_base_whose_making_was_cut_off_is_made_whole(
    repo: Path, tmp_path: Path, how: str
) -> None:
    """U4: what a daemon that died in the middle of it leaves is never taken for a base."""
    head = commits(repo, "main", "b.txt")
    hub = Hub(tmp_path / "hub")
    hub.update(repo, head)
    (pack,) = packs(hub.base / "objects")
    (hub.base / "bases" / head).unlink()
    HALF_MADE[how](hub, pack)
    assert lent(hub, repo, head, tmp_path / "lent") == reached(repo, head)
    assert git(hub.base, "fsck", "--strict") == ""
    assert [*hub.base.glob("tmp-*"), *(hub.base / "objects/pack").glob("tmp_*")] == []


def test_a_projects_hub_is_opened_without_reading_its_history(repo: Path, tmp_path: Path) -> None:
    """U4, performance: what a call waits for does not grow with the repository."""
    repositories = GitRepositories(tmp_path)
    repositories.open_hub("p", repo)
    hub = repositories.hub("p")
    assert packs(hub.base / "objects") == []
    assert (hub.folder / "repository").read_text() == str(repo)


def test_the_making_of_a_base_is_told_once_and_can_be_stopped(repo: Path, tmp_path: Path) -> None:
    head = git(repo, "rev-parse", "HEAD")
    hub, stop, told = Hub(tmp_path / "hub"), CancelToken(), list[str]()
    hub.ensure()
    with ThreadPoolExecutor() as pool, locked(hub.folder):
        waiting = pool.submit(hub.lend, repo, head, tmp_path / "lent", told.append, stop)
        stop.ask()
        with pytest.raises(Stopped):
            waiting.result(300)
    with pytest.raises(Stopped):
        hub.lend(repo, head, tmp_path / "lent", told.append, stop)
    assert packs(hub.base / "objects") == []
    for _ in range(2):
        hub.lend(repo, head, tmp_path / "lent", told.append, CancelToken())
    assert len(told) == 3
    assert head[:12] in told[0]
    assert str(repo) in told[0]


def test_a_repository_that_lacks_an_object_is_named(repo: Path, tmp_path: Path) -> None:
    head, blob = git(repo, "rev-parse", "HEAD", "HEAD:a.txt").split()
    (repo / ".git/objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(EnvironmentFault, match=blob) as caught:
        Hub(tmp_path / "hub").lend(repo, head, tmp_path / "lent")
    assert caught.value.code == "base_lost"
    assert "fsck" in (caught.value.hint or "")


def packs(objects: Path) -> list[Path]:
    return sorted((objects / "pack").glob("*.pack"))


def test_a_base_borrows_from_nobody(repo: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--shared", str(repo), "borrower")
    head = git(repo, "rev-parse", "HEAD")
    hub = Hub(tmp_path / "hub")
    hub.lend(tmp_path / "borrower", head, tmp_path / "lent")
    assert not (hub.base / "objects" / "info" / "alternates").exists()
    assert {p.name for p in (tmp_path / "lent").iterdir()} == {"pack"}
    assert git(hub.base, "cat-file", "-p", f"{head}:a.txt") == "one"


def test_what_is_lent_can_be_read_by_a_sandboxs_user(repo: Path, tmp_path: Path) -> None:
    private = repo / ".git/objects" / git(repo, "rev-parse", "HEAD:a.txt")[:2]
    private = next(private.iterdir())
    private.chmod(0o400)
    before = os.umask(0o077)
    try:
        Hub(tmp_path / "hub").lend(repo, git(repo, "rev-parse", "HEAD"), tmp_path / "lent")
    finally:
        os.umask(before)
    modes = {p: p.stat().st_mode for p in (tmp_path / "lent").rglob("*")}
    assert [p for p, mode in modes.items() if not mode & 0o004] == []
    assert private.stat().st_mode & 0o777 == 0o400


def lent(hub: Hub, repo: Path, commit: str, folder: Path) -> set[str]:
    """The ids of all objects that a task is lent."""
    hub.lend(repo, commit, folder)
    found: set[str] = set()
    for index in (folder / "pack").glob("*.idx"):
        shown = subprocess.run(
            ["git", "show-index"], input=index.read_bytes(), capture_output=True, check=True
        )
        found |= {line.split()[1] for line in shown.stdout.decode().splitlines()}
    return found


def reached(repo: Path, commit: str) -> set[str]:
    listed = git(repo, "rev-list", "--objects", "--no-object-names", commit)
    return set(listed.splitlines())


def commits(repo: Path, branch: str, *names: str) -> str:
    git(repo, "switch", "-q", branch)
    for name in names:
        (repo / name).write_text(f"{name} on {branch}\n" * 20)
        git(repo, "add", "-A")
        git(repo, "commit", "-qm", name)
    return git(repo, "rev-parse", "HEAD")


def test_a_task_is_lent_what_its_base_reaches_and_nothing_else(repo: Path, tmp_path: Path) -> None:
    """U4. Whatever order bases come in: later on a line, earlier, on another branch, unrelated."""
    old = commits(repo, "main", "b.txt")
    git(repo, "branch", "side")
    new = commits(repo, "main", "c.txt", "d.txt")
    side = commits(repo, "side", "e.txt")
    git(repo, "branch", "later", new)
    later = commits(repo, "later", "f.txt")
    git(repo, "switch", "-q", "--orphan", "alone")
    git(repo, "commit", "-qm", "alone", "--allow-empty")
    alone = git(repo, "rev-parse", "HEAD")
    merged = git(repo, "commit-tree", "main^{tree}", "-p", new, "-p", side, "-m", "merged")
    hub = Hub(tmp_path / "hub")
    for number, commit in enumerate((new, old, side, later, alone, merged, new)):
        assert lent(hub, repo, commit, tmp_path / f"lent{number}") == reached(repo, commit)


def test_a_later_base_costs_what_is_new_and_not_the_history(repo: Path, tmp_path: Path) -> None:
    first = commits(repo, "main", *(f"{n}.txt" for n in range(30)))
    hub = Hub(tmp_path / "hub")
    lent(hub, repo, first, tmp_path / "first")
    second = commits(repo, "main", "more.txt")
    lent(hub, repo, second, tmp_path / "second")
    shared = packs(tmp_path / "first")[0]
    found = {path.name: path for path in packs(tmp_path / "second")}
    assert found.pop(shared.name).samefile(shared)
    (added,) = found.values()
    assert added.stat().st_size < shared.stat().st_size / 5


def test_many_bases_in_a_row_are_packed_anew_in_time(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_packs, "MOST_PACKS", 3)
    hub = Hub(tmp_path / "hub")
    for number in range(5):
        commit = commits(repo, "main", f"{number}.txt")
        assert lent(hub, repo, commit, tmp_path / f"lent{number}") == reached(repo, commit)
        assert len(packs(tmp_path / f"lent{number}")) <= 3


def damage(path: Path) -> None:
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize("how", ["gone", "empty", "flipped", "no index", "no record", "bad record"])
def test_a_base_that_is_gone_or_damaged_is_made_again(repo: Path, tmp_path: Path, how: str) -> None:
    head = commits(repo, "main", "b.txt")
    hub = Hub(tmp_path / "hub")
    hub.lend(repo, head, tmp_path / "lent")
    (pack,) = packs(hub.base / "objects")
    record = hub.base / "bases" / head
    match how:
        case "gone":
            shutil.rmtree(hub.base)
        case "empty":
            pack.chmod(0o644)
            pack.write_bytes(b"")
        case "flipped":
            damage(pack)
        case "no index":
            pack.with_suffix(".idx").unlink()
        case "no record":
            record.unlink()
        case _:
            record.write_text('[{"name": "../../x"}]')
    assert lent(hub, repo, head, tmp_path / "lent") == reached(repo, head)
    assert git(hub.base, "fsck", "--strict") == ""


def test_a_base_is_had_again_from_what_a_task_was_lent(repo: Path, tmp_path: Path) -> None:
    head = commits(repo, "main", "b.txt")
    wanted = reached(repo, head)
    hub = Hub(tmp_path / "hub")
    hub.lend(repo, head, tmp_path / "lent")
    shutil.rmtree(hub.base)
    shutil.rmtree(repo)
    assert lent(hub, repo, head, tmp_path / "lent") == wanted
    assert lent(hub, repo, head, tmp_path / "other") == wanted
    assert git(hub.base, "fsck", "--strict") == ""


def test_a_base_that_nothing_holds_any_more_is_named(repo: Path, tmp_path: Path) -> None:
    head = git(repo, "rev-parse", "HEAD")
    hub = Hub(tmp_path / "hub")
    hub.lend(repo, head, tmp_path / "lent")
    for gone in (hub.base, repo, tmp_path / "lent"):
        shutil.rmtree(gone)
    with pytest.raises(EnvironmentFault, match="base of the task cannot be copied") as caught:
        hub.lend(repo, head, tmp_path / "lent")
    assert caught.value.code == "base_lost"
    assert head in (caught.value.hint or "")


def test_submodules_are_not_entered(repo: Path, tmp_path: Path) -> None:
    (repo / ".gitmodules").write_text(
        '[submodule "s"]\n\tpath = s\n\turl = https://example.org/s\n'
    )
    git(repo, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},s")
    git(repo, "add", "-A", ".gitmodules")
    git(repo, "commit", "-qm", "submodule")
    hub = Hub(tmp_path / "hub")
    hub.update(repo, git(repo, "rev-parse", "HEAD"))


def test_a_newer_commit_is_fetched_only_if_it_is_missing(hub: Hub, repo: Path) -> None:
    git(repo, "commit", "-qm", "second", "--allow-empty")
    newer = git(repo, "rev-parse", "HEAD")
    hub.update(repo, newer)
    assert git(hub.base, "cat-file", "-t", newer) == "commit"
    hub.update(repo / "gone", newer)


def test_a_repository_that_is_gone_is_named(hub: Hub, repo: Path, tmp_path: Path) -> None:
    with pytest.raises(UserFixable, match="gone"):
        hub.update(tmp_path / "gone", "1" * 40)
    with pytest.raises(EnvironmentFault, match="cannot be copied from"):
        hub.update(repo, "1" * 40)
    with pytest.raises(UserFixable):
        hub.update(repo, "--upload-pack=x")


def test_snapshots_are_taken_over_in_order_and_once(hub: Hub, sandbox: MakeSandbox) -> None:
    clone = sandbox()
    (clone.path / "new.txt").write_text("untracked\n")
    first = clone.snapshot(1)
    git(clone.path, "commit", "-qam", "work", "--allow-empty")
    second = clone.snapshot(2)
    for snapshot in (first, second, first):
        hub.import_bundle(TASK, clone.base, clone.bundle(snapshot), snapshot, BRANCH)
    assert hub.head(TASK) == second.head
    refs = git(hub.hub, "for-each-ref", "--format=%(objectname) %(refname)")
    assert refs.splitlines() == [
        f"{second.head} refs/rover/{TASK}/head",
        f"{first.commit} refs/rover/{TASK}/snapshots/1",
        f"{second.commit} refs/rover/{TASK}/snapshots/2",
    ]
    assert git(hub.hub, "fsck", "--strict") == ""
    assert hub.head(OTHER_TASK) is None


def test_a_bundle_that_builds_on_a_missing_one_is_named(hub: Hub, sandbox: MakeSandbox) -> None:
    clone = sandbox()
    (clone.path / "a.txt").write_text("two\n")
    clone.snapshot(1)
    (clone.path / "a.txt").write_text("three\n")
    _refused(hub, clone, clone.snapshot(2), "builds on", code="bundle_incomplete")


def test_a_ref_that_does_not_belong_there_is_refused(hub: Hub, sandbox: MakeSandbox) -> None:
    clone = sandbox()
    (clone.path / "a.txt").write_text("two\n")
    git(clone.path, "commit", "-qam", "work")
    git(clone.path, "branch", "evil")
    _refused(hub, clone, clone.snapshot(1, "refs/heads/evil"), "holds the ref refs/heads/evil")


def test_an_id_that_the_journal_does_not_name_is_refused(hub: Hub, sandbox: MakeSandbox) -> None:
    clone = sandbox()
    snapshot = clone.snapshot(1)
    for wrong in ({"commit": "1" * 40}, {"tree": "1" * 40}):
        _refused(hub, clone, snapshot.model_copy(update=wrong), "is not what")
    _refused(hub, clone, snapshot.model_copy(update={"head": "1" * 40}), "is not in it")


def test_another_bundle_under_a_known_number_is_refused(hub: Hub, sandbox: MakeSandbox) -> None:
    clone = sandbox()
    first = clone.snapshot(1)
    hub.import_bundle(TASK, clone.base, clone.bundle(first), first, BRANCH)
    (clone.path / "a.txt").write_text("two\n")
    again = clone.snapshot(1)
    with pytest.raises(EnvironmentFault, match="the hub has another snapshot"):
        hub.import_bundle(TASK, clone.base, clone.bundle(again), again, BRANCH)


def test_a_truncated_or_damaged_bundle_is_refused(hub: Hub, sandbox: MakeSandbox) -> None:
    clone = sandbox()
    (clone.path / "a.txt").write_text("two\n" * 1000)
    snapshot = clone.snapshot(1)
    path = clone.bundle(snapshot)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-40] ^= 0xFF
    path.chmod(0o644)
    for data in (whole[:-30], whole[:40], b"", b"garbage" * 100, bytes(flipped)):
        path.write_bytes(data)
        _refused(hub, clone, snapshot, "was refused")


def test_a_header_line_that_does_not_belong_is_refused(hub: Hub, sandbox: MakeSandbox) -> None:
    clone = sandbox()
    snapshot = clone.snapshot(1)
    path = clone.bundle(snapshot)
    whole = path.read_bytes()
    path.chmod(0o644)
    for line in (b"@filter=blob:none\n", b"1" * 40 + b" ../../config\n", b"--upload-pack\n"):
        path.write_bytes(whole.replace(b"# v2 git bundle\n", b"# v3 git bundle\n" + line))
        _refused(hub, clone, snapshot, "header has a line")


def test_a_bundle_that_is_too_big_or_no_file_is_refused(
    hub: Hub, sandbox: MakeSandbox, tmp_path: Path
) -> None:
    clone = sandbox()
    snapshot = clone.snapshot(1)
    _refused(Hub(hub.folder, bundle_limit=10), clone, snapshot, "exceed the limit of 10")
    path = clone.bundle(snapshot)
    path.rename(tmp_path / "elsewhere")
    _refused(hub, clone, snapshot, "cannot be opened")
    path.symlink_to(tmp_path / "elsewhere")
    _refused(hub, clone, snapshot, "cannot be opened")
    path.unlink()
    subprocess.run(["mkfifo", str(path)], check=True)
    _refused(hub, clone, snapshot, "not a regular file")


@pytest.mark.parametrize("name", [b".git", b"..", b".GIT", b"a/b"])
def test_a_tree_that_could_write_outside_is_refused(
    hub: Hub, sandbox: MakeSandbox, name: bytes
) -> None:
    clone = sandbox()
    blob = git(clone.path, "hash-object", "-w", "--stdin", stdin=b"[core]\n")
    entry = b"100644 " + name + b"\0" + bytes.fromhex(blob)
    tree = git(clone.path, "hash-object", "-w", "--literally", "-t", "tree", "--stdin", stdin=entry)
    _refused(hub, clone, clone.snapshot_of(tree, 1), "was refused")


def test_a_submodule_url_that_is_an_option_is_refused(hub: Hub, sandbox: MakeSandbox) -> None:
    clone = sandbox()
    (clone.path / ".gitmodules").write_text(
        '[submodule "s"]\n\tpath = s\n\turl = --upload-pack=x\n'
    )
    _refused(hub, clone, clone.snapshot(1), "was refused")


def test_what_git_passes_over_in_attribute_files_is_delivered(
    hub: Hub, repo: Path, sandbox: MakeSandbox
) -> None:
    """V3: git commits and checks out all of it, and takes none of it for attributes."""
    clone = sandbox()
    long = "x" * 3000 + " text\n"
    for name in (".gitattributes", "a/.GITATTRIBUTES", "b/GITATT~1", "c/.git\u200cattributes"):
        (clone.path / name).parent.mkdir(exist_ok=True)
        (clone.path / name).write_text(long)
    (clone.path / "large").mkdir()
    (clone.path / "large/.gitattributes").write_text("*.txt text\n" * 2_000_000)
    (clone.path / "folder/.gitattributes").mkdir(parents=True)
    (clone.path / "folder/.gitattributes/inside").write_text("x")
    (clone.path / "link").mkdir()
    for name in (".gitattributes", ".gitignore", ".mailmap"):
        (clone.path / "link" / name).symlink_to("*.txt -text")
    git(clone.path, "add", "-A")
    for name in ("module/.gitattributes", "module/.gitmodules"):
        git(clone.path, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},{name}")
        (clone.path / name).mkdir(parents=True)
    git(clone.path, "commit", "-qm", "by the agent")
    snapshot = clone.snapshot(1)
    assert git(clone.path, "ls-tree", "-d", snapshot.tree, "module/.gitmodules")
    hub.import_bundle(TASK, clone.base, clone.bundle(snapshot), snapshot, BRANCH)
    hub.publish(TASK, repo, BRANCH)
    assert git(repo, "rev-parse", f"{BRANCH}^{{tree}}") == snapshot.tree


def test_a_branch_with_options_in_its_name_is_refused(hub: Hub, sandbox: MakeSandbox) -> None:
    clone = sandbox()
    (clone.path / "a.txt").write_text("two\n")
    git(clone.path, "commit", "-qam", "work")
    git(clone.path, "update-ref", "refs/heads/--force", "HEAD")
    snapshot = clone.snapshot(1, branch="--force")
    with pytest.raises(EnvironmentFault, match="holds the ref refs/heads/--force"):
        hub.import_bundle(TASK, clone.base, clone.bundle(snapshot), snapshot, "--force")


def test_a_pack_that_lacks_what_it_points_at_is_refused(hub: Hub, sandbox: MakeSandbox) -> None:
    clone = sandbox()
    entry = b"100644 gone\0" + bytes.fromhex("1" * 40)
    tree = git(clone.path, "hash-object", "-w", "--literally", "-t", "tree", "--stdin", stdin=entry)
    commit = git(clone.path, "commit-tree", tree, "-p", clone.base, "-m", "x")
    packed = subprocess.run(
        ["git", "pack-objects", "-q", "--stdout"],
        cwd=clone.path, input=f"{commit}\n{tree}\n".encode(), capture_output=True, check=True,
    )  # fmt: skip
    snapshot = clone.snapshot(1).model_copy(update={"commit": commit, "tree": tree})
    path = clone.bundle(snapshot)
    path.chmod(0o644)
    header = f"# v2 git bundle\n-{clone.base}\n{commit} refs/rover/snapshots/1\n\n"
    path.write_bytes(header.encode() + packed.stdout)
    _refused(hub, clone, snapshot, "was refused")


def test_one_tasks_objects_are_not_in_what_sandboxes_see(hub: Hub, sandbox: MakeSandbox) -> None:
    clone = sandbox()
    (clone.path / "secret.txt").write_text("of one task\n")
    snapshot = clone.snapshot(1)
    hub.import_bundle(TASK, clone.base, clone.bundle(snapshot), snapshot, BRANCH)
    assert git(hub.base, "cat-file", "-t", snapshot.commit, ok=False) == ""


def test_a_restore_bundle_rebuilds_the_tree_on_the_base(
    hub: Hub, sandbox: MakeSandbox, repo: Path, tmp_path: Path
) -> None:
    clone = sandbox()
    (clone.path / "new.txt").write_text("untracked\n")
    first = clone.snapshot(1)
    git(clone.path, "commit", "-qam", "work", "--allow-empty")
    (clone.path / "a.txt").write_text("two\n")
    second = clone.snapshot(2)
    for snapshot in (first, second):
        hub.import_bundle(TASK, clone.base, clone.bundle(snapshot), snapshot, BRANCH)
    for snapshot in (first, second):
        restore = tmp_path / f"restore-{snapshot.sequence}.bundle"
        hub.export_restore(TASK, snapshot, clone.base, restore)
        fresh = tmp_path / f"fresh-{snapshot.sequence}"
        git(tmp_path, "clone", "-q", str(repo), str(fresh))
        git(fresh, "fetch", "-q", str(restore), "refs/rover/restore/*:refs/rover/restore/*")
        assert git(fresh, "rev-parse", RESTORE_SNAPSHOT_REF) == snapshot.commit
        assert git(fresh, "rev-parse", RESTORE_HEAD_REF) == snapshot.head
        assert git(fresh, "show", f"{snapshot.commit}:new.txt") == "untracked"
    with pytest.raises(EnvironmentFault, match="does not hold snapshot 1"):
        hub.export_restore(OTHER_TASK, first, clone.base, tmp_path / "x")


def test_a_dropped_task_leaves_no_ref(hub: Hub, sandbox: MakeSandbox) -> None:
    clone = sandbox()
    snapshot = clone.snapshot(1)
    hub.import_bundle(TASK, clone.base, clone.bundle(snapshot), snapshot, BRANCH)
    hub.drop_task(TASK)
    hub.drop_task(TASK)
    assert git(hub.hub, "for-each-ref") == ""
    with pytest.raises(UserFixable):
        hub.drop_task("../../x")


def test_a_data_folder_that_cannot_be_written_is_named(repo: Path) -> None:
    with pytest.raises(EnvironmentFault, match="cannot be written") as caught:
        Hub(Path("/proc/rover")).ensure()
    assert caught.value.code == "data_folder"


def test_the_hub_tells_all_its_snapshots_at_once(hub: Hub, sandbox: MakeSandbox) -> None:
    """C10: none of another task's; and none before there is a hub."""
    clone = sandbox()
    made = [clone.snapshot(n) for n in (1, 2)]
    for snapshot in made:
        hub.import_bundle(TASK, clone.base, clone.bundle(snapshot), snapshot, BRANCH)
    assert hub.snapshots(TASK) == {s.sequence: s.commit for s in made}
    assert hub.snapshots(OTHER_TASK) == {}
    assert Hub(hub.folder / "nowhere").snapshots(TASK) == {}


def test_what_is_kept_outlives_later_snapshots_and_goes_with_the_task(
    hub: Hub, sandbox: MakeSandbox
) -> None:
    """C10, F3: under a ref of its own."""
    clone = sandbox()
    snapshot = clone.snapshot(1)
    hub.import_bundle(TASK, clone.base, clone.bundle(snapshot), snapshot, BRANCH)
    ref = hub.keep(TASK, "1-2", snapshot.commit)
    assert git(hub.hub, "rev-parse", ref) == snapshot.commit
    assert hub.snapshots(TASK) == {1: snapshot.commit}
    with pytest.raises(EnvironmentFault):
        hub.keep(TASK, "1-3", "e" * 40)
    hub.drop_task(TASK)
    assert git(hub.hub, "for-each-ref") == ""
