"""Loads the shell scripts of worktree.py. They are constants; values are passed as arguments.

Each is a file in the folder scripts, and reports what it did in lines that begin with "rover" on
standard error.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Final

_FOLDER = Path(__file__).with_name("scripts")
_HEAD = re.compile(r"\A(?:#.*\n)+")
_PART = re.compile(r"^\. \./(_[a-z_]+)\.sh\n", re.MULTILINE)


@functools.cache
def _script(name: str) -> str:
    """One script with the text of its parts in it, since a single `sh -c` has to hold it all."""
    text = _HEAD.sub("", (_FOLDER / f"{name}.sh").read_text("utf-8"))
    return _PART.sub(lambda part: _script(part[1]), text)


END_WHEN_KILLED: Final = _script("_end_when_killed")

PREPARE: Final = _script("prepare")
CHECK_REPOSITORY: Final = _script("check_repository")
CHECK_BASE: Final = _script("check_base")
PUT_ASIDE: Final = _script("put_aside")
TAKE_SEED: Final = _script("take_seed")
SNAPSHOT: Final = _script("snapshot")
REMEMBER: Final = _script("remember")
RESET: Final = _script("reset")
COMMIT: Final = _script("commit")
FINISH: Final = _script("finish")
ADOPT: Final = _script("adopt")
REPAIR: Final = _script("repair")

UNUSABLE = (
    "the git repository of the work tree was removed, replaced or damaged by a step. Its files are "
    "all there; resume_task makes the repository again around them, and the task continues"
)

BASE_LOST = (
    "the commit that the task is based on can no longer be read: files are missing, or damaged, in "
    "the folder that was lent to its sandbox (base, beside the task's files in the data folder). "
    "resume_task lends it again, and the task continues"
)
