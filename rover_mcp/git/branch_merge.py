"""Merging a task's branch into another branch of the user's repository, without a work tree.

Everything here only adds objects: the merged tree and the commit. References are moved and files
are written in move_branch.py and work_tree.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from rover_mcp.domain.errors import Conflict, EnvironmentFault, NotFound
from rover_mcp.git.loose_refs import loose_ref
from rover_mcp.git.repository_view import RepositoryView
from rover_mcp.git.user_identity import Committer

MERGE_TREE_SINCE = "2.38"
SUBMODULE = "160000"
"""The mode of a submodule's entry."""
_LIST_LIMIT = 64 * 1024**2


@dataclass(frozen=True)
class ChangedPath:
    """A path that differs between two commits."""

    path: str
    added: bool
    deleted: bool
    submodule: bool = False


@dataclass(frozen=True)
class Merged:
    """The result of merging the commit `source` into a branch at `old`. `tree` is None where there
    are `conflicts`, the paths that both sides changed. `forward`: every commit of the branch is in
    `source`. `contained`: `source` is in the branch already."""

    old: str
    source: str
    tree: str | None
    conflicts: Sequence[str]
    changed: Sequence[ChangedPath]
    commits: int
    forward: bool
    contained: bool


def tip(view: RepositoryView, branch: str) -> str | None:
    """The commit of a local branch; None where there is no such branch."""
    name = f"refs/heads/{branch}"
    if commit := loose_ref(view.folder, name):
        return commit
    resolved = view.run(["rev-parse", "--verify", "-q", f"{name}^{{commit}}"])
    return resolved.text if resolved.code == 0 else None


def contains(view: RepositoryView, commit: str, older: str) -> bool:
    """Whether the history of `commit` has the commit `older`."""
    if commit == older:
        return True
    return view.run(["merge-base", "--is-ancestor", older, commit]).code == 0


def count_beyond(view: RepositoryView, tip: str, head: str) -> int:
    """How many commits of the branch at `tip` the task, which delivered `head`, did not make.

    Raises:
        EnvironmentFault: git failed ("merge_failed").
    """
    if tip == head:
        return 0
    counted = view.run(["rev-list", "--count", tip, f"^{head}"])
    if not counted.text.isdecimal():
        raise EnvironmentFault(f"commits cannot be counted: {counted.reason}", code="merge_failed")
    return int(counted.text)


def has_object(view: RepositoryView, name: str, kind: str = "commit") -> bool:
    """Whether the repository has a commit, or an object of another kind."""
    return view.run(["cat-file", "-e", f"{name}^{{{kind}}}"]).code == 0


def merge(view: RepositoryView, old: str, source: str) -> Merged:
    """Merge `source` into a branch that is at `old`. Only objects are written.

    Raises:
        Conflict: git cannot merge them, for example because they have no common history
            ("not_mergeable").
        EnvironmentFault: git is too old ("git_too_old") or failed ("merge_failed").
    """
    with ThreadPoolExecutor(1) as aside:
        # In most cases both are needed, and neither needs the other.
        begun = aside.submit(_merge_trees, view, old, source)
        behind, commits = _apart(view, old, source)
        contained, forward = commits == 0, behind == 0
        if contained:
            return Merged(old, source, None, (), (), 0, forward, contained=True)
        if forward:
            tree, conflicts = _resolve(view, f"{source}^{{tree}}"), ()
        else:
            tree, conflicts = begun.result()
    changed = changed_paths(view, old, tree if tree else source)
    return Merged(old, source, tree, conflicts, changed, commits, forward, contained=False)


def _merge_trees(view: RepositoryView, old: str, source: str) -> tuple[str | None, Sequence[str]]:
    # Of the two forms of merge-tree this one needs no work tree and no index. Status 1 means
    # conflicts; a git that does not know the form prints its usage.
    argv = ["merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", old, source]
    done = view.run(argv, output_limit=_LIST_LIMIT)
    tree, *conflicts = done.stdout.decode("utf-8", "backslashreplace").split("\0")[:-1] or [""]
    if done.code == 0:
        return tree, ()
    if done.code == 1 and conflicts:
        return None, tuple(dict.fromkeys(conflicts))
    if "usage: git merge-tree" in done.stderr:
        raise EnvironmentFault(
            f"merging needs git {MERGE_TREE_SINCE} or later",
            hint="update git, or merge the task's branch yourself",
            code="git_too_old",
        )
    raise Conflict(
        f"git cannot merge the branches: {done.reason}",
        hint="merge the task's branch yourself, to see what git says",
        code="not_mergeable",
    )


def changed_paths(view: RepositoryView, old: str, new: str) -> list[ChangedPath]:
    """The paths that differ between two commits or trees; a rename is a deletion and an addition.

    Raises:
        EnvironmentFault: git failed ("merge_failed").
    """
    listed = view.run(
        ["diff-tree", "-r", "-z", "--raw", "--no-renames", old, new],
        output_limit=_LIST_LIMIT,
    )
    if listed.code != 0 or listed.truncated:
        raise EnvironmentFault(
            f"the changes cannot be listed: {listed.reason}", code="merge_failed"
        )
    fields = listed.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]
    changed: list[ChangedPath] = []
    for facts, path in zip(fields[::2], fields[1::2], strict=True):
        before, after, *_, status = facts.removeprefix(":").split()
        submodule = SUBMODULE in (before, after)
        changed.append(ChangedPath(path, status == "A", status == "D", submodule))
    return changed


def commit_merge(
    view: RepositoryView, tree: str, parents: Sequence[str], message: str, committer: Committer
) -> str:
    """Make a commit without a reference, in the user's name, and signed where they sign.

    Raises:
        EnvironmentFault: it cannot be signed ("not_signed") or made ("merge_failed").
    """
    argv = ["commit-tree", *(["-S"] if committer.signs else []), tree]
    argv += [word for parent in parents for word in ("-p", parent)]
    done = view.run(
        [*argv, "-F", "-"],
        extra_env=dict(committer.environment),
        settings=committer.settings,
        stdin=message.encode("utf-8", "backslashreplace"),
    )
    if done.code == 0:
        return done.text
    if committer.signs:
        raise EnvironmentFault(
            f"the commit cannot be signed: {done.reason}",
            hint="your git configuration has commit.gpgsign: check that its key exists "
            "and is unlocked (sign any commit once), then call again; or merge with git yourself",
            code="not_signed",
        )
    raise EnvironmentFault(f"the commit cannot be made: {done.reason}", code="merge_failed")


def _resolve(view: RepositoryView, name: str) -> str:
    resolved = view.run(["rev-parse", "--verify", "-q", name])
    if resolved.code != 0:
        raise NotFound(f"{name} is missing from the repository", code="object_missing")
    return resolved.text


def _apart(view: RepositoryView, old: str, source: str) -> tuple[int, int]:
    """How many commits only `old` reaches, and how many only `source` does."""
    counted = view.run(["rev-list", "--count", "--left-right", f"{old}...{source}"])
    numbers = counted.text.split()
    if counted.code != 0 or len(numbers) != 2:
        raise EnvironmentFault(f"commits cannot be counted: {counted.reason}", code="merge_failed")
    return int(numbers[0]), int(numbers[1])
