"""Merging into a user's repository: the result is git's own, and whatever is refused changes
nothing at all (N3, N9)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_runner.crashpoints import VARIABLE
from rover_mcp.domain.errors import Conflict, EnvironmentFault, UserFixable
from rover_mcp.domain.operation import OperationPoint
from rover_mcp.git.branch_merge import Merged, commit_merge, merge, tip
from rover_mcp.git.hook_files import active_hooks
from rover_mcp.git.move_branch import BranchMove, move_branch, settle
from rover_mcp.git.repository_view import opened
from rover_mcp.git.user_identity import Committer, committer
from rover_mcp.git.work_tree import work_tree_of
from tests.integration.git.conftest import git

SOURCE = "rover/1-fix"
ROOT = Path(__file__).parents[3]


def everything(repo: Path) -> dict[str, bytes]:
    """Every byte of a repository and its work tree, but for objects, which nothing leads to."""
    found: dict[str, bytes] = {}
    for path in sorted(repo.rglob("*")):
        name = str(path.relative_to(repo))
        if "objects" in path.relative_to(repo).parts[:3]:
            continue
        if path.is_symlink():
            found[name] = os.fsencode(path.readlink())
        elif path.is_file():
            found[name] = f"{path.stat().st_mode:o} ".encode() + path.read_bytes()
    return found


def files(repo: Path) -> dict[str, bytes]:
    """The work tree alone."""
    return {n: b for n, b in everything(repo).items() if not n.startswith(".git/")}


@pytest.fixture
def rich(repo: Path) -> Path:
    """A repository whose task's branch changes files in every way, and whose main has gone on."""
    (repo / "keep").mkdir()
    (repo / "keep/old name.txt").write_text("moved\n" * 20)
    (repo / "gone.txt").write_text("gone\n")
    (repo / "script.sh").write_text("#!/bin/sh\n")
    (repo / "binary").write_bytes(b"\0\1\2" * 100)
    (repo / "link").symlink_to("a.txt")
    (repo / "folder").mkdir()
    (repo / "folder/inner").write_text("inner\n")
    (repo / "dos.txt").write_bytes(b"one\r\ntwo\r\n")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "more")
    git(repo, "switch", "-qc", SOURCE)
    git(repo, "mv", "keep/old name.txt", "Grüße 'quoted' \"name\".txt")
    git(repo, "rm", "-q", "gone.txt")
    (repo / "script.sh").chmod(0o755)
    (repo / "binary").write_bytes(b"\3\2\1" * 90)
    (repo / "link").unlink()
    (repo / "link").symlink_to("script.sh")
    git(repo, "rm", "-qr", "folder")
    (repo / "folder").write_text("a file now\n")
    (repo / "dos.txt").write_bytes(b"one\r\nTWO\r\n")
    (repo / "new/deep").mkdir(parents=True)
    (repo / "new/deep/file.txt").write_text("new\n")
    (repo / "a.txt").write_text("one\nfrom the task\n")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "the task's work")
    git(repo, "switch", "-q", "main")
    (repo / "main.txt").write_text("main's\n")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "main goes on")
    return repo


ME = Committer(
    {f"GIT_{role}_{part}": text
     for role in ("AUTHOR", "COMMITTER")
     for part, text in (("NAME", "U"), ("EMAIL", "u@example.org"))},
    (), signs=False,
)  # fmt: skip


def planned(repo: Path, into: str = "main") -> tuple[Merged, BranchMove]:
    """What a merge of the task's branch would be, and the move that carries it out."""
    with opened(repo) as view:
        old, source = tip(view, into), tip(view, SOURCE)
        assert old is not None
        assert source is not None
        found = merge(view, old, source)
        assert found.tree is not None, found.conflicts
        new = commit_merge(view, found.tree, (old, source), f"Merge {SOURCE}\n", ME)
        top = work_tree_of(view, into)
    return found, BranchMove("a1b2", repo, into, old, new, top, f"merge {SOURCE}")


