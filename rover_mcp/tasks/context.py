"""What a task is given to read: it is fetched when the task is created, and kept in its folder."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from rover_mcp.config.task_config import ContextEntry
from rover_mcp.context.pieces import Piece, Trust
from rover_mcp.context.reader import ContextCall
from rover_mcp.tasks.caller import Caller

FOLDER: Final = "context"
EVERYONE: Final = "all"
"""Stands in place of an author's name: comments by everyone are included."""
_NOT_A_NAME = re.compile(r"[^a-z0-9]+")


# A forge shows a private repository only to those who may see it, so what is read depends on who
# asks.
def context_call(
    caller: Caller, folder: Path, remotes: Sequence[str], authors: Sequence[str]
) -> ContextCall:
    """Who asks for context, and whose comments are read. A caller over HTTP is not the user of
    this machine, and gets neither this user's files nor this user's sign-in at a forge."""
    names = frozenset(author.lower() for author in authors)
    return ContextCall(
        folder=folder if caller.user is not None else caller.cwd,
        environment=caller.env,
        remotes=remotes,
        trust=Trust(everyone=EVERYONE in names, authors=names),
        is_local=caller.user is None,
    )


def entries_of(pieces: Sequence[Piece], now: datetime) -> tuple[ContextEntry, ...]:
    """The record of the pieces, in the order in which the call named them."""
    return tuple(
        ContextEntry(
            name=_file_name(number, piece),
            origin=piece.origin,
            title=piece.title,
            bytes=len(piece.data),
            sha256=hashlib.sha256(piece.data).hexdigest(),
            fetched_at=now,
            left_out=piece.left_out,
            cut=piece.cut,
        )
        for number, piece in enumerate(pieces, 1)
    )


def _file_name(number: int, piece: Piece) -> str:
    words = _NOT_A_NAME.sub("-", piece.title.lower()).strip("-")[:60].strip("-")
    return f"{number:02}-{words or 'context'}{piece.suffix}"


def write_pieces(folder: Path, entries: Sequence[ContextEntry], pieces: Sequence[Piece]) -> None:
    """Write the pieces under the names of their entries.

    Raises:
        OSError: they cannot be written.
    """
    if not pieces:
        return
    folder.mkdir()
    for entry, piece in zip(entries, pieces, strict=True):
        (folder / entry.name).write_bytes(piece.data)
