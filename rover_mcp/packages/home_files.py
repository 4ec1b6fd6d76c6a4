"""Files of a HOME that an agent could write: found and copied by descriptor, through no symbolic
link, and taken over only where their content has the digest that it has to have."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

# Whoever runs in the sandbox can replace a folder by a link between two calls, so every step goes
# by a descriptor and follows none.
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Not blocking, for a pipe in a file's place would wait for somebody who writes.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_CHUNK = 256 * 1024


class Hash(Protocol):
    """One of hashlib's."""

    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


@dataclass(frozen=True)
class FolderFile:
    """A file in an open folder. `path` is its place beneath the one where the search began."""

    folder: int
    path: str

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class HomeFile:
    """A file that is kept, and the path in a HOME at which its program looks for it."""

    path: str
    source: Path


@dataclass
class ReadBudget:
    """How many names are looked at, and how many bytes read: an agent may have made as many as it
    likes."""

    size: int
    names: int = 300_000

    def take_name(self) -> bool:
        """Whether one more name may be looked at."""
        self.names -= 1
        return self.names >= 0


@contextmanager
def folder_beneath(root: Path, *names: str) -> Generator[int | None]:
    """The folder at `names` beneath `root`, open; None where there is none, or a link on the
    way."""
    opened: list[int] = []
    try:
        try:
            opened.append(os.open(root, _FOLDER))
            for name in names:
                opened.append(os.open(name, _FOLDER, dir_fd=opened[-1]))
        except OSError as error:
            if error.errno not in _NOT_THERE:
                raise
            yield None
        else:
            yield opened[-1]
    finally:
        for descriptor in opened:
            os.close(descriptor)


def files_at(folder: int, depth: int, budget: ReadBudget, path: str = "") -> Iterator[FolderFile]:
    """The names at exactly this depth beneath an open folder. Each is to be used before the next
    one is asked for."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if not budget.take_name():
                return
            if depth == 0:
                yield FolderFile(folder, f"{path}{entry.name}")
            elif entry.is_dir(follow_symlinks=False):
                with suppress(OSError), _opened(folder, entry.name, _FOLDER) as inner:
                    yield from files_at(inner, depth - 1, budget, f"{path}{entry.name}/")


@contextmanager
def regular(place: FolderFile) -> Generator[int | None]:
    """Open a file for reading; None where it is not a regular file: a FIFO would block."""
    try:
        descriptor = os.open(place.name, _FILE, dir_fd=place.folder)
    except OSError:
        yield None
        return
    try:
        yield descriptor if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    finally:
        os.close(descriptor)


def chunks(descriptor: int, most: int) -> Iterator[bytes]:
    """What is read from here on, at most so many bytes of it."""
    while most > 0 and (data := os.read(descriptor, min(_CHUNK, most))):
        most -= len(data)
        yield data


@dataclass(frozen=True)
class Envelope:
    """What stands before and after a content in its file, where a file is more than that."""

    before: bytes = b""
    after: bytes = b""


_BARE = Envelope()


@dataclass(frozen=True)
class FileContent:
    """`size` bytes of an open file, from where it stands, and the digest that they have to have."""

    descriptor: int
    size: int
    hashed: Hash
    digest: str


def take(content: FileContent, target: Path, budget: ReadBudget, around: Envelope = _BARE) -> bool:
    """Copy it to `target` if its digest is the expected one. What is written is what was hashed;
    nothing is there before all of it is.

    Raises:
        OSError: it cannot be written.
    """
    # Counted before anything is read: an agent can write a sparse file of many terabytes in no
    # time.
    if content.size > budget.size:
        return False
    budget.size -= content.size
    with appearing(target) as copy:
        copy.file.write(around.before)
        got = 0
        for data in chunks(content.descriptor, content.size):
            content.hashed.update(data)
            copy.file.write(data)
            got += len(data)
        copy.file.write(around.after)
        # The file may be changed while it is read. What counts is the digest of the bytes that were
        # written here.
        copy.proven = got == content.size and content.hashed.hexdigest() == content.digest
    return copy.proven


@dataclass
class UnprovenFile:
    """A file that is being written. It gets its name if it is proven in the end."""

    file: BinaryIO
    proven: bool = False


@contextmanager
def appearing(target: Path) -> Generator[UnprovenFile]:
    """A new file, which is at `target` once the block has ended and said that it is proven."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # Several daemons and tasks may write the same file at once. Each has a name of its own, and the
    # last rename wins with the same content.
    path = target.with_name(f".{target.name[:64]}.{os.getpid()}-{os.urandom(4).hex()}")
    try:
        with path.open("xb") as file:
            new_file = UnprovenFile(file)
            yield new_file
        if new_file.proven:
            path.replace(target)
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def _opened(folder: int, name: str, flags: int) -> Generator[int]:
    descriptor = os.open(name, flags, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
