"""Every bad repository is refused by name, with what to do."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from rover_mcp.daemon.git_adapters import GitRepositories
from rover_mcp.domain.errors import NotFound, UserFixable
from rover_mcp.git.clone_refs import line_endings
from rover_mcp.git.publish import check_delivery
from rover_mcp.git.repository import (
    ignored_patterns,
    inspect_repository,
    list_branches,
    remote_hosts,
    resolve_branch,
)
from rover_mcp.git.repository_view import opened
from rover_mcp.git.user_identity import committer
from tests.integration.git.conftest import git, tree_state


def _code(path: Path, **options: Path) -> str:
    with pytest.raises(UserFixable) as caught:
        inspect_repository(path, **options)
    assert caught.value.hint
    return caught.value.code


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's HOME, without any configuration of git's."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    for name in ("XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.delenv(name, raising=False)
    return folder


def test_a_plain_repository_is_described(repo: Path) -> None:
    info = inspect_repository(repo)
    assert info.root == repo
    assert info.git_dir == repo / ".git"
    assert info.head_commit == git(repo, "rev-parse", "HEAD")
    assert info.branch == "main"
    assert not info.dirty
    assert not info.bare


def test_hosts_of_remotes_are_found_in_every_form(repo: Path) -> None:
    """What the task may fetch from by https; a name that is not public is none."""
    assert remote_hosts(repo) == ()
    urls = [
        "git@git.example.org:a/b.git",
        "https://user:secret@Code.example.org:8443/a.git",
        "https://code.example.org/a",
        "ssh://git@ssh.example.org:2222/a",
        "git.example.org:again",
        "http://plain.example.org/a",
        "/srv/git/a.git",
        "../other",
        "file:///srv/a",
        "https://127.0.0.1/a",
        "https://localhost/a",
        "ext::sh -c x",
        "https://[::1]/a",
        "git@bad host:x",
    ]
    for number, url in enumerate(urls):
        git(repo, "remote", "add", f"r{number}", url)
    assert remote_hosts(repo) == (
        "git.example.org",
        "code.example.org:8443",
        "code.example.org",
        "ssh.example.org",
        "plain.example.org",
    )


def test_a_subfolder_leads_to_the_top(repo: Path) -> None:
    (repo / "sub").mkdir()
    assert inspect_repository(repo / "sub").root == repo


def test_a_linked_worktree_is_supported(repo: Path, tmp_path: Path) -> None:
    git(repo, "worktree", "add", "-qb", "side", str(tmp_path / "side"))
    info = inspect_repository(tmp_path / "side")
    assert (info.root, info.git_dir, info.branch) == (tmp_path / "side", repo / ".git", "side")


def test_a_bare_repository_and_a_detached_head_are_supported(repo: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(repo), "bare.git")
    info = inspect_repository(tmp_path / "bare.git")
    assert (info.bare, info.dirty, info.root) == (True, False, tmp_path / "bare.git")
    git(repo, "checkout", "-q", "--detach")
    assert inspect_repository(repo).branch is None


@pytest.mark.parametrize("name", ["a.txt", "new.txt"])
def test_changes_and_untracked_files_make_it_dirty_and_nothing_is_written(
    repo: Path, name: str
) -> None:
    (repo / name).write_text("two\n")
    before = tree_state(repo)
    assert inspect_repository(repo).dirty
    assert tree_state(repo) == before


def test_what_is_no_folder_is_refused(repo: Path, tmp_path: Path) -> None:
    assert _code(tmp_path / "gone") == "not_a_directory"
    assert _code(repo / "a.txt") == "not_a_directory"


def test_a_path_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for path in (Path("/a\0b"), tmp_path / ("x" * 300), Path("/" + "x" * 5000), tmp_path / "loop"):
        assert _code(path) == "not_a_directory"
        with pytest.raises(UserFixable):
            list_branches(path)


@pytest.mark.parametrize(
    "named", [b"\0\n", b"a\0b\n", b"itself\n", b"x" * 5000, b"/" + b"x/" * 3000]
)
@pytest.mark.parametrize("by", ["commondir", ".git"])
def test_a_git_folder_that_cannot_be_one_is_refused(repo: Path, by: str, named: bytes) -> None:
    """U3. A NUL, or a link to itself, in `commondir` ended the call with an error of our own."""
    (repo / ".git/itself").symlink_to("itself")
    (repo / "itself").symlink_to("itself")
    if by == "commondir":
        (repo / ".git/commondir").write_bytes(named)
    else:
        (repo / ".git").rename(repo / "away")
        (repo / ".git").write_bytes(b"gitdir: " + named)
    with pytest.raises(UserFixable):
        inspect_repository(repo)


def test_a_folder_without_a_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserFixable, match="not in a git repository") as caught:
        inspect_repository(tmp_path)
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("give the path of a repository as repo_path")
    assert "git init" in caught.value.hint


def test_the_git_folder_itself_is_refused(repo: Path) -> None:
    assert _code(repo / ".git" / "refs") == "no_repository"


def test_a_branch_without_commits_has_none_to_begin_with(tmp_path: Path, home: Path) -> None:
    """After `git init`, or `git switch --orphan` in a repository that has tasks: these are shown,
    and one can be created from another branch."""
    git(tmp_path, "init", "-q", "-b", "main")
    repositories = GitRepositories(home)
    for others, said in (("", "first commit'$"), ("main", "base_branch$")):
        found = repositories.inspect(tmp_path)
        assert (found.head_commit, found.branch) == ("", "new" if others else "main")
        with pytest.raises(UserFixable, match="no commits") as caught:
            _ = found.base_commit
        assert caught.value.code == "no_commits"
        assert re.search(said, caught.value.hint or "")
        if not others:
            git(tmp_path, "commit", "-q", "--allow-empty", "-m", "first")
            git(tmp_path, "switch", "-q", "--orphan", "new")


def test_a_shallow_clone_can_be_a_base(repo: Path, tmp_path: Path) -> None:
    git(repo, "commit", "-q", "--allow-empty", "-m", "second")
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{repo}", "shallow")
    assert inspect_repository(tmp_path / "shallow").head_commit == git(repo, "rev-parse", "HEAD")


def test_another_object_format_is_named(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--object-format=sha256")
    assert _code(tmp_path) == "sha256_repository"


def test_another_storage_of_references_is_named(repo: Path) -> None:
    """V4: whether the git here knows it or not."""
    git(repo, "config", "core.repositoryformatversion", "1")
    git(repo, "config", "extensions.refStorage", "reftable")
    assert _code(repo) == "reftable_repository"


def test_rovers_own_data_folder_is_refused(repo: Path) -> None:
    assert _code(repo, data_folder=repo.parent) == "inside_data_folder"


def test_a_broken_repository_is_named(repo: Path, tmp_path: Path) -> None:
    (repo / ".git/config").write_text("[core\n")
    assert _code(repo) == "broken_repository"


def test_a_head_that_points_at_nothing_readable_is_broken(repo: Path) -> None:
    (repo / ".git/refs/heads/main").write_text("garbage\n")
    assert _code(repo) == "broken_repository"


def _give_away(repo: Path) -> None:
    os.chown(repo, 12345, 12345)
    os.chown(repo / ".git", 12345, 12345)


def test_a_repository_of_another_user_is_named(repo: Path) -> None:
    _give_away(repo)
    with pytest.raises(UserFixable) as caught:
        inspect_repository(repo)
    assert caught.value.code == "dubious_ownership"
    assert f"git config --global --add safe.directory {repo}" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("values", "safe"),
    [
        (["{repo}"], True),
        (["*"], True),
        (["{parent}/*"], True),
        (["{repo}", ""], False),
        (["", "{repo}"], True),
        (["{parent}"], False),
        (["{repo}x"], False),
    ],
)
def test_what_the_user_calls_safe_is_taken(
    repo: Path, home: Path, values: list[str], safe: bool
) -> None:
    """safe.directory of the user's own configuration counts, as git counts it."""
    _give_away(repo)
    lines = [value.format(repo=repo, parent=repo.parent) for value in values]
    text = "".join(f'\tdirectory = "{line}"\n' for line in lines)
    (home / "included").write_text(f"[safe]\n{text}")
    (home / ".gitconfig").write_text("[include]\n\tpath = included\n")
    if safe:
        assert inspect_repository(repo).root == repo
    else:
        assert _code(repo) == "dubious_ownership"


