"""Takes a patch of git's apart: files, and their lines with the numbers on both sides. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

Side = Literal["added", "removed", "context", "hunk", "note"]
_HUNK: Final = re.compile(r"@@ -(\d{1,9})(?:,\d{1,9})? \+(\d{1,9})(?:,\d{1,9})? @@")
_SIDES: Final[dict[str, Side]] = {"+": "added", "-": "removed", " ": "context"}


@dataclass(frozen=True)
class PatchLine:
    """One line without its mark. `old` and `new` are its numbers, where it stands on that side."""

    side: Side
    text: str
    old: int | None = None
    new: int | None = None


@dataclass
class PatchFile:
    """One file of a patch. `notes` say what is not in lines: a rename, a mode, that it is
    binary."""

    path: str
    notes: list[str] = field(default_factory=list[str])
    lines: list[PatchLine] = field(default_factory=list[PatchLine])
    added: int = 0
    removed: int = 0


def patch_files(patch: str) -> Iterator[PatchFile]:
    """The files of a patch, in its order. Only line feeds end lines: other characters at which
    Python would split are part of a line."""
    reader: _FileReader | None = None
    for line in patch.split("\n"):
        if line.startswith("diff --git "):
            if reader is not None:
                yield reader.file
            reader = _FileReader(PatchFile(_path_of(line)))
        elif reader is not None:
            reader.take(line)
    if reader is not None:
        yield reader.file


class _FileReader:
    """Reads the lines of one file."""

    def __init__(self, file: PatchFile) -> None:
        self.file = file
        self._old = self._new = 0
        self._begun = False

    def take(self, line: str) -> None:
        file = self.file
        if match := _HUNK.match(line):
            self._begun, self._old, self._new = True, int(match[1]), int(match[2])
            file.lines.append(PatchLine("hunk", line))
        elif not self._begun:
            self._header(line)
        elif line.startswith("\\"):
            file.lines.append(PatchLine("note", line[1:].strip()))
        elif (side := _SIDES.get(line[:1])) is not None:
            self._line(side, line[1:])

    def _header(self, line: str) -> None:
        file = self.file
        if line.startswith("+++ ") and not line.startswith("+++ /dev/null"):
            file.path = _unprefixed(line[4:], "b/")
        elif line.startswith("rename to "):
            file.path = line.removeprefix("rename to ")
        if line.startswith(("rename from ", "new file", "deleted file", "new mode", "Binary ")):
            file.notes.append(line)

    def _line(self, side: Side, text: str) -> None:
        file = self.file
        old = self._old if side != "added" else None
        new = self._new if side != "removed" else None
        file.lines.append(PatchLine(side, text, old, new))
        self._old += side != "added"
        self._new += side != "removed"
        file.added += side == "added"
        file.removed += side == "removed"


def _path_of(line: str) -> str:
    """The path by the first line of a file. Where both names are the same, the line has the same
    length on both sides."""
    names = line.removeprefix("diff --git ")
    half = len(names) // 2
    return _unprefixed(names[half + 1 :], "b/")


def _unprefixed(name: str, prefix: str) -> str:
    name = name.rstrip("\t\r")
    if name.startswith(f'"{prefix}'):
        return '"' + name[len(prefix) + 1 :]
    return name.removeprefix(prefix)
