"""What it means for the hub that git or the disk failed."""

from __future__ import annotations

from pathlib import Path

from agent_runner.no_space import says_no_space
from rover_mcp.domain import disk_full_error
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.git.git_process import GitResult, printable


def checked(result: GitResult, what: str, place: Path) -> GitResult:
    """The result, where git did `what` in the repository `place`.

    Raises:
        EnvironmentFault: it failed ("hub_failed"), or the disk is full ("disk_full").
    """
    if result.code == 0:
        return result
    if disk_full(result):
        raise disk_full_error.disk_full(what, place)
    raise EnvironmentFault(f"{what}: {result.reason}", code="hub_failed")


def refused(result: GitResult) -> str:
    """What index-pack found wrong: its last line does not name it."""
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: object ")]
    return f"{result.reason}: {printable(lines[0])}" if lines else result.reason


def disk_full(result: GitResult) -> bool:
    """Whether git failed for want of space."""
    return says_no_space(result.stderr)


def no_room(folder: Path, error: OSError) -> EnvironmentFault:
    """What to raise where a folder cannot be written: "disk_full" or "data_folder"."""
    return disk_full_error.write_fault(f"{folder} cannot be written", folder, error)