def test_a_repository_cannot_call_itself_safe(repo: Path, home: Path) -> None:
    git(repo, "config", "safe.directory", "*")
    _give_away(repo)
    assert _code(repo) == "dubious_ownership"


def test_no_hint_makes_a_repository_of_a_folder_that_holds_everything(home: Path) -> None:
    """An assistant does what a hint says; some are started in / or in HOME."""
    for folder in (Path("/"), home, home.parent, Path("/tmp"), Path("/etc")):
        with pytest.raises(UserFixable) as caught:
            inspect_repository(folder)
        assert "git init" not in (caught.value.hint or "")
    project = home / "project"
    project.mkdir()
    with pytest.raises(UserFixable) as caught:
        inspect_repository(project)
    assert f"git init {project}" in (caught.value.hint or "")


def test_what_the_user_alone_ignores_is_known(repo: Path, home: Path) -> None:
    exclude = repo / ".git/info/exclude"
    exclude.write_text("private/\n")
    assert ignored_patterns(repo) == b"private/"
    (home / ".config/git").mkdir(parents=True)
    (home / ".config/git/ignore").write_text(".env\n")
    assert ignored_patterns(repo).split() == [b".env", b"private/"]
    (home / "other").write_text("*.orig")
    (home / ".gitconfig").write_text("[core]\n\texcludesFile = ~/other\n")
    assert ignored_patterns(repo).split() == [b"*.orig", b"private/"]


