"""What it means for the hub that git or the disk failed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from rover_mcp.errors import EnvironmentFault
from rover_mcp.git.process import GitResult, printable


def checked(result: GitResult, what: str) -> GitResult:
    """The result, where git did `what`.

    Raises:
        EnvironmentFault: it failed ("hub_failed"), or the disk is full ("disk_full").
    """
    if result.code == 0:
        return result
    if disk_full(result):
        raise EnvironmentFault(f"{what}: the disk is full", hint="free space", code="disk_full")
    raise EnvironmentFault(f"{what}: {result.reason}", code="hub_failed")


def refused(result: GitResult) -> str:
    """What index-pack found wrong: its last line does not name it."""
    found = [line for line in result.stderr.splitlines() if line.startswith("error: object ")]
    return f"{result.reason}: {printable(found[0])}" if found else result.reason


def disk_full(result: GitResult) -> bool:
    """Whether git failed for want of space."""
    return os.strerror(errno.ENOSPC) in result.stderr


def no_room(folder: Path, error: OSError) -> EnvironmentFault:
    """What to raise where a folder cannot be written: "disk_full" or "data_folder"."""
    return EnvironmentFault(
        f"{folder} cannot be written: {error.strerror}",
        hint="see that the data folder is writable and that its disk has space",
        code="disk_full" if error.errno == errno.ENOSPC else "data_folder",
    )
