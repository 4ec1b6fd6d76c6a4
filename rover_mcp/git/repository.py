"""What a user's repository is, and whether a task can be made from it. Nothing is written."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rover_mcp.domain.errors import EnvironmentFault, NotFound, UserFixable
from rover_mcp.domain.network_policy import HTTPS, BadHost, HostPattern
from rover_mcp.git.locate import (
    NOT_A_PATH,
    RepositoryPaths,
    broken,
    not_looked_at,
    read_small,
)
from rover_mcp.git.repository_view import RepositoryView, opened
from rover_mcp.git.user_config import user_values

# git-check-ref-format(1), and "-" first, which would read as an option.
# The surrogates are those that stand for no byte, so that no program can be given them.
_BAD_NAME = re.compile(
    r"^[-/.]|[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)|[/.]$|^@$"
    r"|[\ud800-\udc7f\udd00-\udfff]"
)
_FULL_ID = re.compile(r"[0-9a-f]{40}", re.ASCII)
_REMOTE_URL = re.compile(r"remote\..*\.url", re.DOTALL)
_STATUS_TIMEOUT = 20.0
_STATUS_LIMIT = 64 * 1024
_MAX_NAME = 200
_MAX_REMOTE_HOSTS = 10
_PATTERNS_LIMIT = 256 * 1024


@dataclass(frozen=True)
class RepositoryInfo:
    """A repository that a task can be made from.

    `root` is the top of the work tree (of a bare repository: its folder), `git_dir` the folder
    that all its work trees share. `head_commit` is empty where the current branch has no commits
    yet. `branch` is None where HEAD is detached. `dirty`: there are
    uncommitted changes or untracked files, which a task does not get.
    """

    root: Path
    git_dir: Path
    head_commit: str
    branch: str | None
    dirty: bool
    bare: bool
    object_format: str
    place: RepositoryPaths


def inspect_repository(path: Path, *, data_folder: Path | None = None) -> RepositoryInfo:
    """The repository that `path` is in; a subfolder and a linked worktree will do.

    Raises:
        UserFixable: no task can be made from it. Codes: not_a_directory, inside_data_folder,
            no_repository, dubious_ownership, broken_repository, sha256_repository,
            reftable_repository.
        EnvironmentFault: git is missing or hangs.
    """
    try:
        _check_folder(path, data_folder)
    except NOT_A_PATH as error:
        raise not_looked_at(path, error) from error
    with opened(path) as view:
        _check_format(path, view)
        if not view.bare and view.place.top is None:
            raise UserFixable(
                f"{path} is inside a repository's own .git folder",
                hint="give the folder that holds .git",
                code="no_repository",
            )
        root = view.place.common if view.bare or view.place.top is None else view.place.top
        head = _head(path, view)
        branch = view.run(["symbolic-ref", "-q", "--short", "HEAD"])
        return RepositoryInfo(
            root=root,
            git_dir=view.place.common,
            head_commit=head,
            branch=branch.text if branch.code == 0 else None,
            dirty=not view.bare and _is_dirty(view, root),
            bare=view.bare,
            object_format="sha1",
            place=view.place,
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
    with opened(repo) as view:
        for candidate in names:
            resolved = view.run(["rev-parse", "--verify", "-q", f"{candidate}^{{commit}}"])
            if resolved.code == 0 and _FULL_ID.fullmatch(resolved.text):
                return resolved.text
    some = ", ".join(sorted(list_branches(repo))[:10]) or "none"
    raise NotFound(
        f"{repo} has no branch, tag or commit {name!r}",
        hint=f"its branches: {some}",
        instead={"base_branch": None},
        code="unknown_branch",
    )


def list_branches(repo: Path) -> frozenset[str]:
    """The names of the local branches of `repo`."""
    text = _text(repo, "for-each-ref", "--format=%(refname)", "refs/heads/")
    return frozenset(line.removeprefix("refs/heads/") for line in text.splitlines())


def ignored_patterns(repo: Path) -> bytes:
    """The patterns that the user's git ignores here in addition to the tracked .gitignore files:
    the user's core.excludesFile (by default `git/ignore` in the configuration folder), and then the
    repository's info/exclude, which outranks it. Empty where there is neither."""
    with opened(repo) as view:
        own = _own_file("core.excludesFile", "ignore", view)
        files = (own, view.place.common / "info" / "exclude")
    return b"\n".join(read_small(file, _PATTERNS_LIMIT) or b"" for file in files).strip()


def own_attributes(view: RepositoryView) -> bytes:
    """The user's core.attributesFile (by default `git/attributes` in the configuration folder),
    which every .gitattributes file outranks."""
    file = _own_file("core.attributesFile", "attributes", view)
    return read_small(file, _PATTERNS_LIMIT) or b""


def info_attributes(common: Path) -> bytes:
    """A repository's info/attributes, which outranks every .gitattributes file."""
    return read_small(common / "info" / "attributes", _PATTERNS_LIMIT) or b""


