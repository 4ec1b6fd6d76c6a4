"""Errors for a git command that failed, and for a disk that is full."""

from __future__ import annotations

from pathlib import Path

from agent_runner.no_space import says_no_space
from rover_mcp.domain import disk_full_error
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.git.git_process import GitResult, printable


def checked(result: GitResult, what: str, place: Path) -> GitResult:
    """The result of a git command that succeeded. `what` is the error's beginning, such as "the hub
    cannot be read", and `place` the repository.

    Raises:
        EnvironmentFault: git failed ("hub_failed"), or the disk is full ("disk_full").
    """
    if result.code == 0:
        return result
    if disk_full(result):
        raise disk_full_error.disk_full(what, place)
    raise EnvironmentFault(f"{what}: {result.reason}", code="hub_failed")


def refused(result: GitResult) -> str:
    """What index-pack found wrong. Its last line does not name the object, an earlier one does."""
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: object ")]
    return f"{result.reason}: {printable(lines[0])}" if lines else result.reason


def disk_full(result: GitResult) -> bool:
    """Whether git failed because the disk is full."""
    return says_no_space(result.stderr)


def no_room(folder: Path, error: OSError) -> EnvironmentFault:
    """The error for a folder that cannot be written: "disk_full" or "data_folder"."""
    return disk_full_error.write_fault(f"{folder} cannot be written", folder, error)
