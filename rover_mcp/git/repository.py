"""What a user's repository is, and whether a task can be made from it. Nothing is written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rover_mcp.errors import EnvironmentFault, NotFound, UserFixable
from rover_mcp.git.process import GitResult, run_git
from rover_mcp.network import HTTPS, BadHost, HostPattern

# git-check-ref-format(1), and "-" first, which would read as an option.
_BAD_NAME = re.compile(r"^[-/.]|[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)|[/.]$|^@$")
_FULL_ID = re.compile(r"[0-9a-f]{40}", re.ASCII)
_STATUS_TIMEOUT = 20.0
_MAX_NAME = 200
_MAX_REMOTE_HOSTS = 10


@dataclass(frozen=True)
class RepositoryInfo:
    """A repository that a task can be made from.

    `root` is the top of the work tree (of a bare repository: its folder), `git_dir` the folder
    that all its work trees share. `branch` is None where HEAD is detached. `dirty`: there are
    uncommitted changes or untracked files, which are no part of a task.
    """

    root: Path
    git_dir: Path
    head_commit: str
    branch: str | None
    dirty: bool
    bare: bool
    shallow: bool
    object_format: str


def inspect_repository(path: Path, *, data_folder: Path | None = None) -> RepositoryInfo:
    """The repository that `path` is in; a subfolder and a linked worktree will do.

    Raises:
        UserFixable: no task can be made from it. Codes: not_a_directory, inside_data_folder,
            no_repository, dubious_ownership, broken_repository, no_commits, shallow_repository,
            partial_clone, sha256_repository.
        EnvironmentFault: git is missing or hangs.
    """
    _check_folder(path, data_folder)
    facts = _rev_parse(path)
    if facts["object_format"] != "sha1":
        raise UserFixable(
            f"{path} uses the {facts['object_format']} object format, which rover cannot bundle",
            hint="use a repository in the sha1 format (the default of git init)",
            code="sha256_repository",
        )
    bare = facts["bare"] == "true"
    if not bare and facts["inside"] != "true":
        raise UserFixable(
            f"{path} is inside a repository's own .git folder",
            hint="give the folder that holds .git",
            code="no_repository",
        )
    git_dir = Path(facts["common"]).resolve()
    root = git_dir if bare else Path(_text(path, "rev-parse", "--show-toplevel"))
    _check_history(path, shallow=facts["shallow"] == "true")
    head = run_git(["rev-parse", "--verify", "-q", "HEAD^{commit}"], path)
    if head.code != 0:
        raise _without_commits(path)
    branch = run_git(["symbolic-ref", "-q", "--short", "HEAD"], path)
    return RepositoryInfo(
        root=root,
        git_dir=git_dir,
        head_commit=head.text,
        branch=branch.text if branch.code == 0 else None,
        dirty=not bare and _is_dirty(root),
        bare=bare,
        shallow=False,
        object_format="sha1",
    )


def resolve_branch(repo: Path, name: str) -> str:
    """The commit that `name` stands for: a local branch, origin's, another remote's
    (`remote/branch`), a tag, or a full commit id, in this order.

    Raises:
        UserFixable: the name is malformed ("malformed_branch").
        NotFound: nothing of that name exists ("unknown_branch").
    """
    if len(name) > _MAX_NAME or not name or _BAD_NAME.search(name):
        raise UserFixable(
            f"{name[:80]!r} is not a branch name",
            hint="give a branch, a tag or a full commit id, such as 'main'",
            code="malformed_branch",
        )
    names = [f"refs/{kind}/{name}" for kind in ("heads", "remotes/origin", "remotes", "tags")]
    if _FULL_ID.fullmatch(name):
        names.append(name)
    for candidate in names:
        found = run_git(["rev-parse", "--verify", "-q", f"{candidate}^{{commit}}"], repo)
        if found.code == 0 and _FULL_ID.fullmatch(found.text):
            return found.text
    some = ", ".join(sorted(list_branches(repo))[:10]) or "none"
    raise NotFound(
        f"{repo} has no branch, tag or commit {name!r}",
        hint=f"its branches: {some}",
        code="unknown_branch",
    )


def list_branches(repo: Path) -> frozenset[str]:
    """The names of the local branches of `repo`."""
    text = _text(repo, "for-each-ref", "--format=%(refname)", "refs/heads/")
    return frozenset(line.removeprefix("refs/heads/") for line in text.splitlines())


def remote_hosts(repo: Path) -> tuple[str, ...]:
    """The hosts of the remotes of `repo`, as entries of an allow-list: by https, also where the
    remote itself is used by ssh. Those that have no public name are left out."""
    found = run_git(["config", "--local", "--get-regexp", r"^remote\..*\.url$"], repo)
    urls = (line.partition(" ")[2].strip() for line in found.text.splitlines())
    hosts = (_host_entry(url) for url in urls)
    return tuple(dict.fromkeys(host for host in hosts if host))[:_MAX_REMOTE_HOSTS]


def _host_entry(url: str) -> str | None:
    scheme, separator, rest = url.partition("://")
    if not separator:
        # user@host:path, as ssh and git have it.
        authority, colon, _ = url.partition(":")
        scheme, rest = "ssh", authority if colon and "/" not in authority else ""
    authority = rest.partition("/")[0].rpartition("@")[2]
    host, colon, port = authority.partition(":")
    try:
        pattern = HostPattern.parse(f"{host}:{port}" if colon and scheme == "https" else host)
    except BadHost:
        return None
    if scheme not in ("https", "http", "ssh", "git") or pattern.host.address:
        return None
    port = pattern.port or HTTPS
    return pattern.host.name if port == HTTPS else pattern.host.at(port)


def tracked_paths(repo: Path, commit: str, paths: Sequence[str]) -> frozenset[str]:
    """Those of the paths (without characters that git would quote) at which `commit` has
    something, or where a part of the way to them is no folder."""
    ways = {path: [p.as_posix() for p in PurePosixPath(path).parents][:-1] for path in paths}
    asked = sorted({*paths, *(way for some in ways.values() for way in some)})
    if not asked:
        return frozenset()
    found: dict[str, str] = {}
    for line in _text(repo, "ls-tree", "--full-tree", commit, "--", *asked).splitlines():
        facts, _, path = line.partition("\t")
        found[path] = facts.split()[1]
    return frozenset(
        path
        for path, way in ways.items()
        if path in found or any(found.get(part, "tree") != "tree" for part in way)
    )


def is_branch_name(name: str) -> bool:
    """Whether `name` can be a branch's name and cannot be read as an option."""
    return 0 < len(name) <= _MAX_NAME and not _BAD_NAME.search(name)