@pytest.mark.parametrize(
    "condition",
    [
        "gitdir:~/work/",
        "gitdir/i:~/WORK/",
        "onbranch:main",
        "hasconfig:remote.*.url:https://corp/**",
    ],
)
def test_what_the_user_includes_for_some_folders_counts_there(home: Path, condition: str) -> None:
    """The address at work, and what is ignored there."""
    for name in ("work", "own"):
        (home / name).mkdir()
        git(home / name, "init", "-q", "--template=", "-b", name.replace("work", "main"))
    git(home / "work", "config", "remote.origin.url", "https://corp/app.git")
    (home / ".gitconfig").write_text(
        "[user]\n\tname = Sam\n\temail = sam@home.example\n"
        f'[includeIf "{condition}"]\n\tpath = {home}/work.cfg\n'
    )
    (home / "work.cfg").write_text(
        f"[user]\n\temail = sam@corp.example\n[core]\n\texcludesFile = {home}/ignored\n"
        "\tautocrlf = input\n"
    )
    (home / "ignored").write_text("*.secret\n")

    def facts(name: str) -> tuple[str, bytes, list[str]]:
        with opened(home / name) as view:
            who = committer(view, {}).environment["GIT_AUTHOR_EMAIL"]
            return who, ignored_patterns(home / name), [*line_endings(view)]

    assert facts("work") == ("sam@corp.example", b"*.secret", ["core.autocrlf input\n"])
    assert facts("own") == ("sam@home.example", b"", [])


def test_a_file_behind_a_filter_is_not_called_changed(repo: Path) -> None:
    """Whether git-lfs or git-crypt would see a change is not known without running them; a
    change of any other file is."""
    for way in ("clean", "smudge"):
        git(repo, "config", f"filter.crypt.{way}", "tr A-Za-z N-ZA-Mn-za-m")
    (repo / ".gitattributes").write_text("secret* filter=crypt\n")
    (repo / "secret").write_text("swordfish\n")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "secret")
    os.utime(repo / "secret", (1, 1))
    assert git(repo, "status", "--porcelain") == ""
    assert not inspect_repository(repo).dirty
    (repo / "a.txt").write_text("two\n")
    assert inspect_repository(repo).dirty


@pytest.mark.parametrize("name", ["rover", "team", "team/rover"])
def test_a_branch_in_the_way_is_known_before_the_work(repo: Path, name: str) -> None:
    git(repo, "branch", name)
    prefix = "rover" if name == "rover" else "team/rover"
    with pytest.raises(UserFixable) as caught:
        check_delivery(repo, prefix, list_branches(repo))
    assert caught.value.code == "branch_clash"
    assert "branch_prefix" in (caught.value.hint or "")
    check_delivery(repo, "other", list_branches(repo))