def test_the_work_tree_and_the_index_are_as_after_gits_own_merge(
    rich: Path, tmp_path: Path
) -> None:
    """N9."""
    theirs = tmp_path / "theirs"
    git(tmp_path, "clone", "-q", str(rich), str(theirs))
    git(theirs, "merge", "-q", "--no-ff", "-m", "x", f"origin/{SOURCE}")
    found, move = planned(rich)
    move_branch(move)
    assert git(rich, "rev-parse", "main^{tree}") == git(theirs, "rev-parse", "main^{tree}")
    assert git(rich, "rev-parse", "main^1", "main^2").split() == [found.old, found.source]
    assert files(rich) == files(theirs)
    assert git(rich, "status", "--porcelain") == ""
    assert git(rich, "ls-files", "-s") == git(theirs, "ls-files", "-s")
    assert git(rich, "rev-parse", "ORIG_HEAD") == found.old
    assert git(rich, "reflog", "-1", "--format=%gs", "HEAD") == f"merge {SOURCE}"
    assert [p.name for p in (rich / ".git").glob("rover-*")] == []
    assert git(rich, "fsck", "--strict") == ""


def test_a_branch_that_is_not_checked_out_moves_and_no_file_changes(rich: Path) -> None:
    """N9: whatever the work tree holds."""
    git(rich, "switch", "-qc", "elsewhere")
    (rich / "a.txt").write_text("work in progress\n")
    (rich / "staged.txt").write_text("staged\n")
    git(rich, "add", "staged.txt")
    before = everything(rich)
    _, move = planned(rich)
    assert move.work_tree is None
    move_branch(move)
    after = everything(rich)
    assert git(rich, "rev-parse", "main") == move.new
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {".git/refs/heads/main", ".git/logs/refs/heads/main"}


def test_a_branch_that_a_linked_work_tree_has_is_merged_there(rich: Path, tmp_path: Path) -> None:
    git(rich, "switch", "-qc", "elsewhere")
    linked = tmp_path / "linked"
    git(rich, "worktree", "add", "-q", str(linked), "main")
    head_log = (rich / ".git/logs/HEAD").read_bytes()
    before = files(rich)
    _, move = planned(rich)
    assert move.work_tree == linked
    move_branch(move)
    assert git(linked, "status", "--porcelain") == ""
    assert (linked / "new/deep/file.txt").read_text() == "new\n"
    assert files(rich) == before
    assert (rich / ".git/logs/HEAD").read_bytes() == head_log


def test_a_detached_head_is_not_moved(rich: Path) -> None:
    git(rich, "switch", "-q", "--detach", "main")
    head = git(rich, "rev-parse", "HEAD")
    _, move = planned(rich)
    assert move.work_tree is None
    move_branch(move)
    assert git(rich, "rev-parse", "HEAD") == head
    assert git(rich, "status", "--porcelain") == ""


def dirty(repo: Path) -> None:
    (repo / "main.txt").write_text("changed\n")


def staged(repo: Path) -> None:
    (repo / "other.txt").write_text("staged\n")
    git(repo, "add", "other.txt")


def untracked(repo: Path) -> None:
    (repo / "new").mkdir()
    (repo / "new/deep").write_text("mine\n")


def ignored(repo: Path) -> None:
    (repo / ".git/info/exclude").write_text("new/\n")
    (repo / "new/deep").mkdir(parents=True)
    (repo / "new/deep/file.txt").write_text("mine, and ignored\n")


def merging(repo: Path) -> None:
    (repo / ".git/MERGE_HEAD").write_text(git(repo, "rev-parse", SOURCE) + "\n")


def index_locked(repo: Path) -> None:
    (repo / ".git/index.lock").touch()


def filtered(repo: Path) -> None:
    (repo / ".git/info/attributes").write_text("new/** filter=lfs\n")


def moved(repo: Path) -> None:
    git(repo, "commit", "-q", "--allow-empty", "-m", "meanwhile")