def _check_folder(path: Path, data_folder: Path | None) -> None:
    if not path.is_dir():
        what = "is not a folder" if path.exists() else "does not exist"
        raise UserFixable(
            f"{path} {what}", hint="give the path of a git repository", code="not_a_directory"
        )
    if data_folder is not None and path.resolve().is_relative_to(data_folder.resolve()):
        raise UserFixable(
            f"{path} is inside rover's own data folder {data_folder}",
            hint="give the path of your repository",
            code="inside_data_folder",
        )


def _rev_parse(path: Path) -> dict[str, str]:
    asked = {
        "bare": "--is-bare-repository",
        "inside": "--is-inside-work-tree",
        "shallow": "--is-shallow-repository",
        "object_format": "--show-object-format",
        "common": "--git-common-dir",
    }
    # The path format counts for the options after it only.
    result = run_git(["rev-parse", "--path-format=absolute", *asked.values()], path)
    if result.code != 0:
        raise _refusal(path, result)
    return dict(zip(asked, result.text.split("\n", len(asked) - 1), strict=True))


def _refusal(path: Path, result: GitResult) -> UserFixable:
    if "not a git repository" in result.stderr and "(or any" in result.stderr:
        return UserFixable(
            f"{path} is not in a git repository",
            hint="give the path of a repository (repo_path); if this is to be one, run: "
            f"git init {path}, and commit something",
            code="no_repository",
        )
    if "dubious ownership" in result.stderr:
        return UserFixable(
            f"{path} belongs to another user, and git refuses it (dubious ownership)",
            hint="run rover as the user that owns the repository, or change its owner",
            code="dubious_ownership",
        )
    return UserFixable(
        f"{path} is a broken repository: {result.reason}",
        hint=f"see what git says: git -C {path} status",
        code="broken_repository",
    )


def _check_history(path: Path, *, shallow: bool) -> None:
    if shallow:
        raise UserFixable(
            f"{path} is a shallow clone: its history is cut off",
            hint=f"run: git -C {path} fetch --unshallow",
            code="shallow_repository",
        )
    partial = run_git(["config", "--get-regexp", r"^remote\..*\.promisor$", "true"], path)
    if partial.code == 0:
        raise UserFixable(
            f"{path} is a partial clone: some of its objects are only on the remote",
            hint="make a full clone and use that",
            code="partial_clone",
        )


def _without_commits(path: Path) -> UserFixable:
    any_ref = run_git(["for-each-ref", "--count=1"], path)
    if any_ref.code != 0 or any_ref.stderr.strip():
        return _refusal(path, any_ref)
    symbolic = run_git(["symbolic-ref", "-q", "HEAD"], path)
    if (
        symbolic.code == 0
        and run_git(["show-ref", "-q", "--verify", symbolic.text], path).code == 0
    ):
        return UserFixable(
            f"{path} is a broken repository: HEAD names {symbolic.text}, which is no commit",
            hint=f"see what git says: git -C {path} fsck",
            code="broken_repository",
        )
    return UserFixable(
        f"{path} has no commits on its current branch",
        hint=f"run: git -C {path} commit --allow-empty -m 'first commit'",
        code="no_commits",
    )


def _is_dirty(root: Path) -> bool:
    """Whether `git status` would show something. A status that takes too long says no: it
    serves a warning only."""
    try:
        status = run_git(
            ["status", "--porcelain", "--untracked-files=normal", "--ignore-submodules=all"],
            root,
            settings=_filters_off(root),
            timeout=_STATUS_TIMEOUT,
            output_limit=1,
        )
    except EnvironmentFault as error:
        if error.code == "git_timeout":
            return False
        raise
    return bool(status.stdout)


def _filters_off(root: Path) -> list[str]:
    """Settings that switch off every filter program which the repository's config names."""
    named = run_git(["config", "--name-only", "-z", "--get-regexp", r"^filter\."], root)
    keys = [key.decode("utf-8", "surrogateescape") for key in named.stdout.split(b"\0") if key]
    return [f"{key}={'false' if key.endswith('.required') else ''}" for key in keys]


def _text(path: Path, *argv: str) -> str:
    result = run_git(argv, path)
    if result.code != 0:
        raise _refusal(path, result)
    return result.text
