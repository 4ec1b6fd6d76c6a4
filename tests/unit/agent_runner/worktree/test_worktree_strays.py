"""What is in a work tree beside its files: packages and caches, repositories, submodules, LFS."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agent_runner.process.spawn import make_commands
from agent_runner.worktree.worktree import Target, Worktree
from tests.support.runs import RunFolders, git
from tests.support.trees import BRANCH, do, make, snap


def write(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)


def names(work: Path, tree: str) -> list[str]:
    return git(work, "ls-tree", "-r", "--name-only", tree).splitlines()


def with_base(place: RunFolders, *paths: str) -> Worktree:
    """A clone whose base has these files, too, those that are ignored as well."""
    base = place.root / "base"
    write(base, *paths)
    git(base, "add", "-fA")
    git(base, "commit", "-qm", "more")
    spec = place.spec(base_commit=git(base, "rev-parse", "HEAD"))
    worktree = Worktree(spec, make_commands(spec))
    do(worktree.prepare)
    return worktree


MADE = (
    ".venv/bin/python",
    "env[1] of mine/pyvenv.cfg",
    "env[1] of mine/lib/x.py",
    "web/node_modules/left/node_modules/right/index.js",
    "pkg/__pycache__/a.pyc",
    "out/CACHEDIR.TAG",
    "out/debug/app",
)
FOLDERS = [".venv/", "env[1] of mine/", "out/", "pkg/__pycache__/", "web/node_modules/"]


def test_installed_packages_and_caches_are_left_out_and_named(tmp_path: Path) -> None:
    """C10: they stay in the work tree, also when it is reset."""
    place, _ = make(tmp_path)
    worktree = with_base(place, "web/app.js", "env1 of mine")
    work = place.work
    before = snap(worktree)
    write(work, *MADE, "web/new.js", "pkg/a.py", "my node_modules/x")
    taken = snap(worktree, before)
    expected = [".gitignore", "README", "env1 of mine", "my node_modules/x", "pkg/a.py"]
    assert names(work, taken.tree) == [*expected, "web/app.js", "web/new.js"]
    assert worktree.noted("left-out") == FOLDERS
    do(lambda: worktree.finish("done"))
    assert names(work, BRANCH) == names(work, taken.tree)
    do(lambda: worktree.reset(Target.of(before), keep_as="1"))
    assert all((work / path).exists() for path in MADE)
    assert not (work / "web/new.js").exists()


def test_what_an_ignore_file_names_is_not_spoken_of(tmp_path: Path) -> None:
    place, worktree = make(tmp_path)
    do(worktree.prepare)
    (place.work / ".gitignore").write_text("/.venv\nnode_modules\n")
    write(place.work, ".venv/pyvenv.cfg", "web/node_modules/x")
    snap(worktree)
    assert worktree.noted("left-out") == []


def test_a_folder_that_the_base_has_files_in_is_recorded(tmp_path: Path) -> None:
    place, _ = make(tmp_path)
    worktree = with_base(place, "node_modules/own/index.js", "tool/node_modules/x/y")
    write(place.work, "node_modules/new.js", "tool/node_modules/z", "web/node_modules/x")
    taken = snap(worktree)
    assert {"node_modules/new.js", "tool/node_modules/z"} < set(names(place.work, taken.tree))
    assert worktree.noted("left-out") == ["web/node_modules/"]


def test_what_the_agent_added_to_git_itself_is_named(tmp_path: Path) -> None:
    place, worktree = make(tmp_path)
    do(worktree.prepare)
    write(place.work, "node_modules/x/index.js")
    git(place.work, "add", "-A")
    git(place.work, "commit", "-qm", "mine")
    snap(worktree)
    assert worktree.noted("stray") == ["node_modules/"]


@pytest.mark.parametrize("added", ["not added", "added", "committed"])
def test_a_repository_inside_is_recorded_as_files(tmp_path: Path, added: str) -> None:
    """C10: one inside another, too; what either ignores or a program made stays out."""
    place, worktree = make(tmp_path)
    do(worktree.prepare)
    work = place.work
    web = work / "my web"
    write(web, "app.js", 'quo"ted', ".gitignore", "node_modules/x", "dist/y", "a.ignored")
    write(web, "deep/er/z", "deep/er/.venv/pyvenv.cfg")
    (web / ".gitignore").write_text("dist\n")
    for folder in (web / "deep/er", web):
        git(folder, "init", "-q")
        git(folder, "add", "app.js" if folder == web else "z")
        git(folder, "commit", "-qm", "scaffold")
    if added != "not added":
        git(work, "-c", "advice.addEmbeddedRepo=false", "add", "-A")
    if added == "committed":
        git(work, "commit", "-qm", "web")
    taken, lacking = do(lambda: worktree.snapshot(None))
    expected = ["my web/.gitignore", "my web/app.js", "my web/deep/er/z", r'"my web/quo\"ted"']
    found = [name for name in names(work, taken.tree) if "my web" in name]
    assert sorted(found) == sorted(expected)
    assert lacking == []
    assert worktree.noted("left-out") == ["my web/deep/er/.venv/", "my web/node_modules/"]
    do(lambda: worktree.finish("done"))
    assert names(work, BRANCH) == names(work, taken.tree)
    write(web, "later.js")
    (web / "app.js").unlink()
    later = names(work, snap(worktree, taken).tree)
    assert "my web/later.js" in later
    assert "my web/app.js" not in later
    assert (web / ".git").is_dir()


def inner(work: Path, *paths: str, top: str = "web") -> Path:
    """A repository inside, which the agent's own git committed as a link."""
    write(work / top, *paths)
    git(work / top, "init", "-q")
    git(work / top, "add", "-A")
    git(work / top, "commit", "-qm", "scaffold")
    git(work, "-c", "advice.addEmbeddedRepo=false", "add", "-A")
    git(work, "commit", "-qm", "web")
    return work / top


