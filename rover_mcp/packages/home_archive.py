"""A folder of a HOME that only its engine can reach, as the tar archive that the engine makes of
it. Names and contents are the agent's."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from rover_mcp.packages.home_files import ReadBudget

_CHUNK = 256 * 1024


def unpack(
    stream: Iterator[bytes], into: Path, budget: ReadBudget, wanted: Callable[[Path], bool]
) -> None:
    """Write the regular files that are wanted beneath `into`; links and all else are left out.
    What `budget` does not reach is left out too.

    Raises:
        OSError: it cannot be written.
    """
    try:
        with tarfile.open(fileobj=_PieceReader(stream), mode="r|") as archive:
            while member := archive.next():
                # tarfile remembers each, and there may be many.
                cast("Any", archive).members.clear()
                budget.size -= member.size
                if not budget.take_name() or budget.size < 0:
                    return
                name = PurePosixPath(member.name)
                plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE)
                if not plain or name.is_absolute() or ".." in name.parts:
                    continue
                if wanted(into / name) and (content := archive.extractfile(member)):
                    _write(content, into / name)
    except tarfile.TarError:
        return


def _write(content: IO[bytes], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        while data := content.read(_CHUNK):
            file.write(data)


class _PieceReader(io.RawIOBase):
    """Pieces of a file, to be read as one."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._left = piece
        chunk, self._left = self._left[:size], self._left[size:]
        return chunk
