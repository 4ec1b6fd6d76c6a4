"""Watches what a task holds on disk, in bytes and in files, while its steps run.

This is a limit and not a quota: a step that writes fast exceeds it by what it writes until the next
look. The free space is read often, because that is cheap. The folders are measured only if enough
of it has gone, or after a while, because deletions by others can hide what was written. The agent
made the files, so no link is followed, and the walk has a limit.

Beside work tree and HOME everything counts that is kept of the task: journal, logs, snapshots as
bundles, and each bundle twice, because the hub takes over its objects.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread

from agent_runner.no_space import FREE_FIRST, says_no_space
from agent_runner.spec import Disk
from agent_runner.worktree.disk_usage import DiskUsage, counted_twice, measure

T = TypeVar("T")

INTERVAL = 2.0
"""Seconds between two looks at the free space."""

PART = 0.25
"""The part of the remaining limit that may be used up before the folders are measured again."""

LONGEST = 60.0
"""Seconds after which the folders are measured in any case."""

FULL = 2**20
"""The free bytes below which a disk counts as full, whatever floor the user set: git and the
journal need some space of their own."""

UNCOUNTED = 2**62
"""The number of free files on a file system without a limit on them, such as btrfs."""

WHAT_TO_SET = "sandbox_disk_bytes in config.yaml, or limits.disk of the project"

RAISE_FIRST = "raise the limit, or delete what the task does not need, then resume"
"""The end of a pause's message: only a person can help."""


@dataclass(frozen=True)
class FreeDiskSpace:
    """The free space of the file systems that hold the folders: their sum, and the lowest."""

    total: int
    lowest: int
    files: int = UNCOUNTED
    lowest_files: int = UNCOUNTED
    where: str = "the task's files"
    """a folder on the fullest file system"""
    where_files: str = "the task's files"


@dataclass(frozen=True)
class DiskMeasurement:
    """One measurement: what was held and what was free, in bytes or in files, and when."""

    held: int
    free: int
    at: float


class DiskExceeded(Exception):
    """The task holds more than it may. `by_step`: the present step's files exceed the limit, which
    they did not when it began; otherwise the step is not to blame."""

    by_step = False


class HostFull(Exception):
    """The host has hardly any space left, whoever uses it."""


def is_due(last: DiskMeasurement | None, free: int, limit: int, now: float) -> bool:
    """Whether the folders have to be measured again."""
    if last is None or now - last.at >= LONGEST:
        return True
    return last.free - free > max(0, limit - last.held) * PART


def judge(held: DiskUsage, free: FreeDiskSpace, first: DiskMeasurement | None) -> int:
    """The bytes that count as held. If a part could not be read, the loss of free space since the
    first measurement counts, whoever uses it."""
    if held.complete or first is None:
        return held.size
    return max(held.size, first.held + first.free - free.total)


def excess(size: int, limit: int) -> str | None:
    """The message for a sandbox that holds too much; None if it does not."""
    if size <= limit:
        return None
    return (
        f"the sandbox holds {_shown(size)} on disk (work tree, HOME, journal, logs and snapshots), "
        f"more than its limit of {_shown(limit)} ({WHAT_TO_SET})"
    )


def too_many(files: int, limit: int | None) -> str | None:
    """The message for a sandbox that holds too many files, however small; None if it does not."""
    if limit is None or files <= limit:
        return None
    return (
        f"the sandbox holds {files:,} files and folders on disk, more than its limit of "
        f"{limit:,} (sandbox_files in config.yaml)"
    )


def shortage_of_files(free: FreeDiskSpace, floor: int) -> str | None:
    """The message if the host's file system can hold hardly any more files; None if it can."""
    if free.lowest_files >= floor:
        return None
    return (
        f"the disk that holds {free.where_files} is nearly full: {free.lowest_files:,} more files "
        f"can be made, and a run needs {floor:,} (min_free_files in config.yaml); {FREE_FIRST}"
    )


def shortage(free: FreeDiskSpace, floor: int) -> str | None:
    """The message if the host has too little space; None if it has enough."""
    if free.lowest >= floor:
        return None
    return (
        f"the disk that holds {free.where} is nearly full: {_shown(free.lowest)} are free, and a "
        f"run needs {_shown(floor)} (min_free_bytes in config.yaml); {FREE_FIRST}"
    )


def nearly_full(disk: Disk) -> str | None:
    """The message if the host has too little space just now; None if it has enough, or if that
    cannot be read."""
    with suppress(OSError):
        free = _named(free_space([*disk.folders, *disk.records]), disk)
        floor = max(disk.floor_bytes, FULL)
        return shortage(free, floor) or shortage_of_files(free, disk.floor_files)
    return None


def out_of_space(disk: Disk, error: str) -> str | None:
    """The message for an error whose cause is a full disk; None if it has another cause. A write
    that was too large may leave space free, so the error's own words count, too."""
    if message := nearly_full(disk):
        return f"{message} ({error})"
    if not says_no_space(error):
        return None
    place = "the task's files"
    with suppress(OSError):
        free = _named(free_space([*disk.folders, *disk.records]), disk)
        place = f"{free.where} ({_shown(free.lowest)} are free)"
    return f"the disk that holds {place} is full: {error}; {FREE_FIRST}"


