"""A limit on what a task holds on disk, in bytes and in files, watched beside each step: it is no
quota.

Free space is asked for often, for that costs nothing; the folders are measured only where enough
of it has gone, or after a while, as another's deletions may hide what was written. Whoever
writes fast exceeds the limit by what is written until the next look. What the agent made is data:
no link is followed, and the walk has an end.

Beside the work tree and HOME, all counts that is kept of the task: journal, logs, snapshots as
bundles, and each bundle a second time, for the hub takes over what it holds.
"""

from __future__ import annotations

import os
import stat
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

T = TypeVar("T")

INTERVAL = 2.0
"""Seconds between two looks at the free space."""

PART = 0.25
"""What may go of that which is left of the limit before it is measured again."""

LONGEST = 60.0
"""Seconds after which it is measured in any case."""

MOST_ENTRIES = 5_000_000
MOST_DEPTH = 200
"""Levels that one walk goes down: each holds a descriptor. What is deeper is walked afterwards."""

MOST_DEEP = 64
"""Folders beyond that depth that can wait for their walk: each holds a descriptor, too."""

BUNDLES = "bundles"
"""Snapshots, in a run folder."""

FULL = 2**20
"""Bytes below which a disk is full for us, whatever the user set as a floor: git and the journal
need a little of their own."""

UNCOUNTED = 2**62
"""Files that may still be made where the file system sets no number."""

WHAT_TO_SET = "sandbox_disk_bytes in config.yaml, or limits.disk of the project"

RAISE_FIRST = "raise the limit, or delete what the task does not need, then resume"
"""Ends a pause's message: nothing but a person can help."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Free:
    """Of the file systems that hold the folders: all together, and the fullest."""

    total: int
    lowest: int
    files: int = UNCOUNTED
    lowest_files: int = UNCOUNTED
    where: str = "the task's files"
    """a folder on the fullest"""
    where_files: str = "the task's files"


@dataclass(frozen=True)
class Held:
    """What the folders hold, as far as it was seen. `complete`: nothing was out of sight."""

    size: int
    complete: bool = True
    files: int = 0

    def __add__(self, other: Held) -> Held:
        complete = self.complete and other.complete
        return Held(self.size + other.size, complete, self.files + other.files)

    @property
    def counted(self) -> Held:
        """The same with the number of files for a size."""
        return Held(self.files, self.complete)


@dataclass(frozen=True)
class Measure:
    """What was held, how much was free then, and when: in bytes or in files."""

    held: int
    free: int
    at: float


class DiskExceeded(Exception):
    """The task holds more than it may. `by_step`: the step's own files do, which were fewer when it
    began; else the step is not to blame."""

    by_step = False


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
    if held.complete or first is None:
        return held.size
    return max(held.size, first.held + first.free - free.total)


def excess(size: int, limit: int) -> str | None:
    """What is told of a sandbox that holds too much."""
    if size <= limit:
        return None
    return (
        f"the sandbox holds {_shown(size)} on disk (work tree, HOME, journal, logs and snapshots), "
        f"more than its limit of {_shown(limit)} ({WHAT_TO_SET})"
    )


def too_many(files: int, limit: int | None) -> str | None:
    """What is told of a sandbox that holds too many files, however small."""
    if limit is None or files <= limit:
        return None
    return (
        f"the sandbox holds {files:,} files and folders on disk, more than its limit of "
        f"{limit:,} (sandbox_files in config.yaml)"
    )


def shortage_of_files(free: Free, floor: int) -> str | None:
    """What is told where the host's file system can hold hardly any more files."""
    if free.lowest_files >= floor:
        return None
    return (
        f"the disk that holds {free.where_files} is nearly full: {free.lowest_files:,} more files "
        f"can be made, and a run needs {floor:,} (min_free_files in config.yaml); {FREE_FIRST}"
    )


def shortage(free: Free, floor: int) -> str | None:
    """What is told where the host has too little space for anybody."""
    if free.lowest >= floor:
        return None
    return (
        f"the disk that holds {free.where} is nearly full: {_shown(free.lowest)} are free, and a "
        f"run needs {_shown(floor)} (min_free_bytes in config.yaml); {FREE_FIRST}"
    )


