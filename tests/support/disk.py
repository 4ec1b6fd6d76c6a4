"""A disk that refuses at chosen operations; what it takes goes to the real one."""

from __future__ import annotations

import os
from collections.abc import Container, Sequence
from dataclasses import dataclass


@dataclass
class FaultyDisk:
    """Counts writes and flushes together; those in `broken` fail with `code`. With `half`, a
    write that fails has first taken half of its bytes, as a full disk does."""

    code: int = 0
    broken: Container[int] = ()
    half: bool = False
    count: int = 0
    flushed: int = 0
    """lines that a flush has put on disk"""
    _took_half: bool = False

    def write(self, fd: int, data: bytes, offset: int) -> int:
        """As os.pwrite."""
        if self._breaks():
            self._took_half = self.half and not self._took_half
            if self._took_half:
                return os.pwrite(fd, data[: len(data) // 2], offset)
            raise OSError(self.code, os.strerror(self.code))
        return os.pwrite(fd, data, offset)

    def sync(self, fd: int) -> None:
        """As os.fsync."""
        if self._breaks():
            raise OSError(self.code, os.strerror(self.code))
        self.flushed = os.pread(fd, os.fstat(fd).st_size, 0).count(b"\n")

    def _breaks(self) -> bool:
        self.count += 1
        return self.count - 1 in self.broken


def spread(operations: int, codes: Sequence[int]) -> list[tuple[int, int]]:
    """Each operation with one of the codes, in turn."""
    return [(n, codes[n % len(codes)]) for n in range(operations)]
