"""The repository that a call names, and what to say where it names none."""

from __future__ import annotations

from pathlib import Path

from rover_mcp.domain.errors import UserFixable
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.folder_argument import NOT_A_PATH
from rover_mcp.tasks.task_ports import Repositories, Repository


def named_repository(
    repositories: Repositories, caller: Caller, repo_path: str | None
) -> Repository:
    """The repository at `repo_path`, or the one that the caller works in.

    Raises:
        UserFixable: there is no repository. Where one is near, the error names it; a task is never
            created there unasked.
    """
    try:
        return repositories.inspect(caller.folder(repo_path))
    except UserFixable as error:
        # A caller over HTTP has no working folder, and learns nothing about others on this machine.
        if repo_path is None or caller.user is not None or error.code == NOT_A_PATH:
            raise
        _name_a_near_one(error, repositories, caller, repo_path)
        raise


def _name_a_near_one(
    error: UserFixable, repositories: Repositories, caller: Caller, repo_path: str
) -> None:
    """Add to the error the repository around the named file, else the caller's own."""
    for folder, is_around in ((caller.cwd / Path(repo_path).parent, True), (caller.cwd, False)):
        try:
            near = repositories.inspect(folder)
        except UserFixable:
            continue
        if is_around:
            error.instead = {"repo_path": str(near.root)}
        else:
            error.hint = f"{error.hint}; without repo_path it is {near.root}"
            error.instead = {"repo_path": None}
        return
