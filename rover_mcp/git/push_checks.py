"""What a push of a task's commits would leave behind: objects of git-lfs and commits of submodules,
which git keeps elsewhere; and hooks that git itself would run before it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rover_mcp.domain.errors import EnvironmentFault, RoverError
from rover_mcp.git.branch_merge import ChangedPath, changed_paths, has_object
from rover_mcp.git.hook_files import active_hooks, hooks_folder
from rover_mcp.git.locate import read_small
from rover_mcp.git.repository_view import RepositoryView, opened
from rover_mcp.git.submodules import find_submodules
from rover_mcp.git.work_tree import filtered_paths

PRE_PUSH = "pre-push"
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
_LFS_COMMAND = b"git lfs pre-push"
_SHELL = (b"#", b"command -v git-lfs", b"git lfs pre-push")
"""How the lines begin of the hook that `git lfs install` writes."""


def changed_since(view: RepositoryView, base: str, commit: str) -> Sequence[ChangedPath]:
    """What differs between a task's base and the commit; everything in it where the repository has
    lost the base.

    Raises:
        EnvironmentFault: git failed.
    """
    try:
        return changed_paths(view, base, commit)
    except EnvironmentFault:
        if has_object(view, base):
            raise
        return changed_paths(view, EMPTY_TREE, commit)


def lfs_paths(view: RepositoryView, changed: Sequence[ChangedPath], commit: str) -> list[str]:
    """Those of the changed files that git-lfs keeps."""
    return filtered_paths(view, changed, commit, only="lfs")


def hooks_not_run(view: RepositoryView) -> list[str]:
    """The hooks that git itself would run before a push. The one of git-lfs does not count: what it
    would do is looked after by lfs_paths."""
    hooks = active_hooks(view, [PRE_PUSH])
    if not hooks or _is_of_lfs(hooks_folder(view) / PRE_PUSH):
        return []
    return hooks


def _is_of_lfs(hook: Path) -> bool:
    content = read_small(hook) or b""
    lines = [line.strip() for line in content.splitlines() if line.strip()]
    return _LFS_COMMAND in content and all(line.startswith(_SHELL) for line in lines)


def unpushed_submodules(repository: Path, changed: Sequence[ChangedPath], commit: str) -> list[str]:
    """Those of the changed submodules whose new commit is on no branch that was fetched from, or
    pushed to, a remote of theirs. One whose repository is not at hand counts too: nothing says
    that anybody else could have the commit."""
    paths = {one.path for one in changed if one.submodule and not one.deleted}
    if not paths:
        return []
    at_hand = {one.path: one for one in find_submodules(repository, commit).submodules}
    return sorted(
        path
        for path in paths
        if path not in at_hand or not _is_on_a_remote(at_hand[path].folder, at_hand[path].commit)
    )


def _is_on_a_remote(folder: Path, commit: str) -> bool:
    try:
        with opened(folder) as view:
            argv = ["for-each-ref", "--count=1", f"--contains={commit}", "refs/remotes/"]
            listed = view.run(argv)
    except RoverError:
        return False
    return listed.code == 0 and bool(listed.text)
