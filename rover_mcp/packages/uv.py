"""uv's wheels, by the SHA-256 that a uv.lock of a task's base demands.

uv keeps a wheel unpacked, under a random name, and beside it a pointer that says which digest the
wheel had. Nothing binds the one to the other, so no unpacked file of a task is taken over. Taken
over are the pointers to wheels that the lock file names, byte for byte, because newer versions of
uv check their sum. The wheels themselves are fetched once more by Rover, which checks and unpacks
them, and a later task finds them where the pointers lead. What else a pointer says is how long its
answer is fresh: that decides whether uv asks for the wheel again, and nothing more.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rover_mcp.packages.home_files import (
    FolderFile,
    ReadBudget,
    appearing,
    files_at,
    folder_beneath,
    regular,
)

LOCK = "uv.lock"
LOCK_BYTES = 16 * 1024**2
KEPT = "wheels"
"""In the store: unpacked wheels by their digest, and the pointers to them by bucket and digest."""
HOST = "files.pythonhosted.org"
FOLDERS = (".cache", "uv")
BUCKETS = tuple(f"wheels-v{number}" for number in range(3, 16))
"""The folders in which versions of uv from 0.5 on keep wheels, and some that are still to come."""
INDEX = "pypi"
POINTER = ".http"
_TREES, _ARCHIVES = "trees", "archive-v0"
_MOST_POINTER = 16 * 1024
_NAME = re.compile(r'^name = "([a-z0-9][a-z0-9-]{0,100})"$', re.MULTILINE)
_SOURCE = re.compile(r'^source = \{ registry = "https://pypi\.org/simple/?" \}$', re.MULTILINE)
_WHEEL = re.compile(
    rf'url = "(https://{re.escape(HOST)}/packages/[0-9a-f/]{{60,80}}/'
    r'[A-Za-z0-9._+!-]{1,200}\.whl)", hash = "sha256:([0-9a-f]{64})"(?:, size = ([0-9]{1,12}))?'
)
_POINTER_NAME = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9._+!-]{{0,200}}{re.escape(POINTER)}")
_ARCHIVE = re.compile(r"[A-Za-z0-9_-]{8,64}")
_DIGEST_FORMS = (b"\x81", b"\x92")


@dataclass(frozen=True)
class Wheel:
    """A file of PyPI that a lock file names."""

    project: str
    url: str
    digest: str
    size: int = 0
    """as the lock file has it: for what is not worth trying"""

    @property
    def name(self) -> str:
        """Of the file."""
        return self.url.rpartition("/")[2]


def demanded(*locks: bytes) -> tuple[Wheel, ...]:
    """The wheels of PyPI that these lock files name."""
    wheels: dict[str, Wheel] = {}
    texts = (lock.decode("utf-8", "replace") for lock in locks)
    for block in (block for text in texts for block in text.split("[[package]]")[1:]):
        name = _NAME.search(block)
        if name and _SOURCE.search(block):
            for url, digest, size in _WHEEL.findall(block):
                wheels.setdefault(digest, Wheel(name[1], url, digest, int(size or 0)))
    return tuple(wheels.values())


def keep(home: Path, store: Path, wheels: tuple[Wheel, ...], budget: ReadBudget) -> Iterator[Path]:
    """Take over the pointers to these wheels that the HOME has; each one that is new. The last
    one counts, so that one which uv cannot read is replaced by the next task that wants the
    wheel."""
    projects: dict[str, list[Wheel]] = {}
    for wheel in wheels:
        projects.setdefault(wheel.project, []).append(wheel)
    for bucket in BUCKETS if projects else ():
        for project, its in projects.items():
            with folder_beneath(home, *FOLDERS, bucket, INDEX, project) as folder:
                if folder is None:
                    continue
                for place in files_at(folder, 0, budget):
                    content = _read(place, budget)
                    wheel = next((wheel for wheel in its if archive_of(content, wheel)), None)
                    if wheel and _take(_pointer_folder(store, bucket, wheel) / place.name, content):
                        yield _pointer_folder(store, bucket, wheel) / place.name


def archive_of(pointer: bytes, wheel: Wheel) -> str | None:
    """The name of the folder with the unpacked wheel, if that is what the pointer leads to.

    It begins with an array of that name, the wheel's digests and, in newer versions of uv, the
    name of its file, the version of the archives and its size."""
    if not pointer or pointer[0] not in range(0x92, 0x96):
        return None
    archive = _text_at(pointer, 1)
    if not _ARCHIVE.fullmatch(archive):
        return None
    for form in _DIGEST_FORMS:
        head = pointer[:1] + _text(archive) + b"\x91" + form + _text("Sha256") + _text(wheel.digest)
        if pointer[0] > 0x92:
            head += _text(wheel.name) + b"\x00"
        if pointer.startswith(head):
            return archive
    return None


def lacking(store: Path, wheels: tuple[Wheel, ...]) -> list[Wheel]:
    """Those to which a pointer is kept while they themselves are not."""
    return [
        wheel for wheel in wheels if not kept_at(store, wheel).exists() and _pointer(store, wheel)
    ]


def kept_at(store: Path, wheel: Wheel) -> Path:
    """Where the unpacked wheel is in the store, or will be."""
    return store / KEPT / _TREES / wheel.digest


def lend(
    home: Path, store: Path, wheels: tuple[Wheel, ...], place: Callable[[Path, Path], None]
) -> int:
    """Have `place` copy the files of these wheels into a HOME, and point to them; how many wheels.

    Raises:
        OSError: it cannot be written.
    """
    lent = 0
    taken: set[str] = set()
    for wheel in wheels:
        # Another task's end may remove what is too much.
        with suppress(FileNotFoundError):
            tree, pointer = kept_at(store, wheel), _pointer(store, wheel)
            content = pointer.read_bytes() if pointer else b""
            archive = archive_of(content, wheel)
            if pointer is None or archive is None or archive in taken:
                continue
            taken.add(archive)
            if _copy(tree, home.joinpath(*FOLDERS, _ARCHIVES, archive), place):
                folder = home.joinpath(*FOLDERS, pointer.parents[1].name, INDEX, wheel.project)
                folder.mkdir(parents=True, exist_ok=True)
                (folder / pointer.name).write_bytes(content)
                os.utime(pointer)
                os.utime(tree)
                lent += 1
    return lent


def units(store: Path) -> Iterator[tuple[float, int, Path]]:
    """What is kept: when it was used last, its size, and the folder, which is only usable if it
    is complete."""
    for kind in (_TREES, *BUCKETS):
        with suppress(FileNotFoundError):
            for path in (store / KEPT / kind).iterdir():
                used = max(p.stat().st_mtime for p in (path, *path.glob(f"*{POINTER}")))
                yield used, size_of(path), path


def size_of(folder: Path) -> int:
    """In bytes, with all that is in it; 0 where it is not there."""
    return sum(Path(at, name).lstat().st_size for at, _, names in os.walk(folder) for name in names)


def remove(unit: Path) -> None:
    """Remove what `units` found, at once for everybody who looks."""
    gone = unit.with_name(f".{unit.name}.gone")
    with suppress(FileNotFoundError):
        unit.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def _copy(tree: Path, into: Path, place: Callable[[Path, Path], None]) -> bool:
    """Whether all of it was copied."""
    before = tree.stat().st_ino
    for at, _, names in os.walk(tree):
        folder = into / Path(at).relative_to(tree)
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            place(Path(at, name), folder / name)
    # It may have been removed meanwhile: then files may be missing.
    return tree.stat().st_ino == before


def _pointer_folder(store: Path, bucket: str, wheel: Wheel) -> Path:
    return store / KEPT / bucket / wheel.digest


def _pointer(store: Path, wheel: Wheel) -> Path | None:
    """The one of the version of uv that used the wheel last: each costs an unpacked copy."""
    pointers: list[tuple[float, Path]] = []
    for bucket in BUCKETS:
        with suppress(FileNotFoundError):
            for path in _pointer_folder(store, bucket, wheel).iterdir():
                # A name with a leading dot is one that is still being written.
                if not path.name.startswith("."):
                    pointers.append((path.stat().st_mtime, path))
    return max(pointers)[1] if pointers else None


def _read(place: FolderFile, budget: ReadBudget) -> bytes:
    """The pointer that is there; nothing where it is none."""
    if not _POINTER_NAME.fullmatch(place.name):
        return b""
    with regular(place) as file:
        if file is None or os.fstat(file).st_size > _MOST_POINTER:
            return b""
        content = os.read(file, _MOST_POINTER)
    budget.size -= len(content)
    return content if budget.size >= 0 else b""


def _take(target: Path, content: bytes) -> bool:
    """Whether the pointer is another one than the one that was kept, which it replaces."""
    with suppress(FileNotFoundError):
        if target.read_bytes() == content:
            return False
    with appearing(target) as copy:
        copy.file.write(content)
        copy.proven = True
    for other in target.parent.iterdir():
        if other != target:
            other.unlink(missing_ok=True)
    return True


def _text(value: str) -> bytes:
    data = value.encode()
    return (bytes([0xA0 | len(data)]) if len(data) < 32 else bytes([0xD9, len(data)])) + data


def _text_at(data: bytes, start: int) -> str:
    first = data[start : start + 1]
    if first == b"\xd9":
        start, length = start + 2, int.from_bytes(data[start + 1 : start + 2])
    else:
        start, length = start + 1, int.from_bytes(first) & 0x1F
    return data[start : start + length].decode("ascii", "replace")