def _own_file(key: str, default: str, view: RepositoryView) -> Path:
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    named = user_values(key, view.conditions)
    return Path(named[-1]) if named else Path(home) / "git" / default


def remote_hosts(repo: Path) -> tuple[str, ...]:
    """The hosts of the remotes of `repo`, as entries of an allow-list. An entry is for https, also
    where the remote is used over ssh. Hosts without a public name are left out."""
    with opened(repo) as view:
        remotes = [value for key, value in view.config.items() if _REMOTE_URL.fullmatch(key)]
    hosts = (_host_entry(url.strip()) for urls in remotes for url in urls)
    return tuple(dict.fromkeys(host for host in hosts if host))[:_MAX_REMOTE_HOSTS]


def _host_entry(url: str) -> str | None:
    scheme, separator, rest = url.partition("://")
    if not separator:
        # The form user@host:path of ssh.
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
    """The paths, among those given, at which `commit` has a file or folder, or that it blocks with
    a file in the place of one of their folders. They have no characters that git would quote."""
    ways = {path: [p.as_posix() for p in PurePosixPath(path).parents][:-1] for path in paths}
    candidates = sorted({*paths, *(way for some in ways.values() for way in some)})
    if not candidates:
        return frozenset()
    tracked: dict[str, str] = {}
    for line in _text(repo, "ls-tree", "--full-tree", commit, "--", *candidates).splitlines():
        facts, _, path = line.partition("\t")
        tracked[path] = facts.split()[1]
    return frozenset(
        path
        for path, way in ways.items()
        if path in tracked or any(tracked.get(part, "tree") != "tree" for part in way)
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
            f"{path} is inside Rover's own data folder {data_folder}",
            hint="give the path of your repository",
            code="inside_data_folder",
        )


def _check_format(path: Path, view: RepositoryView) -> None:
    if (object_format := view.last("extensions.objectformat") or "sha1") != "sha1":
        raise UserFixable(
            f"{path} uses the {object_format} object format, which Rover cannot bundle",
            hint="copy it into one in the sha1 format and give that: git init <copy>, then "
            f"git -C {path} fast-export --all --signed-tags=strip | git -C <copy> fast-import",
            code="sha256_repository",
        )
    if (storage := view.last("extensions.refstorage") or "files") != "files":
        raise UserFixable(
            f"{path} stores its branches as a {storage}, to which Rover cannot add a branch",
            hint=f"run: git -C {path} refs migrate --ref-format=files (git 2.46 or later), "
            "or use a clone of it",
            code="reftable_repository",
        )


def _head(path: Path, view: RepositoryView) -> str:
    """The commit at HEAD; empty on a branch that has none yet, as after `git switch --orphan`."""
    head = view.run(["rev-parse", "--verify", "-q", "HEAD^{commit}"])
    if head.code == 0:
        return head.text
    any_ref = view.run(["for-each-ref", "--count=1"])
    if any_ref.code != 0 or any_ref.stderr.strip():
        raise broken(path, any_ref.reason)
    symbolic = view.run(["symbolic-ref", "-q", "HEAD"])
    if symbolic.code == 0 and view.run(["show-ref", "-q", "--verify", symbolic.text]).code == 0:
        raise UserFixable(
            f"{path} is a damaged repository: HEAD names {symbolic.text}, which is not a commit",
            hint=f"see what git says: git -C {path} fsck",
            code="broken_repository",
        )
    return ""


def _is_dirty(view: RepositoryView, root: Path) -> bool:
    """Whether `git status` would show something. If it takes too long the answer is False, because
    only a warning depends on it."""
    argv = ["status", "--porcelain", "-z", "--no-renames", "--untracked-files=normal"]
    try:
        status = view.run_in_work_tree(
            [*argv, "--ignore-submodules=all"],
            root,
            timeout=_STATUS_TIMEOUT,
            output_limit=_STATUS_LIMIT,
        )
    except EnvironmentFault as error:
        if error.code == "git_timeout":
            return False
        raise
    entries = status.stdout.split(b"\0")[:-1]
    if status.truncated or not all(entry.startswith(b" M ") for entry in entries):
        return True
    return not _all_filtered(view, root, [entry[3:] for entry in entries])


def _all_filtered(view: RepositoryView, root: Path, paths: Sequence[bytes]) -> bool:
    """Whether all the files pass through a filter such as git-lfs or git-crypt. Filters are
    programs and are not run here, so git takes every such file for changed."""
    if not paths:
        return True
    attributes = view.run_in_work_tree(
        ["check-attr", "--stdin", "-z", "filter"], root, stdin=b"\0".join([*paths, b""])
    )
    values = attributes.stdout.split(b"\0")[2::3]
    return len(values) == len(paths) and not {b"unspecified", b"unset"} & set(values)


def _text(path: Path, *argv: str) -> str:
    with opened(path) as view:
        result = view.run(argv)
    if result.code != 0:
        raise broken(path, result.reason)
    return result.text