@pytest.mark.parametrize(
    ("names_it", "also"),
    [
        ("*.dat", ".gitattributes"),
        ("/web", ""),
        ("web/deep/", "no .git"),
        ("*", "no .git"),
        ("web/.gitignore: a.dat", ""),
    ],
)
def test_what_a_snapshot_has_of_a_repository_inside_is_ignored_no_more(
    tmp_path: Path, names_it: str, also: str
) -> None:
    """V3: git keeps what it has, too; only what is deleted goes."""
    place, worktree = make(tmp_path)
    do(worktree.prepare)
    work = place.work
    web = inner(work, "a.dat", "deep/b.dat", "c.txt", "gone.dat", "is.dat", "odd\n.dat")
    first = snap(worktree)
    had = set(names(work, first.tree))
    assert len(had) == 8
    file, _, line = names_it.rpartition(": ")
    (work / (file or ".gitignore")).write_text(f"{line}\n")
    if also == ".gitattributes":
        (work / also).write_text("*.txt text\n")
    elif also:
        shutil.rmtree(web / ".git")
    (web / "gone.dat").unlink()
    (web / "is.dat").unlink()
    write(web, "is.dat/now.txt")
    (web / "c.txt").write_text("changed")
    do(lambda: worktree.commit("checkpoint", first))
    checkpoint = names(work, "HEAD")
    second = snap(worktree, first)
    assert do(lambda: worktree.reset(Target.of(second), keep_as="")) is False
    kept = set(names(work, second.tree))
    assert had - {"web/gone.dat", "web/is.dat"} <= kept
    assert not {"web/gone.dat", "web/is.dat"} & kept
    assert git(work, "show", f"{second.tree}:web/c.txt") == "changed"
    assert set(checkpoint) == kept
    do(lambda: worktree.finish("done", second))
    assert set(names(work, BRANCH)) == kept


def test_a_repository_inside_that_is_ignored_from_its_start_is_named(tmp_path: Path) -> None:
    """V3: the agent's git has it as a link, so its files are missed."""
    place, worktree = make(tmp_path)
    do(worktree.prepare)
    inner(place.work, "a.dat")
    (place.work / ".gitignore").write_text("/web\n")
    taken, lacking = do(lambda: worktree.snapshot(None))
    assert (lacking, names(place.work, taken.tree)) == (["web"], [".gitignore", "README"])
    shutil.rmtree(place.work / "web")
    assert do(lambda: worktree.snapshot(taken))[1] == []


