"""The files of a user's checkout that a project lists under `copy`: reads, checks and stores
them."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from agent_runner.workflow.models import AgentStep, Workflow, walk
from agent_runner.worktree.local_files import LOCAL_FILES, LocalFile
from rover_mcp.config.project import FILE
from rover_mcp.config.safe_read import FileRefused, read_beneath
from rover_mcp.domain.errors import UserFixable

MAX_FILE = 1024**2
MAX_TOGETHER = 8 * 1024**2


# These files are untracked for a reason: often they hold secrets, so they never become part of a
# commit.
def read_copies(
    root: Path, names: Sequence[str], tracked: Collection[str]
) -> tuple[list[LocalFile], list[str]]:
    """Read the files. The warnings say which the agent can read, and which are missing.

    Raises:
        UserFixable: one is tracked by git, behind a symbolic link, no regular file, or too large.
    """
    copies: list[LocalFile] = []
    warnings: list[str] = []
    for name in names:
        if name in tracked:
            raise _refused(name, "git tracks it or a part of its path: the task has what is there")
        try:
            content = read_beneath(root, name, MAX_FILE)
        except FileRefused as error:
            if not error.missing:
                raise _refused(name, str(error)) from None
            warnings.append(
                f"{FILE}: copy: {name} is not in your checkout; the task goes without it"
            )
            continue
        copies.append(
            LocalFile.model_construct(
                None, path=name, data=content.data, executable=content.executable
            )
        )
    if sum(len(copy.data) for copy in copies) > MAX_TOGETHER:
        raise _refused("the files", f"together they are larger than {MAX_TOGETHER} bytes")
    if copies:
        paths = ", ".join(copy.path for copy in copies)
        warnings.append(f"{FILE}: the agent can read {paths}, copied from your checkout")
    return copies, warnings


def check_outputs(workflow: Workflow, names: Collection[str]) -> None:
    """Raise UserFixable where a step's output is read from a file that is never to be shown."""
    for step, _ in walk(workflow.steps):
        for output in step.outputs if isinstance(step, AgentStep) else ():
            if output.filename is not None and output.filename in names:
                raise _refused(output.filename, f"step {step.id} gives it as an output")


def write_copies(file: Path, copies: Sequence[LocalFile]) -> None:
    """Store the files so that only this user can read them.

    Raises:
        OSError: they cannot be written.
    """
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as opened:
        opened.write(LOCAL_FILES.dump_json(tuple(copies)))


def _refused(name: str, why: str) -> UserFixable:
    return UserFixable(
        f"{FILE}: copy: {name}: {why}",
        code="invalid_config",
        hint=f"take it out of `copy` in {FILE}, or make it a file that git ignores",
    )
