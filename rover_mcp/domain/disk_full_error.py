"""A full disk as an error that names the place that could not be written and what is free there.
Every part of the host uses it, so that the task that was affected can be paused with it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from agent_runner.no_space import is_no_space
from rover_mcp.domain.errors import EnvironmentFault

DISK_FULL: Final = "disk_full"
"""The error's code."""

WHAT_TO_DO: Final = (
    "free some space on that disk (rover status shows what the data folder holds, rover gc "
    "what can be freed), then try again"
)


def disk_full(what: str, place: Path) -> EnvironmentFault:
    """The error where `what` failed because the disk of `place` is full."""
    return EnvironmentFault(
        f"{what}: the disk that holds {place} is full{_free(place)}",
        hint=WHAT_TO_DO,
        code=DISK_FULL,
    )


def write_fault(
    what: str, place: Path, error: OSError, hint: str = "see that the data folder is writable"
) -> EnvironmentFault:
    """The error where one of Rover's own files cannot be written: "disk_full" or "data_folder"."""
    if is_no_space(error):
        return disk_full(what, place)
    return EnvironmentFault(f"{what}: {error.strerror or error}", hint=hint, code="data_folder")


def _free(place: Path) -> str:
    there = next((folder for folder in (place, *place.parents) if folder.exists()), None)
    if there is None:
        return ""
    try:
        free = shutil.disk_usage(there).free
    except OSError:
        return ""
    left = f"{free // 1000} kB" if free < 10**7 else f"{free // 10**6} MB"
    return f" ({left} free)"
