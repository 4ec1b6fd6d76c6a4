"""Folders of programs that the user keeps in HOME (nvm, pyenv, cargo, go and the like), and that a
sandbox of bubblewrap sees only where the user's `toolchains` setting names them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rover_mcp.errors import EnvironmentFault

NAMED = 5
"""Folders that a warning names."""


def mounted(toolchains: Sequence[Path]) -> list[Path]:
    """The folders to mount read-only, each at its own path.

    Raises:
        EnvironmentFault: one is not there ("toolchain_missing").
    """
    for folder in toolchains:
        if not folder.is_dir():
            raise EnvironmentFault(
                f"the folder {folder}, which `toolchains` in config.yaml names, is not there",
                hint="correct the setting, or install what was in it",
                code="toolchain_missing",
            )
    return list(toolchains)


def search_path(toolchains: Sequence[Path]) -> list[str]:
    """Where their programs are: in the folder's `bin`, if it has one, else in the folder."""
    return [str(folder / "bin" if (folder / "bin").is_dir() else folder) for folder in toolchains]


def out_of_reach(path: str, home: Path) -> list[str]:
    """The folders of a PATH that lie in the user's HOME and hold programs."""
    folders = [Path(part) for part in path.split(os.pathsep) if part.startswith("/")]
    own = [f for f in dict.fromkeys(folders) if f.is_relative_to(home) and _has_programs(f)]
    return [str(folder) for folder in own]


def warning(path: str | None, home: Path) -> list[str]:
    """What is said of them at a task's creation, if there are any."""
    found = out_of_reach(path or "", home)
    if not found:
        return []
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return [
        f"the sandbox does not see the programs in {', '.join(found[:NAMED])}{more}, which are on "
        "your PATH but in your HOME; if the project needs them, name their folders under "
        "`toolchains` in config.yaml"
    ]


def _has_programs(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(entry.is_file() and os.access(entry.path, os.X_OK) for entry in entries)
    except OSError:
        return False
