"""Checks that a folder in which Rover keeps its state belongs to this user alone. Standard library
only.

Whoever owns or can write the data folder controls the engine, the commands that print keys, and a
task's instructions; whoever owns the folder of the daemon's socket can listen there in its place.
Another user may have made a folder of that name first, or a link of that name that leads elsewhere.
"""

from __future__ import annotations

import os
import stat

OTHERS_WRITE = 0o022


def objection(folder: str, *, link: bool = True) -> tuple[str, str] | None:
    """Why `folder` must not be used, and what to do about it. `link`: a symbolic link of one's own
    may lead to it. A folder that does not exist has no owner.

    Raises:
        OSError: it cannot be examined.
    """
    own = os.getuid()
    try:
        named = os.lstat(folder)
        if stat.S_ISLNK(named.st_mode) and (not link or named.st_uid not in (own, 0)):
            whose = "" if named.st_uid == own else f" of another user's (uid {named.st_uid})"
            return f"{folder} is a symbolic link{whose}", "remove it"
        status = os.stat(folder)  # noqa: PTH116
    except FileNotFoundError:
        return None
    if not stat.S_ISDIR(status.st_mode):
        return f"{folder} is not a folder", "move it away"
    if status.st_uid != own:
        whose = f"{folder} belongs to another user (uid {status.st_uid}, you are {own})"
        return whose, "run Rover as that user, or name a folder of your own"
    if status.st_mode & OTHERS_WRITE:
        open_ = f"{folder} can be written by others (mode {stat.S_IMODE(status.st_mode):o})"
        return open_, f"see that all in it is yours, then run: chmod 700 {folder}"
    return None
