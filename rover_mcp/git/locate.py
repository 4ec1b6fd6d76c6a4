"""Where the parts of a user's repository are, found as git finds them but without starting git,
which would read the repository's configuration. Nothing is written."""

from __future__ import annotations

import os
import re
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path

from rover_mcp.domain.errors import UserFixable
from rover_mcp.git.user_config import is_safe_directory

SMALL = 64 * 1024
_SYSTEM_DEPTH = 2
"""The number of parts of a path such as /tmp or /etc."""
NOT_A_PATH = (OSError, RuntimeError, ValueError)
"""Errors that an untrusted path can raise: it is too long or may not be entered, it is a link that
leads to itself, or it holds a NUL."""
_HEAD = re.compile(rb"ref: *refs/[^\n]+\n?|[0-9a-f]{40}(?:[0-9a-f]{24})?\n?")


@dataclass(frozen=True)
class RepositoryPaths:
    """`top` is the folder that holds `.git`; None where the search ended inside a bare repository
    or inside `.git`. `git_dir` belongs to this work tree, `common` is shared by all work trees."""

    top: Path | None
    git_dir: Path
    common: Path

    @property
    def linked(self) -> bool:
        """Whether this is a linked work tree (git-worktree)."""
        return self.git_dir != self.common


def locate(path: Path) -> RepositoryPaths:
    """The repository that the folder `path` is in.

    Raises:
        UserFixable: there is none ("no_repository", or "not_a_directory"), it belongs to another
            user ("dubious_ownership"), or its `.git` file leads nowhere ("broken_repository").
    """
    try:
        if place := _search(path.resolve()):
            return place
    except NOT_A_PATH as error:
        raise not_looked_at(path, error) from error
    raise UserFixable(
        f"{path} is not in a git repository",
        hint="give the path of a repository as repo_path" + _initialised(path.resolve()),
        code="no_repository",
    )


def _initialised(folder: Path) -> str:
    """The hint how to make a repository of the folder, unless it is / or HOME or holds one of them:
    assistants do what a hint says, and desktop programs often start them in these folders."""
    home = Path.home().resolve()
    if home.is_relative_to(folder) or len(folder.parts) <= _SYSTEM_DEPTH:
        return ""
    return (
        f"; to make this folder one, run git init {shlex.quote(str(folder))} and commit something"
    )


def _search(start: Path) -> RepositoryPaths | None:
    device = start.stat().st_dev
    for folder in (start, *start.parents):
        if folder.stat().st_dev != device:
            return None
        if place := _repository_at(folder):
            return place
    return None


def read_small(path: Path, limit: int = SMALL) -> bytes | None:
    """The content of a regular file of at most `limit` bytes; None where there is none."""
    # Non-blocking, because opening a pipe would wait for a writer.
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > limit:
            return None
        return os.read(handle, limit)
    except OSError:
        return None
    finally:
        os.close(handle)


def read_head(git_dir: Path) -> bytes | None:
    """The content of HEAD without its line end; None where there is no HEAD, or an invalid one."""
    try:
        # Very old versions of git wrote HEAD as a symbolic link, and present ones still read that.
        link = os.fsencode((git_dir / "HEAD").readlink())
    except OSError:
        link = b""
    if link.startswith(b"refs/"):
        return b"ref: " + link
    content = read_small(git_dir / "HEAD")
    if content is None or not _HEAD.fullmatch(content):
        return None
    return content.rstrip(b"\n")


def broken(path: Path, why: str) -> UserFixable:
    """The error for a repository that git cannot use."""
    return UserFixable(
        f"{path} is a damaged repository: {why}",
        hint=f"see what git says: git -C {path} status",
        code="broken_repository",
    )


def not_looked_at(path: Path, error: Exception) -> UserFixable:
    """The error for a path that raised one of NOT_A_PATH."""
    why = error.strerror if isinstance(error, OSError) else error
    return UserFixable(
        f"{path} cannot be inspected: {why}",
        hint="give the path of a git repository",
        code="not_a_directory",
    )


def _repository_at(folder: Path) -> RepositoryPaths | None:
    dot_git = folder / ".git"
    if dot_git.is_file():
        place = _place(folder, _target(folder, dot_git))
        if place is None:
            raise _leads_nowhere(folder, dot_git)
        _check_owner(folder, dot_git, folder, place.git_dir)
        return place
    if place := _place(folder, dot_git):
        _check_owner(folder, folder, dot_git)
        return place
    if place := _place(None, folder):
        _check_owner(folder, folder)
        return place
    return None


def _leads_nowhere(folder: Path, dot_git: Path) -> UserFixable:
    error = broken(folder, f"{dot_git} leads to no repository")
    if b"/worktrees/" in (read_small(dot_git) or b""):
        error.hint = (
            "if the repository of this work tree was moved, run there: git worktree repair "
            f"{shlex.quote(str(folder))}"
        )
    return error


def _target(folder: Path, dot_git: Path) -> Path:
    content = read_small(dot_git) or b""
    if not content.startswith(b"gitdir: "):
        raise broken(folder, f"{dot_git} is a file, and names no repository")
    return folder / os.fsdecode(content.removeprefix(b"gitdir: ").rstrip(b"\r\n"))


def _place(top: Path | None, git_dir: Path) -> RepositoryPaths | None:
    if read_head(git_dir) is None:
        return None
    git_dir = git_dir.resolve()
    common = git_dir
    if named := read_small(git_dir / "commondir"):
        common = (git_dir / os.fsdecode(named.rstrip(b"\r\n"))).resolve()
    if not (common / "objects").is_dir() or not (common / "refs").is_dir():
        return None
    return RepositoryPaths(top, git_dir, common)


def _check_owner(path: Path, *owned: Path) -> None:
    strange = any(part.lstat().st_uid != os.geteuid() for part in owned)
    if strange and not is_safe_directory(path):
        quoted = shlex.quote(str(path))
        raise UserFixable(
            f"{path} belongs to another user, and git's safe.directory does not name it",
            hint="if you trust whoever can write there, run: "
            f"git config --global --add safe.directory {quoted}",
            code="dubious_ownership",
        )
