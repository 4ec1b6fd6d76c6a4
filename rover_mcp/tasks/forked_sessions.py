"""The conversations that a forked task takes with it, out of the other task's HOME. That is written
by an agent: no link in it is followed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from agent_runner.models import AgentSession
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.packages.home_files import (
    FolderFile,
    ReadBudget,
    appearing,
    chunks,
    files_at,
    folder_beneath,
    regular,
)

IN_THE_DATA_FOLDER: Final = frozenset({"bubblewrap", "process"})
"""Engines that have a task's HOME where it can be read. Docker keeps it in a volume, which no
container gives access to between two attempts."""

MOST_BYTES: Final = 200_000_000
_FOLDERS: Final = {"claude": (".claude", "projects")}
"""Where the agents that can fork a conversation keep theirs, each in a folder named after the work
tree, in a file named after its id."""
_ID: Final = re.compile(r"[0-9a-f-]{36}")


def copy_sessions(
    source: TaskFolders, target: TaskFolders, sessions: Mapping[str, AgentSession], engine: str
) -> dict[str, AgentSession]:
    """Copy what can be of the conversations, by step; those that were."""
    if engine not in IN_THE_DATA_FOLDER:
        return {}
    patience = ReadBudget(MOST_BYTES, names=10_000)
    copied: dict[str, AgentSession] = {}
    for step, session in sessions.items():
        # A conversation cannot be copied whole where its file is unreadable: it begins again then.
        with suppress(OSError):
            if _copy(source, target, session, patience):
                copied[step] = session.model_copy(update={"fork": True})
    return copied


def _copy(
    source: TaskFolders, target: TaskFolders, session: AgentSession, patience: ReadBudget
) -> bool:
    place = _FOLDERS.get(session.agent)
    if place is None or not _ID.fullmatch(session.session_id):
        return False
    with folder_beneath(source.agent_home, *place) as folder:
        if folder is None:
            return False
        for file in files_at(folder, 1, patience):
            if file.name == f"{session.session_id}.jsonl":
                return _take(file, target, place, patience)
    return False


def _take(
    file: FolderFile, target: TaskFolders, place: tuple[str, ...], patience: ReadBudget
) -> bool:
    with regular(file) as descriptor:
        if descriptor is None:
            return False
        with appearing(target.agent_home.joinpath(*place, file.path)) as copy:
            for data in chunks(descriptor, patience.size + 1):
                copy.file.write(data)
                patience.size -= len(data)
            copy.proven = patience.size >= 0
        return copy.proven
