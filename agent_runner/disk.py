"""A limit on what a sandbox holds on disk, watched beside each step: it is no quota.

Free space is asked for often, for that costs nothing; work tree and HOME are measured only where
enough of it has gone, or after a while, as another's deletions may hide what was written. Whoever
writes fast exceeds the limit by what is written until the next look. What the agent made is data:
no link is followed, and the walk has an end.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread

from agent_runner.spec import Disk

T = TypeVar("T")

INTERVAL = 2.0
"""Seconds between two looks at the free space."""

PART = 0.25
"""What may go of that which is left of the limit before it is measured again."""

LONGEST = 60.0
"""Seconds after which it is measured in any case."""

MOST_ENTRIES = 5_000_000
MOST_DEPTH = 200
"""Deeper folders are not looked into: each level holds a descriptor."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Free:
    """Of the file systems that hold the folders: all together, and the fullest."""

    total: int
    lowest: int


@dataclass(frozen=True)
class Held:
    """What the folders hold, as far as it was seen. `whole`: nothing was out of sight."""

    size: int
    whole: bool = True


@dataclass(frozen=True)
class Measure:
    """What was held, how much was free then, and when."""

    held: int
    free: int
    at: float


class DiskExceeded(Exception):
    """The sandbox holds more than it may."""


class HostFull(Exception):
    """The host itself has hardly any space left, whoever took it."""


def is_due(last: Measure | None, free: int, limit: int, now: float) -> bool:
    """Whether it has to be measured again."""
    if last is None or now - last.at >= LONGEST:
        return True
    return last.free - free > max(0, limit - last.held) * PART


def judge(held: Held, free: Free, first: Measure | None) -> int:
    """Bytes that count as held. Where something was out of sight, what the file system lost since
    the first measure counts, whoever took it."""
    if held.whole or first is None:
        return held.size
    return max(held.size, first.held + first.free - free.total)


def excess(size: int, limit: int) -> str | None:
    """What is told of a sandbox that holds too much."""
    if size <= limit:
        return None
    return (
        f"the sandbox holds {_shown(size)} on disk (work tree and HOME), more than its limit of "
        f"{_shown(limit)} (sandbox_disk_bytes in config.yaml, or limits.disk of the project)"
    )


def shortage(free: Free, floor: int) -> str | None:
    """What is told where the host has too little space for anybody."""
    if free.lowest >= floor:
        return None
    return (
        f"the host's disk is nearly full: {_shown(free.lowest)} are free, and a run needs "
        f"{_shown(floor)} (min_free_bytes in config.yaml)"
    )


def _shown(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def free_space(folders: Sequence[os.PathLike[str]]) -> Free:
    """Ask the file systems.

    Raises:
        OSError: one of the folders is not there.
    """
    found: dict[int, int] = {}
    for folder in folders:
        facts = os.statvfs(folder)
        found[Path(folder).stat().st_dev] = facts.f_bavail * facts.f_frsize
    return Free(sum(found.values()), min(found.values()))


def measure(folders: Sequence[os.PathLike[str]], ended: threading.Event) -> Held:
    """What the folders hold; a file with several names counts once. `ended` ends it early."""
    return _Walk(ended).over(folders)


class _Walk:
    def __init__(self, ended: threading.Event) -> None:
        self._ended = ended
        self._size = 0
        self._entries = 0
        self._whole = True
        self._seen: set[tuple[int, int]] = set()

    def over(self, folders: Sequence[os.PathLike[str]]) -> Held:
        for folder in folders:
            self._tree(folder)
        return Held(self._size, self._whole)

    def _tree(self, root: os.PathLike[str]) -> None:
        """Depth first, by descriptors: a path may be longer than the kernel takes."""
        stack: list[tuple[int, list[str]]] = []
        try:
            self._enter(stack, root, None)
            while stack and not self._ended.is_set():
                descriptor, names = stack[-1]
                if names:
                    self._enter(stack, names.pop(), descriptor)
                else:
                    os.close(stack.pop()[0])
        finally:
            for descriptor, _ in stack:
                os.close(descriptor)

    def _enter(
        self,
        stack: list[tuple[int, list[str]]],
        name: str | os.PathLike[str],
        parent: int | None,
    ) -> None:
        if len(stack) >= MOST_DEPTH or self._entries >= MOST_ENTRIES:
            self._whole = False
            return
        try:
            descriptor = os.open(name, _FOLDER, dir_fd=parent)
        except FileNotFoundError:
            return
        except OSError:
            self._whole = False
            return
        stack.append((descriptor, []))
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    self._count(entry, stack[-1][1])
                    if self._entries >= MOST_ENTRIES or self._ended.is_set():
                        self._whole = False
                        break
        except OSError:
            self._whole = False

    def _count(self, entry: os.DirEntry[str], folders: list[str]) -> None:
        self._entries += 1
        # It may be gone by now.
        with suppress(FileNotFoundError):
            facts = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(facts.st_mode):
                folders.append(entry.name)
            elif facts.st_nlink > 1:
                if (facts.st_dev, facts.st_ino) in self._seen:
                    return
                self._seen.add((facts.st_dev, facts.st_ino))
            self._size += facts.st_blocks * 512


@dataclass
class DiskWatch:
    """The limit of one attempt, which knows what was measured in earlier steps."""

    disk: Disk
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    clock: Callable[[], float] = time.monotonic
    free: Callable[[Sequence[os.PathLike[str]]], Free] = free_space
    held: Callable[[Sequence[os.PathLike[str]], threading.Event], Held] = measure

    def __post_init__(self) -> None:
        self._first: Measure | None = None
        self._last: Measure | None = None

    async def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do the work, and end it where it takes too much.

        Raises:
            DiskExceeded: it holds more than it may; it was ended.
            HostFull: the host has no space; it was ended.
            Exception: whatever the work raises.
        """
        found: list[Exception] = []
        try:
            async with anyio.create_task_group() as group:

                async def look() -> None:
                    found.append(await self._until_wrong())
                    group.cancel_scope.cancel()

                group.start_soon(look)
                result = await work()
                group.cancel_scope.cancel()
                return result
        except ExceptionGroup as errors:
            # Only the work raises.
            (error,) = errors.exceptions
            raise error from error.__cause__
        raise found[0]

    async def _until_wrong(self) -> Exception:
        while True:
            # A folder that is not there holds nothing.
            with suppress(OSError):
                if (wrong := await self._look()) is not None:
                    return wrong
            await self.sleep(INTERVAL)

    async def _look(self) -> Exception | None:
        disk = self.disk
        free = self.free(disk.folders)
        if is_due(self._last, free.total, disk.limit_bytes, self.clock()):
            size = judge(await self._measured(), free, self._first)
            self._last = Measure(size, free.total, self.clock())
            self._first = self._first or self._last
            if said := excess(size, disk.limit_bytes):
                # The next step is measured anew.
                self._last = None
                return DiskExceeded(said)
        said = shortage(free, disk.floor_bytes)
        return HostFull(said) if said else None

    async def _measured(self) -> Held:
        ended = threading.Event()
        try:
            return await anyio.to_thread.run_sync(
                self.held, self.disk.folders, ended, abandon_on_cancel=True
            )
        finally:
            ended.set()