def test_one_file_that_git_cannot_add_keeps_no_other_of_a_repository_out(tmp_path: Path) -> None:
    """V3"""
    place, worktree = make(tmp_path)
    do(worktree.prepare)
    (place.work / ".gitattributes").write_text("*.u16 working-tree-encoding=UTF-16\n")
    inner(place.work, "z.txt", "b.txt")
    write(place.work, "web/a.u16")
    taken, lacking = do(lambda: worktree.snapshot(None))
    assert lacking == ["web/a.u16"]
    assert {"web/b.txt", "web/z.txt"} < set(names(place.work, taken.tree))
    _, lacking = do(lambda: worktree.snapshot(taken))
    assert lacking == ["web/a.u16"]


def test_a_submodule_that_points_to_a_commit_of_the_sandbox_is_named(tmp_path: Path) -> None:
    place, worktree = make(tmp_path)
    do(worktree.prepare)
    work, library = place.work, tmp_path / "library"
    write(library, "lib.c")
    git(library, "init", "-q", "-b", "main")
    git(library, "add", "-A")
    git(library, "commit", "-qm", "lib")
    git(work, "-c", "protocol.file.allow=always", "submodule", "-q", "add", str(library), "lib")
    taken, lacking = do(lambda: worktree.snapshot(None))
    assert git(work, "ls-tree", taken.tree, "lib").startswith("160000")
    assert (lacking, worktree.noted("unpublished")) == ([], [])
    git(work / "lib", "commit", "-q", "--allow-empty", "-m", "here alone")
    taken, lacking = do(lambda: worktree.snapshot(taken))
    assert (lacking, worktree.noted("unpublished")) == ([], ["lib"])
    write(work / "lib", "new.c")
    assert do(lambda: worktree.snapshot(taken))[1] == ["lib"]


def test_full_content_in_place_of_git_lfs_pointers_is_named(tmp_path: Path) -> None:
    place, worktree = make(tmp_path)
    do(worktree.prepare)
    (place.work / ".gitattributes").write_text("*.bin filter=lfs diff=lfs -text\n")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"
    (place.work / "pointer.bin").write_text(pointer)
    (place.work / "raw.bin").write_bytes(b"\0\1" * 1000)
    (place.work / "small one.bin").write_bytes(b"\0\1")
    snap(worktree)
    assert worktree.noted("raw-lfs") == ["raw.bin (2000 bytes)", "small one.bin (2 bytes)"]


def test_what_a_filter_of_the_users_keeps_is_never_delivered_as_plain_text(tmp_path: Path) -> None:
    """V3: git-crypt and the like, by name, and each filter that the user has set up."""
    place, _ = make(tmp_path)
    base = place.root / "base"
    lines = "*.key filter=git-crypt\n*.env filter=mine\n*.nb filter=strip\n"
    (base / ".gitattributes").write_text(lines)
    (place.root / "spec/names").mkdir(parents=True)
    (place.root / "spec/names/filters").write_text("mine\nother\n")
    worktree = with_base(place, "a.key", "b.key", "moved.env", "c.nb")
    work = place.work
    before = snap(worktree)
    write(work, "c.key", 'odd "n"\n.env', "d.nb")
    (work / "a.key").write_text("plain")
    (work / "c.nb").write_text("plain")
    (work / "moved.env").rename(work / "here.env")
    (work / "b.key").unlink()
    taken = snap(worktree, before)
    found = git(work, "diff-tree", "-r", "--no-commit-id", "--name-status", before.tree, taken.tree)
    assert found.split("\n") == [
        "D\tb.key", "M\tc.nb", "A\td.nb", "A\there.env", "D\tmoved.env"
    ]  # fmt: skip
    odd = r'"odd \"n\"\n.env" (filter=mine)'
    assert worktree.noted("filtered") == [
        odd, "a.key (filter=git-crypt)", "c.key (filter=git-crypt)"
    ]  # fmt: skip
    do(lambda: worktree.finish("done"))
    assert names(work, BRANCH) == names(work, taken.tree)
    assert (work / "a.key").read_text() == "plain"