def _named(free: FreeDiskSpace, disk: Disk) -> FreeDiskSpace:
    """The same with the host's names of the folders."""
    names = {str(name): shown for name, shown in disk.shown.items()}
    where, files = free.where, free.where_files
    return replace(free, where=names.get(where, where), where_files=names.get(files, files))


def _shown(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def free_space(folders: Sequence[os.PathLike[str]]) -> FreeDiskSpace:
    """Read the free space from the file systems.

    Raises:
        OSError: one of the folders does not exist.
    """
    places: dict[int, tuple[int, int, str]] = {}
    for folder in folders:
        facts = os.statvfs(folder)
        files = facts.f_favail if facts.f_files else UNCOUNTED
        # f_bavail, because agents cannot use the blocks that are reserved for root.
        size = facts.f_bavail * facts.f_frsize
        places[Path(folder).stat().st_dev] = size, files, os.fspath(folder)
    fullest = min(places.values(), key=lambda place: place[0])
    fewest = min(places.values(), key=lambda place: place[1])
    return FreeDiskSpace(
        total=sum(size for size, _, _ in places.values()),
        lowest=fullest[0],
        files=min(sum(files for _, files, _ in places.values()), UNCOUNTED),
        lowest_files=fewest[1],
        where=fullest[2],
        where_files=fewest[2],
    )


@dataclass
class DiskWatch:
    """The disk limit of one attempt. It remembers the measurements of earlier steps."""

    disk: Disk
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    clock: Callable[[], float] = time.monotonic
    free: Callable[[Sequence[os.PathLike[str]]], FreeDiskSpace] = free_space
    held: Callable[[Sequence[os.PathLike[str]], threading.Event], DiskUsage] = measure

    def __post_init__(self) -> None:
        self._sizes = _Measurements(self.disk.limit_bytes)
        self._files = _Measurements(self.disk.limit_files)
        self._began = False

    async def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do the work, and end it if the task holds too much.

        Raises:
            DiskExceeded: the task holds more than it may; the work was ended.
            HostFull: the host has no space; the work was ended.
            Exception: whatever the work raises.
        """
        first, self._began = not self._began, True
        # A short step may be over before it is measured, and so may each one after it, so each is
        # measured before it starts. The first one of an attempt is not: a large work tree takes
        # long.
        if not first and (wrong := await self._check_quietly(beginning=True)) is not None:
            raise wrong
        exceeded: list[Exception] = []
        try:
            async with anyio.create_task_group() as group:

                async def stop_when_wrong() -> None:
                    exceeded.append(await self._until_wrong(beginning=first))
                    group.cancel_scope.cancel()

                group.start_soon(stop_when_wrong)
                result = await work()
                group.cancel_scope.cancel()
                return result
        except ExceptionGroup as errors:
            # Only the work raises.
            (error,) = errors.exceptions
            raise error from error.__cause__
        raise exceeded[0]

    def check_free(self) -> None:
        """Raise an error if a failure may be due to a full disk.

        Raises:
            HostFull: the host has no space just now.
        """
        if message := nearly_full(self.disk):
            raise HostFull(message)

    async def _until_wrong(self, *, beginning: bool) -> Exception:
        while True:
            if (wrong := await self._check_quietly(beginning=beginning)) is not None:
                return wrong
            beginning = False
            await self.sleep(INTERVAL)

    async def _check_quietly(self, *, beginning: bool) -> Exception | None:
        # A folder that does not exist holds nothing.
        with suppress(OSError):
            return await self._check(beginning=beginning)
        return None

    async def _check(self, *, beginning: bool) -> Exception | None:
        disk, now = self.disk, self.clock()
        free = _named(self.free([*disk.folders, *disk.records]), disk)
        if self._sizes.is_due(free.total, now) or self._files.is_due(free.files, now):
            own = await self._measured(disk.folders)
            kept = (
                await self._measured(counted_twice(disk.records)) if disk.records else DiskUsage(0)
            )
            held = own + kept + DiskUsage(disk.elsewhere_bytes, files=disk.elsewhere_files)
            now = self.clock()
            size = self._sizes.take(held, free.total, now)
            files = self._files.take(held.counted, free.files, now)
            message = excess(size, disk.limit_bytes) or too_many(files, disk.limit_files)
            if message:
                # The next step is measured again.
                self._sizes.last = self._files.last = None
                error = DiskExceeded(message)
                error.by_step = not beginning and bool(
                    excess(own.size, disk.limit_bytes) or too_many(own.files, disk.limit_files)
                )
                return error
        message = shortage(free, disk.floor_bytes) or shortage_of_files(free, disk.floor_files)
        return HostFull(message) if message else None

    async def _measured(self, folders: Sequence[os.PathLike[str]]) -> DiskUsage:
        ended = threading.Event()
        try:
            return await anyio.to_thread.run_sync(self.held, folders, ended, abandon_on_cancel=True)
        finally:
            ended.set()


@dataclass
class _Measurements:
    """The first and the last measurement of one quantity. `limit` None: it has no limit."""

    limit: int | None
    first: DiskMeasurement | None = None
    last: DiskMeasurement | None = None

    def is_due(self, free: int, now: float) -> bool:
        return self.limit is not None and is_due(self.last, free, self.limit, now)

    def take(self, held: DiskUsage, free: int, now: float) -> int:
        """Note a measurement. Returns what counts as held."""
        size = judge(held, FreeDiskSpace(free, free), self.first)
        self.last = DiskMeasurement(size, free, now)
        self.first = self.first or self.last
        return size
