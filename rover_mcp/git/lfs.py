"""Objects of git-lfs that a base's pointers name, out of the user's own .git/lfs/objects.

A task is lent copies that were checked against their names. If the sandbox has git-lfs, it finds
them in the clone, so that `git lfs checkout` needs no network.

<folder>/<aa>/<bb>/<oid>  an object, as git-lfs keeps it
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

from rover_mcp.git.base_packs import link
from rover_mcp.git.git_errors import no_room
from rover_mcp.git.git_process import run_git

LFS = "lfs"
"""The name of the folder, also of the one among a base's objects that is lent."""

MOST_BYTES = 2 * 1024**3
"""Greatest total of the objects of one base; the objects beyond it are left out."""

LOOKED_AT = 2_000
"""Greatest number of small files that are read to see whether they are pointers."""

_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/[^\n]*\n(?:ext-[^\n]*\n)*"
    rb"oid sha256:([0-9a-f]{64})\nsize ([0-9]{1,15})\n"
)
SIZES = range(100, 1024)
"""Sizes in bytes that a pointer can have."""
_CONTENTS = 4 * 1024**2
_PART = 1024**2

Pointers = Mapping[tuple[str, int], Sequence[bytes]]
"""The paths of pointers, by the name and size of the object that they stand for."""


def keeps_pointers(repository: Path, attributes: Sequence[str]) -> bool:
    """Whether one of the attribute files, by id, names the filter of git-lfs."""
    ids = "".join(f"{name}\n" for name in attributes[:LOOKED_AT]).encode()
    listed = run_git(["cat-file", "--batch"], repository, stdin=ids, output_limit=_CONTENTS)
    return b"filter=lfs" in listed.stdout


def pointers(repository: Path, small: Mapping[str, Sequence[bytes]]) -> tuple[Pointers, bool]:
    """The pointers among files of SIZES (paths by id), and whether all of these could be read."""
    ids = list(small)[:LOOKED_AT]
    if not ids:
        return {}, True
    names = "".join(f"{name}\n" for name in ids).encode()
    read = run_git(["cat-file", "--batch"], repository, stdin=names, output_limit=_CONTENTS).stdout
    contents, pointer_files = BytesIO(read), dict[tuple[str, int], list[bytes]]()
    is_complete = True
    for name in ids:
        head = contents.readline().split()
        if len(head) != 3:
            is_complete = False  # a partial clone does not have it
        elif match := _POINTER.match(contents.read(int(head[2]) + 1)):
            pointer_files.setdefault((match[1].decode(), int(match[2])), []).extend(small[name])
    return pointer_files, is_complete


def place_of(folder: Path, oid: str) -> Path:
    """Where git-lfs keeps an object."""
    return folder / oid[:2] / oid[2:4] / oid


def is_here(common: Path, oid: str, size: int) -> bool:
    """Whether the user's repository seems to have an object."""
    try:
        facts = place_of(common / "lfs/objects", oid).lstat()
    except OSError:
        return False
    return stat.S_ISREG(facts.st_mode) and facts.st_size == size


def lend_objects(common: Path, wanted: Pointers, store: Path, target: Path) -> list[str]:
    """Link the objects that the user's repository has into the folder `target`, by way of checked
    copies in `store`. Return the paths whose objects exist but could not be lent.

    Raises:
        EnvironmentFault: the data folder cannot be written.
    """
    left: list[bytes] = []
    total = 0
    try:
        for (oid, size), paths in wanted.items():
            if not is_here(common, oid, size):
                continue
            total += size
            mine = place_of(store, oid)
            if total > MOST_BYTES or not (mine.exists() or _copy(common, oid, size, mine)):
                left += paths
                continue
            lent = place_of(target, oid)
            lent.parent.mkdir(parents=True, exist_ok=True)
            for folder in (target, lent.parent.parent, lent.parent):
                folder.chmod(0o755)
            link(mine, lent)
    except OSError as error:
        raise no_room(store, error) from error
    return [path.decode("utf-8", "replace") for path in left]


def _copy(common: Path, oid: str, size: int, mine: Path) -> bool:
    """Copy an object; whether it could be read and its content matches its name."""
    # Not a hard link to the user's file: what writes to that would change it in the sandbox, too.
    mine.parent.mkdir(parents=True, exist_ok=True)
    source = _opened(common, oid)
    if source is None:
        return False
    digest, left = hashlib.sha256(), size
    with (
        os.fdopen(source, "rb") as file,
        tempfile.TemporaryDirectory(prefix="tmp-", dir=mine.parent) as new,
    ):
        copy = Path(new) / oid
        with copy.open("wb") as out:
            while left > 0 and (part := file.read(min(_PART, left))):
                digest.update(part)
                out.write(part)
                left -= len(part)
        if left or file.read(1) or digest.hexdigest() != oid:
            return False
        copy.chmod(0o444)
        copy.replace(mine)
    return True


def _opened(common: Path, oid: str) -> int | None:
    """A descriptor of an object's file, without following links below the repository: a link there
    could lead to any file of the user, which would then be lent to the sandbox."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        folder = os.open(common, flags | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        for part in ("lfs", "objects", oid[:2], oid[2:4]):
            inner = os.open(part, flags | os.O_DIRECTORY, dir_fd=folder)
            os.close(folder)
            folder = inner
        descriptor = os.open(oid, flags, dir_fd=folder)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
    except OSError:
        return None
    finally:
        os.close(folder)
    return None