def switched(repo: Path) -> None:
    git(repo, "switch", "-qc", "another")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (dirty, "dirty_work_tree"),
        (staged, "dirty_work_tree"),
        (untracked, "untracked_in_the_way"),
        (ignored, "untracked_in_the_way"),
        (merging, "work_tree_busy"),
        (index_locked, "index_locked"),
        (filtered, "filtered_files"),
        (moved, "branch_moved"),
        (switched, "branch_moved"),
    ],
)
def test_what_is_in_the_way_is_named_and_nothing_changes(
    rich: Path, change: Callable[[Path], None], code: str
) -> None:
    """N3: byte by byte."""
    (rich / "a.txt").write_text("stashed\n")
    git(rich, "stash", "-q")
    _, move = planned(rich)
    change(rich)
    before = everything(rich)
    with pytest.raises(Conflict) as refused:
        move_branch(move)
    assert refused.value.code == code
    assert refused.value.hint
    assert everything(rich) == before


def test_an_untracked_file_that_is_not_in_the_way_stays(rich: Path) -> None:
    (rich / "notes.txt").write_text("mine\n")
    _, move = planned(rich)
    move_branch(move)
    assert (rich / "notes.txt").read_text() == "mine\n"
    assert git(rich, "status", "--porcelain") == "?? notes.txt"


def test_conflicts_are_named_and_nothing_changes(rich: Path) -> None:
    (rich / "a.txt").write_text("one\nfrom main\n")
    (rich / "dos.txt").write_bytes(b"one\r\nthree\r\n")
    git(rich, "commit", "-qam", "main changes the same lines")
    before = everything(rich)
    with opened(rich) as view:
        found = merge(view, tip(view, "main") or "", tip(view, SOURCE) or "")
    assert (found.tree, found.conflicts) == (None, ("a.txt", "dos.txt"))
    assert everything(rich) == before


def test_a_branch_that_is_being_rebased_is_refused(rich: Path) -> None:
    git(rich, "switch", "-q", "--detach")
    (rich / ".git/rebase-merge").mkdir()
    (rich / ".git/rebase-merge/head-name").write_text("refs/heads/main\n")
    with opened(rich) as view, pytest.raises(Conflict, match="being rebased"):
        work_tree_of(view, "main")


def test_histories_that_have_nothing_in_common_are_refused(rich: Path) -> None:
    git(rich, "switch", "-q", "--orphan", "apart")
    git(rich, "commit", "-q", "--allow-empty", "-m", "apart")
    with opened(rich) as view, pytest.raises(Conflict, match="unrelated histories"):
        merge(view, tip(view, "apart") or "", tip(view, SOURCE) or "")


def test_no_hook_and_no_program_of_the_repository_runs(rich: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    for name in ("pre-merge-commit", "commit-msg", "post-merge", "reference-transaction",
                 "post-index-change", "post-checkout"):  # fmt: skip
        hook = rich / ".git/hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\necho {name} >>{ran}\n")
        hook.chmod(0o755)
    (rich / ".git/info/attributes").write_text("a.txt merge=own\n")
    git(rich, "config", "merge.own.driver", f"touch {ran}")
    _, move = planned(rich)
    git(rich, "config", "core.fsmonitor", f"touch {ran}")
    move_branch(move)
    assert not ran.exists()
    with opened(rich) as view:
        assert active_hooks(view, ("commit-msg", "pre-commit")) == ["commit-msg"]


@pytest.fixture
def signed_by_ssh(rich: Path, tmp_path: Path) -> Path:
    """The repository, whose commits have to be signed with a key; the file of allowed signers."""
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    for name, value in (("commit.gpgsign", "true"), ("gpg.format", "ssh"),
                        ("user.signingkey", str(key)), ("user.name", "Ursula"),
                        ("user.email", "u@example.org")):  # fmt: skip
        git(rich, "config", name, value)
    allowed = tmp_path / "allowed"
    allowed.write_text(f"u@example.org {key.with_suffix('.pub').read_text()}")
    return allowed


def test_a_commit_is_the_users_and_signed_where_they_sign(rich: Path, signed_by_ssh: Path) -> None:
    with opened(rich) as view:
        old, source = tip(view, "main") or "", tip(view, SOURCE) or ""
        found = merge(view, old, source)
        new = commit_merge(view, found.tree or "", (old, source), "m\n", committer(view, {}))
    shown = git(rich, "-c", f"gpg.ssh.allowedSignersFile={signed_by_ssh}", "show", "-s",
                "--format=%an <%ae> %cn %G?", new)  # fmt: skip
    assert shown == "Ursula <u@example.org> Ursula G"


