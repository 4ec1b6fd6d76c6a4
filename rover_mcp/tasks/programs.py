"""Finds the user's programs that a bubblewrap sandbox does not see, because they are in HOME."""

from __future__ import annotations

import os
from pathlib import Path

NAMED = 5
"""How many folders a warning names."""


def out_of_reach(path: str, home: Path) -> list[str]:
    """The folders of a PATH that are inside the user's HOME and contain programs."""
    folders = [Path(part) for part in path.split(os.pathsep) if part.startswith("/")]
    own = [f for f in dict.fromkeys(folders) if f.is_relative_to(home) and _has_programs(f)]
    return [str(folder) for folder in own]


# A sandbox of bubblewrap sees /usr and not HOME, where version managers install what they install.
def unseen_programs(path: str | None, home: Path) -> list[str]:
    """The warning about such programs when a task is created, if there are any."""
    folders = out_of_reach(path or "", home)
    if not folders:
        return []
    more = f" and {len(folders) - NAMED} more" if len(folders) > NAMED else ""
    return [
        f"the sandbox does not see the programs in {', '.join(folders[:NAMED])}{more}, which are "
        "on your PATH but in your HOME; if the project needs them, name their folders under "
        "`toolchains` in config.yaml"
    ]


def _has_programs(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(entry.is_file() and os.access(entry.path, os.X_OK) for entry in entries)
    except OSError:
        return False
