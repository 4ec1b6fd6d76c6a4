"""What TAB offers that only the disk knows. It runs at each key press, so it imports little."""

from __future__ import annotations

import os
import re
import sys
from itertools import islice

_MOST = 500
_NAME = re.compile(r"([\w.-]+)\.ya?ml", re.ASCII)
"""The name of a workflow's file. Other names that a repository may have are not printed to a
terminal."""


# No daemon: pressing TAB must never start anything.
def workflow_names(home: str, folder: str) -> list[str]:
    """The workflows that a task created in `folder` can use."""
    places = [f"{home}/workflows", *_builtin()]
    if repository := _repository(folder):
        places.append(f"{repository}/.rover/workflows")
    return sorted({name for place in places for name in _names(place)})


def _names(place: str) -> list[str]:
    try:
        with os.scandir(place) as entries:
            names = [entry.name for entry in islice(entries, _MOST)]
    except OSError:
        return []
    return [match[1] for name in names if (match := _NAME.fullmatch(name))]


def _repository(folder: str) -> str | None:
    while not os.path.lexists(f"{folder}/.git"):
        folder, _, last = folder.rpartition("/")
        if not last:
            return None
    return folder


def _builtin() -> list[str]:
    """The built-in workflows: inside an installed package, or beside it in a checkout."""
    package = os.path.dirname(str(sys.modules["rover_mcp"].__file__))  # noqa: PTH120
    return [f"{package}/builtin_workflows", f"{package}/../workflows"]