def test_a_commit_that_cannot_be_signed_is_refused_and_nothing_changes(
    rich: Path, signed_by_ssh: Path
) -> None:
    (signed_by_ssh.parent / "key").unlink()
    before = everything(rich)
    with opened(rich) as view:
        old, source = tip(view, "main") or "", tip(view, SOURCE) or ""
        found = merge(view, old, source)
        with pytest.raises(EnvironmentFault, match="cannot be signed"):
            commit_merge(view, found.tree or "", (old, source), "m\n", committer(view, {}))
    assert everything(rich) == before


def test_a_program_for_signing_that_the_repository_names_is_not_run(
    rich: Path, signed_by_ssh: Path, tmp_path: Path
) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\n")
    program.chmod(0o755)
    git(rich, "config", "gpg.ssh.program", str(program))
    with opened(rich) as view:
        source = tip(view, SOURCE) or ""
        commit_merge(view, f"{source}^{{tree}}", (source,), "m\n", committer(view, {}))
    assert not (tmp_path / "ran").exists()


def test_who_has_no_name_is_told_how_to_give_one(
    rich: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    with opened(rich) as view, pytest.raises(UserFixable, match=r"user\.name"):
        committer(view, {})


def test_the_variables_of_git_say_who_commits_as_for_git(
    rich: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    git(rich, "config", "committer.email", "bot@example.org")
    called = {"GIT_AUTHOR_NAME": "Ann", "GIT_AUTHOR_EMAIL": "ann@example.org"}
    with opened(rich) as view:
        me = committer(view, {**called, "GIT_COMMITTER_NAME": "Bot"})
    assert me.environment == {
        **called, "GIT_COMMITTER_NAME": "Bot", "GIT_COMMITTER_EMAIL": "bot@example.org"
    }  # fmt: skip


MOVE = """
import sys
from pathlib import Path
from rover_mcp.git.move_branch import BranchMove, move_branch
repo, branch, old, new, top = sys.argv[1:]
move_branch(BranchMove("a1b2", Path(repo), branch, old, new, Path(top) if top else None, "merge"))
"""


def killed_at(point: str, move: BranchMove) -> None:
    top = str(move.work_tree or "")
    argv = [sys.executable, "-c", MOVE, str(move.repository), move.branch, move.old, move.new, top]
    done = subprocess.run(argv, cwd=ROOT, env={**os.environ, VARIABLE: point}, check=False)
    assert done.returncode == -signal.SIGKILL, f"{point} is never reached"


P = OperationPoint


@pytest.mark.parametrize(
    ("point", "done"),
    [(P.LOCK_TAKEN, False), (P.FILES_CHANGED, False), (P.REFERENCE_MOVED, True)],
)
def test_a_move_that_is_killed_is_done_or_as_before(rich: Path, point: P, done: bool) -> None:
    """N8: and a second one completes it."""
    _, move = planned(rich)
    before = everything(rich)
    killed_at(point, move)
    assert settle(move) == (done, ())
    if not done:
        assert everything(rich) == before
        move_branch(move)
    assert git(rich, "rev-parse", "main") == move.new
    assert git(rich, "status", "--porcelain") == ""
    assert not list((rich / ".git").glob("rover-*"))
    assert not (rich / ".git/index.lock").exists()
    assert settle(move) == (True, ())


def test_files_that_were_half_written_are_set_back(rich: Path) -> None:
    _, move = planned(rich)
    before = files(rich)
    killed_at(P.FILES_CHANGED, move)
    (rich / "a.txt").write_text("one\nfrom th")
    (rich / "new/deep/file.txt").write_text("ne")
    (rich / "dos.txt").unlink()
    assert settle(move) == (False, ())
    assert files(rich) == before


def test_what_somebody_wrote_after_the_kill_is_kept(rich: Path) -> None:
    _, move = planned(rich)
    killed_at(P.FILES_CHANGED, move)
    (rich / "a.txt").write_text("written by hand\n")
    assert settle(move) == (False, ("a.txt",))
    assert (rich / "a.txt").read_text() == "written by hand\n"
    assert git(rich, "status", "--porcelain") == "M a.txt"
