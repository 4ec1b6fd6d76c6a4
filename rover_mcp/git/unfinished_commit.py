"""The commit that holds a task's unfinished work: how it is made, and how it is recognised.

It is recognised by the commit alone, so that a data folder restored from a backup recognises it
too. Its committer is Rover, which a user's own commit, amendment or rebase never has, and a trailer
names the task.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from agent_runner.models import Snapshot
from agent_runner.worktree.worktree import USER_EMAIL, USER_NAME
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.git.repository_view import RepositoryView, opened

_IDENTITY = {
    "GIT_AUTHOR_NAME": USER_NAME,
    "GIT_AUTHOR_EMAIL": USER_EMAIL,
    "GIT_COMMITTER_NAME": USER_NAME,
    "GIT_COMMITTER_EMAIL": USER_EMAIL,
}
_FORMAT = "--format=%cn <%ce>%n%(trailers:only,unfold)"
_SNAPSHOT = re.compile(r"Rover-Snapshot: ([0-9]{1,9})")


@dataclass(frozen=True)
class UnfinishedWork:
    """Unfinished work: a snapshot's tree, to be committed on top of the task's branch with
    `message` and trailers. Nothing is committed if nothing has changed since the commit `base`."""

    base: str
    snapshot: Snapshot
    message: str


def commit_unfinished(
    view: RepositoryView, task_id: str, parent: str, work: UnfinishedWork
) -> str | None:
    """Make the commit, without a reference. None where nothing has changed.

    Raises:
        EnvironmentFault: git failed ("publish_failed").
    """
    tree = view.run(["rev-parse", "--verify", "-q", f"{parent}^{{tree}}"]).text
    if parent == work.base and tree == work.snapshot.tree:
        return None
    # The parent's date, so that the same work gives the same commit and a repetition changes
    # nothing.
    date = view.run(["show", "-s", "--format=%ct +0000", parent]).text
    trailers = (
        f"Rover-Task: {task_id}\nRover-Snapshot: {work.snapshot.sequence}\n"
        "Rover-Status: unfinished\n"
    )
    committed = view.run(
        ["commit-tree", work.snapshot.tree, "-p", parent, "-F", "-"],
        extra_env={"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date, **_IDENTITY},
        stdin=f"{work.message}\n\n{trailers}".encode(),
    )
    if committed.code != 0:
        raise EnvironmentFault(
            f"unfinished work cannot be committed: {committed.reason}", code="publish_failed"
        )
    return committed.text


def unfinished_snapshot(view: RepositoryView, commit: str, task_id: str) -> int | None:
    """The number of the snapshot whose work an unfinished commit of this task holds; None for every
    other commit."""
    shown = view.run(["show", "-s", _FORMAT, commit])
    committer, *trailers = shown.text.splitlines() or [""]
    if shown.code != 0 or committer != f"{USER_NAME} <{USER_EMAIL}>":
        return None
    if not {f"Rover-Task: {task_id}", "Rover-Status: unfinished"} <= set(trailers):
        return None
    return next((int(m[1]) for line in trailers if (m := _SNAPSHOT.fullmatch(line))), None)


def unfinished_in(user_repo: Path, commit: str, task_id: str) -> int | None:
    """The same for a commit of a user's repository.

    Raises:
        RoverError: as repository_view.opened.
    """
    with opened(user_repo) as view:
        return unfinished_snapshot(view, commit, task_id)
