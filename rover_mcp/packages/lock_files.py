"""Which packages the lock files of a task's base name, wherever they are in the repository."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Protocol

from rover_mcp.packages import cargo, go, uv
from rover_mcp.packages.package_store import NeededPackages

MOST_LOCKS = 100
"""How many files of one kind are read, those nearest to the root first. Each is read separately."""
MOST_BYTES = 64 * 1024**2


class _ListedFile(Protocol):
    @property
    def path(self) -> str: ...

    @property
    def size(self) -> int: ...


class Files(Hashable, Protocol):
    """Those of the commit that a task is based on."""

    def files(self) -> Sequence[_ListedFile]: ...

    def read(self, path: str, limit: int) -> bytes | None: ...


@functools.lru_cache(maxsize=16)
def demanded_by(base: Files) -> NeededPackages:
    """A package that two lock files name with different contents is left out.

    Raises:
        EnvironmentFault: the files cannot be listed.
    """
    there = base.files()

    def contents(names: Collection[str], limit: int) -> list[bytes]:
        paths = chosen(there, lambda path: path.rpartition("/")[2] in names)
        return [content for path in paths if (content := base.read(path, limit))]

    return NeededPackages(
        crates=cargo.demanded(*contents((cargo.LOCK,), cargo.LOCK_BYTES)),
        modules=go.demanded(*contents(go.LOCKS, go.LOCK_BYTES)),
        wheels=uv.demanded(*contents((uv.LOCK,), uv.LOCK_BYTES)),
    )


def chosen(files: Sequence[_ListedFile], wanted: Callable[[str], bool]) -> list[str]:
    """The paths that are read, nearest to the root first."""
    candidates = sorted((f.path.count("/"), f.path, f.size) for f in files if wanted(f.path))
    total, paths = 0, list[str]()
    for _, path, size in candidates[:MOST_LOCKS]:
        total += size
        if total > MOST_BYTES:
            break
        paths.append(path)
    return paths