def nearly_full(disk: Disk) -> str | None:
    """What is told where the host has too little space just now; None: it has enough, or cannot
    be asked."""
    with suppress(OSError):
        free = _named(free_space([*disk.folders, *disk.records]), disk)
        floor = max(disk.floor_bytes, FULL)
        return shortage(free, floor) or shortage_of_files(free, disk.floor_files)
    return None


def out_of_space(disk: Disk, error: str) -> str | None:
    """What is told of an error whose cause is a full disk; None: it has another one. What was
    too large to be written may have left space behind, so that the words count, too."""
    if message := nearly_full(disk):
        return f"{message} ({error})"
    if not says_no_space(error):
        return None
    place = "the task's files"
    with suppress(OSError):
        free = _named(free_space([*disk.folders, *disk.records]), disk)
        place = f"{free.where} ({_shown(free.lowest)} are free)"
    return f"the disk that holds {place} is full: {error}; {FREE_FIRST}"


def _named(free: Free, disk: Disk) -> Free:
    """The same with the folders as the host calls them."""
    names = {str(name): shown for name, shown in disk.shown.items()}
    where, files = free.where, free.where_files
    return replace(free, where=names.get(where, where), where_files=names.get(files, files))


def _shown(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def free_space(folders: Sequence[os.PathLike[str]]) -> Free:
    """Ask the file systems.

    Raises:
        OSError: one of the folders is not there.
    """
    places: dict[int, tuple[int, int, str]] = {}
    for folder in folders:
        facts = os.statvfs(folder)
        files = facts.f_favail if facts.f_files else UNCOUNTED
        size = facts.f_bavail * facts.f_frsize
        places[Path(folder).stat().st_dev] = size, files, os.fspath(folder)
    fullest = min(places.values(), key=lambda place: place[0])
    fewest = min(places.values(), key=lambda place: place[1])
    return Free(
        total=sum(size for size, _, _ in places.values()),
        lowest=fullest[0],
        files=min(sum(files for _, files, _ in places.values()), UNCOUNTED),
        lowest_files=fewest[1],
        where=fullest[2],
        where_files=fewest[2],
    )


def measure(folders: Sequence[os.PathLike[str]], ended: threading.Event) -> Held:
    """What the folders hold; a file with several names counts once. `ended` ends it early."""
    return _Walk(ended).over(folders)


class _Walk:
    def __init__(self, ended: threading.Event) -> None:
        self._ended = ended
        self._size = 0
        self._entries = 0
        self._files = 0
        self._complete = True
        self._seen: set[tuple[int, int]] = set()
        self._deep: list[int] = []
        """folders that were too deep for the walk that found them"""

    def over(self, folders: Sequence[os.PathLike[str]]) -> Held:
        try:
            for folder in folders:
                self._tree(self._open(folder))
                while self._deep and not self._ended.is_set():
                    self._tree(self._deep.pop())
        finally:
            for descriptor in self._deep:
                os.close(descriptor)
        return Held(self._size, self._complete, self._files)

    def _tree(self, root: int | None) -> None:
        """Depth first, by descriptors: a path may be longer than the kernel takes."""
        stack: list[tuple[int, list[str]]] = []
        try:
            self._enter(stack, root)
            while stack and not self._ended.is_set():
                descriptor, names = stack[-1]
                if not names:
                    os.close(stack.pop()[0])
                elif len(stack) < MOST_DEPTH:
                    self._enter(stack, self._open(names.pop(), descriptor))
                else:
                    self._defer(self._open(names.pop(), descriptor))
        finally:
            for descriptor, _ in stack:
                os.close(descriptor)

    def _open(self, name: str | os.PathLike[str], parent: int | None = None) -> int | None:
        try:
            return os.open(name, _FOLDER, dir_fd=parent)
        except FileNotFoundError:
            return None
        except OSError:
            self._complete = False
            return None

    def _defer(self, descriptor: int | None) -> None:
        if descriptor is None:
            return
        if len(self._deep) < MOST_DEEP:
            self._deep.append(descriptor)
        else:
            os.close(descriptor)
            self._complete = False

    def _enter(self, stack: list[tuple[int, list[str]]], descriptor: int | None) -> None:
        if descriptor is None:
            return
        stack.append((descriptor, []))
        if self._entries >= MOST_ENTRIES:
            self._complete = False
            return
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    self._count(entry, stack[-1][1])
                    if self._entries >= MOST_ENTRIES or self._ended.is_set():
                        self._complete = False
                        break
        except OSError:
            self._complete = False

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
            self._files += 1
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
        self._sizes = _Course(self.disk.limit_bytes)
        self._files = _Course(self.disk.limit_files)
        self._began = False

    async def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do the work, and end it where it takes too much.

        Raises:
            DiskExceeded: it holds more than it may; it was ended.
            HostFull: the host has no space; it was ended.
            Exception: whatever the work raises.
        """
        first, self._began = not self._began, True
        # A step may be over before it is measured, and so may each one after it. Only the first
        # one of an attempt does not wait: a large work tree takes a while.
        if not first and (wrong := await self._look_once(beginning=True)) is not None:
            raise wrong
        exceeded: list[Exception] = []
        try:
            async with anyio.create_task_group() as group:

                async def look() -> None:
                    exceeded.append(await self._until_wrong(beginning=first))
                    group.cancel_scope.cancel()

                group.start_soon(look)
                result = await work()
                group.cancel_scope.cancel()
                return result
        except ExceptionGroup as errors:
            # Only the work raises.
            (error,) = errors.exceptions
            raise error from error.__cause__
        raise exceeded[0]

    def check_free(self) -> None:
        """
        Raises:
            HostFull: the host has no space just now, so that what failed may have failed for it.
        """
        if message := nearly_full(self.disk):
            raise HostFull(message)

    async def _until_wrong(self, *, beginning: bool) -> Exception:
        while True:
            if (wrong := await self._look_once(beginning=beginning)) is not None:
                return wrong
            beginning = False
            await self.sleep(INTERVAL)

    async def _look_once(self, *, beginning: bool) -> Exception | None:
        # A folder that is not there holds nothing.
        with suppress(OSError):
            return await self._look(beginning=beginning)
        return None

    async def _look(self, *, beginning: bool) -> Exception | None:
        disk, now = self.disk, self.clock()
        free = _named(self.free([*disk.folders, *disk.records]), disk)
        if self._sizes.is_due(free.total, now) or self._files.is_due(free.files, now):
            own = await self._measured(disk.folders)
            kept = await self._measured(_twice(disk.records)) if disk.records else Held(0)
            held = own + kept + Held(disk.elsewhere_bytes, files=disk.elsewhere_files)
            now = self.clock()
            size = self._sizes.take(held, free.total, now)
            files = self._files.take(held.counted, free.files, now)
            message = excess(size, disk.limit_bytes) or too_many(files, disk.limit_files)
            if message:
                # The next step is measured anew.
                self._sizes.last = self._files.last = None
                error = DiskExceeded(message)
                error.by_step = not beginning and bool(
                    excess(own.size, disk.limit_bytes) or too_many(own.files, disk.limit_files)
                )
                return error
        message = shortage(free, disk.floor_bytes) or shortage_of_files(free, disk.floor_files)
        return HostFull(message) if message else None

    async def _measured(self, folders: Sequence[os.PathLike[str]]) -> Held:
        ended = threading.Event()
        try:
            return await anyio.to_thread.run_sync(self.held, folders, ended, abandon_on_cancel=True)
        finally:
            ended.set()


@dataclass
class _Course:
    """What was measured of one quantity, first and last; None as limit: it has none."""

    limit: int | None
    first: Measure | None = None
    last: Measure | None = None

    def is_due(self, free: int, now: float) -> bool:
        return self.limit is not None and is_due(self.last, free, self.limit, now)

    def take(self, held: Held, free: int, now: float) -> int:
        """What counts as held."""
        size = judge(held, Free(free, free), self.first)
        self.last = Measure(size, free, now)
        self.first = self.first or self.last
        return size


def _twice(records: Sequence[Path]) -> list[Path]:
    """The folders of the task's records, and what is in the hub as well."""
    return [*records, *(folder / BUNDLES for folder in records)]


def kept_elsewhere(task: Path, run: Path) -> Held:
    """What is kept of a task's iterations, but for the present one's own records in `run`."""
    parts = [part for part in (task / "iterations").glob("*/*") if part != run]
    return measure([*parts, *(part / BUNDLES for part in parts)], threading.Event())
