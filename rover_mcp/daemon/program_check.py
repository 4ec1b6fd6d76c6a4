"""Finds programs that a repository's files ask for and a bubblewrap sandbox lacks, for
`rover doctor`. create_task says the same of each task."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rover_mcp.config.load_settings import load_settings
from rover_mcp.daemon.git_adapters import CommitFiles
from rover_mcp.domain.errors import RoverError
from rover_mcp.git.repository import inspect_repository
from rover_mcp.sandbox.bubblewrap import BubblewrapEngine
from rover_mcp.tasks.missing_programs import lacking_programs


def missing_programs(home: Path, folder: Path) -> list[str]:
    """One warning, or none; none if the folder is in no repository that can be used.

    Raises:
        RoverError: the settings cannot be read.
    """
    engine = BubblewrapEngine(home, toolchains=load_settings(home).toolchains or ())
    try:
        info = inspect_repository(folder, data_folder=home)
    except RoverError:
        # Doctor runs anywhere; what is wrong with a repository is said when a task is created.
        return []
    if not info.head_commit:
        return []
    return lacking_programs(CommitFiles(info.root, info.head_commit), engine.programs)


def main(home: str, folder: str) -> int:
    try:
        print(json.dumps(missing_programs(Path(home), Path(folder))))
    except RoverError as error:
        print(json.dumps({"message": error.message, "hint": error.hint, "code": error.code}))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