def test_no_program_that_the_repository_names_is_run(repo: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {ran}\ncat\n")
    program.chmod(0o755)
    git(repo, "config", "core.fsmonitor", str(program))
    git(repo, "config", "filter.evil.clean", str(program))
    git(repo, "config", "filter.evil.required", "true")
    git(repo, "config", "diff.external", str(program))
    git(repo, "config", "core.pager", str(program))
    (repo / ".gitattributes").write_text("* filter=evil\n")
    (repo / "a.txt").write_text("TWO\n")
    assert inspect_repository(repo).dirty
    assert not ran.exists()


def test_branches_remote_branches_tags_and_ids_are_resolved(repo: Path, tmp_path: Path) -> None:
    first = git(repo, "rev-parse", "HEAD")
    git(repo, "tag", "-am", "v1", "v1")
    git(repo, "commit", "-qm", "second", "--allow-empty")
    second = git(repo, "rev-parse", "HEAD")
    git(repo, "update-ref", "refs/remotes/origin/feature/x", second)
    assert resolve_branch(repo, "main") == second
    assert resolve_branch(repo, "feature/x") == second
    assert resolve_branch(repo, "origin/feature/x") == second
    assert resolve_branch(repo, "v1") == first
    assert resolve_branch(repo, first) == first
    assert list_branches(repo) == {"main"}


@pytest.mark.known_escape(14)
@pytest.mark.parametrize(
    "name",
    ["--upload-pack=x", "-b", "", "a..b", "main^", "main~1", "a b", "HEAD@{1}", "a\nb", "@", "x.lock",
     "/a", "a/", "a//b", ".hidden", "a/.b", "a:b", "x" * 300],
)  # fmt: skip
def test_a_malformed_or_option_like_name_is_refused(repo: Path, name: str) -> None:
    with pytest.raises(UserFixable) as caught:
        resolve_branch(repo, name)
    assert caught.value.code == "malformed_branch"


def test_an_unknown_branch_is_refused_with_the_ones_there_are(repo: Path) -> None:
    with pytest.raises(NotFound) as caught:
        resolve_branch(repo, "develop")
    assert caught.value.hint == "its branches: main"


@pytest.mark.parametrize("name", ["config", "HEAD", "commondir", "shallow", "config.worktree"])
@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_a_pipe_a_device_or_a_folder_in_the_repository_is_not_waited_for(
    repo: Path, name: str, kind: str
) -> None:
    """U3: it is refused, or taken for missing, at once."""
    path = repo / ".git" / name
    git(repo, "config", "extensions.worktreeConfig", "true")
    path.unlink(missing_ok=True)
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case _:
            path.symlink_to("/dev/zero")
    with suppress(UserFixable):
        inspect_repository(repo)


@pytest.mark.parametrize(
    "place", ["refs/heads/x", "refs/a/b/c", "refs/remotes", "objects/info/alternates",
              "objects/info/commit-graph", "objects/pack/pack-1.idx", "info/attributes"],
)  # fmt: skip
def test_a_pipe_where_git_would_read_is_named_at_once(repo: Path, place: str) -> None:
    """U8: in place, and behind a link to a folder or to itself."""
    pipe = repo.parent / "elsewhere" / "pipe"
    pipe.parent.mkdir()
    os.mkfifo(pipe)
    path = repo / ".git" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    (repo / ".git/refs/loop").symlink_to(repo / ".git/refs")
    inspect_repository(repo)
    path.symlink_to(pipe.parent if place == "refs/remotes" else pipe)
    assert _code(repo) == "broken_repository"
    with pytest.raises(UserFixable, match="is a pipe, a socket or a device"):
        resolve_branch(repo, "x")


def test_circular_links_and_endless_folders_raise_nothing(repo: Path) -> None:
    """U3, U8: below `refs`, where each entry is looked at before git reads it."""
    refs = repo / ".git/refs"
    (refs / "heads/x").symlink_to("x")
    (refs / "heads/nowhere").symlink_to("/nowhere")
    deep = os.open(refs, os.O_DIRECTORY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=deep)
        below = os.open("d", os.O_DIRECTORY, dir_fd=deep)
        os.close(deep)
        deep = below
    os.close(deep)
    try:
        assert inspect_repository(repo).branch == "main"
        with suppress(UserFixable):
            list_branches(repo)
    finally:
        # Python's own removal, and so pytest's, gives up on folders as deep as that.
        subprocess.run(["rm", "-rf", str(refs / "d")], check=True)
